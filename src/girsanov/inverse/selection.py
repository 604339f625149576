"""Choosing the prior of a table by cells that were there: hide some of them, draw them, score the draws.

    score = mean over hidden cells of CRPS(draws, cell) / std(column)

A fifth of the observed cells is hidden, the same for every choice; what was missing from the start is never looked at,
for nobody knows it. From a start in the middle, one setting after the other is moved as long as the score falls by
more than a five-hundredth, until none moves. A category's features count as numbers 0 and 1, with which the score is
half the Brier score.
Oracle: it finds the number of clusters of a mixture, and the map of a skewed table (tests/inverse/test_imputation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from girsanov.exact import FactorMixture, fit_factors
from girsanov.inverse.coordinates import Coordinates
from girsanov.metrics import crps
from girsanov.noise import Source, uniform

COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
FACTORS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24)
RIDGES = (0.01, 0.1, 0.4, 1.0, 4.0, 16.0)
KINDS = ("power", "rank")
HIDDEN, DRAWS, GAIN, NEAR = 0.2, 10, 0.002, 0.05
MOST_ROWS, MANY_CELLS, MOST_SPLITS = 1200, 10_000, 4
"""Rows that are looked at; the fewer cells they have, the more sets of cells are hidden in turn."""
FIT_ROWS = 10_000
"""Rows, or windows, that a mixture is fitted to; a larger table gives others to every fit."""
ROWS_EACH = 15
"""Rows for each component, at least."""
QUICK, FULL = (60, 1e-3), (150, 2e-4)
"""Steps of EM and the gain below which it stops, while choosing and for the fits that are kept."""

Report = Callable[[str], None]


class Prior(NamedTuple):
    """The settings of a prior: the map of numbers, components, factors, and the ridge."""

    kind: str
    components: int
    factors: int
    ridge: float = 1.0

    def __str__(self) -> str:
        return (
            f"{self.kind} map, {self.components} components of {self.factors} factors, ridge {self.ridge:g}"
        )


@dataclass(frozen=True, eq=False)
class Problem:
    """A table as features (N, F) with NaN, the features of each column and of each category, and the lags of a series."""

    features: np.ndarray
    groups: tuple[range, ...]
    categories: tuple[range, ...]
    lags: tuple[int, ...]

    @property
    def width(self) -> int:
        """Coordinates of a row, or of a window."""
        return self.features.shape[1] * (1 + 2 * len(self.lags))

    def coordinates(self, kind: str) -> Coordinates:
        """Learn the maps, of this kind for numbers."""
        return Coordinates.learn(self.features, self.categories, self.lags, kind)

    def fit(
        self,
        prior: Prior,
        coordinates: Coordinates,
        source: Source,
        *,
        weights: Tensor | None = None,
        quick: bool = False,
    ) -> FactorMixture:
        """Fit the mixture in given coordinates."""
        rows = coordinates.rows(coordinates.forward(self.features))
        if len(rows) > FIT_ROWS:
            picked = _order(len(rows), source)[:FIT_ROWS]
            rows, weights = rows[picked], None if weights is None else weights[picked]
        steps, tolerance = QUICK if quick else FULL
        return fit_factors(
            rows, min(prior.components, len(rows)), min(prior.factors, rows.shape[1]),
            weights=weights, ridge=prior.ridge, steps=steps, tolerance=tolerance, generator=source,
        ).mixture  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """A table with some of its cells hidden, (N, F), and the coordinates of what is left, by the kind of map."""

    problem: Problem
    kept: Problem
    hidden: np.ndarray
    coordinates: dict[str, Coordinates]

    @classmethod
    def of(cls, problem: Problem, source: Source) -> Trial:
        """Hide some cells."""
        hidden = _hide(problem, source)
        kept = replace(problem, features=np.where(hidden, np.nan, problem.features))
        return cls(problem, kept, hidden, {kind: kept.coordinates(kind) for kind in KINDS})

    def score(self, prior: Prior, source: Source) -> float:
        """The mean score of the hidden cells, infinite where none could be hidden."""
        if not self.hidden.any():
            return float("inf")
        truth, hidden, coordinates = self.problem.features, self.hidden, self.coordinates[prior.kind]
        mixture = self.kept.fit(prior, coordinates, source.child(2), quick=True)
        turns = coordinates.draws(mixture, self.kept.features, range(DRAWS), source.child(3))
        drawn = np.stack([one[hidden] for one in turns])
        units = np.nanstd(truth, axis=0)
        units[[j for group in self.problem.categories for j in group]] = 1.0
        scores = crps(torch.from_numpy(drawn), torch.from_numpy(truth[hidden])).numpy()
        cells = hidden[:, [group[0] for group in self.problem.groups]].sum()
        return float((scores / np.broadcast_to(units, truth.shape)[hidden]).sum() / cells)


def choose_priors(problem: Problem, most: int, source: Source, report: Report) -> dict[Prior, float]:
    """The settings that score best by hidden cells, with their scores, best first.

    Args:
        problem: the table.
        most: at most so many; those that score worse than the best by more than a twentieth are left out.
        source: picks rows and hidden cells, and draws.
        report: told about every choice that is tried.
    """
    problem = _some_rows(problem, source)
    cells = int(np.isfinite(problem.features).sum())
    splits = min(MOST_SPLITS, -(-MANY_CELLS // cells))
    trials = [Trial.of(problem, source.child(s)) for s in range(splits)]
    known: dict[Prior, float] = {}

    def score(prior: Prior) -> float:
        if prior not in known:
            known[prior] = float(np.mean([trial.score(prior, source) for trial in trials]))
            report(f"{prior}: {known[prior]:.4f}")
        return known[prior]

    ladders = _ladders(problem)
    best = Prior("power", _middle(ladders["components"], 3), _middle(ladders["factors"], 8))
    while True:
        before = best
        for field, ladder in ladders.items():
            best = _walk(best, field, ladder, score)
        if best == before:
            break
    ranked = sorted(known, key=lambda prior: known[prior])[:most]
    return {prior: known[prior] for prior in ranked if known[prior] <= known[ranked[0]] * (1 + NEAR)}


def _walk(best: Prior, field: str, ladder: tuple, score: Callable[[Prior], float]) -> Prior:
    """Move one setting along its ladder while the score falls, up first, else down."""
    for step in (1, -1):
        start, place = best, ladder.index(getattr(best, field))
        while 0 <= place + step < len(ladder):
            place += step
            moved = best._replace(**{field: ladder[place]})
            if score(moved) >= (1 - GAIN) * score(best):
                break
            best = moved
        if best != start:
            break
    return best


def _ladders(problem: Problem) -> dict[str, tuple]:
    """The values of every setting that the table allows."""
    rows, width = len(problem.features), problem.width
    components = tuple(k for k in COMPONENTS if k == 1 or k * ROWS_EACH <= rows)
    factors = tuple(q for q in FACTORS if q == 0 or q < width)
    return {"components": components, "kind": KINDS, "factors": factors, "ridge": RIDGES}


def _middle(ladder: tuple[int, ...], wanted: int) -> int:
    return max(value for value in ladder if value <= wanted)


def _some_rows(problem: Problem, source: Source) -> Problem:
    """At most `MOST_ROWS` of the rows: any of a table, the first of a series."""
    n = len(problem.features)
    if n <= MOST_ROWS:
        return problem
    picked = np.arange(MOST_ROWS) if problem.lags else np.sort(_order(n, source)[:MOST_ROWS].numpy())
    return replace(problem, features=problem.features[picked])


def _order(n: int, source: Source) -> Tensor:
    """The numbers below n in random order."""
    return source.draw(torch.empty(n, 1, dtype=torch.float64), 4, uniform)[:, 0].argsort()


def _hide(problem: Problem, source: Source) -> np.ndarray:
    """Observed features to hide, whole cells of them, (N, F); a column keeps at least two different values."""
    features = problem.features
    u = source.draw(torch.empty(len(features), len(problem.groups), dtype=torch.float64), 1, uniform).numpy()
    hidden = np.zeros(features.shape, bool)
    for k, group in enumerate(problem.groups):
        mine = features[:, list(group)]
        seen = ~np.isnan(mine[:, 0])
        picked = seen & (u[:, k] < HIDDEN)
        if len(np.unique(mine[seen & ~picked], axis=0)) > 1:
            hidden[:, list(group)] = picked[:, None]
    return hidden
