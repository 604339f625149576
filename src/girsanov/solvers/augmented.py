"""Sampling a state with memories: the reverse equation, or the flow, of (X, Y¹, …, Y^K).

With z = E[(x_t - η·Y_t - αx_0)/σ | ·], which is all that a network learns (see `processes.remembering`), the
score of the whole state is

    ∂_x = -z/σ,    ∂_y = -η ∂_x - Σ_YY⁻¹ y,

and as one Brownian motion moves the state along G = (g Σω, 1, …, 1), only the number u = G·score counts:

    dZ = [F Z - c G u] dt + √(2c - 1) G dW̄,    c = 1 for the reverse equation, ½ for the flow,

by Euler steps; the last one is the denoiser's answer. One noise a coordinate and step, drawn ahead.

Oracle: Gaussian data with their exact denoiser keep their law; the score is the gradient of the joint density
(tests/processes/test_remembering.py).
Source: Nobis et al. (2024), Generative fractional diffusion models, section 4 and appendix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.processes.remembering import Remembering
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.run import check_finite
from girsanov.typing import Tree

MEMORIES = 0
"""The key of the draw of Y_1; steps count from 1."""


@dataclass(frozen=True)
class Augmented:
    """A sampler of a `Fractional` process; `augmented` makes one.

    Attributes:
        process: the process to reverse.
        times: the grid, from 1 down.
        stochastic: the reverse equation, or the flow.
    """

    process: Remembering
    times: tuple[float, ...]
    stochastic: bool = False

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return len(self.times) - 1

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from X_1 - η·Y_1 = x, (B, *shape), which is independent of the memories Y_1.

        Raises:
            Unsuitable: a model of another process.
            NotFinite: the model answered with NaN or infinity.
        """
        return self.path(model, x, cond=cond, anchor=anchor, generator=generator)[-1]

    def path(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> list[Tensor]:
        """The states X at all times of the grid, each (B, *shape); see the call."""
        process = self.process
        require(
            model.process == process, f"this sampler is for {process!r}, not {model.process!r}", Unsuitable
        )
        process.check_anchor(anchor)
        source, steps = as_source(generator), list(pairwise(self.times))
        y = self._memories(source.draw(x[..., None].expand(*x.shape, process.schedule.factors), MEMORIES))
        states = [x + y @ self._row(process.schedule.regression(self.times[0]), x)]
        for i, (s, t) in enumerate(steps, 1):
            x, shift = states[-1], y @ self._row(process.schedule.regression(s), x)
            if t == 0:
                states.append(model.data(x - shift, s, cond=cond))
                break
            u = self._push(model.noise(x - shift, s, cond=cond), y, s)
            fresh = source.draw(x, i) if self.stochastic and i < len(steps) else None
            x, y = self._step(x, y, u, fresh, s, t)
            states.append(x)
        check_finite(states[-1], f"after {self.calls} calls")
        return states

    def _memories(self, noise: Tensor) -> Tensor:
        """Y at the first time, (B, *shape, K), from standard normals."""
        root = np.linalg.cholesky(self.process.schedule.covariance(self.times[0])[1:, 1:])
        return noise @ torch.from_numpy(root).to(noise).mT

    def _push(self, z: Tensor, y: Tensor, t: float) -> Tensor:
        """u = G·score, (B, *shape)."""
        schedule = self.process.schedule
        _, g = schedule.drift(t)
        full = schedule.covariance(t)
        along = g * schedule.weights.sum() - schedule.regression(t).sum()
        prior = np.linalg.solve(full[1:, 1:], np.ones(schedule.factors))
        return z * (-along / schedule.values(t)[2]) - y @ self._row(prior, y)

    def _step(
        self, x: Tensor, y: Tensor, u: Tensor, fresh: Tensor | None, s: float, t: float
    ) -> tuple[Tensor, Tensor]:
        """From s down to t."""
        schedule, h = self.process.schedule, s - t
        mu, g = schedule.drift(s)
        push = h * (1.0 if self.stochastic else 0.5) * u
        if fresh is not None:
            push = push + math.sqrt(h) * fresh
        pull = y @ self._row(g * schedule.weights * schedule.memory_rates, y)
        moved = (1 - h * mu) * x + h * pull + g * schedule.weights.sum() * push
        return moved, y * self._row(1 + h * schedule.memory_rates, y) + push[..., None]

    @staticmethod
    def _row(numbers: np.ndarray, like: Tensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers)).to(like)


def augmented(process: Remembering, grid: Times, *, stochastic: bool = False) -> Augmented:
    """The sampler of a `Fractional` process on a grid.

    Args:
        process: made by `processes.Fractional` with factors of at least 1.
        grid: a `Grid`, or decreasing times.
        stochastic: the reverse equation in place of the flow.

    Raises:
        Unsuitable: a process without memories; any other solver fits it.
    """
    require(
        isinstance(process, Remembering),
        f"{process!r} has no memories; take another solver, such as the recommended one",
        Unsuitable,
    )
    return Augmented(process, resolve(grid, process), stochastic)
