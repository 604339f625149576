"""Fractional Brownian motion, exact and Markovian, against its covariance, quadrature and Brownian motion."""

import math

import numpy as np
import pytest
import torch
from oracles import seeded
from scipy import stats
from scipy.integrate import quad

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.fractional import (
    FractionalBrownianMotion,
    MarkovFractionalBrownianMotion,
    geometric_rates,
    markov_weights,
)
from girsanov.processes.paths import running_sum

N = 40_000
ALPHA = 1e-5
UNIFORM = torch.linspace(1, 3, 8).double()
UNEVEN = torch.tensor([0.5, 0.7, 0.71, 1.5, 2.0]).double()


def assert_covariance(paths, exact):
    """Every second moment of paths (N, T) of mean 0 within 5 of its standard errors."""
    products = paths[:, :, None] * paths[:, None, :]
    error = products.std(0) / math.sqrt(len(paths))
    assert ((products.mean(0) - exact).abs() <= 5 * error + 1e-12).all()
    assert (paths.mean(0).abs() <= 5 * paths.std(0) / math.sqrt(len(paths)) + 1e-12).all()


@pytest.mark.parametrize("hurst", [0.1, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("times", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])
def test_exact_paths_have_the_covariance_of_fractional_brownian_motion(hurst, times):
    paths = simulate(FractionalBrownianMotion(hurst, volatility=1.3), n=N, times=times, seed=0)
    t = times - times[0]
    exact = 0.845 * (t[:, None] ** (2 * hurst) + t ** (2 * hurst) - (t[:, None] - t).abs() ** (2 * hurst))
    assert_covariance(paths, exact)
    assert stats.kstest(paths[:, -1].numpy(), "norm", (0, 1.3 * t[-1].item() ** hurst)).pvalue > ALPHA


def test_the_covariance_test_can_fail():
    paths = simulate(FractionalBrownianMotion(0.3), n=N, times=UNIFORM, seed=0)
    with pytest.raises(AssertionError):
        assert_covariance(paths, FractionalBrownianMotion(0.33).covariance(UNIFORM - 1))


def test_half_is_brownian_motion():
    paths = simulate(FractionalBrownianMotion(0.5), n=5000, times=UNIFORM, seed=1)
    z = (paths.diff(dim=1) / UNIFORM.diff().sqrt()).flatten()
    assert stats.kstest(z.numpy(), "norm").pvalue > ALPHA


@pytest.mark.parametrize("count", [2, 3, 8, 12, 101, 1000])
def test_long_grids_keep_the_variance_of_their_end(count):
    paths = simulate(
        FractionalBrownianMotion(0.3), n=4000, times=torch.linspace(0, 2, count).double(), seed=2
    )
    assert paths.shape == (4000, count)
    assert stats.kstest(paths[:, -1].numpy(), "norm", (0, 2**0.3)).pvalue > ALPHA


def test_single_precision_times_are_seen_as_uniform():
    paths = simulate(FractionalBrownianMotion(0.3), n=3, times=torch.linspace(0, 1, 5001), seed=0)
    assert paths.shape == (3, 5001) and paths.dtype == torch.float32
    with pytest.raises(InputError, match="not evenly spaced"):
        simulate(FractionalBrownianMotion(0.3), n=3, times=torch.linspace(0, 1, 5001) ** 2, seed=0)


def test_sums_of_single_precision_are_rounded_once():
    """A long walk on a large number: in float32 alone every step would lose what the number cannot hold."""
    values = torch.randn(3, 20_000, generator=seeded(1))
    values[:, 0] = 1e6
    assert torch.equal(running_sum(values), values.double().cumsum(1).float())


MARKOV = MarkovFractionalBrownianMotion(0.7, factors=3, horizon=2.0, volatility=1.5)


@pytest.mark.parametrize("process", [FractionalBrownianMotion(0.7), MARKOV], ids=["exact", "markov"])
@pytest.mark.parametrize("times", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])
def test_coordinates_and_batches_do_not_mix(process, times):
    x0 = torch.randn(70, 2, 3, generator=seeded(0))
    whole = simulate(process, x0, times, seed=3)
    assert whole.shape == (70, len(times), 2, 3) and torch.equal(whole[:, 0], x0)
    assert torch.equal(whole[66:], process.simulate(x0[66:], times, generator=Noise(3, first=66)))
    one = (whole - x0[:, None])[:, -1].reshape(70, -1)
    assert (torch.corrcoef(one.T) - torch.eye(6)).abs().max() < 0.6


@pytest.mark.parametrize("times", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])
def test_markov_paths_have_the_covariance_of_their_memories(times):
    """Cov(Y^i_s, Y^j_t) = e^{-γ_j (t - s)} Cov(Y^i_s, Y^j_s) for s ≤ t, weighted."""
    paths = simulate(MARKOV, n=N, times=times, seed=0)
    omega, t = 1.5 * np.array(MARKOV.weights), (times - times[0]).numpy()
    exact = np.empty((len(t), len(t)))
    for i, s in enumerate(t):
        for j, u in enumerate(t[i:], i):
            rates = np.array(MARKOV.rates)
            now = -np.expm1(-(rates[:, None] + rates) * s) / (rates[:, None] + rates)
            exact[i, j] = exact[j, i] = omega @ now @ (omega * np.exp(-rates * (u - s)))
    assert_covariance(paths, torch.from_numpy(exact))
    assert MARKOV.variance(t[-1]) == pytest.approx(exact[-1, -1])


def test_rough_paths_with_few_factors_are_warned_about():
    with pytest.warns(UserWarning, match="more factors"):
        MarkovFractionalBrownianMotion(0.1, factors=3)


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
        (lambda: FractionalBrownianMotion(1.0), "between 0 and 1"),
        (lambda: FractionalBrownianMotion(0.3, volatility=-1.0), "volatility is -1"),
        (lambda: simulate(MARKOV, n=2, times=torch.tensor([0.0, 3.0])), "give horizon=3"),
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
