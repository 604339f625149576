"""The probability flow of Gaussian data, in closed form: predict a trajectory, or skip its start.

For x_0 ~ N(μ, Σ_k λ_k u_k u_kᵀ) and a one-sided process the state of the flow at t is, from x_s at s,

    x_t = α_t μ + Σ_k ψ_k u_k u_kᵀ (x_s - α_s μ),    ψ_k = √((α_t² λ_k + γ_t²)/(α_s² λ_k + γ_s²)).      (1)

While the noise hides all but the mean and covariance of the data, a trained model follows (1) too, so a
sampler may jump to a time t' < 1 without a call and start there. At (s, t) = (t, 0) the factor ψ_k says how
much a change along u_k at time t moves the sample.

Conventions: diffusion time, from s to t either way. All in float64; answers have the dtype of the question.
Source: Wang & Vastola (2023), Diffusion models generate images like painters, section 3.
Oracle: the adaptive solver on the exact Gaussian denoiser; ψ composes (tests/solvers/test_analytic.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.exact import Gaussian
from girsanov.noise import Randomness
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.solvers.plan import Plan
from girsanov.typing import Tree


class GaussianFlow:
    """The flow of N(mean, covariance) under a one-sided process, equation (1).

    Args:
        mean: (*shape).
        covariance: (d, d) with d the number of coordinates, or one variance. Positive semi-definite; a
            direction without variance is allowed.
        process: a one-sided process.

    Raises:
        InputError: shapes that do not fit, or a matrix that is no covariance.
        Unsuitable: the process has two ends.
    """

    def __init__(self, mean: Tensor, covariance: Tensor | float, process: Interpolant) -> None:
        need(process, GaussianConditional, "GaussianFlow")
        require(
            process.end == "noise", f"GaussianFlow needs a one-sided process, not {process!r}", Unsuitable
        )
        self.law, self.process = Gaussian(mean, covariance), process

    @classmethod
    def of(cls, x: Tensor, process: Interpolant) -> GaussianFlow:
        """The flow of the mean and covariance of samples (N, *shape), N at least 2.

        With fewer samples than coordinates the covariance has no rank for some directions; then prefer
        GaussianFlow with the covariance of `sklearn.covariance.LedoitWolf`.
        """
        require(
            isinstance(x, Tensor) and x.ndim >= 2 and len(x) >= 2,
            f"x has shape {tuple(getattr(x, 'shape', ()))}; a covariance needs samples (N, *shape), N at least 2",
        )
        require_finite(x, "x")
        flat = x.to(torch.float64).flatten(1)
        covariance = torch.cov(flat.T).reshape(flat.shape[1], flat.shape[1])
        return cls(flat.mean(0).reshape(x.shape[1:]), covariance, process)

    @property
    def axes(self) -> Tensor:
        """u_k, one a row, (d, *shape), by decreasing variance."""
        return self.law.axes[0].T.flip(0).reshape(-1, *self.law.shape)

    @property
    def variances(self) -> Tensor:
        """λ_k, (d,), decreasing for a covariance matrix."""
        return self.law.variances[0].flip(0)

    def factors(self, start: float, stop: float) -> Tensor:
        """ψ_k of equation (1) from `start` to `stop`, (d,), in the order of `axes`."""
        require(0 < start <= 1, f"start is {start}; the flow starts in (0, 1]")
        require(0 <= stop <= 1, f"t is {stop}; the flow runs within [0, 1]")
        before, after = (
            self.process.alpha(t) ** 2 * self.variances + self.process.gamma(t) ** 2 for t in (start, stop)
        )
        return (after / before).sqrt()

    def solution(self, x: Tensor, t: float, *, start: float = 1.0) -> Tensor:
        """The state at t of the flow that is at x at time `start`, (B, *shape).

        Args:
            x: (B, *shape).
            t: where to, in [0, 1].
            start: where x is, in (0, 1].

        Raises:
            InputError: times outside their range, or samples of another shape.
        """
        factors = self.factors(start, t)
        require(
            tuple(x.shape[1:]) == self.law.shape,
            f"x has shape {tuple(x.shape)}; give (B, *shape) with shape {self.law.shape}",
        )
        mean, axes = self.law.means[0], self.axes.flatten(1)
        centred = x.to(torch.float64).flatten(1) - self.process.alpha(start) * mean
        moved = self.process.alpha(t) * mean + ((centred @ axes.T) * factors) @ axes
        return moved.reshape(x.shape).to(x.dtype)

    def trajectory(self, x: Tensor, times: Sequence[float]) -> Tensor:
        """The states at all times of the flow that is at x (B, *shape) at t = 1, (B, T, *shape)."""
        return torch.stack([self.solution(x, t) for t in times], 1)

    def skip_to(self, plan: Plan) -> Skipped:
        """A sampler that jumps from t = 1 to the first time of the plan by (1), and runs the plan from there.

        Raises:
            InputError: the plan starts at 1, so that nothing is skipped.
            Unsuitable: the plan is for another process.
        """
        require(
            plan.process == self.process,
            f"the plan is for {plan.process!r}, not {self.process!r}",
            Unsuitable,
        )
        require(
            plan.grid[0] < 1,
            f"the plan starts at t = {plan.grid[0]}; start it below 1, as in grid('karras', 10, start=0.6)",
        )
        return Skipped(self, plan)


@dataclass(frozen=True)
class Skipped:
    """A jump and a plan, for `sample(model, n, plan=...)`; see `GaussianFlow.skip_to`."""

    flow: GaussianFlow
    plan: Plan

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return self.plan.calls

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Run from x (B, *shape), a draw of the reference law at t = 1."""
        x = self.flow.solution(x, self.plan.grid[0])
        return self.plan(model, x, cond=cond, anchor=anchor, generator=generator)
