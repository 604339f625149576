"""The covariance of the data, for guidance that knows which pixels go together.

With x_0 ~ N(·, C) and x_t = α x_0 + γ z, x_0 given x_t has the covariance V = κ² C (C + κ²)⁻¹, κ = γ/α, where ΠGDM has a
multiple of the identity. C is estimated from a sample of the data, and written out: for signals of up to 4,096 numbers.
Source: Rozet et al. (2024), Learning diffusion priors from observations by expectation maximization, arXiv 2405.13712,
on posterior samplers with a covariance of x_0 given x_t.
Oracle: the exact posterior of Gaussian data of any covariance (tests/inverse/test_covariance.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.inverse.linear import matrix_of
from girsanov.inverse.operators import Linear
from girsanov.typing import Shape

LARGEST = 4096
"""Numbers in a signal, beyond which a matrix is too much."""

Gain = Callable[[Tensor, Tensor], Tensor]
"""(y, x̂_0) to Aᵀ (A V Aᵀ + σ²)⁻¹ (y - A x̂_0), (B, *shape)."""


@dataclass(frozen=True)
class DataCovariance:
    """C by its eigenvalues (d,), not negative, and eigenvectors (d, d), in float64; `shape` is of one signal."""

    values: Tensor
    vectors: Tensor
    shape: Shape

    @classmethod
    def of(cls, x: Tensor) -> DataCovariance:
        """That of a sample (N, *shape), best of several times as many as numbers in a signal.

        Raises:
            InputError: fewer than two, signals of more than 4,096 numbers, NaN or infinity.
        """
        d = math.prod(x.shape[1:])
        require(len(x) > 1, f"{len(x)} signals have no covariance; give two or more")
        require(d <= LARGEST, f"signals of {d} numbers; a covariance is written out for up to {LARGEST}")
        require_finite(x, "x")
        values, vectors = torch.linalg.eigh(torch.cov(x.double().flatten(1).T).reshape(d, d))
        return cls(values.clamp(min=0), vectors, tuple(x.shape[1:]))

    def gains(self, operator: Linear, std: float) -> Callable[[float, float], Gain]:
        """For noise of standard deviation std the gain at (κ², width), V times `width`.

        Raises:
            InputError: an operator on signals of another shape.
        """
        require(
            operator.shape == self.shape,
            f"the covariance is of signals {self.shape}, and the operator measures {operator.shape}",
        )
        along = matrix_of(operator).to(self.vectors) @ self.vectors

        def gain(kappa2: float, width: float) -> Gain:
            """At a level: one factorization, whatever the number of draws."""
            spread = width * kappa2 * self.values / (self.values + kappa2)
            total = (along * spread) @ along.T
            floor = std**2 + 1e-9 * float(total.diagonal().mean())  # without noise two measurements may agree
            root = torch.linalg.cholesky(total + floor * torch.eye(len(total)).to(total))
            matrix = torch.cholesky_solve(along @ self.vectors.T, root)

            def towards(y: Tensor, data: Tensor) -> Tensor:
                left = (y - operator.forward(data)).flatten(1)
                return (left @ matrix.to(left)).reshape(data.shape)

            return towards

        return gain
