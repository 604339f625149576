"""The two kinds of column: numbers, standardized to one feature, and categories, one-hot in {−1, 1}.

What a column is, is told by its dtype. See `tables` for the conventions and the oracle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from girsanov.data.checks import field
from girsanov.data.scales import Scale
from girsanov.errors import InputError, SavedFileError, extra, require

if TYPE_CHECKING:
    from pandas import Series

MAX_VALUES = 1_000
"""Different values of one category column; a text with more is a name, not a category."""
NUMERIC = re.compile(r"(u?int|float|U?Int|Float)\d+(\[pyarrow\])?|(float|double)\[pyarrow\]")
TEXTUAL = re.compile(r"str|object|category|bool(ean)?(\[pyarrow\])?|(large_)?string(\[(python|pyarrow)\])?")

Value = str | int | float | bool
"""One value of a category, as JSON keeps it."""


@dataclass(frozen=True)
class NumberColumn:
    """A column of integers or floats, standardized."""

    kind: ClassVar[str] = "number"
    name: str | int
    dtype: str
    scale: Scale

    def __post_init__(self) -> None:
        require(NUMERIC.fullmatch(self.dtype) is not None, f"{self.dtype!r} is not a dtype of numbers")

    @property
    def width(self) -> int:
        """Features in the tensor."""
        return 1

    def encode(self, values: Series) -> np.ndarray:
        """(N,) to (N, 1)."""
        return self.scale.encode(values.to_numpy(np.float64))[:, None]

    def decode(self, features: np.ndarray) -> Series:
        """(N, 1) to (N,), of the learned dtype."""
        pd = extra("pandas", "data")
        raw = self.scale.decode(features[:, 0], whole="int" in self.dtype.lower())
        return pd.Series(raw).astype(self.dtype)

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        return {"kind": self.kind, "name": self.name, "dtype": self.dtype, "scale": self.scale.to_config()}

    def describe(self) -> str:
        """For messages."""
        return "numbers"


@dataclass(frozen=True)
class CategoryColumn:
    """A column of texts, booleans or pandas categories; `values` in the order of their codes."""

    kind: ClassVar[str] = "category"
    name: str | int
    dtype: str
    values: tuple[Value, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        require(TEXTUAL.fullmatch(self.dtype) is not None, f"{self.dtype!r} is not a dtype of categories")
        require(
            0 < len(set(self.values)) == len(self.values) <= MAX_VALUES,
            f"column {self.name!r} has {len(self.values)} different values; a category has 1 to "
            f"{MAX_VALUES:,}. Leave the column out if it holds names or free text, or make it numbers.",
        )

    @property
    def width(self) -> int:
        """Features in the tensor."""
        return len(self.values)

    def places(self, values: Series) -> np.ndarray:
        """The code of every value, −1 for one that was never seen."""
        known = {value: i for i, value in enumerate(self.values)}
        return np.array([known.get(v, -1) for v in values.tolist()], np.int64)

    def encode(self, values: Series) -> np.ndarray:
        """(N,) known values to (N, K)."""
        return 2.0 * np.eye(self.width)[self.places(values)] - 1.0

    def decode(self, features: np.ndarray) -> Series:
        """(N, K) to (N,), of the learned dtype."""
        pd = extra("pandas", "data")
        codes = features.argmax(axis=1)
        if self.dtype == "category":
            return pd.Series(pd.Categorical.from_codes(codes, list(self.values), ordered=self.ordered))
        return pd.Series([self.values[k] for k in codes], dtype=self.dtype)

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        values = {"values": list(self.values), "ordered": self.ordered}
        return {"kind": self.kind, "name": self.name, "dtype": self.dtype, **values}

    def describe(self) -> str:
        """For messages."""
        return f"a category ({', '.join(map(str, self.values[:3]))}{', …' if self.width > 3 else ''})"


Column = NumberColumn | CategoryColumn


def learn_column(name: str | int, column: Series) -> Column:
    """Decide by the dtype what a column is, and learn it."""
    pd = extra("pandas", "data")
    types, dtype = pd.api.types, column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _category(name, "category", dtype.categories.tolist(), bool(dtype.ordered))
    if types.is_bool_dtype(dtype):
        return _category(name, str(dtype), [False, True])
    if NUMERIC.fullmatch(str(dtype)):
        kind = np.int64 if types.is_signed_integer_dtype(dtype) else np.uint64
        values = column.to_numpy(kind if types.is_integer_dtype(dtype) else np.float64)
        return NumberColumn(name, str(dtype), Scale.learn(values, f"column {name!r}"))
    if TEXTUAL.fullmatch(str(dtype)):
        return _category(name, str(dtype), column.tolist())
    raise InputError(
        f"column {name!r} holds {dtype}; tables of numbers, texts and booleans are accepted. Turn dates "
        "into numbers first, for instance (day - day.min()).dt.days, or leave the column out."
    )


def _category(name: str | int, dtype: str, values: list[Any], ordered: bool = False) -> CategoryColumn:
    """The values of a pandas category keep their order; others are sorted."""
    kinds = sorted({type(v).__name__ for v in values})
    require(
        len(kinds) == 1 and isinstance(values[0], str | int | float),
        f"column {name!r} holds values of type {', '.join(kinds)}; give texts, numbers or booleans, of one "
        "type. Convert it with .astype(str).",
    )
    return CategoryColumn(name, dtype, tuple(values if dtype == "category" else sorted(set(values))), ordered)


def column_from_config(config: Mapping[str, Any]) -> Column:
    """One column of a saved codec."""
    kind, dtype = field(config, "kind", str), field(config, "dtype", str)
    name = config.get("name")
    require(isinstance(name, str | int), f"the saved codec has a column named {name!r}", SavedFileError)
    if kind == NumberColumn.kind:
        return NumberColumn(name, dtype, Scale.from_config(field(config, "scale", dict)))  # type: ignore[arg-type]
    require(
        kind == CategoryColumn.kind, f"the saved codec has a column of unknown kind {kind!r}", SavedFileError
    )
    values = field(config, "values", list)
    require(
        all(isinstance(v, str | int | float) for v in values),
        "the saved codec has bad values",
        SavedFileError,
    )
    return CategoryColumn(name, dtype, tuple(values), field(config, "ordered", bool))  # type: ignore[arg-type]
