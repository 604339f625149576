"""The conservative part of a field, and how much of an error moves the law.

Equation (2) of `metrics.fields` by least squares: s = ∇h + r with h = argmin E_p|s − ∇h|², over potentials

    h(x) = b·x + ½ xᵀQx + Σ_j c_j cos(ω_j·x + φ_j).

Oracle: the score of a mixture comes back from itself turned (tests/metrics/test_fields.py).
Source: Horvat & Pfister (2024), section 3; Vuong, McCann, Santos & Lin (2025), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.metrics.fields import EXACT_UP_TO, Field, check_points
from girsanov.noise import Noise, Randomness, Source, as_source, uniform

WAVES = 0
"""The scope of the features of a projection."""


class Transport(NamedTuple):
    """Mean squares of an error of a field: the part that moves the law, and all of it."""

    moves: float
    total: float

    @property
    def share(self) -> float:
        """The part that moves the law."""
        return self.moves / self.total


@dataclass(frozen=True, eq=False)
class Potential:
    """h(x) = Σ_j c_j φ_j(x): linear and quadratic terms, and waves cos(ω·x + b). Called, it answers with ∇h.

    Attributes:
        linear: (D,).
        quadratic: (D, D), symmetric: h has ½ xᵀQx.
        frequencies, phases, weights: of the waves, (M, D), (M,), (M,).
    """

    linear: Tensor
    quadratic: Tensor
    frequencies: Tensor
    phases: Tensor
    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """∇h, (B, *shape)."""
        flat = x.flatten(1).to(self.linear.dtype)
        waves = -(flat @ self.frequencies.mT + self.phases).sin() * self.weights
        found = self.linear + flat @ self.quadratic + waves @ self.frequencies
        return found.reshape(x.shape).to(x.dtype)

    def value(self, x: Tensor) -> Tensor:
        """h itself, up to a constant, (B,)."""
        flat = x.flatten(1).to(self.linear.dtype)
        waves = (flat @ self.frequencies.mT + self.phases).cos() @ self.weights
        return (flat @ self.linear + ((flat @ self.quadratic) * flat).sum(1) / 2 + waves).to(x.dtype)


def helmholtz_projection(
    field: Field, x: Tensor, *, waves: int = 256, ridge: float = 1e-6, generator: Randomness = None
) -> Potential:
    """The conservative part of a field, equation (2), by least squares over x ~ p.

    Among potentials of linear, quadratic (up to 64 coordinates; beyond, Σ x_i² alone) and wave terms. The
    waves have Gaussian frequencies of lengths spread from 1/4 to 4 inverse standard deviations of x, so finer
    detail of h is left in the residual: the conservative part found is a lower bound. With fewer numbers
    B·D than a few times the terms it follows the sample; judge it on other points, as `transport_error` does.

    Args:
        field: a function of x.
        x: (B, *shape), a sample of p.
        waves: how many, at least 0.
        ridge: added to the normal matrix, of unit diagonal.
        generator: of the waves; None is the same ones every time.

    Raises:
        InputError: bad samples or sizes.
    """
    check_points(x)
    require(waves >= 0, f"waves is {waves}; give at least 0")
    require(0 < ridge < 1, f"ridge is {ridge}; give a small number above 0, such as 1e-6")
    with torch.no_grad():
        flat, target = x.flatten(1).double(), field(x).flatten(1).double()
    require_finite(target, "the field")
    d, source = flat.shape[1], Noise(0) if generator is None else as_source(generator)
    frequencies, phases = _waves(waves, flat, source.child(WAVES))
    pairs = torch.combinations(torch.arange(d), 2, with_replacement=True) if d <= EXACT_UP_TO else None
    size = d + waves + (1 if pairs is None else len(pairs))
    gram = torch.zeros(size, size, dtype=torch.float64, device=x.device)
    moment = gram.new_zeros(size)
    for rows in torch.arange(len(flat)).split(max(1, 2**22 // (d * size))):
        terms = _gradients(flat[rows], frequencies, phases, pairs).flatten(1)  # (terms, rows · D)
        gram += terms @ terms.mT
        moment += terms @ target[rows].flatten()
    scale = gram.diagonal().clamp(min=1e-300).rsqrt()
    system = gram * scale * scale[:, None]
    system.diagonal().add_(ridge)
    weights = scale * torch.linalg.solve(system, scale * moment)
    linear, wave, square = weights[:d], weights[d : d + waves], weights[d + waves :]
    quadratic = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    if pairs is None:
        quadratic.diagonal().copy_(square.expand(d))
    else:
        for i, j in ((0, 1), (1, 0)):
            quadratic[pairs[:, i], pairs[:, j]] = square
    return Potential(linear, quadratic, frequencies, phases, wave)


def transport_error(
    field: Field,
    truth: Field,
    x: Tensor,
    *,
    waves: int = 256,
    ridge: float = 1e-6,
    generator: Randomness = None,
) -> Transport:
    """How much of a field's error moves the law: E|∇h|² beside E|δ|², δ = field − truth.

    ∇h is fitted on every second point and judged on the others, as E[2δ·∇h − |∇h|²], whose mean is at most the
    whole energy of the conservative part: what the fit misses counts as harmless, so the share is a lower bound.

    Args:
        field, truth: functions of x.
        x: (B, *shape), a sample of p, B at least 4.
        waves, ridge, generator: as in `helmholtz_projection`.

    Raises:
        InputError: bad samples, or fields that agree everywhere.
    """
    check_points(x, least=4)

    def error(y: Tensor) -> Tensor:
        return field(y) - truth(y)

    fitted, fresh = x[::2], x[1::2]
    part = helmholtz_projection(error, fitted, waves=waves, ridge=ridge, generator=generator)
    with torch.no_grad():
        delta, moved = (f(fresh).flatten(1).double() for f in (error, part))
    total = float(delta.square().sum(1).mean())
    require(total > 0, "the fields agree at every point, so there is no error to divide")
    return Transport(float((2 * delta * moved - moved.square()).sum(1).mean()), total)


def _waves(n: int, flat: Tensor, source: Source) -> tuple[Tensor, Tensor]:
    """Frequencies (n, D) and phases (n,) of the wave terms, on the scale of the sample."""
    like = torch.empty(n, flat.shape[1], dtype=torch.float64, device=flat.device)
    spread = (flat.var(0).mean() if len(flat) > 1 else flat.new_ones(())).clamp(min=1e-300).sqrt()
    length = 4.0 ** (2 * source.draw(like[:, :1], 0, uniform) - 1)
    angle = source.draw(like[:, :1], 1, uniform)[:, 0] * 2 * math.pi
    direction = source.draw(like, 2)
    direction = direction / direction.square().mean(1, keepdim=True).sqrt().clamp(min=1e-300)
    return direction * length / (spread * math.sqrt(flat.shape[1])), angle


def _gradients(flat: Tensor, frequencies: Tensor, phases: Tensor, pairs: Tensor | None) -> Tensor:
    """∇φ_j at the points, (terms, B, D): linear terms, waves, squares."""
    n, d = flat.shape
    eye = torch.eye(d, dtype=flat.dtype, device=flat.device)
    linear = eye[:, None].expand(d, n, d)
    waves = -(flat @ frequencies.mT + phases).sin().mT[:, :, None] * frequencies[:, None]
    if pairs is None:
        return torch.cat([linear, waves, flat[None]])
    i, j = pairs.T
    squares = flat.mT[j][:, :, None] * eye[i][:, None]
    squares += torch.where((i != j)[:, None, None], flat.mT[i][:, :, None] * eye[j][:, None], 0.0)
    return torch.cat([linear, waves, squares])
