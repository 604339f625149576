"""How good draws are as a forecast of numbers that are known by now: sharp, and honest about it.

    CRPS(F, y) = E|X - y| - E|X - X'| / 2,        X, X' ~ F independent

in the unit of y, 0 for a forecast that is certain and right; it is |x - y| for a point forecast. From n draws it is
estimated without bias (the "fair" score): the second mean is over pairs of different draws, so that the number
of draws does not change what is expected, and F itself wins on average.

The interval of n draws at `level` ends at the order statistics of rank (n + 1)(1 ± level)/2, interpolated: a
further draw of the same law falls between them with probability `level`, exactly, where the ranks are whole.
Oracle: the closed form for normal laws, the coverage of exact draws (tests/metrics/test_forecasts.py).
Source: Gneiting & Raftery (2007), Strictly proper scoring rules; Ferro (2014), Fair scores for ensemble forecasts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import require, require_finite


def crps(draws: Tensor, truth: Tensor) -> Tensor:
    """The fair continuous ranked probability score of every number; take its mean.

    Args:
        draws: (n, *shape), n at least 2.
        truth: (*shape).

    Returns:
        (*shape), float64; lower is better, and single values may be below 0.

    Raises:
        InputError: shapes that do not fit, fewer than 2 draws, NaN.
    """
    draws, truth = _checked(draws, truth, 2)
    n = len(draws)
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=draws.device)
    weights = (2 * rank - n - 1).reshape(-1, *[1] * truth.ndim)
    pairs = (weights * draws.sort(0).values).sum(0) / (n * (n - 1))
    return (draws - truth).abs().mean(0) - pairs


def draw_interval(draws: Tensor, level: float = 0.9) -> tuple[Tensor, Tensor]:
    """The ends of the central interval of draws (n, *shape): two of (*shape), float64.

    Raises:
        InputError: a level outside (0, 1), or one that needs more draws: 19 for 0.9, 39 for 0.95.
    """
    require(0 < level < 1, f"level is {level}; give a probability inside (0, 1), such as 0.9")
    n, tail = len(draws), (1 - level) / 2
    need = round(1 / tail + 1e-6) - 1
    require(
        (n + 1) * tail > 1 - 1e-9,
        f"an interval of {level:g} needs {need} draws, and there are {n}. Draw more, or lower the level.",
    )
    rank = (n + 1) * tail - 1
    below, share = int(rank + 1e-9), max(rank - int(rank + 1e-9), 0.0)
    ordered = draws.to(torch.float64).sort(0).values
    beyond = min(below + 1, n - 1)
    low = ordered[below].lerp(ordered[beyond], share)
    return low, ordered[n - 1 - below].lerp(ordered[n - 1 - beyond], share)


def interval_coverage(draws: Tensor, truth: Tensor, level: float = 0.9) -> float:
    """The share of numbers inside the interval of their draws; `level`, for draws of the right law.

    Args:
        draws: (n, *shape), enough of them for the level: 19 for 0.9.
        truth: (*shape).
        level: probability of the interval.

    Raises:
        InputError: as `crps` and `draw_interval` do.
    """
    draws, truth = _checked(draws, truth, 1)
    low, high = draw_interval(draws, level)
    return float(((low <= truth) & (truth <= high)).to(torch.float64).mean())


def _checked(draws: Tensor, truth: Tensor, least: int) -> tuple[Tensor, Tensor]:
    require(
        draws.ndim >= 1 and draws.shape[1:] == truth.shape and truth.numel() > 0,
        f"draws are {tuple(draws.shape)} and truth {tuple(truth.shape)}; give (n, *shape) and (*shape)",
    )
    require(len(draws) >= least, f"there are {len(draws)} draws; give at least {least}")
    require_finite(draws, "draws")
    require_finite(truth, "truth")
    return draws.to(torch.float64), truth.to(torch.float64)
