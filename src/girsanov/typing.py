"""Names for the array types and trees that appear in many signatures.

Shapes are written in docstrings: B is the batch, `*shape` the event of one sample, T a number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

Time = float | Tensor
"""Diffusion time: one float for the whole batch, or (B,)."""

Scalar = Any
"""What schedule formulas run on: a float for plans, a float64 array for quadrature, a tensor for losses.

A formula answers with the kind it was given, which a union could not express.
"""

Tree = Tensor | Mapping[str, Tensor] | Sequence[Tensor] | None
"""A batch-first tensor, or a dictionary or sequence of them."""

Shape = tuple[int, ...]
