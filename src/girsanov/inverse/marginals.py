"""Monotone maps of one column, so that what is left to learn is near Gaussian, and back.

    PowerMap   z = (yeo_johnson(v; λ) - mean) / scale          Yeo & Johnson (2000), λ by maximum likelihood
    RankMap    z = Φ⁻¹(rank / n), ties at their middle          normal scores: the Gaussian copula
    ScaleMap   z = (v - mean) / scale                           one feature of a category

Values are of the order of one, as `Scale` makes them. Maps are learned from those that are there, and keep NaN. Outside what was seen, `RankMap` goes
on by half a standard deviation for each unit of z; `PowerMap` stops a quarter of the range beyond. A column of few
different values, each many times, is always mapped by rank, and comes back by its quantile function, as one of them.
Oracle: inverse(forward(v)) = v, scipy's transform, normal scores of normal draws (tests/inverse/test_marginals.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from girsanov.errors import choose

BEYOND = 0.25
"""How far beyond what was seen a value may lie, in ranges."""
REPEATS = 20
"""Times that a value occurs on average in a column that counts as discrete."""


@dataclass(frozen=True)
class PowerMap:
    """Yeo and Johnson's power λ, then standardized; `low` and `high` bound what comes back."""

    power: float
    mean: float
    scale: float
    low: float
    high: float

    @classmethod
    def learn(cls, values: np.ndarray) -> PowerMap:
        """From values (N,) of which at least two differ."""
        from scipy.stats import yeojohnson_normmax

        seen = values[~np.isnan(values)]
        span = float(np.ptp(seen))
        with np.errstate(all="ignore"):  # the search tries powers at which outliers overflow
            power = float(np.clip(yeojohnson_normmax(seen, brack=(-1, 3)), -4, 6))
        bent = _bend(seen, power)
        low, high = float(seen.min()) - BEYOND * span, float(seen.max()) + BEYOND * span
        return cls(power, float(bent.mean()), float(bent.std()) or 1.0, low, high)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        return (_bend(np.clip(values, self.low, self.high), self.power) - self.mean) / self.scale

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        ends = self.forward(np.array([self.low, self.high]))
        return _unbend(np.clip(z, *ends) * self.scale + self.mean, self.power)


@dataclass(frozen=True, eq=False)
class RankMap:
    """Normal scores: `values` in order, their scores, and for a discrete column the scores at which each ends."""

    values: np.ndarray
    scores: np.ndarray
    tail: float
    ends: np.ndarray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def learn(cls, values: np.ndarray) -> RankMap:
        """From values (N,) of which at least two differ."""
        from scipy.special import ndtri

        seen = values[~np.isnan(values)]
        different, count = np.unique(seen, return_counts=True)
        total = count.cumsum()
        middle = ndtri((total - count / 2) / len(seen))
        ends = ndtri(total[:-1] / len(seen)) if repeats(seen) else np.empty(0)
        return cls(different, middle, float(seen.std()) / 2, ends)

    def forward(self, values: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        inside: np.ndarray = np.interp(values, self.values, self.scores)
        beyond = np.maximum(values - self.values[-1], 0) + np.minimum(values - self.values[0], 0)
        return inside + beyond / self.tail

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        if len(self.ends):
            found: np.ndarray = self.values[np.searchsorted(self.ends, z)]
            return found
        inside: np.ndarray = np.interp(z, self.scores, self.values)
        beyond = np.maximum(z - self.scores[-1], 0) + np.minimum(z - self.scores[0], 0)
        return inside + beyond * self.tail


@dataclass(frozen=True)
class ScaleMap:
    """An affine map."""

    mean: float
    scale: float

    @classmethod
    def learn(cls, values: np.ndarray) -> ScaleMap:
        """From values (N,); a feature that hardly varies is not blown up."""
        return cls(float(np.nanmean(values)), max(float(np.nanstd(values)), 0.05))

    def forward(self, values: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        return (values - self.mean) / self.scale

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """(N,) to (N,)."""
        return z * self.scale + self.mean


Map = PowerMap | RankMap | ScaleMap
MAPS: dict[str, Callable[[np.ndarray], Map]] = {"power": PowerMap.learn, "rank": RankMap.learn}


def learn_map(kind: str, values: np.ndarray) -> Map:
    """Learn a map by its name, power or rank; always by rank where values repeat. Raises UnknownName."""
    learn = choose(kind, MAPS, "map")
    return RankMap.learn(values) if repeats(values[~np.isnan(values)]) else learn(values)


def repeats(seen: np.ndarray) -> bool:
    """Whether a column counts as discrete."""
    return len(seen) >= REPEATS * len(np.unique(seen))


def _bend(v: np.ndarray, power: float) -> np.ndarray:
    """Yeo-Johnson by logarithms, which stays exact near the powers 0 and 2."""
    up, down = np.log1p(np.maximum(v, 0)), np.log1p(np.maximum(-v, 0))
    return np.where(v >= 0, _grow(up, power), -_grow(down, 2 - power))


def _unbend(u: np.ndarray, power: float) -> np.ndarray:
    up, down = _shrink(np.maximum(u, 0), power), _shrink(np.maximum(-u, 0), 2 - power)
    return np.where(u >= 0, np.expm1(up), -np.expm1(down))


def _grow(log: np.ndarray, power: float) -> np.ndarray:
    """(e^{power·log} - 1) / power."""
    return log if abs(power) < 1e-8 else np.expm1(power * log) / power


def _shrink(u: np.ndarray, power: float) -> np.ndarray:
    """The inverse of `_grow`; u beyond its range is at the end of it."""
    return u if abs(power) < 1e-8 else np.log(np.maximum(1 + power * u, 1e-300)) / power
