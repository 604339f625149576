"""A table with missing cells as features with NaN, and draws of features back into its cells.

    number      one feature, standardized by the cells that are there
    category    one 0/1 feature for each value, all NaN where the cell is missing
    constant    none: a column of one value has that value everywhere

Here, and only here, a missing cell (NaN, None, NA, empty) is data. What is a number and what a category is told by the
dtype, as everywhere (see `data.tables`), from the cells that are there. Where all of a column's numbers are whole, so
are those that fill it, within the range that was seen.
Oracle: features of a frame and back (tests/inverse/test_imputation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from girsanov.data.columns import CategoryColumn, Column, NumberColumn, learn_column
from girsanov.data.tables import MAX_WIDTH, check_frame, difference
from girsanov.errors import InputError, extra, require

if TYPE_CHECKING:
    from pandas import DataFrame

MAX_CATEGORIES = 100
"""Different values of a category; more are names or free text."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table, in order; `whole` are the names of numbers that are whole."""

    columns: tuple[Column, ...]
    whole: tuple[str | int, ...]

    @classmethod
    def learn(cls, frame: DataFrame) -> Layout:
        """Learn names, types and values from the cells that are there.

        Raises:
            InputError: no table, a column without any value, infinity, dates, too many values of a category, or no
                column that varies.
        """
        check_frame(frame)
        columns = tuple(_learn(name, frame) for name in frame.columns)
        numbers = [c.name for c in columns if isinstance(c, NumberColumn)]
        whole = tuple(n for n in numbers if (frame[n].dropna().to_numpy(np.float64) % 1 == 0).all())
        made = cls(columns, whole)
        require(made.width > 0, "no column of the table varies; give at least one with two different values")
        require(
            made.width <= MAX_WIDTH,
            f"the table needs {made.width:,} features; at most {MAX_WIDTH:,} are accepted",
        )
        return made

    @property
    def varying(self) -> tuple[Column, ...]:
        """The columns that have features."""
        return tuple(c for c in self.columns if not _constant(c))

    @property
    def width(self) -> int:
        """Features of a row."""
        return sum(c.width for c in self.varying)

    @property
    def groups(self) -> tuple[range, ...]:
        """The features of each column that varies."""
        ends = np.cumsum([0, *(c.width for c in self.varying)]).tolist()
        return tuple(range(a, b) for a, b in pairwise(ends))

    @property
    def categories(self) -> tuple[range, ...]:
        """The features of each category that varies."""
        return tuple(g for g, c in zip(self.groups, self.varying) if isinstance(c, CategoryColumn))

    def check(self, frame: DataFrame) -> None:
        """Refuse a table that differs from the learned one, each difference named; holes are none.

        Raises:
            InputError: other columns, other types, a value of a category that was not learned.
        """
        check_frame(frame)
        learned = {c.name for c in self.columns}
        found = sorted(f"column {name!r} is missing" for name in learned - set(frame.columns))
        found += [f"column {name!r} is new" for name in frame.columns if name not in learned]
        for column in self.columns:
            if column.name in frame.columns and len(seen := frame[column.name].dropna()):
                _learn(column.name, frame)
                found.append(difference(column, seen))
        found = [text for text in found if text]
        require(
            not found,
            f"the table differs from the one that was learned: {'; '.join(found)}. Give a table with the same columns "
            "and types.",
        )

    def features(self, frame: DataFrame) -> np.ndarray:
        """(N, width) float64, NaN where a cell is missing."""
        parts = []
        for column in self.varying:
            values, part = frame[column.name], np.full((len(frame), column.width), np.nan)
            seen = values.notna().to_numpy(bool)
            if isinstance(column, NumberColumn):
                part[seen, 0] = column.scale.encode(values[seen].to_numpy(np.float64))
            else:
                part[seen] = np.eye(column.width)[column.places(values[seen])]
            parts.append(part)
        return np.concatenate(parts, axis=1)

    def fill(self, frame: DataFrame, features: np.ndarray) -> DataFrame:
        """A copy of the frame whose missing cells are those of complete features (N, width)."""
        pd = extra("pandas", "data")
        groups = dict(zip([c.name for c in self.varying], self.groups))
        columns, done = {c.name: c for c in self.columns}, {}
        for name in frame.columns:
            done[name] = frame[name]
            hidden = frame[name].isna().to_numpy(bool)
            if hidden.any():
                mine = features[hidden][:, groups[name]] if name in groups else None
                cells = frame[name].astype(object).to_numpy(copy=True)
                cells[hidden] = self._values(columns[name], mine, int(hidden.sum()))
                filled = pd.Series(cells, frame.index, dtype=object)
                done[name] = _typed(filled, frame[name].dtype)
        return pd.DataFrame(done, index=frame.index)

    def _values(self, column: Column, features: np.ndarray | None, n: int) -> list[Any]:
        """What is written into n cells of a column."""
        if isinstance(column, CategoryColumn):
            codes = np.zeros(n, np.int64) if features is None else features.argmax(1)
            return [column.values[k] for k in codes]
        z = np.zeros(n) if features is None else features[:, 0]
        whole = column.name in self.whole
        drawn = column.scale.decode(z, whole=whole).tolist()
        return [int(v) for v in drawn] if whole and "int" in column.dtype.lower() else list(drawn)


def _learn(name: str | int, frame: DataFrame) -> Column:
    pd = extra("pandas", "data")
    seen = frame[name].dropna()
    require(
        len(seen) > 0,
        f"column {name!r} has no value in any row, so there is nothing to learn it from. Leave it out.",
    )
    if isinstance(seen.dtype, pd.CategoricalDtype):
        seen = seen.cat.remove_unused_categories()
    if pd.api.types.is_float_dtype(seen.dtype) and not np.isfinite(seen.to_numpy(np.float64)).all():
        row = int(np.isinf(frame[name].to_numpy(np.float64, na_value=np.nan)).argmax())
        raise InputError(f"row {row} of column {name!r} is infinite. Give a number, or leave the cell empty.")
    column = learn_column(name, seen)
    require(
        isinstance(column, NumberColumn) or column.width <= MAX_CATEGORIES,
        f"column {name!r} has {column.width} different texts; a category has at most {MAX_CATEGORIES}. Leave out "
        "names and free text.",
    )
    return column


def _constant(column: Column) -> bool:
    if isinstance(column, NumberColumn):
        return column.scale.low == column.scale.high
    return column.width == 1


def _typed(values: Any, dtype: Any) -> Any:
    """Cells of mixed origin as one column: the dtype that it had, or that of the values where that was object."""
    return values.infer_objects() if str(dtype) == "object" else values.astype(dtype)
