"""Exact optimal transport between small samples of equal weights.

    W_p(x, y)^p = min over π ≥ 0 of Σ_ij π_ij |x_i − y_j|^p,   Σ_j π_ij = 1/N,   Σ_i π_ij = 1/M

The linear programme is solved by the network simplex of POT in float64. An answer leaves this file only
if its marginals hold and the dual value reaches the primal one.

Oracle: sorting on the line, all permutations of few points (tests/transport/test_wasserstein.py).
Source: Bonneel et al. (2011), Displacement interpolation using Lagrangian mass transport; Flamary et al.
(2021), POT.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import GirsanovError, extra, require
from girsanov.transport.points import matched_points, root, squared_distances

PAIRS = 2**24
"""Largest cost matrix taken: time grows like the cube of the sample size, and 4,096 points take 5 seconds."""

_PIVOTS = 10**8
_TOLERANCE = 1e-8


def wasserstein(x: Tensor, y: Tensor, *, p: float = 2.0) -> Tensor:
    """The exact p-Wasserstein distance between two samples.

    Needs POT (`pip install 'girsanov[ot]'`). Not for estimating the distance between the laws behind
    the samples in many dimensions: the error falls like N^(-1/D), so two samples of one law look far
    apart; compare with `metrics.noise_floor`, or use `metrics.sliced_wasserstein`.

    Args:
        x: (N, *shape).
        y: (M, *shape); N·M at most 2^24.
        p: the order, at least 1.

    Returns:
        0-d float64, in the units of x; differentiable where it is above 0.

    Raises:
        InputError: bad samples, p < 1, or too many pairs.
        MissingExtra: POT is not installed.
        GirsanovError: the solver returned a plan that fails its checks.
    """
    require(1 <= p < math.inf, f"p is {p}; give a finite number of at least 1")
    a, b = matched_points(x, y)
    require_pairs(a.shape[0], b.shape[0])
    cost = root(squared_distances(a, b)) ** p
    return (optimal_plan(cost) * cost).sum() ** (1 / p)


def require_pairs(n: int, m: int) -> None:
    """Refuse a problem that would run for minutes and look like a hang."""
    require(
        n * m <= PAIRS,
        f"{n} × {m} points make {n * m:,} pairs; exact transport takes at most {PAIRS:,}. "
        "Give fewer points, or use metrics.sliced_wasserstein.",
    )


def optimal_plan(cost: Tensor) -> Tensor:
    """The optimal plan of uniform weights for cost: (N, M) float64, checked; carries no gradient."""
    ot = extra("ot", "ot")
    rows, columns = (np.full(k, 1 / k) for k in cost.shape)
    matrix = np.ascontiguousarray(cost.detach().cpu().numpy())
    scale = float(matrix.max()) or 1.0  # a solver tolerance is absolute: units must not matter
    plan, log = ot.emd(rows, columns, matrix / scale, numItermax=_PIVOTS, log=True)
    off = max(
        np.abs(plan.sum(1) - rows).max() * len(rows), np.abs(plan.sum(0) - columns).max() * len(columns)
    )
    gap = abs((plan * matrix).sum() / scale - rows @ log["u"] - columns @ log["v"])
    require(
        off <= _TOLERANCE and gap <= _TOLERANCE,
        f"exact transport of {len(rows)} × {len(columns)} points failed: marginals are off by {off:.1e} "
        f"and the duality gap is {gap:.1e}. Give fewer points, or use sinkhorn.",
        GirsanovError,
    )
    return torch.from_numpy(plan).to(cost.device)
