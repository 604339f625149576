"""Random streams inside compiled loops: SplitMix64, and exponential variables by a ziggurat.

A stream is its state, one 64-bit number, that every step takes and gives back: a register, not a memory.

**Ziggurat.** The area under e^{-x} is covered by 256 strips of equal area v, strip i being [0, x_{i+1}] wide and
e^{-x_i} - e^{-x_{i+1}} high, x_0 = 0, and the last one the rectangle of height e^{-r}, r = x_255, with the tail beyond r:

    v = (r + 1) e^{-r},    x_i = -log(v/x_{i+1} + e^{-x_{i+1}}),    x_256 = v e^r = r + 1.

A point of strip i left of x_i is under the curve; this is 99 % of them, and needs no logarithm. Beyond r the law begins
again, as it has no memory.
Source: Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators; Marsaglia & Tsang (2000), The
ziggurat method for generating random variables.
Oracle: the exponential law, its tail and the independence of successive draws (tests/processes/test_streams.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

GOLDEN, FIRST, SECOND = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
"""The constants of SplitMix64."""
STRIPS = 256
EDGE = 7.69711747013104972
"""r, with which x_0 comes out as 0."""


def edges() -> np.ndarray:
    """x_0, …, x_256."""
    area, x = (EDGE + 1) * math.exp(-EDGE), [EDGE + 1, EDGE]
    while len(x) < STRIPS:
        x.append(-math.log(area / x[-1] + math.exp(-x[-1])))
    return np.array([0.0, *x[::-1]])


def streams(njit: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(uniform, exponential): each takes the state of a stream and gives a number and the next state."""
    x = edges()
    height, width = np.exp(-x), x[1:] * 2.0**-56
    surely = (x[:-1] / x[1:] * 2.0**56).astype(np.uint64)

    @njit()
    def mixed(z):  # type: ignore[no-untyped-def]
        """64 bits from a state."""
        z = (z ^ (z >> np.uint64(30))) * FIRST
        z = (z ^ (z >> np.uint64(27))) * SECOND
        return z ^ (z >> np.uint64(31))

    @njit()
    def uniform(state):  # type: ignore[no-untyped-def]
        """A number inside (0, 1)."""
        state += GOLDEN
        return (float(mixed(state) >> np.uint64(12)) + 0.5) * 2.0**-52, state

    @njit()
    def exponential(state):  # type: ignore[no-untyped-def]
        """An exponential variable of mean 1."""
        passed = 0.0
        while True:
            state += GOLDEN
            bits = mixed(state)
            strip, place = bits & np.uint64(STRIPS - 1), bits >> np.uint64(8)
            found = place * width[strip]
            if place < surely[strip]:
                return passed + found, state
            if strip == STRIPS - 1:
                passed += EDGE
                continue
            u, state = uniform(state)
            low = height[strip + np.uint64(1)]
            if low + u * (height[strip] - low) < math.exp(-found):
                return passed + found, state

    return uniform, exponential
