"""Likelihood in the unit of published tables.

    bits/dim = −log p(x) / (d ln 2) + log2(levels / 2)

The second term is for data of `levels` integer levels k that were dequantized and scaled to [−1, 1] by
x = 2 (k + u)/levels − 1, u uniform on [0, 1): a level is then 2/levels wide, and the sum is the code
length of the integers, at least 0 on average.

Oracle: uniform noise over all levels costs log2(levels) bits (tests/metrics/test_bits_per_dim.py).
Source: Theis, van den Oord & Bethge (2016), A note on the evaluation of generative models, section 3.1.
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

from girsanov.errors import require

Nats = TypeVar("Nats", float, Tensor)


def bits_per_dim(nats: Nats, dims: int, levels: int | None = None) -> Nats:
    """Turn log-likelihoods into bits per dimension; lower is better.

    Not for comparing models of data that were dequantized or scaled differently.

    Args:
        nats: log p(x) in nats, not its negative; a float or (B,).
        dims: number of dimensions of one sample.
        levels: integer levels of the data before they were scaled to [−1, 1], such as 256. None for
            continuous data: the result then depends on their unit and may be below 0.

    Returns:
        As `nats`.

    Raises:
        InputError: dims < 1 or levels < 2.
    """
    require(dims >= 1, f"dims is {dims}; give the number of dimensions of one sample, at least 1")
    require(
        levels is None or levels >= 2, f"levels is {levels}; give at least 2, or None for continuous data"
    )
    offset = 0.0 if levels is None else math.log2(levels / 2)
    return nats / (-dims * math.log(2)) + offset
