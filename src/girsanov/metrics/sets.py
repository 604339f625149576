"""Distances between sets of a few points each, many pairs of sets at once: losses for models that answer sets.

For sets {x_i}, i = 1…N, and {y_j}, j = 1…M, of equal weights, all pairs counted:

    energy     2 mean|x_i − y_j| − mean|x_i − x_k| − mean|y_j − y_l|                        (1)
    OT_ε(x,y)  min over π of Σ_ij π_ij C_ij + ε KL(π | 1/N ⊗ 1/M),   C = |x − y|²,  ε = 2 blur²
    Sinkhorn   OT_ε(x, y) − ½ OT_ε(x, x) − ½ OT_ε(y, y)                                     (2)
    Hausdorff  ½ ⟨1/N Σ δ(x_i) − 1/M Σ δ(y_j),  b − a⟩,                                     (3)
               a(u) = −ε log mean_i exp((a(x_i) − |x_i − u|²)/ε), of x alone, and b of y alone
    GED        (1) with 1 − intersection/union in place of |x − y|, for masks                    (4)

Each is 0 for equal sets, symmetric, and at least 0 (2: up to convergence). (1) and (4) are not estimates: unlike
`metrics.energy_distance` they count a point's distance 0 to itself, so that equal sets are at 0.
blur is a length, as in `transport.sinkhorn`. For blur → ∞ (2) and (3) are the squared distance of the means;
for blur → 0, (2) is W₂² and (3) the mean squared distance to the nearest point of the other set, both ways halved.

Gradients of (2) are those of the optimal plan (the envelope theorem); a of (3) is differentiated through its
fixed point a = T(a) by one Newton step with a frozen matrix, which has the exact derivative.
Oracle: geomloss, POT, one point each, both limits of blur, finite differences (tests/metrics/test_sets.py).
Source: Székely & Rizzo (2013) (1); Feydy et al. (2019), Interpolating between optimal transport and MMD using
Sinkhorn divergences, arXiv 1810.08278, eq. 3 (2), eq. 18 (3), with half of our C; Kohl et al. (2018), A probabilistic
U-Net, eq. 5 (4). geomloss's "hausdorff" with a kernel is not (3) but the kernel's norm: with the energy kernel,
as PULASki (Chatterjee et al., 2023, arXiv 2312.15686) uses it, it is half of (1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.transport.points import root

BLUR = 0.05
ITERATIONS = 500
_TOLERANCE = 1e-9


def energy_divergence(x: Tensor, y: Tensor) -> Tensor:
    """The squared energy distance (1) of pairs of sets, all pairs of points counted.

    Args:
        x: (B, N, *shape).
        y: (B, M, *shape).

    Returns:
        (B,), in the units and dtype of x; differentiable.

    Raises:
        InputError: sets that do not fit together, NaN or infinity.
    """
    a, b = _sets(x, y)
    return _contrast(a, b, lambda u, v: root(_squares(u, v)))


def sinkhorn_divergence(
    x: Tensor, y: Tensor, *, blur: float = BLUR, iterations: int = ITERATIONS, p: int = 2
) -> Tensor:
    """The debiased Sinkhorn divergence (2) of pairs of sets; twice geomloss's for p = 2, equal for p = 1.

    A blur far below the distances between points converges slowly: the result then lies below the limit.

    Args:
        x: (B, N, *shape).
        y: (B, M, *shape).
        blur: a length above 0, in the units of x.
        iterations: most updates of the duals.
        p: 2 for the cost |x − y|² and ε = 2 blur²; 1 for |x − y| and ε = blur.

    Returns:
        (B,), in the units of the cost; differentiable once.

    Raises:
        InputError: sets that do not fit together, NaN or infinity, a number out of its range.
    """
    a, b = _sets(x, y)
    eps = _temperature(blur, p, iterations)

    def cost(u: Tensor, v: Tensor) -> Tensor:
        squares = _squares(u, v)
        return squares if p == 2 else root(squares)

    between = _transport(cost(a, b), eps, iterations)
    return between - (_transport(cost(a, a), eps, iterations) + _transport(cost(b, b), eps, iterations)) / 2


def hausdorff_divergence(x: Tensor, y: Tensor, *, blur: float = BLUR, iterations: int = ITERATIONS) -> Tensor:
    """The Hausdorff divergence (3) of pairs of sets, from the transport of each set to itself.

    Cheaper than `sinkhorn_divergence`, since a set is near to itself. Points only look at the nearest ones of
    the other set, so a point of x far from all others pulls on no more than what is nearest to it.

    Args:
        x: (B, N, *shape).
        y: (B, M, *shape).
        blur: a length above 0, in the units of x.
        iterations: most updates of the duals.

    Returns:
        (B,), in squared units of x; differentiable once.

    Raises:
        InputError: sets that do not fit together, NaN or infinity, a number out of its range.
    """
    a, b = _sets(x, y)
    eps, cross = _temperature(blur, 2, iterations), _squares(a, b)
    f, g = (_own_dual(_squares(u, u), eps, iterations) for u in (a, b))
    f_at_y = _soft_min(cross.mT - f[:, None], eps)
    g_at_x = _soft_min(cross - g[:, None], eps)
    return ((g_at_x - f).mean(1) + (f_at_y - g).mean(1)) / 2


def generalized_energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """The squared generalized energy distance (4) of pairs of sets of masks; two empty masks agree.

    Args:
        x: (B, N, *shape), of 0 and 1, or boolean.
        y: (B, M, *shape), likewise.

    Returns:
        (B,), from 0 to 2; not differentiable. In float64.

    Raises:
        InputError: sets that do not fit together, values other than 0 and 1.
    """
    for values, name in ((x, "x"), (y, "y")):
        require(
            values.dtype == torch.bool or bool(((values == 0) | (values == 1)).all()),
            f"{name} holds values other than 0 and 1; threshold it first, such as ({name} > 0.5)",
        )
    a, b = _sets(x.double(), y.double())
    return _contrast(a, b, _disagreement)


def _disagreement(u: Tensor, v: Tensor) -> Tensor:
    """1 − intersection over union, (B, N, M)."""
    shared = u @ v.mT
    union = u.sum(2)[:, :, None] + v.sum(2)[:, None] - shared
    return 1 - torch.where(union > 0, shared / union.clamp(min=1), 1.0)


def _sets(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (B, N, D) and (B, M, D)."""
    fit = x.ndim >= 2 and x.ndim == y.ndim and len(x) == len(y) and x.shape[2:] == y.shape[2:]
    if not (fit and x.numel() and y.numel()):
        raise InputError(
            f"x is {tuple(x.shape)} and y {tuple(y.shape)}; give (B, N, *shape) and (B, M, *shape), "
            "sets of at least one point of one shape"
        )
    require_finite(x, "x")
    require_finite(y, "y")
    return x.reshape(*x.shape[:2], -1), y.reshape(*y.shape[:2], -1)


