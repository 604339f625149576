"""The two loops over events of hawkes.py, compiled at their first use by numba (extra `jit`).

Oracle: tests/processes/test_hawkes.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from girsanov.errors import extra

GOLDEN, FIRST, SECOND = (
    np.uint64(0x9E3779B97F4A7C15),
    np.uint64(0xBF58476D1CE4E5B9),
    np.uint64(0x94D049BB133111EB),
)
"""The constants of SplitMix64."""


@cache
def kernels() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(draw, evaluate), compiled.

    Raises:
        MissingExtra: numba is not installed.
    """
    njit = partial(extra("numba", "jit").njit, error_model="numpy")  # no check of every division
    return njit(_drawing(njit)), njit(_evaluating(njit))


def _choices(njit: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """The random steps: (uniform, gap, choose)."""

    @njit()
    def uniform(state):  # type: ignore[no-untyped-def]
        """The next number inside (0, 1) of a stream."""
        state[0] += GOLDEN
        z = state[0]
        z = (z ^ (z >> np.uint64(30))) * FIRST
        z = (z ^ (z >> np.uint64(27))) * SECOND
        z = z ^ (z >> np.uint64(31))
        return (float(z >> np.uint64(12)) + 0.5) * 2.0**-52

    @njit()
    def gap(total, excess, decay, state):  # type: ignore[no-untyped-def]
        """The time to the next event and e^{-β time}: the first of the base clock and the clock of the excess."""
        wait = -np.log(uniform(state)) / total
        if excess > 0:
            fade = 1 + decay / excess * np.log(uniform(state))  # e^{-β S_1}, if it is above 0
            if fade > 0:
                other = -np.log(fade) / decay
                if other < wait:
                    return other, fade
        return wait, np.exp(-decay * wait)

    @njit()
    def choose(base, excess, target):  # type: ignore[no-untyped-def]
        """The first type whose intensities up to its own reach the target, a share of their sum."""
        kind, passed = 0, base[0] + excess[0]
        while passed < target and kind < len(base) - 1:
            kind += 1
            passed += base[kind] + excess[kind]
        return kind

    return uniform, gap, choose


def _drawing(njit: Callable[..., Any]) -> Callable[..., Any]:
    uniform, gap, choose = _choices(njit)

    def draw(base, jump, decay, length, seeds, room):  # type: ignore[no-untyped-def]
        """Times and types of all rows, one after the other, and their counts."""
        types, total, filled = len(base), base.sum(), 0
        times, kinds = np.empty(room * len(seeds)), np.empty(room * len(seeds), np.int64)
        counts = np.zeros(len(seeds), np.int64)
        state, excess = np.zeros(1, np.uint64), np.zeros(types)
        for row in range(len(seeds)):
            state[0] = seeds[row, 0] ^ (seeds[row, 1] << np.uint64(11))
            excess[:] = 0.0
            raised = 0.0
            t, fade = gap(total, raised, decay, state)
            while t <= length:
                raised = 0.0
                for k in range(types):
                    excess[k] *= fade
                    raised += excess[k]
                kind = 0 if types == 1 else choose(base, excess, uniform(state) * (total + raised))
                for k in range(types):
                    excess[k] += jump[k, kind]
                    raised += jump[k, kind]
                if filled == len(times):
                    times, kinds = np.append(times, times), np.append(kinds, kinds)
                times[filled], kinds[filled] = t, kind
                filled += 1
                counts[row] += 1
                wait, fade = gap(total, raised, decay, state)
                t += wait
        return times[:filled], kinds[:filled], counts

    return draw


def _evaluating(njit: Callable[..., Any]) -> Callable[..., Any]:
    @njit()
    def one(base, jump, decay, times, kinds, window, d_base, d_jump):  # type: ignore[no-untyped-def]
        """log L of a row and its derivative in the decay; those in base and jump are added to what is given."""
        types = len(base)
        memory, aged = np.zeros(types), np.zeros(types)  # Σ e^{-β age} and Σ age e^{-β age} by type
        value, d_decay, before = 0.0, 0.0, 0.0
        for j in range(types):
            value -= base[j] * window
            d_base[j] -= window
        for i in range(len(times)):
            k, wait = kinds[i], times[i] - before
            fade, rate, slope = np.exp(-decay * wait), base[k], 0.0
            for j in range(types):
                aged[j] = fade * (aged[j] + wait * memory[j])
                memory[j] *= fade
                rate += jump[k, j] * memory[j]
                slope += jump[k, j] * aged[j]
            left = window - times[i]
            kept = np.exp(-decay * left)
            gone = -np.expm1(-decay * left) / decay
            value += np.log(rate)
            d_base[k] += 1 / rate
            d_decay -= slope / rate
            for j in range(types):
                d_jump[k, j] += memory[j] / rate
                d_jump[j, k] -= gone
                value -= jump[j, k] * gone
                d_decay -= jump[j, k] * (left * kept - gone) / decay
            memory[k] += 1
            before = times[i]
        return value, d_decay

    def evaluate(base, jump, decay, times, kinds, counts, window):  # type: ignore[no-untyped-def]
        """log L of every row, and its gradient."""
        rows, types = len(times), len(base)
        value, d_decay = np.empty(rows), np.empty(rows)
        d_base, d_jump = np.zeros((rows, types)), np.zeros((rows, types, types))
        for b in range(rows):
            n = counts[b]
            value[b], d_decay[b] = one(
                base, jump, decay, times[b, :n], kinds[b, :n], window[b], d_base[b], d_jump[b]
            )
        return value, d_base, d_jump, d_decay

    return evaluate
