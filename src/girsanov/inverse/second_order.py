"""STSL: posterior sampling that also asks how far x_0 is still open, by the trace of the Hessian of log p_t.

By Jensen's inequality, with x̂_0 and C the mean and covariance of x_0 given x_t,

    log p(y | x_t) ≥ E[log p(y | x_0) | x_t] = -(|y - A x̂_0|² + tr A C Aᵀ)/2σ_y² + const        (A linear, normal noise),

C = (γ²/α²)(I + γ² ∇² log p_t) by Tweedie's second formula. With AᵀA taken as a multiple of I, up to constants the bound
is the misfit of DPS and a trace, both to be descended:

    U(x_t) = ζ |y - A(x̂_0)| + λ w tr ∇² log p_t(x_t),

w = γ⁴/α² ("covariance": λ weighs tr C) or α² + γ² ("raw": λ weighs the Hessian in the coordinates of a variance-preserving
process, cut where γ² is below a hundredth of α² + γ², as its gradient grows like γ⁻³). The trace is estimated with one normal
probe by forward differences (`solvers.score_trace`), so that it costs one more network call and no second derivative.
At a level t the state descends U for K - 1 times, and makes the reverse step as DPS does with the K-th gradient:
K = 1 and λ = 0 are DPS. The bound is no equality: the trace pulls to states where little is open, on average more than
the posterior does, so that λ should be small.
Source: Rout et al. (2023), Beyond first-order Tweedie, arXiv 2312.00852; there is no public code, and the coefficients are
ours. Oracle: Gaussian data, where the trace is constant and all is DPS (tests/inverse/test_second_order.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import choose, require
from girsanov.inverse.steps import LevelSampler, Way, count, misfit, spans, steepest, step, unit
from girsanov.noise import Source
from girsanov.processes import Interpolant
from girsanov.solvers import score_trace
from girsanov.solvers.grids import Times

LEAST = 0.1
"""γ/√(α² + γ²) below which "raw" is cut."""

WEIGHTINGS = {
    "covariance": lambda process, t: process.gamma(t) ** 4 / process.alpha(t) ** 2,
    "raw": lambda process, t: (
        unit(process, t) ** 2 * min(1.0, process.gamma(t) / (LEAST * unit(process, t))) ** 4
    ),
}
"""w by name."""


@dataclass(frozen=True)
class STSL(LevelSampler):
    """The second-order Tweedie sampler from a surrogate loss, for any differentiable operator.

    Args:
        steps: levels.
        repeats: K; gradients at each level.
        scale: ζ, as in DPS.
        trace_scale: λ (the paper's γ); 0 leaves the trace and its calls out.
        delta: step of the difference, in units of γ(t).
        weighting: of `WEIGHTINGS`.
        eta: the noise of a step; 0 is DDIM, 1 DDPM.
        grid: times of one's own, instead of steps.
    """

    steps: int = 50
    repeats: int = 5
    scale: float = 1.0
    trace_scale: float = 0.02
    delta: float = 0.1
    weighting: str = "covariance"
    eta: float = 0.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(
            isinstance(self.repeats, int) and self.repeats >= 1,
            f"repeats (K) is {self.repeats!r}; give a whole number of at least 1",
        )
        require(self.trace_scale >= 0, f"trace_scale (γ) is {self.trace_scale}; give at least 0")
        require(self.scale >= 0, f"scale is {self.scale}; give at least 0")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")
        require(self.delta > 0, f"delta is {self.delta}; give a number above 0, such as 0.1")
        choose(self.weighting, WEIGHTINGS, "weighting")

    @property
    def calls(self) -> int:
        """Network calls for a draw."""
        return count(self.steps, self.grid) * self.repeats * (2 if self.trace_scale else 1)

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law."""
        process: Interpolant = way.model.process
        for i, (t, s) in spans(way.times):
            probes = way.source.child(i)
            for k in range(self.repeats - 1):
                _, gradient = self.gradient(way, x, t, (probes, k))
                x = x - unit(process, t) ** 2 * gradient
            data, gradient = self.gradient(way, x, t, (probes, self.repeats - 1))
            x = step(process, x, data, (t, s), self.eta, (way.source, i))
            x = x - unit(process, t) * unit(process, s) * gradient
        return x

    def gradient(self, way: Way, x: Tensor, t: float, draw: tuple[Source, int]) -> tuple[Tensor, Tensor]:
        """(x̂_0, ∇U), (R, *shape) both."""
        process: Interpolant = way.model.process

        def likely(_: Tensor, data: Tensor) -> Tensor:
            return self.scale * misfit(way.measurement, data)

        if not self.trace_scale:
            return steepest(way.model, x, t, likely, way.cond)
        (source, index), h = draw, self.delta * process.gamma(t)
        weight, probe = self.trace_scale * WEIGHTINGS[self.weighting](process, t), source.draw(x, index)

        def score(point: Tensor, data: Tensor) -> Tensor:
            return (process.alpha(t) * data - point) / process.gamma(t) ** 2

        def energy(point: Tensor, data: Tensor) -> Tensor:
            end = (probe * score(point, data)).flatten(1).sum(1)
            return likely(point, data) - (weight / h) * end

        # The two ends of the difference one after the other: a single graph is in memory at a time, as in DPS.
        data, gradient = steepest(way.model, x, t, energy, way.cond)
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            here = score(x, data)
            trace = score_trace(way.model, point, t, probe[None], delta=self.delta, score=here, cond=way.cond)
            (other,) = torch.autograd.grad(weight * trace.sum(), point)
        return data, gradient + other
