"""What a learned field is: a gradient or not, and which of its errors move the law that it carries.

    s is a gradient  ⇔  its Jacobian J is symmetric  ⇔  ∮ s·dl = 0 on every loop                      (1)
    s = ∇h + r,  h = argmin E_p|s − ∇h|²,  so that E_p⟨r, ∇φ⟩ = 0 for every φ                         (2)
    ∇·r + r·∇log p = 0                                                                                (3)

(2) is the orthogonal (Helmholtz) decomposition in L²(p), and (3) says the same of a smooth r: it drops out of
the continuity equation, so the law that a flow carries does not depend on it. Such an r is a gauge field.
A ∇log p with A antisymmetric is one for every p, since ∇·(p A ∇log p) = ∇·(A ∇p) = 0.

A field is a function x (B, *shape) -> (B, *shape) whose rows do not depend on each other: a score or velocity
at one time, `lambda x: model.score(x, t)`. Derivatives are exact up to 64 coordinates, beyond that along
random directions: for independent v, w with E vvᵀ = I, E(vᵀ(J − Jᵀ)w)² = ‖J − Jᵀ‖², which is 0 without
rounding where J is symmetric, and needs no second derivative.

Oracle: linear fields, the area law of a rotation, a mixture's own score (tests/metrics/test_fields.py).
Source: Horvat & Pfister (2024), On gauge freedom, conservativity and intrinsic dimensionality estimation in
diffusion models, section 3; Vuong, McCann, Santos & Lin (2025), Are we really learning the score function?
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require, require_finite
from girsanov.noise import Randomness, as_source, rademacher

Field = Callable[[Tensor], Tensor]

EXACT_UP_TO = 64
"""Coordinates up to which Jacobians are computed whole, with a backward pass for each."""

PROBES = 1
"""The scope of random directions."""


class Work(NamedTuple):
    """∫ s·dl along paths, and ∫ |s||dl|, which it cannot exceed; (B,) each."""

    work: Tensor
    most: Tensor


def jacobian_asymmetry(
    field: Field, x: Tensor, *, projections: int | None = None, generator: Randomness = None
) -> Tensor:
    """‖J − Jᵀ‖/‖J + Jᵀ‖ at each point: 0 for a gradient, 1 for a rotation around that point beside as much strain.

    Args:
        field: a function of x.
        x: (B, *shape).
        projections: random directions, at least 2, in place of the exact J: as many backward passes. The two
            squares are then unbiased, not their ratio.
        generator: of the directions.

    Returns:
        (B,) in the dtype of x; NaN where J is zero.

    Raises:
        InputError: more than 64 coordinates without projections, fewer than 2 projections, or a field that
            does not depend on x through automatic differentiation.
    """
    check_points(x)
    if projections is None:
        _check_exact(x, "jacobian_asymmetry")
        j = jacobians(field, x)
        return (j - j.mT).norm(dim=(1, 2)) / (j + j.mT).norm(dim=(1, 2))
    require(
        projections >= 2, f"projections is {projections}; give at least 2, or None for the exact Jacobian"
    )
    source = as_source(generator).child(PROBES)
    v = torch.stack([source.draw(x, i, rademacher) for i in range(projections)]).flatten(2)
    rows = _products(field, x, v)  # v_iᵀ J, (projections, B, D)
    inner = torch.einsum("ibd,jbd->bij", rows, v)
    upper = torch.tensor(list(combinations(range(projections), 2)), device=x.device).T
    first, second = inner[:, upper[0], upper[1]], inner[:, upper[1], upper[0]]
    return (first - second).norm(dim=1) / (first + second).norm(dim=1)


def line_integral(field: Field, path: Tensor, *, quadrature: int = 5) -> Work:
    """∫ s·dl along polygons, by Gauss-Legendre points on every edge.

    Exact to rounding for a polynomial field of degree 2·quadrature − 1. Two paths between the same ends give
    the same work where s is a gradient, and then it is the difference of the potentials.

    Args:
        field: a function of x.
        path: (B, M, *shape), M at least 2 corners.
        quadrature: points on an edge, at least 1.

    Raises:
        InputError: a path of one corner, or no points.
    """
    require(
        path.ndim >= 3 and path.shape[1] >= 2,
        f"path has shape {tuple(path.shape)}; give (B, M, *shape) with at least 2 corners",
    )
    require(1 <= quadrature <= 64, f"quadrature is {quadrature}; give 1 to 64 points on an edge")
    nodes, weights = np.polynomial.legendre.leggauss(quadrature)
    edge = path.diff(dim=1)
    most = work = torch.zeros(path.shape[0], dtype=path.dtype, device=path.device)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        points = path[:, :-1] + (node + 1) / 2 * edge
        s = field(points.flatten(0, 1)).reshape(edge.shape).flatten(2)
        work = work + weight / 2 * (s * edge.flatten(2)).sum((1, 2))
        most = most + weight / 2 * (s.norm(dim=2) * edge.flatten(2).norm(dim=2)).sum(1)
    return Work(work, most)


def circulation(field: Field, loops: Tensor, *, quadrature: int = 5) -> Tensor:
    """|∮ s·dl| / ∮ |s||dl| around closed polygons: 0 for a gradient, at most 1.

    Args:
        field: a function of x.
        loops: (B, M, *shape), the last corner equal to the first; see `circles`.
        quadrature: Gauss-Legendre points on an edge.

    Returns:
        (B,).

    Raises:
        InputError: a loop that is not closed, or of fewer than 3 edges.
    """
    require(
        loops.ndim >= 3 and loops.shape[1] >= 4,
        f"loops has shape {tuple(loops.shape)}; give (B, M, *shape) with 3 edges or more, the first corner again last",
    )
    gap = (loops[:, -1] - loops[:, 0]).flatten(1).norm(dim=1)
    size = loops.diff(dim=1).flatten(2).norm(dim=2).sum(1)
    apart = gap > 1e-6 * size
    require(
        not bool(apart.any()),
        f"loop {int(apart.int().argmax())} is not closed: its ends are {float(gap.max()):.3g} apart. Repeat the "
        "first corner at the end.",
    )
    found = line_integral(field, loops, quadrature=quadrature)
    return found.work.abs() / found.most


def circles(centres: Tensor, radius: float, *, points: int = 32, generator: Randomness = None) -> Tensor:
    """Circles around points in random planes, as closed polygons for `circulation`.

    Args:
        centres: (B, *shape), at least 2 coordinates.
        radius: above 0.
        points: corners, at least 3.
        generator: of the planes.

    Returns:
        (B, points + 1, *shape).
    """
    check_points(centres)
    require(centres[0].numel() >= 2, "a circle needs two dimensions, and the points have one coordinate")
    require(0 < radius < math.inf, f"radius is {radius}; give a number above 0")
    require(points >= 3, f"points is {points}; give at least 3")
    source = as_source(generator)
    plane = torch.stack([source.draw(centres, i).flatten(1) for i in range(2)], 2)
    u, v = torch.linalg.qr(plane)[0].unbind(2)
    angle = torch.linspace(0, 2 * math.pi, points + 1, dtype=centres.dtype, device=centres.device)
    turn = angle.cos()[:, None] * u[:, None] + angle.sin()[:, None] * v[:, None]
    turn[:, -1] = turn[:, 0]
    return centres[:, None] + radius * turn.reshape(len(centres), points + 1, *centres.shape[1:])


def gauge_residual(
    field: Field, score: Field, x: Tensor, *, projections: int | None = None, generator: Randomness = None
) -> Tensor:
    """∇·r + r·∇log p at each point, equation (3): 0 where the field r is free.

    Args:
        field: r, a function of x: a residual, or the error of a model.
        score: ∇log p.
        x: (B, *shape).
        projections: random directions in place of the exact divergence, at least 1; unbiased.
        generator: of the directions.

    Returns:
        (B,).

    Raises:
        InputError: more than 64 coordinates without projections.
    """
    check_points(x)
    if projections is None:
        _check_exact(x, "gauge_residual")
        divergence = jacobians(field, x).diagonal(dim1=1, dim2=2).sum(1)
    else:
        require(projections >= 1, f"projections is {projections}; give at least 1")
        source = as_source(generator).child(PROBES)
        v = torch.stack([source.draw(x, i, rademacher) for i in range(projections)]).flatten(2)
        divergence = (_products(field, x, v) * v).sum(2).mean(0)
    with torch.no_grad():
        return divergence + (field(x) * score(x)).flatten(1).sum(1)


def add_gauge_field(score: Field, matrix: Tensor) -> Field:
    """The field ∇log p + A ∇log p: not a gradient, and its flow carries the same laws.

    Args:
        score: ∇log p, of samples with D numbers.
        matrix: A (D, D), antisymmetric.

    Raises:
        InputError: A is not square, finite and antisymmetric; in the call, another number of coordinates.
    """
    require(
        matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1],
        f"matrix has shape {tuple(matrix.shape)}; give (D, D)",
    )
    require_finite(matrix, "matrix")
    off = float((matrix + matrix.mT).abs().max())
    require(
        off <= 1e-6 * max(float(matrix.abs().max()), 1e-300),
        f"matrix + matrixᵀ has an entry {off:.3g}, so it is not antisymmetric and changes the law; give B - B.T",
    )

    def turned(x: Tensor) -> Tensor:
        s = score(x)
        require(
            s[0].numel() == len(matrix),
            f"matrix is {len(matrix)}×{len(matrix)}, and a sample has {s[0].numel()} coordinates",
        )
        return s + (s.flatten(1) @ matrix.to(s).mT).reshape(s.shape)

    return turned


def jacobians(field: Field, x: Tensor) -> Tensor:
    """∂s_i/∂x_j at each point, (B, D, D): one backward pass for each coordinate.

    Raises:
        InputError: the field does not depend on x through automatic differentiation.
    """
    d = x[0].numel()
    units = torch.eye(d, dtype=x.dtype, device=x.device)[:, None].expand(d, len(x), d)
    return _products(field, x, units).transpose(0, 1)


def _products(field: Field, x: Tensor, v: Tensor) -> Tensor:
    """vᵀJ for several v (K, B, D), as (K, B, D)."""
    with torch.enable_grad():
        here = x.detach().requires_grad_()
        y = field(here)
        require(
            y.shape == x.shape,
            f"the field answers {tuple(y.shape)} at points {tuple(x.shape)}; give a field with the shape of x",
        )
        require(
            y.requires_grad,
            "the field does not depend on x through automatic differentiation: it detaches, runs under no_grad, or is constant",
        )
        try:
            rows = [
                torch.autograd.grad(
                    y, here, one.reshape(y.shape).to(y), retain_graph=True, materialize_grads=True
                )[0]
                for one in v
            ]
        except RuntimeError as error:
            raise Unsuitable(
                f"the field cannot be differentiated ({error}). A network that edits tensors in place, or whose layer has "
                "no second derivative under GradientOf, is the usual cause."
            ) from error
    return torch.stack(rows).flatten(2).detach()


def check_points(x: Tensor, least: int = 1) -> None:
    """Refuse what is no sample of floats."""
    require(
        x.ndim >= 2 and len(x) >= least and x.is_floating_point(),
        f"x is {x.dtype} of shape {tuple(x.shape)}; give floats (B, *shape) with B of at least {least}",
    )
    require_finite(x, "x")


def _check_exact(x: Tensor, name: str) -> None:
    require(
        x[0].numel() <= EXACT_UP_TO,
        f"a sample has {x[0].numel()} coordinates, and exact Jacobians take a backward pass for each; the limit of "
        f"{name} is {EXACT_UP_TO}. Give projections=16: random directions in their place.",
    )
