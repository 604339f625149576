"""Do two samples follow one law? Three statistics on the distances between their points.

    energy   2 E|x − y| − E|x − x'| − E|y − y'|                                               (1)
    mmd      E k(x, x') + E k(y, y') − 2 E k(x, y),    k = mean over h of exp(−|x − y|²/2h²)    (2)
    1-NN     how often the nearest other point belongs to the same sample                     (3)

(1) and (2) are zero if and only if the laws agree. They are estimated over distinct pairs, so their mean
is exact at any sample size, and the estimate of a zero is as often negative as positive.

Oracle: closed forms for Gaussians, averages over many runs, a loop over the points
(tests/metrics/test_two_sample.py).
Source: Székely & Rizzo (2013), Energy statistics; Gretton et al. (2012), A kernel two-sample test, eq. 3;
Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.transport.points import blocks, matched_points, root, squared_distances

HEURISTIC_POINTS = 1000
"""Points of each sample that the median heuristic looks at."""

HEURISTIC_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Bandwidths of the default kernel, in medians."""


def energy_distance(x: Tensor, y: Tensor) -> Tensor:
    """The energy distance of equation (1), without a bandwidth to choose; unbiased.

    Not for laws that agree in mean and scale and differ in fine structure: it answers mostly to the
    former. Use `mmd` with a small bandwidth, or `nearest_neighbour_test`.

    Args:
        x: (N, *shape), N at least 2.
        y: (M, *shape), M at least 2.

    Returns:
        0-d float64, in the units of x; may be below 0; differentiable.

    Raises:
        InputError: bad samples.
    """
    return -_contrast(x, y, root)


def mmd(x: Tensor, y: Tensor, *, bandwidth: float | Sequence[float] | None = None) -> Tensor:
    """The squared maximum mean discrepancy of equation (2), Gaussian kernels; unbiased.

    Not for comparing numbers across data sets, and not with the default bandwidth across models: the
    median depends on both samples. Fix the bandwidths once (`median_distance` of the data) for a table.

    Args:
        x: (N, *shape), N at least 2.
        y: (M, *shape), M at least 2.
        bandwidth: the h of one kernel, or several that are averaged. None takes 1/4, 1/2, 1, 2 and 4 times
            the median distance between the points of both samples together.

    Returns:
        0-d float64, without unit; may be below 0; differentiable.

    Raises:
        InputError: bad samples, or bandwidths that are not above 0.
    """
    if bandwidth is None:
        middle = median_distance(x, y)
        widths = [scale * middle for scale in HEURISTIC_SCALES]
    else:
        widths = [float(h) for h in (bandwidth if isinstance(bandwidth, Sequence) else [bandwidth])]
    good = len(widths) > 0 and all(0 < h < math.inf for h in widths)
    require(good, f"bandwidth is {bandwidth}; give one or more finite lengths above 0, or None")

    def kernel(squared: Tensor) -> Tensor:
        return reduce(torch.add, ((squared / (-2 * h * h)).exp() for h in widths)) / len(widths)

    return _contrast(x, y, kernel)


@torch.no_grad()
def median_distance(x: Tensor, y: Tensor) -> float:
    """The median distance between distinct points of both samples; x: (N, *shape), y: (M, *shape).

    Looks at 1,000 evenly spaced rows of each. The usual bandwidth of a kernel.

    Raises:
        InputError: bad samples, or more than half of the points coincide.
    """
    a, b = matched_points(x, y)
    few = torch.cat([s[:: -(-len(s) // HEURISTIC_POINTS)] for s in (a, b)])
    first, second = torch.triu_indices(len(few), len(few), 1)
    middle = float(squared_distances(few, few)[first, second].median().sqrt())
    require(middle > 0, "the median distance is 0: most points coincide. Give a bandwidth above 0.")
    return middle


@torch.no_grad()
def nearest_neighbour_test(x: Tensor, y: Tensor) -> float:
    """Accuracy of telling two samples apart by the nearest other point, leave-one-out (1-NN two-sample test).

    0.5 means that they cannot be told apart, 1 that they are far apart. Near 0 means that points of x are
    copies of points of y, or that rows are paired. Under one law its mean is 0.5 − 1/(2(N + M − 1)). The
    accuracy is averaged over the two samples, so unequal sizes keep that mean. Points tied for nearest
    share the vote.

    Not for many dimensions with few points, where a narrower or noisier x can score as one law: look
    at `precision_recall` too. Not to be bootstrapped: repeated rows are their own neighbours.

    Args:
        x: (N, *shape), N at least 2.
        y: (M, *shape), M at least 2.

    Raises:
        InputError: bad samples.
    """
    a, b = matched_points(x, y, least=2)
    pool = torch.cat([a, b])
    is_x = torch.arange(len(pool), device=pool.device) < len(a)
    votes = []
    for rows, squared in blocks(pool, pool):
        own = torch.arange(rows.start, rows.stop, device=pool.device)
        squared[own - rows.start, own] = torch.inf
        nearest = squared.min(1, keepdim=True).values
        tied = squared <= nearest * (1 + 1e-9)
        votes.append((tied & (is_x[own, None] == is_x)).sum(1) / tied.sum(1).to(torch.float64))
    vote = torch.cat(votes)
    return float((vote[is_x].mean() + vote[~is_x].mean()) / 2)


def _contrast(x: Tensor, y: Tensor, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    """E k(x, x') + E k(y, y') − 2 E k(x, y) over distinct pairs, k a function of the squared distance."""
    a, b = matched_points(x, y, least=2)
    at_zero = kernel(a.new_zeros(1))[0]

    def mean(u: Tensor, v: Tensor) -> Tensor:
        total = torch.stack([kernel(squared).sum() for _, squared in blocks(u, v)]).sum()
        if u is not v:
            return total / (len(u) * len(v))
        return (total - len(u) * at_zero) / (len(u) * (len(u) - 1))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)
