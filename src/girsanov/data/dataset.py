"""What every reader returns: rows as a tensor, their classes, and how to turn generated rows back.

Oracle: `data.codec.decode(data.x)` is what was read (tests/data/test_reading.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from girsanov.data.arrays import ArrayCodec
from girsanov.data.checks import batch, field
from girsanov.data.columns import MAX_VALUES
from girsanov.data.images import ImageCodec, Picture
from girsanov.data.tables import TableCodec
from girsanov.data.texts import TextCodec
from girsanov.errors import InputError, choose, require, require_finite

if TYPE_CHECKING:
    from pandas import DataFrame

Codec = ImageCodec | ArrayCodec | TableCodec | TextCodec
"""How values were scaled: `shape`, `encode` to a tensor, `decode` from one, `to_config`, `from_config`."""

CODECS: dict[str, type[Codec]] = {c.kind: c for c in (ImageCodec, ArrayCodec, TableCodec, TextCodec)}


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    Args:
        x: (N, *shape), float32, finite, at the scale of a network; the int64 letters of a text.
        cond: (N,), int64, the class of every row as an index into `classes`; None without classes.
        codec: turns generated rows back into pictures, arrays or a table.
        classes: the name of each class.
        name: where it came from, for reports.

    Raises:
        InputError: no rows, NaN or infinity, or parts that do not fit each other.
    """

    x: Tensor
    cond: Tensor | None
    codec: Codec
    classes: tuple[str, ...] | None
    name: str

    def __post_init__(self) -> None:
        require(len(self.x) > 0, f"{self.name} has no rows; give at least one")
        dtype = dtype_of(self.codec)
        require(
            self.x.dtype == dtype and tuple(self.x.shape[1:]) == self.codec.shape,
            f"x is {self.x.dtype} {tuple(self.x.shape)}; the codec asks for {dtype} {batch(self.codec.shape)}",
        )
        require_finite(self.x, "x")
        require((self.cond is None) == (self.classes is None), "give both cond and classes, or neither")
        if self.cond is not None and self.classes is not None:
            require(
                self.cond.dtype == torch.int64 and self.cond.shape == self.x.shape[:1],
                f"cond is {self.cond.dtype} {tuple(self.cond.shape)}; give int64 ({len(self.x)},), one for "
                "each row",
            )
            require(
                int(self.cond.min()) >= 0 and int(self.cond.max()) < len(self.classes),
                f"cond runs from {int(self.cond.min())} to {int(self.cond.max())}; there are "
                f"{len(self.classes)} classes, numbered from 0",
            )

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Raw:
    """What a source holds, before it is scaled.

    Args:
        content: pictures to open, an array, a table, a text, or images that are at their scale already.
        labels: one for each row, if the source tells.
        classes: their names in order, if the source tells; else they are sorted.
    """

    content: list[Picture] | np.ndarray | DataFrame | Tensor | str
    labels: Sequence[Any] | None = None
    classes: tuple[str, ...] | None = None


def dtype_of(codec: Codec) -> torch.dtype:
    """Of encoded rows."""
    return torch.int64 if isinstance(codec, TextCodec) else torch.float32


def codec_from_config(config: Mapping[str, Any]) -> Codec:
    """Rebuild a codec from what its `to_config` gave; no code is run and no name is imported.

    Raises:
        SavedFileError: a field is missing or of another type.
        InputError: an unknown kind, or values that make no codec.
    """
    return choose(field(config, "kind", str), CODECS, "codec").from_config(config)


def encode_labels(
    labels: Iterable[Any], classes: Sequence[str] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Turn labels into class indices.

    Args:
        labels: one for each row: texts, booleans, or whole numbers of any type.
        classes: the names and order learned before; without them, the labels' own values, sorted.

    Returns:
        int64 (N,) and the names of the classes.

    Raises:
        InputError: a missing label, one that is not among `classes`, more classes than 1,000.
    """
    values = [_whole(label, row) for row, label in enumerate(labels)]
    kinds = {type(v) for v in values}
    found = sorted(set(values)) if len(kinds) == 1 else sorted(set(values), key=str)
    require(
        len(found) <= MAX_VALUES,
        f"there are {len(found)} different labels; at most {MAX_VALUES:,} classes are accepted. Is the "
        "label a class?",
    )
    names = tuple(map(str, found)) if classes is None else tuple(classes)
    place = {name: i for i, name in enumerate(names)}
    for row, value in enumerate(values):
        require(
            str(value) in place,
            f"row {row} has the label {str(value)!r}; the model knows {', '.join(names)}. Leave such rows "
            "out.",
        )
    return torch.tensor([place[str(v)] for v in values], dtype=torch.int64), names


def _whole(label: Any, row: int) -> str | int:
    """A label as a text or an int; 3.0 is 3, while 3.5 and a missing cell are refused."""
    value = label.item() if hasattr(label, "item") else label
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str | int):
        return value
    raise InputError(f"the label of row {row} is {value!r}; give a text or a whole number for every row")
