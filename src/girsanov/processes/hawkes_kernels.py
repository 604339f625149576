"""The two loops over events of hawkes.py, compiled at their first use by numba (extra `jit`).

Oracle: tests/processes/test_hawkes.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np

from girsanov.errors import extra
from girsanov.processes.streams import streams


@cache
def kernels() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(draw, evaluate), compiled.

    Raises:
        MissingExtra: numba is not installed.
    """
    njit = partial(extra("numba", "jit").njit, error_model="numpy")  # no check of every division
    return njit(_drawing(njit)), njit(_evaluating(njit))


def _choices(njit: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The random steps: (gap, choose). Both take the state of a stream and give it back."""
    uniform, exponential = streams(njit)

    @njit()
    def gap(total, excess, decay, state):  # type: ignore[no-untyped-def]
        """The time to the next event and e^{-β time}: the first of the base clock and that of the excess."""
        waiting, state = exponential(state)
        wait = waiting / total
        fade = math.exp(-decay * wait)
        if excess > 0:
            waiting, state = exponential(state)
            other = 1 - decay / excess * waiting  # e^{-β S_1}, if it is above 0
            if other > fade:
                return -math.log(other) / decay, other, state
        return wait, fade, state

    @njit()
    def choose(base, excess, total, state):  # type: ignore[no-untyped-def]
        """The first type whose intensities up to its own reach a uniform share of their sum."""
        u, state = uniform(state)
        kind, passed, target = 0, base[0] + excess[0], u * total
        while passed < target and kind < len(base) - 1:
            kind += 1
            passed += base[kind] + excess[kind]
        return kind, state

    return gap, choose


def _drawing(njit: Callable[..., Any]) -> Callable[..., Any]:
    gap, choose = _choices(njit)

    @njit()
    def one(base, jump, decay, window, state, times, kinds):  # type: ignore[no-untyped-def]
        """Write the events of a window where there is room; whether it came to its end, and how many."""
        types, total, start, length = len(base), base.sum(), window[0], window[1] - window[0]
        excess, raised, count = np.zeros(types), 0.0, 0
        t, fade, state = gap(total, raised, decay, state)
        while t <= length:
            if count == len(times):
                return False, count
            kind, raised = 0, raised * fade
            if types > 1:
                raised = 0.0
                for k in range(types):
                    excess[k] *= fade
                    raised += excess[k]
                kind, state = choose(base, excess, total + raised, state)
            for k in range(types):
                excess[k] += jump[k, kind]
                raised += jump[k, kind]
            times[count], kinds[count] = start + t, kind
            count += 1
            wait, fade, state = gap(total, raised, decay, state)
            t += wait
        return True, count

    def draw(base, jump, decay, window, seeds, room, most):  # type: ignore[no-untyped-def]
        """Times and types of all windows, one after the other, and their counts; a window holds at most `most`."""
        times, kinds = np.empty(room * len(seeds)), np.empty(room * len(seeds), np.int64)
        counts, filled, row = np.zeros(len(seeds), np.int64), 0, 0
        while row < len(seeds):
            state = seeds[row, 0] ^ (seeds[row, 1] << np.uint64(11))
            stop = filled + min(most, len(times) - filled)
            ended, count = one(base, jump, decay, window, state, times[filled:stop], kinds[filled:stop])
            if ended or count == most:
                counts[row] = count
                filled += count
                row += 1
            else:  # more room, and the window once more
                times, kinds = np.append(times, times), np.append(kinds, kinds)
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
