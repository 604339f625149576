"""Elementary functions that run on floats, on NumPy arrays and on tensors.

Schedules are written once with these. A plan evaluates them on Python floats (float64, no tensor is
made), quadrature on float64 arrays, a loss on tensors. On floats the limits are values, not errors:
log(0) is -inf and exp(-inf) is 0, as on arrays and tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from girsanov.typing import Scalar


def _each(
    on_float: Callable[[float], float], on_array: np.ufunc, on_tensor: Callable
) -> Callable[[Scalar], Scalar]:
    def function(x: Scalar) -> Scalar:
        if isinstance(x, float | int):
            return on_float(x)
        if isinstance(x, torch.Tensor):
            return on_tensor(x)
        with np.errstate(divide="ignore"):
            return on_array(x)

    return function


exp = _each(lambda x: math.exp(x) if x < 709.0 else math.inf, np.exp, torch.exp)
expm1 = _each(lambda x: math.expm1(x) if x < 709.0 else math.inf, np.expm1, torch.expm1)
log = _each(lambda x: math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan), np.log, torch.log)
log1p = _each(lambda x: math.log1p(x) if x > -1 else -math.inf, np.log1p, torch.log1p)
sqrt = _each(math.sqrt, np.sqrt, torch.sqrt)
sin = _each(math.sin, np.sin, torch.sin)
cos = _each(math.cos, np.cos, torch.cos)
asin = _each(math.asin, np.arcsin, torch.asin)
asinh = _each(math.asinh, np.arcsinh, torch.asinh)
atan = _each(math.atan, np.arctan, torch.atan)
