"""RED-diff: restoration as a stochastic optimization, without gradients through the network.

q = N(μ, s²) is fitted to the posterior. Of the divergence KL(q || p(x_0 | y)) the prior's part is an integral over
noise levels whose gradient needs no Jacobian of the denoiser; one level is visited after the other, downwards, with

    loss = ½ v · mean (y - A(x_0))² + w · mean sg(ẑ - z) x_0,    w = λ γ/α,   x_0 = μ + s z',   x_t = α x_0 + γ z,

ẑ the denoiser's noise at x_t and sg without gradient, and one step of Adam on μ each. The fit seeks a mode: runs
from the same y differ by the noise of the optimizer alone, which is no posterior spread.
Source: Mardani, Song, Kautz & Vahdat (2023), arXiv 2305.04391, algorithm 1.
Oracle: the stationary point at one level for Gaussian data (tests/inverse/test_posterior_samplers.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import choose, require
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.operators import Linear
from girsanov.inverse.steps import answer, check_signal, count
from girsanov.noise import Randomness, as_source
from girsanov.processes import Interpolant
from girsanov.solvers.grids import DDPM, Times, resolve
from girsanov.typing import Tree

WEIGHTINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda kappa: kappa,
    "constant": lambda kappa: 1.0,
    "sqrt": math.sqrt,
    "square": lambda kappa: kappa**2,
    "log": math.log1p,
    "clip": lambda kappa: min(kappa, 1.0),
}
"""w/λ by name, of κ = γ/α."""

BETAS, EPSILON = (0.9, 0.99), 1e-8


@dataclass(frozen=True)
class REDDiff:
    """See the head of the module.

    Args:
        steps: levels, a network call and a step of Adam each.
        weight: λ.
        lr: of Adam; 0.5 for super-resolution in the paper.
        weighting: of `WEIGHTINGS`.
        spread: s.
        grid: times of one's own, instead of steps; the last may be 0, which is left out. The default is uniform
            in the time of DDPM, as in the paper: `levels`, finer at small noise, costs a decibel on digits.
    """

    steps: int = 100
    weight: float = 0.25
    lr: float = 0.1
    weighting: str = "linear"
    spread: float = 0.0
    grid: Times | None = None
    joint = False

    def __post_init__(self) -> None:
        choose(self.weighting, WEIGHTINGS, "weighting")
        require(self.weight >= 0 and self.spread >= 0, "weight and spread are at least 0")
        require(self.lr > 0, f"lr is {self.lr}; give a number above 0")

    @property
    def calls(self) -> int:
        """Network calls for a draw."""
        return count(self.steps, self.grid)

    def times(self, process: Interpolant) -> list[float]:
        """The levels, decreasing."""
        if self.grid is not None:
            given = resolve(self.grid, process)
            check_signal(process, given[0])
            return [t for t in given if t > 0]
        clock = (DDPM.log_snr(i / self.steps) for i in range(self.steps, 0, -1))
        return [min(1.0, float(process.time_at(log_snr))) for log_snr in clock]

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        measurement: Measurement,
        *,
        cond: Tree = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Restorations (R, *shape), begun at A⁺y if A is linear and at 0 otherwise; x gives the shape."""
        process, source = model.process, as_source(generator).child(1)
        operator = measurement.operator
        mu = operator.pinv(measurement.y) if isinstance(operator, Linear) else torch.zeros_like(x)
        first, second = torch.zeros_like(mu), torch.zeros_like(mu)
        times = self.times(process)
        for i, t in enumerate(times):
            alpha, gamma = process.alpha(t), process.gamma(t)
            x0 = mu + self.spread * source.draw(mu, 2 * i) if self.spread else mu
            z = source.draw(mu, 2 * i + 1)
            noisy = alpha * x0 + gamma * z
            noise = (noisy - alpha * answer(model, noisy, t, cond)) / gamma
            with torch.enable_grad():
                point = x0.detach().requires_grad_()
                misfit = 0.5 * measurement.residual(point).square().flatten(1).mean(1).sum()
                (gradient,) = torch.autograd.grad(misfit, point)
            weight = self.weight * WEIGHTINGS[self.weighting](gamma / alpha)
            gradient = gradient + (weight / mu[0].numel()) * (noise - z)
            first = BETAS[0] * first + (1 - BETAS[0]) * gradient
            second = BETAS[1] * second + (1 - BETAS[1]) * gradient.square()
            scale = math.sqrt(1 - BETAS[1] ** (i + 1)) / (1 - BETAS[0] ** (i + 1))
            mu = mu - self.lr * scale * first / (second.sqrt() + EPSILON * math.sqrt(1 - BETAS[1] ** (i + 1)))
        return mu
