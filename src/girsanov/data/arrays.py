"""Numeric arrays: `.npy` and `.npz` files, and the codec that standardizes them.

Vectors (N, D) are standardized feature by feature, everything larger by one mean and one scale, because the
pixels of a field or the channels of a signal share a unit. The dtype comes back too.

Oracle: decode(encode(a)) equals a in value and dtype (tests/data/test_arrays.py).
Pickles are never loaded: `allow_pickle=False` throughout, since unpickling a file runs the code in it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from girsanov.data.checks import batch, field, fields, finite, numbers, rows
from girsanov.data.scales import Scale
from girsanov.errors import GirsanovError, SavedFileError, require
from girsanov.typing import Shape


@dataclass(frozen=True)
class ArrayCodec:
    """Arrays with events of one shape; `scales` holds one scale, or one for each feature of a vector."""

    kind: ClassVar[str] = "array"
    shape: Shape
    dtype: str
    scales: tuple[Scale, ...]

    def __post_init__(self) -> None:
        numbers = {np.dtype(t).name for t in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
        require(self.dtype in numbers, f"dtype is {self.dtype!r}; give the name of a real numeric dtype")
        require(len(self.shape) > 0 and min(self.shape) > 0, f"shape is {self.shape}; give sizes above 0")
        require(
            len(self.scales) == 1 or self.shape == (len(self.scales),),
            f"{len(self.scales)} scales do not fit shape {self.shape}; give one, or one for each feature",
        )

    @classmethod
    def learn(cls, values: np.ndarray, name: str = "the array") -> ArrayCodec:
        """Learn mean, scale and range from finite numbers (N, *shape).

        Raises:
            InputError: no rows, no event dimension, not numbers, NaN or infinity.
        """
        native = numbers(values, name)
        if native.ndim == 2:
            scales = tuple(Scale.learn(f, f"feature {i} of {name}") for i, f in enumerate(native.T))
        else:
            scales = (Scale.learn(native, name),)
        return cls(native.shape[1:], native.dtype.name, scales)

    def encode(self, values: np.ndarray) -> Tensor:
        """Numbers (N, *shape) to float32. Raises InputError for another shape, NaN or infinity."""
        native = numbers(values, "the array")
        require(
            native.shape[1:] == self.shape,
            f"the array has shape {native.shape}; this codec encodes {batch(self.shape)}",
        )
        standard = self._apply(Scale.encode, native)
        with np.errstate(over="ignore"):  # what overflows float32 is refused in the next line
            return torch.from_numpy(finite(standard.astype(np.float32), "the standardized array"))

    def decode(self, x: Tensor) -> np.ndarray:
        """(N, *shape) to numbers of the learned dtype; whole ones rounded and clipped to the range."""
        undo = partial(Scale.decode, whole=np.dtype(self.dtype).kind in "biu")
        return self._apply(undo, rows(x, self.shape)).astype(self.dtype)

    def _apply(self, change: Callable[[Scale, np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
        """Change every feature by its own scale, or everything by the only one."""
        if len(self.scales) == 1:
            return change(self.scales[0], values)
        return np.stack([change(s, v) for s, v in zip(self.scales, values.T)], axis=1)

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        scales = [s.to_config() for s in self.scales]
        return {"kind": self.kind, "shape": list(self.shape), "dtype": self.dtype, "scales": scales}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ArrayCodec:
        """The inverse of `to_config`. Raises SavedFileError or InputError."""
        scales = tuple(Scale.from_config(s) for s in fields(config, "scales", dict))
        return cls(fields(config, "shape", int), field(config, "dtype", str), scales)


def read_array(path: Path, label: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a `.npy` or `.npz` file.

    Args:
        path: of an archive, the array named `x` is taken, or the only one.
        label: the array of an archive that holds one label for each row.

    Returns:
        The values and the labels, or None without `label`.

    Raises:
        SavedFileError: missing, truncated, not what its ending says, or holding pickled objects.
        InputError: an archive without an array named `x`; a label where there can be none.
    """
    try:
        with path.open("rb") as handle:
            require(
                handle.read(6).startswith((b"\x93NUMPY", b"PK")),
                f"{path} is not a NumPy file: its first bytes are others. If it is a pickle: those are "
                "never loaded, because loading one runs the code in it. Save numbers with numpy.save.",
                SavedFileError,
            )
            handle.seek(0)
            loaded = np.load(handle, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                require(label is None, f"{path} holds one array and no labels. Save both in an .npz file.")
                return loaded, None
            data = _data_name(loaded.files, path, label)
            return loaded[data], None if label is None else _vector(loaded[label], label, path)
    except GirsanovError:
        raise
    except (OSError, EOFError, ValueError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise SavedFileError(_why(path, error)) from error


def _vector(labels: np.ndarray, name: str, path: Path) -> np.ndarray:
    require(
        labels.ndim == 1,
        f"the labels {name!r} of {path} have shape {labels.shape}; give one label a row, (N,): argmax for "
        "one-hot.",
    )
    return labels


def _data_name(names: list[str], path: Path, label: str | None) -> str:
    """Which array of an archive holds the data."""
    held = ", ".join(names) or "nothing"
    require(label is None or label in names, f"{path} holds no labels named {label!r}; it holds {held}.")
    data = [name for name in names if name != label]
    require(
        "x" in data or len(data) == 1,
        f"{path} holds {held}. Name the data x, or save one array alone; label= names an array of labels.",
    )
    return "x" if "x" in data else data[0]


def _why(path: Path, error: Exception) -> str:
    text = str(error)
    if "object" in text.lower():
        return (
            f"{path} holds Python objects, which are saved as a pickle; loading a pickle runs the code in "
            "it, so it is refused. Save numbers: np.save(path, array.astype(float))."
        )
    reason = text or type(error).__name__
    return f"{path} could not be read as a NumPy file: {reason}. Save it again with numpy.save."
