"""Tables as tensors: numbers are standardized, categories become one-hot codes in {−1, 1}, and back.

    number:    z = (v − mean) / scale, one feature (see `scales`)
    category:  e_k ∈ {−1, 1}^K with 1 at the value's place, K features; decoded by the largest

Rows come back as a data frame with the names, the order, the dtypes and the category values that were
learned; the index is not kept. Whole numbers come back rounded and clipped to the range that was seen; a
column that never varied comes back as it was. What is a number and what a category is told by the dtype:
texts, booleans and pandas categories are categories, every integer and float is a number. To treat a whole
number as a category, turn it into one first: frame["zone"].astype("category").

Missing cells are refused with their row and column; fill them or drop those rows.

Oracle: decode(encode(frame)) equals frame by `pandas.testing.assert_frame_equal` (tests/data/test_tables.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from girsanov.data.checks import fields, finite, rows
from girsanov.data.columns import Column, NumberColumn, column_from_config, learn_column
from girsanov.errors import InputError, extra, require
from girsanov.typing import Shape

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MAX_WIDTH = 10_000
"""Columns of a table, before and after the encoding."""


@dataclass(frozen=True)
class TableCodec:
    """The columns of a table, in order."""

    kind: ClassVar[str] = "table"
    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        require(len(self.columns) > 0, "the table has no columns; give at least one")
        require(
            len({c.name for c in self.columns}) == len(self.columns),
            "two columns have the same name; give every column a name of its own",
        )
        require(
            self.shape[0] <= MAX_WIDTH,
            f"the table needs {self.shape[0]:,} features, counting one for each value of a category; at most "
            f"{MAX_WIDTH:,} are accepted. Leave out columns with many values.",
        )

    @property
    def shape(self) -> Shape:
        """(features,)."""
        return (sum(c.width for c in self.columns),)

    @classmethod
    def learn(cls, frame: DataFrame) -> TableCodec:
        """Learn names, types, scales and category values. The frame is not changed.

        Raises:
            InputError: no rows or columns, names that repeat, missing or infinite cells, dates or mixed
                cells, more values or columns than are accepted.
        """
        _check(frame)
        return cls(tuple(learn_column(name, frame[name]) for name in frame.columns))

    def encode(self, frame: DataFrame) -> Tensor:
        """Rows to float32 (N, features). The columns may be in another order.

        Raises:
            InputError: missing or infinite cells; columns or types other than the learned ones, each named.
        """
        _check(frame)
        differences = self._differences(frame)
        require(
            not differences,
            f"the table differs from the one that was learned: {'; '.join(differences)}. "
            "Give a table with the same columns and types.",
        )
        with np.errstate(over="ignore"):  # what overflows float32 is refused in the next line
            parts = [c.encode(frame[c.name]).astype(np.float32) for c in self.columns]
        return torch.from_numpy(finite(np.concatenate(parts, axis=1), "the standardized table"))

    def decode(self, x: Tensor) -> DataFrame:
        """(N, features) to rows with the learned names, types and values."""
        pd = extra("pandas", "data")
        ends = np.cumsum([c.width for c in self.columns])[:-1]
        parts = np.split(rows(x, self.shape), ends, axis=1)
        series = {c.name: c.decode(part) for c, part in zip(self.columns, parts)}
        return pd.DataFrame(series)

    def _differences(self, frame: DataFrame) -> list[str]:
        learned = {c.name for c in self.columns}
        lost = [f"column {name!r} is missing" for name in learned - set(frame.columns)]
        new = [f"column {name!r} is new" for name in frame.columns if name not in learned]
        changed = [difference(c, frame[c.name]) for c in self.columns if c.name in frame.columns]
        return sorted(lost) + new + [text for text in changed if text]

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        return {"kind": self.kind, "columns": [c.to_config() for c in self.columns]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableCodec:
        """The inverse of `to_config`. Raises SavedFileError or InputError."""
        return cls(tuple(column_from_config(c) for c in fields(config, "columns", dict)))


def check_frame(frame: DataFrame) -> None:
    """Refuse what is no table: another type, no rows or columns, names that repeat. Raises InputError."""
    pd = extra("pandas", "data")
    require(
        isinstance(frame, pd.DataFrame),
        f"the table is of type {type(frame).__name__}; give a pandas.DataFrame",
    )
    require(
        frame.size > 0,
        f"the table has {len(frame)} rows and {frame.shape[1]} columns; give at least one of each",
    )
    require(
        frame.shape[1] <= MAX_WIDTH,
        f"the table has {frame.shape[1]:,} columns; at most {MAX_WIDTH:,} are accepted",
    )
    names = list(frame.columns)
    for name in names:
        require(isinstance(name, str | int), f"column name {name!r} is not a text; rename it")
    twice = sorted({str(n) for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    require(not twice, f"column {', '.join(twice)} occurs twice; give every column a name of its own")


def _check(frame: DataFrame) -> None:
    """Refuse a frame that cannot be a table of complete rows."""
    pd = extra("pandas", "data")
    check_frame(frame)
    for name in frame.columns:
        column = frame[name]
        bad = column.isna().to_numpy(bool)
        if pd.api.types.is_float_dtype(column.dtype):
            bad = bad | ~np.isfinite(column.to_numpy(np.float64, na_value=np.nan))
        if bad.any():
            row = int(bad.argmax())
            what = (
                "is missing (empty, NA, NaN, null or None)"
                if column.isna().iloc[row]
                else f"is {column.iloc[row]}"
            )
            raise InputError(
                f"row {row} of column {name!r} {what}; rows count from 0, and {int(bad.sum())} cells of "
                "that column are like it. Fill them or drop their rows, for instance with frame.dropna()."
            )


def difference(column: Column, values: Series) -> str:
    """How values, none of them missing, differ from what was learned, or an empty text."""
    found = learn_column(column.name, values)
    if isinstance(column, NumberColumn):
        same = isinstance(found, NumberColumn)
        return "" if same else f"column {column.name!r} was numbers and is now {found.describe()}"
    places = column.places(values)
    if (places >= 0).all():
        return ""
    if isinstance(found, NumberColumn):
        return f"column {column.name!r} was {column.describe()} and is now numbers"
    row = int((places < 0).argmax())
    return f"column {column.name!r} has the value {values.iloc[row]!r} in row {row}, which was not learned"
