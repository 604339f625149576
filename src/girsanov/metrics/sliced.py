"""The sliced Wasserstein distance: transport on the line, averaged over directions.

    SW_p^p = E_θ W_p^p(θ·x, θ·y),     θ uniform on the sphere
    W_p^p(a, b) = ∫_0^1 |F_a⁻¹(u) − F_b⁻¹(u)|^p du                                           (1)

The quantile functions of samples are steps, so (1) is a finite sum over the merged steps, exact for
unequal sizes too. Only the average over directions is estimated.

Oracle: a shift by δ has SW_2² = |δ|²/d; `scipy.stats.wasserstein_distance` on the line
(tests/metrics/test_sliced.py).
Source: Rabin, Peyré, Delon & Bernot (2011); Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source
from girsanov.transport import points


def sliced_wasserstein(
    x: Tensor, y: Tensor, *, projections: int = 256, p: float = 2.0, generator: Randomness = None
) -> Tensor:
    """The sliced p-Wasserstein distance between two samples.

    Not for a difference that lives in a few of many directions or in how coordinates depend on each other at
    fine scale: a random direction sees little of it. Two samples of one law are not at distance 0; compare
    with `noise_floor`. Compare models with the same `generator`, so that they see the same directions.

    Args:
        x: (N, *shape).
        y: (M, *shape).
        projections: number of directions; the relative error falls like its inverse root.
        p: the order, at least 1.
        generator: draws the directions.

    Returns:
        0-d float64, in the units of x (the p-th root is taken); differentiable where it is above 0.

    Raises:
        InputError: bad samples, projections < 1, or p < 1.
    """
    require(projections >= 1, f"projections is {projections}; give at least 1")
    require(1 <= p < math.inf, f"p is {p}; give a finite number of at least 1")
    a, b = points.matched_points(x, y)
    like = torch.empty(projections, a.shape[1], dtype=torch.float64, device=a.device)
    directions = torch.nn.functional.normalize(as_source(generator).draw(like, 0), dim=1)
    steps = _merged_steps(len(a), len(b), a.device)
    size = max(1, points.BLOCK // (len(a) + len(b)))
    total = torch.stack([_on_the_line(t @ a.T, t @ b.T, steps, p) for t in directions.split(size)])
    return (total.sum() / projections) ** (1 / p)


def _on_the_line(a: Tensor, b: Tensor, steps: tuple[Tensor, Tensor, Tensor], p: float) -> Tensor:
    """Sum over rows of equation (1) for a: (L, N) and b: (L, M)."""
    i, j, width = steps
    apart = _sorted(a)[:, i] - _sorted(b)[:, j]
    return (apart.abs() ** p).sum(0) @ width


def _sorted(values: Tensor) -> Tensor:
    """Sort every row; differentiable."""
    if values.device.type != "cpu":
        return values.sort(1).values
    # NumPy sorts with vector instructions: of 256 rows of 2,000 numbers, 4 ms where PyTorch takes 31
    order = np.argsort(values.detach().numpy(), axis=1)
    return values.gather(1, torch.from_numpy(order))


def _merged_steps(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Where both quantile functions are constant: rank in a, rank in b, and length of each piece.

    Counted in units of 1/(n m), so that no step is lost to rounding.
    """
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique()
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    width = (ends - starts).to(torch.float64) / (n * m)
    return (starts // m).to(device), (starts // n).to(device), width.to(device)
