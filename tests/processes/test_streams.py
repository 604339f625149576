"""Streams of compiled loops: exponential variables against their law, in the body and in the tail."""

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

from girsanov.processes.streams import EDGE, STRIPS, edges, streams

numba = pytest.importorskip("numba")
ALPHA = 1e-5
N = 2_000_000


@cache
def drawn(which):
    draw = streams(numba.njit)[which]

    @numba.njit
    def many(n, state):
        found = np.empty(n)
        for i in range(n):
            found[i], state = draw(state)
        return found

    return many(N, np.uint64(12345))


def test_the_strips_have_one_area_and_cover_the_curve():
    """Each strip, and the last rectangle with its tail."""
    x = edges()
    areas = x[1:-1] * (np.exp(-x[:-2]) - np.exp(-x[1:-1]))
    last = EDGE * math.exp(-EDGE) + math.exp(-EDGE)
    assert len(x) == STRIPS + 1 and np.allclose([*areas], last, rtol=1e-9)
    assert x[0] == 0 and (np.diff(x) > 0).all()


def test_exponential_variables():
    x = drawn(1)
    assert (x >= 0).all() and stats.kstest(x[:200_000], "expon").pvalue > ALPHA
    # Cells of equal chance, narrower than a strip, and the far tail.
    cells = np.bincount((-np.expm1(-x) * 5000).astype(int), minlength=5000)
    assert stats.chisquare(cells).pvalue > ALPHA
    for tail in (EDGE - 0.5, EDGE, EDGE + 2):
        chance = math.exp(-tail)
        assert abs((x > tail).mean() - chance) < 5 * math.sqrt(chance / N)
    assert stats.kstest(x[x > EDGE] - EDGE, "expon").pvalue > ALPHA
    assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 5 / math.sqrt(N)


def test_uniform_variables():
    u = drawn(0)
    assert u.min() > 0 and u.max() < 1 and stats.kstest(u[:200_000], "uniform").pvalue > ALPHA
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 5 / math.sqrt(N)


def test_the_tests_can_fail():
    """Without the wedges every strip is cut at its inner edge: a smooth law with a step in each strip."""
    x = edges()
    rng = np.random.default_rng(0)
    strip = rng.integers(0, STRIPS, N)
    wrong = rng.random(N) * x[strip + 1]
    cells = np.bincount((-np.expm1(-wrong) * 5000).astype(int), minlength=5000)
    assert stats.chisquare(cells).pvalue < ALPHA
