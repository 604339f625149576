"""Optimal transport between Gaussians, in closed form.

    W₂² = |m_0 − m_1|² + min over orthogonal U of ‖A − B U‖²_F,     A = √Σ_0, B = √Σ_1   (1)
    T(x) = m_1 + B (B Σ_0 B)^{+1/2} B (x − m_0)                                            (2)

(1) equals the usual tr Σ_0 + tr Σ_1 − 2 tr (A Σ_1 A)^{1/2}; the best U is the polar factor of B A. The
difference is squared instead of being a difference of squares, so equal covariances give 1e-15 and
not 1e-8, whatever their rank. With B A = P S Qᵀ, (2) is m_1 + B P S⁺ Pᵀ B (x − m_0).

Where Σ_0 has no spread in a direction that Σ_1 needs, no map does, and the optimal plan draws what is missing:

    y = T(x) + w,    w ~ N(0, Σ_w),    Σ_w = B (I − P_+ P_+ᵀ) B,                           (3)

with P_+ the columns of P for which S > 0. Since T Σ_0 T = B P_+ P_+ᵀ B, the moments are those of the target.

Oracle: commuting covariances, singular ones, the pushed moments, exact transport of large samples, Freirich's
own formula for (3), POT (tests/transport/test_gaussian_transport.py).
Source: Gelbrich (1990); Peyré & Cuturi (2019), Computational optimal transport, remark 2.31; Freirich,
Michaeli & Meir (2021), A theory of the distortion-perception tradeoff, section 3, theorem 3 for (3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.noise import Randomness, as_source

_ROUNDING = 1e-6  # relative; covariances estimated in float32 are this far from symmetric and positive
_EPS = torch.finfo(torch.float64).eps


@dataclass(frozen=True, eq=False)
class GaussianMap:
    """The affine map x ↦ mean1 + matrix (x − mean0).

    Args:
        mean0: (D,) float64.
        mean1: (D,) float64.
        matrix: (D, D) float64, symmetric and positive semidefinite.
    """

    mean0: Tensor
    mean1: Tensor
    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Map x: (..., D); returns the dtype of x."""
        require(
            x.ndim > 0 and x.shape[-1] == len(self.mean0),
            f"x has shape {tuple(x.shape)}; the last dimension must be {len(self.mean0)}",
        )
        moved = self.mean1 + (x.to(self.matrix.dtype) - self.mean0) @ self.matrix
        return moved.to(x.dtype) if x.is_floating_point() else moved


