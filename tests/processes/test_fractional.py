"""Fractional Brownian motion, exact and Markovian, against its covariance, quadrature and Brownian motion."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from girsanov.errors import InputError
from girsanov.processes.fractional import geometric_rates, markov_weights


def squared_error(hurst, weights, rates, horizon):
    """E ∫ (B - Σ ω Y)² by quadrature: both are ∫ kernel dW, so it is ∫_0^T ∫_0^t (difference of kernels)²."""

    def kernel(u):
        exact = u ** (hurst - 0.5) / math.gamma(hurst + 0.5)
        return exact - sum(w * math.exp(-g * u) for w, g in zip(weights, rates))

    # ∫_0^T ∫_0^t f(t - s) ds dt = ∫_0^T (T - u) f(u) du, with u = v^4 to flatten the singular kernel at 0
    edge = horizon**0.25
    return quad(lambda v: (horizon - v**4) * kernel(v**4) ** 2 * 4 * v**3, 0, edge, epsabs=1e-11, limit=200)[
        0
    ]


@pytest.mark.parametrize("hurst, horizon", [(0.3, 1.0), (0.7, 1.0), (0.9, 2.5), (0.4, 0.3)])
def test_the_weights_are_the_best_and_the_cost_is_theirs(hurst, horizon):
    rates = geometric_rates(3, 20.0, horizon)
    weights, cost = markov_weights(hurst, rates, horizon)
    total = horizon ** (2 * hurst + 1) / (2 * hurst * (2 * hurst + 1) * math.gamma(hurst + 0.5) ** 2)
    best = squared_error(hurst, weights, rates, horizon)
    assert best / total == pytest.approx(cost, rel=1e-5, abs=1e-9)
    for k in range(3):
        for by in (0.99, 1.01):
            other = [w * (by if j == k else 1) for j, w in enumerate(weights)]
            assert squared_error(hurst, other, rates, horizon) > best


def test_the_cost_falls_as_the_literature_says():
    """Nobis et al. with γ_max = 20; rough paths stay hard."""
    costs = {h: [markov_weights(h, geometric_rates(k))[1] for k in (1, 3)] for h in (0.3, 0.7, 0.9)}
    assert all(three <= 0.01 and three <= 0.3 * one for one, three in costs.values())
    assert markov_weights(0.5, geometric_rates(3))[1] <= 1e-4
    assert markov_weights(0.1, geometric_rates(8))[1] > 0.2


def relative_variance_error(hurst, factors, fastest, t):
    rates = np.array(geometric_rates(factors, fastest))
    weights = np.array(markov_weights(hurst, rates.tolist())[0])
    s = rates[:, None] + rates
    covariance = -np.expm1(-s * t) / s
    exact = t ** (2 * hurst) / (2 * hurst * math.gamma(hurst + 0.5) ** 2)
    return abs(weights @ covariance @ weights / exact - 1)


def test_the_variance_of_the_approximation():
    """K = 5 in ratio 6 is within 3 %, and K = 8 in ratio 4 is better."""
    times = np.linspace(0.1, 1, 50)
    five, eight = (
        max(relative_variance_error(0.3, k, r ** ((k - 1) / 2), t) for t in times)
        for k, r in ((5, 6), (8, 4))
    )
    assert eight < five / 2 <= 0.015


@pytest.mark.parametrize("hurst", [0.0, 1.0, -0.2, 1.3, math.nan])
def test_a_bad_hurst_exponent_is_refused(hurst):
    with pytest.raises(InputError, match="between 0 and 1"):
        markov_weights(hurst, (1.0,))


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: geometric_rates(0), "factors is 0"),
        (lambda: geometric_rates(2, 1.0), "above 1"),
        (lambda: markov_weights(0.3, ()), "rates is empty"),
        (lambda: markov_weights(0.3, (1.0, -1.0)), "a rate is -1"),
        (lambda: markov_weights(0.3, (2.0, 1.0, 2.0)), "rates 2 and 2 are too close"),
        (lambda: markov_weights(0.3, (1.0,), horizon=0.0), "horizon is 0"),
    ],
)
def test_bad_weights_are_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
