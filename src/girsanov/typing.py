"""Names for the array types and trees that appear in many signatures.

Shapes are written in docstrings: B is the batch, `*shape` the event of one sample, T a number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

Time = float | Tensor
"""Diffusion time: one float for the whole batch, or (B,)."""

Scalar = float | np.ndarray | Tensor
"""What schedule formulas run on: floats for plans, float64 arrays for quadrature, tensors for losses."""

Tree = Tensor | Mapping[str, Tensor] | Sequence[Tensor] | None
"""A batch-first tensor, or a dictionary or sequence of them."""

Shape = tuple[int, ...]
