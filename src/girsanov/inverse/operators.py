"""Measurement operators: what a measurement y = A(x) + noise does to a signal x.

Batch first: `forward` takes (B, *shape) to (B, *out_shape). What cannot be measured has no place in y: inpainting
gives the known pixels as a vector. Three kinds, by what a sampler may ask of them:

    MeasurementOperator   forward, differentiable
    Linear                and the adjoint Aᵀ; A⁺ and the proximal map by conjugate gradients
    Spectral              and AᵀA = V S² Vᵀ with an orthogonal V that is fast to apply, so that

        A⁺y = V S⁻² Vᵀ Aᵀ y,     prox(x, y, ρ) = argmin_u |y - A u|² + ρ |u - x|² = V (S² + ρ)⁻¹ Vᵀ (Aᵀy + ρ x),

    with S⁻¹ = 0 where S = 0. The left singular vectors are A V S⁻¹: `coordinates(y)` = Uᵀ y.

`outer @ inner` is the composition; `dense(operator)` writes a small linear one out as a matrix, with its
decomposition. The operators themselves are in `linear` and `nonlinear`.
Oracle: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩, A A⁺ A = A, the gradient at the proximal map, V orthogonal (tests/inverse).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.typing import Shape

TINY = 1e-6
"""Singular values below this share of the largest are taken as 0."""


class MeasurementOperator(ABC):
    """A differentiable function of a signal.

    Attributes:
        shape: of one signal, without the batch dimension.
    """

    shape: Shape

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A(x), (B, *out_shape), for x (B, *shape)."""

    @cached_property
    def out_shape(self) -> Shape:
        """Of one measurement."""
        return tuple(self.forward(torch.zeros(1, *self.shape)).shape[1:])

    def __call__(self, x: Tensor) -> Tensor:
        """`forward`, after a look at the shape.

        Raises:
            InputError: x is not (B, *shape).
        """
        require(
            tuple(x.shape[1:]) == self.shape,
            f"x has the shape {tuple(x.shape)}, and this operator measures (B, *{self.shape})",
        )
        return self.forward(x)

    def __matmul__(self, inner: MeasurementOperator) -> MeasurementOperator:
        """The composition, inner first."""
        require(
            inner.out_shape == self.shape,
            f"the inner operator gives {inner.out_shape}, and the outer one measures {self.shape}",
        )
        if isinstance(self, Linear) and isinstance(inner, Linear):
            return LinearComposition(self, inner)
        return Composition(self, inner)


class Linear(MeasurementOperator):
    """A linear operator with its adjoint."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y, (B, *shape), for y (B, *out_shape)."""

    def pinv(self, y: Tensor) -> Tensor:
        """A⁺ y: of all x with the least |y - A x| the shortest, (B, *shape)."""
        return self._solve(self.adjoint(y), 0.0)

    def prox(self, x: Tensor, y: Tensor, rho: float) -> Tensor:
        """argmin_u |y - A u|² + ρ |u - x|², (B, *shape), for ρ > 0."""
        return self._solve(self.adjoint(y) + rho * x, rho)

    def _solve(self, right: Tensor, rho: float) -> Tensor:
        """(AᵀA + ρ)⁻¹ right by conjugate gradients, to the precision of its type; the shortest one at ρ = 0."""
        x, left = torch.zeros_like(right), right
        direction, size = left, _dot(left, left)
        limit = size * torch.finfo(right.dtype).eps ** 1.5
        for _ in range(min(4 * right[0].numel(), 500)):
            if bool((size <= limit).all()):
                break
            turned = self.adjoint(self.forward(direction)) + rho * direction
            step = size / _dot(direction, turned).clamp(min=torch.finfo(right.dtype).tiny)
            x, left = x + step * direction, left - step * turned
            old, size = size, _dot(left, left)
            direction = left + size / old.clamp(min=torch.finfo(right.dtype).tiny) * direction
        return x


class Spectral(Linear):
    """A linear operator whose right singular vectors are known.

    Attributes:
        singular_values: (d,) in float64, one for each of the d coordinates of `into`, 0 where nothing is measured.
    """

    singular_values: Tensor

    @abstractmethod
    def into(self, x: Tensor) -> Tensor:
        """Vᵀ x, (B, d), for x (B, *shape)."""

    @abstractmethod
    def out_of(self, v: Tensor) -> Tensor:
        """V v, (B, *shape), for v (B, d)."""

    def coordinates(self, y: Tensor) -> Tensor:
        """Uᵀ y, (B, d), 0 where nothing is measured; noise of unit variance in y has it here."""
        return self.into(self.adjoint(y)) * inverse_values(self.singular_values).to(y)

    def pinv(self, y: Tensor) -> Tensor:
        """A⁺ y: of all x with the least |y - A x| the shortest, (B, *shape)."""
        return self.out_of(self.coordinates(y) * inverse_values(self.singular_values).to(y))

    def prox(self, x: Tensor, y: Tensor, rho: float) -> Tensor:
        """argmin_u |y - A u|² + ρ |u - x|², (B, *shape), for ρ > 0."""
        scale = 1 / (self.singular_values**2 + rho)
        return self.out_of(self.into(self.adjoint(y) + rho * x) * scale.to(x))


class Composition(MeasurementOperator):
    """outer(inner(x)); made by `outer @ inner`."""

    def __init__(self, outer: MeasurementOperator, inner: MeasurementOperator) -> None:
        self.outer, self.inner, self.shape = outer, inner, inner.shape

    def forward(self, x: Tensor) -> Tensor:
        return self.outer.forward(self.inner.forward(x))


class LinearComposition(Linear):
    """The product of two linear operators; made by `outer @ inner`."""

    def __init__(self, outer: Linear, inner: Linear) -> None:
        self.outer, self.inner, self.shape = outer, inner, inner.shape

    def forward(self, x: Tensor) -> Tensor:
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of samples, (B, 1, ...)."""
    return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.ndim - 1))


def inverse_values(values: Tensor) -> Tensor:
    """1/s, and 0 where s is 0 beside the largest."""
    return torch.where(values > TINY * values.max(), 1 / values.clamp(min=1e-300), 0.0)
