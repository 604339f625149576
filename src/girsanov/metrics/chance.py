"""How much of a number is chance: the value between two exact batches, and intervals by resampling.

A distance between finite samples is not 0 for equal laws. `noise_floor` measures what it is there, with the
same statistic and size; a model's value is judged against the floor's mean and spread.

`bootstrap_interval` is the percentile interval: quantiles of the statistic over samples drawn with
replacement. Its error in coverage is of order N^(-1/2).

Oracle: the coverage of a mean's interval, the spread of a known statistic (tests/metrics/test_chance.py).
Source: Efron & Tibshirani (1993), An introduction to the bootstrap, chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.noise import Noise, Randomness, as_source, uniform
from girsanov.transport import points


@dataclass(frozen=True)
class NoiseFloor:
    """The values of a statistic between pairs of exact batches: (repeats,) float64."""

    values: Tensor

    @property
    def mean(self) -> float:
        """What the statistic is, on average, for equal laws."""
        return float(self.values.mean())

    @property
    def std(self) -> float:
        """How much one value scatters: the unit in which a model's distance from the floor is judged."""
        return float(self.values.std())

    @property
    def standard_error(self) -> float:
        """The uncertainty of `mean`."""
        return self.std / math.sqrt(len(self.values))


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


def noise_floor(
    metric: Callable[[Tensor, Tensor], Tensor | float],
    draw: Callable[..., Tensor],
    n: int,
    *,
    repeats: int = 10,
    generator: Randomness = None,
) -> NoiseFloor:
    """The same statistic between two exact batches, several times over.

    Not with a `draw` that picks rows of one small data set: its batches overlap, and the floor is too low.

    Args:
        metric: called with two batches (n, *shape).
        draw: called as draw(n, generator=generator), gives an exact batch (n, *shape), as the `sample` of an
            exact law does.
        n: size of each batch; use the size of the sample that is judged.
        repeats: number of pairs, at least 2.
        generator: handed to `draw`, a fresh one for every batch.

    Raises:
        InputError: n < 1, repeats < 2, or a metric that gives NaN or infinity.
    """
    require(n >= 1, f"n is {n}; give at least 1 sample a batch")
    require(repeats >= 2, f"repeats is {repeats}; give at least 2, to know the spread")
    source = as_source(generator)

    def batch(k: int) -> Tensor:
        # a torch.Generator goes in as it came, because it is what other people's `draw` knows
        return draw(n, generator=source.child(k) if isinstance(source, Noise) else generator)

    values = [float(metric(batch(2 * k), batch(2 * k + 1))) for k in range(repeats)]
    floor = torch.tensor(values, dtype=torch.float64)
    require_finite(floor, "what metric returned")
    return NoiseFloor(floor)


@torch.no_grad()
def bootstrap_interval(
    values: Tensor,
    statistic: Callable[[Tensor], Tensor | float] = torch.mean,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    generator: Randomness = None,
) -> Interval:
    """The percentile bootstrap interval of a statistic of independent rows.

    For means, medians, shares and the like. Not for statistics of pairs or neighbours
    (`nearest_neighbour_test`, `mmd`, `precision_recall`, `nearest_train_ratio` of the samples themselves): a
    row drawn twice is a copy at distance 0. Not for extremes, and not for fewer than about 20 rows.

    Args:
        values: (N, *shape), N at least 2; one row per independent unit. Integers count as float64.
        statistic: of (N, *shape), a number.
        level: probability of the interval, inside (0, 1).
        resamples: at least 100.
        generator: draws the rows.

    Raises:
        InputError: bad values, or a number out of its range.
    """
    points.as_points(values, "values", least=2)
    require(0 < level < 1, f"level is {level}; give a probability inside (0, 1), such as 0.95")
    require(resamples >= 100, f"resamples is {resamples}; give at least 100, for the quantiles")
    rows = values if values.is_floating_point() else values.to(torch.float64)
    source, n = as_source(generator), len(rows)
    seen: list[float] = []
    while len(seen) < resamples:
        size = min(resamples - len(seen), max(1, points.BLOCK // n))
        like = torch.empty(size, n, dtype=torch.float64, device=rows.device)
        picks = (source.shifted(len(seen)).draw(like, 0, uniform) * n).long().clamp(max=n - 1)
        seen += [float(statistic(rows[pick])) for pick in picks]
    tail = (1 - level) / 2
    ends = torch.tensor(seen, dtype=torch.float64).quantile(
        torch.tensor([tail, 1 - tail], dtype=torch.float64)
    )
    if not bool(torch.isfinite(ends).all()):
        raise InputError("statistic gave NaN or infinity on a resampled set; give one that is defined on any")
    return Interval(float(statistic(rows)), float(ends[0]), float(ends[1]))
