"""The coordinates in which a table is learned: every feature through its map, and, for a series, its neighbours.

    z_nj = map_j(v_nj);        windows of a series: (z_n, z_{n-l} for every lag l, z_{n+l} for every lag l)

A category's features are drawn from their shares, one category after the other, each given those before it: the
conditional mean of a 0/1 feature is the chance of its value (the linear probability model; means below 0 count as
0). Numbers are drawn together, from their exact law given everything else.

A series is filled row after row: a row is drawn given what was observed in its window and what was drawn before it.
Oracle: shares of a category whose law is known, windows by hand (tests/inverse/test_imputation.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from girsanov.exact import FactorMixture
from girsanov.inverse.marginals import Map, ScaleMap, learn_map
from girsanov.noise import Source, uniform


@dataclass(frozen=True, eq=False)
class Coordinates:
    """One map a feature; the features of each category; the lags of a series, none for a table."""

    maps: tuple[Map, ...]
    categories: tuple[range, ...]
    lags: tuple[int, ...]

    @classmethod
    def learn(
        cls, features: np.ndarray, categories: tuple[range, ...], lags: tuple[int, ...], kind: str
    ) -> Coordinates:
        """Learn the maps from features (N, F) with NaN; `kind` is the map of numbers, power or rank."""
        coded = {j for group in categories for j in group}
        columns = enumerate(features.T)
        maps = (ScaleMap.learn(v) if j in coded else learn_map(kind, v) for j, v in columns)
        return cls(tuple(maps), categories, lags)

    def forward(self, features: np.ndarray) -> Tensor:
        """(N, F) to (N, F), float64; NaN stays."""
        mapped = [m.forward(v) for m, v in zip(self.maps, features.T)]
        return torch.from_numpy(np.stack(mapped, axis=1))

    def inverse(self, z: Tensor) -> np.ndarray:
        """(N, F) to (N, F)."""
        return np.stack([m.inverse(v) for m, v in zip(self.maps, z.numpy().T)], axis=1)

    def rows(self, z: Tensor) -> Tensor:
        """What the prior is a law of: the rows, or the windows of a series, (N, F) or (N, F (1 + 2 L))."""
        return windows(z, self.lags) if self.lags else z

    def draws(
        self, mixture: FactorMixture, features: np.ndarray, turns: range, source: Source
    ) -> Iterator[np.ndarray]:
        """Complete features (N, F), one for each of the numbered turns; a turn is the same whatever the others."""
        z = self.forward(features)
        if self.lags:
            yield from map(self.inverse, self._draw_series(mixture, z, len(turns), source))
            return
        hidden = torch.isnan(z).any(1)
        for i in turns:
            filled = z.clone()
            filled[hidden] = self._draw_rows(mixture, z[hidden], source.child(i))
            yield self.inverse(filled)

    def _draw_series(self, mixture: FactorMixture, z: Tensor, n: int, source: Source) -> Tensor:
        """n completions of a series (T, F), from the first row to the last, (n, T, F)."""
        reach, f = max(self.lags), z.shape[1]
        padded = z.new_full((n, len(z) + 2 * reach, f), torch.nan)
        padded[:, reach : reach + len(z)] = z
        offsets = reach + torch.tensor([0, *(-lag for lag in self.lags), *self.lags])
        for t in torch.isnan(z).any(1).nonzero()[:, 0].tolist():
            window = padded[:, offsets + t].flatten(1)
            padded[:, reach + t] = self._draw_rows(mixture, window, source.child(t))[:, :f]
        return padded[:, reach : reach + len(z)]

    def _draw_rows(self, mixture: FactorMixture, z: Tensor, source: Source) -> Tensor:
        z = z.clone()
        for k, group in enumerate(self.categories):
            features = list(group)
            hidden = torch.isnan(z[:, features[0]])
            u = source.draw(z[:, :1], 3 + k, uniform)[hidden]
            if not len(u):
                continue
            codes = self._pick(mixture.mean_given(z[hidden])[:, features], group, u)
            z[hidden.nonzero(), torch.tensor(features)] = self._codes(codes, group)
        return mixture.complete(z, generator=source)

    def _pick(self, mean: Tensor, group: range, u: Tensor) -> Tensor:
        """Values by their shares, (N,)."""
        maps = [self.maps[j] for j in group]
        shares = torch.from_numpy(np.stack([m.inverse(v) for m, v in zip(maps, mean.numpy().T)], 1)).clamp(
            min=1e-9
        )
        total = (shares / shares.sum(1, keepdim=True)).cumsum(1)
        return torch.searchsorted(total, u, right=True)[:, 0].clamp(max=len(group) - 1)

    def _codes(self, values: Tensor, group: range) -> Tensor:
        """The coordinates of values (N,) of a category, (N, K)."""
        eye = np.stack([self.maps[j].forward(row) for j, row in zip(group, np.eye(len(group)))], 1)
        return torch.from_numpy(eye)[values]


def windows(z: Tensor, lags: tuple[int, ...]) -> Tensor:
    """Rows (T, F) with their neighbours at all lags behind and ahead, NaN beyond the ends, (T, F (1 + 2 L))."""

    def moved(by: int) -> Tensor:
        shifted = torch.full_like(z, torch.nan)
        if abs(by) < len(z):
            shifted[max(0, -by) : len(z) - max(0, by)] = z[max(0, by) : len(z) - max(0, -by)]
        return shifted

    return torch.cat([z, *(moved(-lag) for lag in lags), *(moved(lag) for lag in lags)], 1)
