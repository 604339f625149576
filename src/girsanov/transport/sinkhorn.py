"""Entropic optimal transport between two samples of equal weights, in the log domain.

    min over π of Σ_ij π_ij |x_i − y_j|² + 2 blur² KL(π | 1/N ⊗ 1/M)

    π_ij = exp((f_i + g_j − |x_i − y_j|²) / ε) / (N M),     ε = 2 blur²                        (1)
    f_i ← −ε log mean_j exp((g_j − |x_i − y_j|²) / ε), and the same for g with x and y swapped     (2)

`blur` is a length: the plan looks at the distances through a Gaussian kernel of that standard
deviation. At blur → 0 the cost is W₂², at blur → ∞ the plan is the independent one. The updates start from
an ε as large as the largest cost and halve it until it is the one asked for; a start at a small ε would
need max |x − y|² / ε iterations to move mass across.

Oracle: two points in closed form, Gaussians in closed form, exact transport (tests/transport/
test_sinkhorn.py).
Source: Cuturi (2013), Sinkhorn distances; Schmitzer (2019), Stabilized sparse scaling algorithms;
Janati et al. (2020), Entropic optimal transport between Gaussian measures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.transport.points import matched_points, squared_distances


@dataclass(frozen=True, eq=False)
class SinkhornResult:
    """The plan and what is known about it; all tensors are float64.

    Args:
        cost: Σ π_ij |x_i − y_j|², the transport part.
        value: the dual value, mean f + mean g: cost plus 2 blur² KL once converged.
        plan: (N, M), the sum is 1.
        f, g: (N,) and (M,), the duals of equation (1).
        converged: whether `residual` fell below the tolerance.
        n_iter: the number of updates (2) spent.
        residual: Σ_i |Σ_j π_ij − 1/N|, or the same for the other marginal, whichever is larger.
    """

    cost: float
    value: float
    plan: Tensor
    f: Tensor
    g: Tensor
    converged: bool
    n_iter: int
    residual: float


@torch.no_grad()
def sinkhorn(
    x: Tensor, y: Tensor, *, blur: float, iterations: int = 1000, tolerance: float = 1e-6
) -> SinkhornResult:
    """Entropic transport plan between two samples.

    Look at `converged` before using the plan. The number of iterations grows like |x − y|² / blur²; a blur
    far below the distance between neighbours asks for `wasserstein` instead. The cost of two samples of
    one law is not 0. Holds several N × M matrices of float64.

    Args:
        x: (N, *shape).
        y: (M, *shape).
        blur: standard deviation of the kernel, above 0, in the units of x.
        iterations: the budget, at least 1.
        tolerance: largest residual that counts as converged.

    Raises:
        InputError: bad samples, or a number out of its range.
    """
    require(0 < blur < math.inf, f"blur is {blur}; give a finite length above 0, in the units of x")
    require(iterations >= 1, f"iterations is {iterations}; give at least 1")
    require(tolerance > 0, f"tolerance is {tolerance}; give a number above 0")
    cost = squared_distances(*matched_points(x, y))
    target, eps = 2 * blur**2, float(cost.max())
    require(target > 0, f"blur is {blur}, and its square is 0 in float64; give a larger one")
    f, g = cost.new_zeros(cost.shape[0]), cost.new_zeros(cost.shape[1])
    n_iter, settled = 0, False
    for n_iter in range(1, iterations + 1):  # noqa: B007
        final, eps = eps <= target, max(target, eps / 2)
        f_next = _soft_min(cost - g, eps)
        # rows of the plan sum to exp((f - f_next) / eps) / N, so the check costs nothing
        settled = final and float(((f - f_next) / eps).expm1().abs().mean()) <= tolerance
        if settled:
            break
        f = f_next
        g = _soft_min(cost.T - f, eps)
    plan = ((f[:, None] + g - cost) / target).exp() / cost.numel()
    off = ((plan.sum(side) - 1 / plan.shape[1 - side]).abs().sum() for side in (0, 1))
    paid, value = float((plan * cost).sum()), float(f.mean() + g.mean())
    return SinkhornResult(paid, value, plan, f, g, settled, n_iter, float(max(off)))


def _soft_min(values: Tensor, eps: float) -> Tensor:
    """−ε log mean exp(−values / ε) along each row."""
    return eps * (math.log(values.shape[1]) - torch.logsumexp(-values / eps, 1))