def _temperature(blur: float, p: int, iterations: int) -> float:
    require(0 < blur < math.inf, f"blur is {blur}; give a finite length above 0, in the units of x")
    require(p in (1, 2), f"p is {p}; give 1 for the distance or 2 for its square")
    require(iterations >= 1, f"iterations is {iterations}; give at least 1")
    return 2 * blur**2 if p == 2 else blur


def _squares(u: Tensor, v: Tensor) -> Tensor:
    """|u_i − v_j|², (B, N, M), from differences: the sets are small, and rounding must not blur them."""
    return torch.stack([(point[:, None] - v).square().sum(2) for point in u.unbind(1)], 1)


def _contrast(a: Tensor, b: Tensor, distance: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    within = distance(a, a).mean((1, 2)) + distance(b, b).mean((1, 2))
    return 2 * distance(a, b).mean((1, 2)) - within


def _transport(cost: Tensor, eps: float, iterations: int) -> Tensor:
    """OT_ε for costs (B, N, M): the dual value, with the optimal plan as its derivative."""
    with torch.no_grad():
        exact = cost.double()
        f, g = _duals(exact, eps, iterations)
        plan = ((f[:, :, None] + g[:, None] - exact) / eps).exp() / exact[0].numel()
        value = (f.mean(1) + g.mean(1)).to(cost.dtype)
        plan = plan.to(cost.dtype)
    return value + (plan * (cost - cost.detach())).sum((1, 2))


def _duals(cost: Tensor, eps: float, iterations: int) -> tuple[Tensor, Tensor]:
    """The duals f (B, N) and g (B, M), by averaged updates while ε halves from the largest cost."""
    f, g = cost.new_zeros(cost.shape[:2]), cost.new_zeros(cost.shape[0], cost.shape[2])
    now = max(eps, float(cost.max()))
    for _ in range(iterations):
        f_next, g_next = _soft_min(cost - g[:, None], now), _soft_min(cost.mT - f[:, None], now)
        moved = max(float((f_next - f).abs().max()), float((g_next - g).abs().max()))
        f, g = (f + f_next) / 2, (g + g_next) / 2
        if now == eps and moved <= _TOLERANCE * eps:
            break
        now = max(eps, now / 2)
    return f, _soft_min(cost.mT - f[:, None], eps)  # one marginal exact: the value is a lower bound


def _own_dual(cost: Tensor, eps: float, iterations: int) -> Tensor:
    """a at its own points (B, N), for costs (B, N, N) of a set to itself; exactly differentiable."""
    with torch.no_grad():
        exact, a = cost.double(), cost.new_zeros(cost.shape[:2]).double()
        for _ in range(iterations):
            step = _soft_min(exact - a[:, None], eps) - a
            a = a + step / 2
            if float(step.abs().max()) <= _TOLERANCE * eps:
                break
        plan = torch.softmax((a[:, None] - exact) / eps, 2)
        inverse = torch.linalg.inv(plan + torch.eye(plan.shape[1], dtype=plan.dtype, device=plan.device))
    off = _soft_min(cost.double() - a[:, None], eps) - a
    return (a + (inverse @ off[:, :, None])[:, :, 0]).to(cost.dtype)


def _soft_min(values: Tensor, eps: float) -> Tensor:
    """−ε log mean exp(−values/ε) along the last axis."""
    return eps * (math.log(values.shape[-1]) - torch.logsumexp(-values / eps, -1))
