"""Mean and covariance of points that come in parts, without keeping the points.

Two parts of n and m points, with means a and b and scatters S = Σ (x - mean)(x - mean)ᵀ, have together

    mean = a + m/(n + m) (b - a),    S = S_a + S_b + nm/(n + m) (b - a)(b - a)ᵀ,

in which nothing large cancels, as it does in Σ x xᵀ - n mean meanᵀ.
Oracle: the moments of all points at once (tests/transport/test_moments.py).
Source: Chan, Golub & LeVeque (1983), Algorithms for computing the sample variance, equation 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require, require_finite


@dataclass(frozen=True, eq=False)
class RunningMoments:
    """The first two moments of `count` points; `RunningMoments.of(x)` makes one, and + joins two.

    Args:
        count: how many points.
        mean: (D,) float64.
        scatter: (D, D) float64, Σ (x - mean)(x - mean)ᵀ.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, x: Tensor) -> RunningMoments:
        """The moments of x (N, D), N at least 1.

        Raises:
            InputError: another shape, NaN or infinity.
        """
        require(x.ndim == 2 and len(x) > 0, f"x is {tuple(x.shape)}; give points (N, D), N at least 1")
        require_finite(x, "x")
        x = x.to(torch.float64)
        mean = x.mean(0)
        return cls(len(x), mean, (x - mean).T @ (x - mean))

    def __add__(self, other: RunningMoments) -> RunningMoments:
        """The moments of the points of both.

        Raises:
            InputError: points of different dimensions.
        """
        require(
            self.mean.shape == other.mean.shape,
            f"these points have {len(self.mean)} dimensions and those {len(other.mean)}; they must agree",
        )
        count, apart = self.count + other.count, other.mean - self.mean
        share = other.count / count
        between = self.count * share * torch.outer(apart, apart)
        return RunningMoments(count, self.mean + share * apart, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """(D, D), unbiased.

        Raises:
            InputError: a single point.
        """
        require(self.count >= 2, "one point has no covariance; give at least 2")
        return self.scatter / (self.count - 1)
