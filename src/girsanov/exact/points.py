"""A finite set of points as a law of data, with its exact denoiser under normal and Student-t noise.

For x_0 = y_i with weight w_i and x_t = α x_0 + γ z, z with the isotropic density ∝ k(|z|²),

    E[x_0 | x_t] = Σ_i r_i y_i,   r_i ∝ w_i k(|x_t - α y_i|²/γ²),

    normal          log k(q) = -q/2
    Student-t(D)    log k(q) = -(N + D)/2 · log(1 + q/D),    N coordinates

It is what a network that learned its training set by heart would answer. Stable noise has no closed density.
All in float64; answers have the dtype of the question.
Source: Xu et al. (2023), PFGM++, equation 3 with r = σ √D.
Oracle: importance weighting; with normal noise, the mixture of points of `mixture` (tests/exact/test_points.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.noise import Randomness, StudentT, as_source, normal, uniform
from girsanov.processes import Interpolant
from girsanov.processes.base import like_batch
from girsanov.typing import Shape, Time, Tree


class Points:
    """Σ_i w_i δ(y_i).

    Args:
        points: (K, *shape).
        weights: (K,), positive; equal if None.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, weights that are not positive.
    """

    def __init__(self, points: Tensor, weights: Tensor | Sequence[float] | None = None) -> None:
        points = torch.as_tensor(points, dtype=torch.float64)
        require(
            points.ndim >= 2 and len(points) > 0, f"points has shape {tuple(points.shape)}; give (K, *shape)"
        )
        require_finite(points, "points")
        w = torch.ones(len(points)) if weights is None else torch.as_tensor(weights)
        require(
            w.shape == (len(points),) and bool((w.isfinite() & (w > 0)).all()),
            f"weights are {w.tolist()}; give {len(points)} positive numbers",
        )
        self.shape: Shape = tuple(points.shape[1:])
        self.points, self.weights = points.flatten(1), w.double() / w.double().sum()

    def sample(self, n: int, *, generator: Randomness = None) -> Tensor:
        """n independent draws, (n, *shape), float64."""
        u = as_source(generator).draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0]
        k = torch.searchsorted(self.weights.cumsum(0), u, right=True).clamp(max=len(self.weights) - 1)
        return self.points[k].reshape(n, *self.shape)

    def denoiser(self, process: Interpolant) -> PointsDenoiser:
        """The exact denoiser under a one-sided process with normal or Student-t noise.

        Raises:
            Unsuitable: another process or law.
        """
        return PointsDenoiser(self, process)


class PointsDenoiser(AbstractDenoiser):
    """E[x_0 | x_t] of a finite set; see the head of the module."""

    process: Interpolant
    stored = ("data",)

    def __init__(self, law: Points, process: Interpolant) -> None:
        super().__init__()
        require(
            process.end == "noise" and (process.law is normal or isinstance(process.law, StudentT)),
            f"the denoiser of points is closed for one end and normal or Student-t noise, not for {process!r}",
            Unsuitable,
        )
        self.law, self.process, self.shape = law, process, law.shape

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_anchor(anchor)
        flat, points = x.to(torch.float64).flatten(1), self.law.points
        t = t.to(torch.float64) if isinstance(t, Tensor) else t
        alpha, _, gamma = self.process.values(like_batch(t, flat))
        mean, width = (torch.as_tensor(v, dtype=torch.float64).reshape(-1, 1, 1) for v in (alpha, gamma))
        away = (flat[:, None] - mean * points) / width
        share = torch.softmax(self.law.weights.log() + self._log_kernel(away.square().sum(2)), 1)
        return ((share @ points).reshape(x.shape).to(x.dtype),)

    def _log_kernel(self, squared: Tensor) -> Tensor:
        if not isinstance(self.process.law, StudentT):
            return -squared / 2
        df = self.process.law.df
        return -(self.law.points.shape[1] + df) / 2 * torch.log1p(squared / df)
