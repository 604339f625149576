"""Imputing tables and series: draws of the missing cells, from a prior that was learned on the incomplete table itself.

    cells v → coordinates z (one map a column) → a mixture of factor analysers, fitted by EM to the cells that are there
    → exact draws of what is missing given what is there → back to cells

A mixture of Gaussians has its denoiser, its likelihood and all its conditionals in closed form, so no network is trained
and no sampler errs; what it cannot say is left to the coordinates. Settings are chosen by hidden cells (`selection`). The draws come from several fits, of the settings that did best, each to the rows with other random weights
(the Bayesian bootstrap), so that they differ also by what the table leaves open about the law: they are proper draws, as
for multiple imputation.

Cells are taken to be missing at random given what is observed in the row.
Oracle: on a Gaussian table the draws score like the exact conditional law (tests/inverse/test_imputation.py).
Source: Rubin (1981), The Bayesian bootstrap; Honaker & King (2010), What to do about missing values in time-series
cross-section data (EM with bootstrapping, lags and leads as columns).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from girsanov.errors import extra, require
from girsanov.exact import FactorMixture
from girsanov.inverse.coordinates import Coordinates
from girsanov.inverse.layout import Layout
from girsanov.inverse.selection import Prior, Problem, Report, choose_priors
from girsanov.metrics import draw_interval
from girsanov.noise import Noise, uniform

if TYPE_CHECKING:
    from pandas import DataFrame

FITS = 5
"""Fits to reweighted rows, that the draws come from in turn."""
LAGS = (1, 2, 4, 8)
"""Neighbours of a row of a series, on both sides."""


@dataclass(frozen=True, eq=False)
class Imputation:
    """n completed tables, and where they were filled.

    Args:
        tables: n data frames, equal where a cell was there.
        missing: (N, columns) booleans.
    """

    tables: tuple[DataFrame, ...]
    missing: DataFrame

    def cells(self, level: float = 0.9) -> DataFrame:
        """One line for every cell that was missing.

        Returns:
            row, column, and for numbers mean, low, high: the ends of the interval of `level`. For categories value,
            the one that was drawn most, and share, how often.

        Raises:
            InputError: too few draws for the level: it needs 19 for 0.9.
        """
        pd = extra("pandas", "data")
        parts = [self._column(name, level) for name in self.missing.columns if self.missing[name].any()]
        names = ["row", "column", "mean", "low", "high", "value", "share"]
        lines = pd.concat(parts) if parts else pd.DataFrame(columns=names)
        return lines.reindex(columns=names).sort_values("row", kind="stable").reset_index(drop=True)

    def _column(self, name: str | int, level: float) -> DataFrame:
        pd = extra("pandas", "data")
        where = self.missing[name].to_numpy(bool)
        drawn = [table[name][where] for table in self.tables]
        lines = pd.DataFrame({"row": where.nonzero()[0], "column": name})
        numeric = pd.api.types.is_numeric_dtype(drawn[0].dtype) and not pd.api.types.is_bool_dtype(
            drawn[0].dtype
        )
        if numeric:
            values = torch.from_numpy(np.stack([d.to_numpy(np.float64) for d in drawn]))
            low, high = draw_interval(values, level)
            return lines.assign(mean=values.mean(0).numpy(), low=low.numpy(), high=high.numpy())
        codes, known = pd.factorize(np.concatenate([d.astype(object).to_numpy() for d in drawn]))
        counts = np.stack([(codes.reshape(len(drawn), -1) == k).mean(0) for k in range(len(known))])
        return lines.assign(value=known[counts.argmax(0)], share=counts.max(0))


@dataclass(frozen=True, eq=False)
class Fit:
    """One fit of a prior: its settings, the coordinates and the mixture."""

    prior: Prior
    coordinates: Coordinates
    mixture: FactorMixture


@dataclass(frozen=True, eq=False)
class TableImputer:
    """A prior learned from an incomplete table; make it with `learn`.

    Args:
        layout: the columns.
        scores: the settings that are used, and the mean CRPS of cells that were there and hidden, in standard deviations
            of their columns; NaN where the settings were given.
        fits: the draws come from them in turn.
    """

    layout: Layout
    scores: Mapping[Prior, float]
    fits: tuple[Fit, ...]

    @classmethod
    def learn(
        cls,
        frame: DataFrame,
        *,
        prior: Prior | None = None,
        lags: Sequence[int] = (),
        seed: int = 0,
        report: Report | None = None,
    ) -> TableImputer:
        """Learn from a table with missing cells.

        Args:
            frame: (N, columns): numbers, texts, booleans and categories; NaN, None or NA where a cell is missing.
            prior: the settings; several are chosen by hidden cells if None.
            lags: for rows in the order of time: the neighbours at these distances, on both sides, count as columns.
            seed: everything random follows from it.
            report: called with a line of text for each step of the work.

        Raises:
            InputError: a column without any value, infinity, dates, names, no column that varies, fewer than 3 rows.
        """
        layout, lags, source = Layout.learn(frame), tuple(lags), Noise(seed).child(1)
        require(len(frame) >= 3, f"the table has {len(frame)} rows; give at least 3 to learn from")
        require(
            all(isinstance(lag, int) and 1 <= lag < len(frame) for lag in lags) and len({*lags}) == len(lags),
            f"lags are {lags}; give different whole numbers from 1 to {len(frame) - 1}",
        )
        told = report or (lambda text: None)
        problem = Problem(layout.features(frame), layout.groups, layout.categories, lags)
        scores = choose_priors(problem, FITS, source.child(0), told) if prior is None else {prior: math.nan}
        maps = {kind: problem.coordinates(kind) for kind in {chosen.kind for chosen in scores}}
        fits = []
        for i, chosen in zip(range(1, FITS + 1), itertools.cycle(scores)):
            told(f"fit {i} of {FITS}: {chosen}")
            like = torch.empty(len(frame), 1, dtype=torch.float64)
            weights = -(1 - source.child(i).draw(like, 0, uniform)[:, 0]).log()
            coordinates = maps[chosen.kind]
            mixture = problem.fit(chosen, coordinates, source.child(i), weights=weights / weights.mean())
            fits.append(Fit(chosen, coordinates, mixture))
        return cls(layout, scores, tuple(fits))

    def draw(self, frame: DataFrame, n: int = 20, *, seed: int = 0) -> Imputation:
        """Fill the missing cells of a table n times, each time with another draw.

        Args:
            frame: with the columns and types of the learned table, in any order; it may be that table.
            n: draws; of a table, draw i is the same whatever n.
            seed: everything random follows from it.

        Raises:
            InputError: other columns or types, a value of a category that was not learned, n < 1.
        """
        require(n >= 1, f"n is {n}; give at least 1 draw")
        self.layout.check(frame)
        features, source = self.layout.features(frame), Noise(seed).child(2)
        tables: dict[int, DataFrame] = {}
        for k, fit in enumerate(self.fits):
            turns = range(k, n, len(self.fits))
            drawn = fit.coordinates.draws(fit.mixture, features, turns, source.child(k))
            tables.update((i, self.layout.fill(frame, one)) for i, one in zip(turns, drawn))
        return Imputation(tuple(tables[i] for i in range(n)), frame.isna())


def impute(
    frame: DataFrame, n: int = 20, *, lags: Sequence[int] = (), seed: int = 0, report: Report | None = None
) -> Imputation:
    """Fill the missing cells of a table n times: `TableImputer.learn(frame).draw(frame, n)`.

    Args:
        frame: (N, columns), NaN, None or NA where a cell is missing. At least one column must vary.
        n: draws, 20 or more for intervals of 90 %.
        lags: for rows in the order of time; `inverse.LAGS` is a good start.
        seed: everything random follows from it.
        report: called with a line of text for each step of the work.

    Raises:
        InputError: as `TableImputer.learn` does.
    """
    return TableImputer.learn(frame, lags=lags, seed=seed, report=report).draw(frame, n, seed=seed)