@dataclass(frozen=True, eq=False)
class GaussianPlan:
    """The law of y given x in an optimal plan: N(map(x), rest restᵀ).

    Args:
        map: x to the mean of y.
        rest: (D, r) float64, or None where y is a function of x.
    """

    map: GaussianMap
    rest: Tensor | None

    def __call__(self, x: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw y for x: (B, *, D), in the dtype of x; without a draw where y is a function of x."""
        moved = self.map(x)
        if self.rest is None:
            return moved
        like = moved.new_empty(*moved.shape[:-1], self.rest.shape[1])
        noise = as_source(generator).draw(like, 0).to(self.rest.dtype) @ self.rest.T
        return moved + noise.to(moved.dtype)


@torch.no_grad()
def gaussian_w2(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> Tensor:
    """The 2-Wasserstein (Bures) distance between two Gaussians, not squared.

    Args:
        mean0, mean1: (D,).
        cov0, cov1: (D, D), symmetric, positive semidefinite; any rank.

    Returns:
        0-d float64, without gradient.

    Raises:
        InputError: shapes that do not match, NaN or infinity, a matrix that is not a covariance.
    """
    m0, root0, m1, root1 = _gaussians(mean0, cov0, mean1, cov1)
    left, _, right = torch.linalg.svd(root1 @ root0)
    shape = (root0 - root1 @ left @ right).square().sum()
    return ((m0 - m1).square().sum() + shape).sqrt()


@torch.no_grad()
def gaussian_map(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> GaussianMap:
    """The optimal map that pushes N(mean0, cov0) onto N(mean1, cov1), equation (2).

    Covariances may be singular as long as cov0 spreads over every direction that cov1 needs; `gaussian_plan`
    has no such bound.

    Args:
        mean0, mean1: (D,).
        cov0, cov1: (D, D), symmetric, positive semidefinite.

    Raises:
        InputError: as `gaussian_w2`, and where no such map exists.
    """
    m0, root0, m1, root1 = _gaussians(mean0, cov0, mean1, cov1)
    matrix, rest = _map_and_rest(root0, root1)
    missed = torch.linalg.norm(rest) / torch.linalg.norm(root1).clamp_min(1e-300)
    require(
        bool(missed <= _ROUNDING),
        f"cov0 has no spread in some directions that cov1 needs (they hold {float(missed):.1e} of its root), "
        "so no map exists. Draw what is missing with gaussian_plan, or add a little variance to cov0, such as "
        "cov0 + 1e-6 * torch.eye(d).",
    )
    return GaussianMap(m0, m1, matrix)


@torch.no_grad()
def gaussian_plan(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> GaussianPlan:
    """The optimal plan between N(mean0, cov0) and N(mean1, cov1), equation (3): a map, and noise if it needs any.

    Args:
        mean0, mean1: (D,).
        cov0, cov1: (D, D), symmetric, positive semidefinite; any rank.

    Raises:
        InputError: as `gaussian_w2`.
    """
    m0, root0, m1, root1 = _gaussians(mean0, cov0, mean1, cov1)
    matrix, rest = _map_and_rest(root0, root1)
    needed = torch.linalg.norm(rest) > _ROUNDING * torch.linalg.norm(root1)
    return GaussianPlan(GaussianMap(m0, m1, matrix), rest if bool(needed) else None)


def _map_and_rest(root0: Tensor, root1: Tensor) -> tuple[Tensor, Tensor]:
    """The matrix of (2), and a root R of Σ_w = R Rᵀ in (3), one column for each direction that is not reached."""
    left, s, _ = torch.linalg.svd(root1 @ root0)
    kept = s > 8 * len(s) * _EPS * s.max()
    half = root1 @ left[:, kept]
    return (half / s[kept]) @ half.T, root1 @ left[:, ~kept]


def _gaussians(
    mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Check two Gaussians; return (mean, root of the covariance) of each in float64."""
    m0, root0 = _gaussian(mean0, cov0, "0")
    m1, root1 = _gaussian(mean1, cov1, "1")
    require(len(m0) == len(m1), f"mean0 has {len(m0)} dimensions and mean1 {len(m1)}; give equal numbers")
    return m0, root0, m1, root1


def _gaussian(mean: Tensor, cov: Tensor, which: str) -> tuple[Tensor, Tensor]:
    for value, name in ((mean, f"mean{which}"), (cov, f"cov{which}")):
        if not isinstance(value, Tensor) or value.is_complex():
            raise InputError(f"{name} is not a real tensor; give means (D,) and covariances (D, D)")
        require_finite(value, name)
    d = len(mean) if mean.ndim == 1 else 0
    require(
        d > 0 and cov.shape == (d, d),
        f"mean{which} has shape {tuple(mean.shape)} and cov{which} {tuple(cov.shape)}; give (D,) and (D, D)",
    )
    return mean.to(torch.float64), _square_root(cov.to(torch.float64), f"cov{which}")


def _square_root(cov: Tensor, name: str) -> Tensor:
    """The symmetric root; directions below rounding are set to zero, so that rank is kept."""
    skew = float((cov - cov.T).abs().max())
    require(
        skew <= _ROUNDING * float(cov.abs().max()),
        f"{name} differs from its transpose by {skew:.1e}; give a symmetric matrix: ({name} + {name}.T) / 2",
    )
    values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
    top = float(values.abs().max())
    require(
        float(values.min()) >= -_ROUNDING * top,
        f"{name} has the eigenvalue {float(values.min()):.3g} beside {top:.3g}; a covariance has none "
        "below 0. Check how it was computed.",
    )
    values = torch.where(values > len(values) * _EPS * top, values, 0.0)
    return (vectors * values.sqrt()) @ vectors.T
