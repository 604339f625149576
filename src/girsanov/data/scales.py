"""How one number is brought to the scale of a network, and back: z = (v − mean) / scale.

`scale` is the standard deviation. A number that never varied has scale 1 and comes back as the value it had.
Whole numbers (integers and booleans) come back rounded and clipped to the range that was seen, since an age
of −1 or 37.4 is an error; other numbers keep what was generated, because a continuous law has no seen end.

Oracle: decode(encode(v)) = v, and the encoded column has mean 0 and variance 1 (tests/data/test_arrays.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from girsanov.data.checks import field
from girsanov.errors import require

EXACT = 2**53
"""Whole numbers above this have no exact float64."""


@dataclass(frozen=True)
class Scale:
    """The learned scale of one number; `low` and `high` are the range that was seen."""

    mean: float
    scale: float
    low: float
    high: float

    def __post_init__(self) -> None:
        require(self.scale > 0, f"scale is {self.scale}; give a number above 0")
        require(self.low <= self.high, f"the range {self.low} to {self.high} is empty; give low <= high")

    @classmethod
    def learn(cls, values: np.ndarray, name: str) -> Scale:
        """Learn from finite values of any shape, at least one; `name` is what the user calls them."""
        low, high = float(values.min()), float(values.max())
        whole = values.dtype.kind in "iu"
        require(
            not whole or max(abs(low), abs(high)) <= EXACT,
            f"{name} holds whole numbers up to {max(abs(low), abs(high)):.4g}; above 2^53 they are not kept "
            "exactly. Leave identifiers out, or store them as text.",
        )
        if low == high:
            return cls(mean=low, scale=1.0, low=low, high=high)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        require(
            np.isfinite(mean) and np.isfinite(deviation),
            f"{name} runs from {low:.4g} to {high:.4g}, too wide for float64. Give it in a larger unit.",
        )
        # Values so close that their spread underflows are told apart by their range instead.
        return cls(
            mean=mean, scale=deviation or max(high - low, np.finfo(np.float64).tiny), low=low, high=high
        )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Standardize; any shape in, float64 of the same shape out."""
        standard: np.ndarray = (values.astype(np.float64) - self.mean) / self.scale
        return standard

    def decode(self, values: np.ndarray, *, whole: bool) -> np.ndarray:
        """Undo `encode`; round and clip if the numbers are `whole`."""
        if self.low == self.high:
            return np.full(values.shape, self.low)
        raw: np.ndarray = values * self.scale + self.mean
        return np.clip(np.rint(raw), self.low, self.high) if whole else raw

    def to_config(self) -> dict[str, float]:
        """The fields, as JSON takes them."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Scale:
        """The inverse of `to_config`. Raises SavedFileError."""
        return cls(**{name: field(config, name, float) for name in ("mean", "scale", "low", "high")})
