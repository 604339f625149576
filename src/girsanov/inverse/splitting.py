"""Samplers that alternate the denoiser with consistency to the measurement: DiffPIR, DDNM, RePaint.

DiffPIR replaces x̂_0 by the proximal map and goes on with part of the noise that this leaves,

    x̃ = argmin_u |y - A u|² + ρ |u - x̂_0|²,   ρ = λ σ_y² α²/γ²,   x_s = α_s x̃ + γ_s (√(1-ζ) ẑ + √ζ ξ),

ẑ = (x_t - α_t x̃)/γ_t. DDNM is the limit without noise, x̃ = x̂_0 + A⁺ (y - A x̂_0), with a DDIM step of its η. RePaint
leaves the network alone and puts a fresh noisy copy of y in the measured coordinates of every state; it goes back
up and down again so that the rest can adapt.
Source: Zhu et al. (2023), DiffPIR, arXiv 2305.08995, algorithm 1; Wang, Yu & Zhang (2023), DDNM, arXiv 2212.00490,
equations 9 to 11; Lugmayr et al. (2022), RePaint, arXiv 2201.09865, algorithm 1.
Oracle: prox and pseudo-inverse of the operators; the measured coordinates (tests/inverse/test_posterior_samplers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.operators import Spectral, inverse_values
from girsanov.inverse.steps import LevelSampler, Way, answer, count, linear, spans, step
from girsanov.solvers.grids import Times

Spread = Callable[[Tensor, Measurement, float], Tensor]
"""Moves the data predictions (R, *shape) of a measurement's draws apart, at the time after the step."""


@dataclass(frozen=True)
class DiffPIR(LevelSampler):
    """Plug-and-play restoration, for linear operators; see the head of the module.

    Args:
        steps: network calls.
        weight: λ, of the prior against the measurement.
        zeta: ζ, the share of fresh noise, in [0, 1].
        grid: times of one's own, instead of steps.
    """

    steps: int = 100
    weight: float = 7.0
    zeta: float = 0.1
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.weight > 0, f"weight is {self.weight}; give a number above 0")
        require(0 <= self.zeta <= 1, f"zeta is {self.zeta}; give a number from 0 to 1")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator that is not linear, or noise that is not normal or is none.
        """
        model, measurement, times, source, cond = way
        operator, std = linear(measurement, "DiffPIR"), measurement.std("DiffPIR")
        require(
            std > 0,
            "DiffPIR weighs the prior by the noise, and there is none. Use DDNM or PiGDM.",
            Unsuitable,
        )
        process = model.process
        for i, (t, s) in spans(times):
            data = answer(model, x, t, cond)
            rho = self.weight * (std * process.alpha(t) / process.gamma(t)) ** 2
            near = operator.prox(data, measurement.y, float(rho))
            if s == 0:
                return near
            noise = (x - process.alpha(t) * near) / process.gamma(t)
            fresh = source.draw(x, i)
            x = process.alpha(s) * near + process.gamma(s) * (
                (1 - self.zeta) ** 0.5 * noise + self.zeta**0.5 * fresh
            )
        return x


@dataclass(frozen=True)
class DDNM(LevelSampler):
    """Null-space restoration for linear operators without noise; see the head of the module.

    Args:
        steps: network calls.
        eta: the noise of a step, 0.85 in the paper.
        apart: moves the predictions of a measurement's draws apart before they are made consistent, such as
            `diversity.Apart`.
        grid: times of one's own, instead of steps.
    """

    steps: int = 100
    eta: float = 0.85
    apart: Spread | None = None
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")

    @property
    def joint(self) -> bool:
        """Whether the draws of a measurement depend on each other."""
        return self.apart is not None

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law; A of them is y.

        Raises:
            Unsuitable: an operator that is not linear.
        """
        model, measurement, times, source, cond = way
        operator = linear(measurement, "DDNM")
        process = model.process
        for i, (t, s) in spans(times):
            data = answer(model, x, t, cond)
            if self.apart is not None and s > 0:
                data = self.apart(data, measurement, s)
            data = data + operator.pinv(measurement.y - operator.forward(data))
            x = step(process, x, data, (t, s), self.eta, (source, i))
        return x


@dataclass(frozen=True)
class RePaint(LevelSampler):
    """Replacement of the measured coordinates, with jumps back; see the head of the module.

    Args:
        steps: levels of the grid.
        jump: how many steps a jump goes back.
        repeats: how often every stretch of that length is gone through; 1 for no jump.
        eta: the noise of a step; 1 is DDPM.
        grid: times of one's own, instead of steps.
    """

    steps: int = 50
    jump: int = 5
    repeats: int = 2
    eta: float = 1.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(min(self.jump, self.repeats) >= 1, "jump and repeats are at least 1")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")

    @property
    def calls(self) -> int:
        """Network calls for a draw."""
        return sum(a < b for a, b in pairwise(self.route(count(self.steps, self.grid))))

    def route(self, steps: int) -> list[int]:
        """The levels in the order they are visited: down, and each stretch of `jump` levels again."""
        path = [0]
        while path[-1] < steps:
            first = path[-1]
            stretch = list(range(first + 1, min(first + self.jump, steps) + 1))
            path += stretch
            for _ in range(self.repeats - 1 if path[-1] < steps else 0):
                path += [first, *stretch]
        return path

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator without a decomposition, or noise that is not normal.
        """
        model, measurement, times, source, cond = way
        operator = measurement.operator
        if not isinstance(operator, Spectral):
            raise Unsuitable(
                f"RePaint replaces singular coordinates, and {type(operator).__name__} has none. Use PiGDM or DPS."
            )
        std, process = measurement.std("RePaint"), model.process
        inverse = inverse_values(operator.singular_values).to(x)
        y = operator.coordinates(measurement.y) * inverse
        visited = 0
        for here, there in pairwise(self.route(len(times) - 1)):
            t, s = times[here], times[there]
            alpha, gamma = process.alpha(s), process.gamma(s)
            visited += 2
            if there < here:  # up again, by the forward process
                ratio = alpha / process.alpha(t)
                wide = max(0.0, gamma**2 - (ratio * process.gamma(t)) ** 2) ** 0.5
                x = ratio * x + wide * source.draw(x, visited)
                continue
            x = step(process, x, answer(model, x, t, cond), (t, s), self.eta, (source, visited))
            left = (gamma**2 - (alpha * std * inverse) ** 2).clamp(min=0).sqrt()
            v = operator.into(x)
            level = alpha * y + left * source.draw(v, visited + 1)
            x = operator.out_of(
                torch.where((inverse > 0) & (alpha * std * inverse <= max(gamma, 1e-9)), level, v)
            )
        return x
