"""Checks that the codecs share: numbers on the way in, rows on the way back, fields of a saved codec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import SavedFileError, require, require_finite
from girsanov.typing import Shape

T = TypeVar("T")


def rows(x: Tensor, shape: Shape) -> np.ndarray:
    """Check generated rows and bring them to the host.

    Args:
        x: (N, *shape), real, on any device, with or without gradient.
        shape: what the codec encodes to.

    Returns:
        (N, *shape), float64.
    """
    require(isinstance(x, Tensor), f"x is of type {type(x).__name__}; give a tensor of shape {batch(shape)}")
    require(
        tuple(x.shape[1:]) == shape and x.ndim > 0,
        f"x has shape {tuple(x.shape)}; this codec decodes {batch(shape)}",
    )
    require(not x.is_complex(), f"x is {x.dtype}; give real values")
    require_finite(x, "x")
    return x.detach().to("cpu", torch.float64).numpy()


def numbers(values: np.ndarray, name: str) -> np.ndarray:
    """Refuse what is not (N, *shape) finite real numbers; the same values in native byte order are returned.

    Raises:
        InputError: dates, texts, objects or records; no rows, no event dimension; NaN or infinity.
    """
    require(values.dtype.kind in "biuf", f"{name} has dtype {values.dtype}; give real numbers")
    require(
        values.ndim >= 2,
        f"{name} has shape {values.shape}; give (N, *shape), one row a sample: x[:, None] for single numbers",
    )
    require(
        values.size > 0, f"{name} is empty: its shape is {values.shape}; give at least one row and one number"
    )
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    finite(native, name)
    return native


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """Refuse NaN and infinity, naming the first bad index; the array itself is returned."""
    if values.dtype.kind == "f":
        require_finite(torch.from_numpy(values.astype(np.float64) if values.itemsize > 8 else values), name)
    return values


def field(config: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """One field of a saved configuration, with its type checked and nothing converted.

    Raises:
        SavedFileError: the field is missing or of another type.
    """
    value = config.get(name)
    if kind is float and type(value) is int and abs(value) < 2**1023:
        value = float(value)  # JSON writers differ in whether 1.0 keeps its point
    exact = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    require(
        exact,
        f"the saved codec has {name} = {_short(value)}; {kind.__name__} is expected. The file was changed "
        "or is of another version.",
        SavedFileError,
    )
    require(
        not isinstance(value, float) or math.isfinite(value),
        f"the saved codec has {name} = {value}; a finite number is expected",
        SavedFileError,
    )
    return value  # type: ignore[return-value]


def fields(config: Mapping[str, Any], name: str, kind: type[T]) -> tuple[T, ...]:
    """A list of one type, each element checked."""
    return tuple(
        field({f"{name}[{i}]": v}, f"{name}[{i}]", kind) for i, v in enumerate(field(config, name, list))
    )


def batch(shape: Shape) -> str:
    """How a message writes a batch of events: (N, 1, 8, 8)."""
    return f"({', '.join(['N', *map(str, shape)])})"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
