"""Random clocks against scipy's laws and Laplace transforms, and Brownian motion on them."""

import math

import pytest
import torch
from oracles import assert_characteristic
from scipy import stats

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.random_clocks import (
    GammaProcess,
    InverseGaussianProcess,
    NormalInverseGaussian,
    NormalTemperedStable,
    TemperedStableProcess,
    VarianceGamma,
)

N = 40_000
ALPHA = 1e-5
TIMES = torch.tensor([1.0, 1.3, 3.0]).double()
MEAN, SPREAD = 2.0, 0.6


def gamma_law(h):
    return stats.gamma(h * MEAN**2 / SPREAD, scale=SPREAD / MEAN)


def inverse_gaussian_law(h):
    mean, shape = MEAN * h, (MEAN * h) ** 3 / (SPREAD * h)
    return stats.invgauss(mean / shape, scale=shape)


@pytest.mark.parametrize(
    "process, law",
    [
        (GammaProcess(MEAN, SPREAD), gamma_law),
        (InverseGaussianProcess(MEAN, SPREAD), inverse_gaussian_law),
        (TemperedStableProcess(0.5, MEAN, SPREAD), inverse_gaussian_law),  # by another program
    ],
    ids=["gamma", "inverse Gaussian", "tempered stable, α = ½"],
)
def test_clocks_have_their_closed_law(process, law):
    paths = simulate(process, torch.zeros(N).double(), TIMES, seed=0)
    for i, h in ((1, 0.3), (2, 2.0)):
        assert stats.kstest(paths[:, i].numpy(), law(h).cdf).pvalue > ALPHA
    assert (paths.diff(dim=1) > 0).all()
    assert abs(stats.spearmanr(*paths.diff(dim=1).T).statistic) < 5 / math.sqrt(N)


def tempered_transform(s, h, alpha, spread):
    """E e^{-sC_h} of a clock of mean h and variance spread · h, at a number s that may be complex."""
    tempering = (1 - alpha) / spread
    factor = tempered_factor(alpha, tempering)
    return torch.exp(-h * factor * ((torch.as_tensor(s) + tempering) ** alpha - tempering**alpha))


def tempered_factor(alpha, tempering):
    """c for which the mean is h: c α λ^{α-1} = 1."""
    return 1 / (alpha * tempering ** (alpha - 1))


@pytest.mark.parametrize("alpha", [0.05, 0.5, 0.97])
def test_tempered_clocks_have_their_laplace_transform(alpha):
    n = N // 4
    paths = simulate(TemperedStableProcess(alpha, MEAN, SPREAD), torch.zeros(n).double(), TIMES, seed=1)
    for i, h in ((1, 0.3), (2, 2.0)):
        x = paths[:, i]
        for s in (0.1, 0.5, 2.0):
            value = torch.exp(-s * x)
            exact = tempered_transform(MEAN * s, h, alpha, SPREAD / MEAN**2)
            assert abs(value.mean() - exact) < 5 * value.std() / math.sqrt(n)
        assert abs(x.mean() - MEAN * h) < 5 * math.sqrt(SPREAD * h / n)
        squares = (x - MEAN * h) ** 2
        assert abs(squares.mean() - SPREAD * h) < 5 * squares.std() / math.sqrt(n)


def test_the_transform_test_can_fail():
    x = simulate(TemperedStableProcess(0.97, MEAN, SPREAD), torch.zeros(N).double(), TIMES, seed=1)[:, 1]
    value = torch.exp(-2 * x)
    wrong = tempered_transform(2 * MEAN, 0.3, 0.9, SPREAD / MEAN**2)
    assert abs(value.mean() - wrong) > 5 * value.std() / math.sqrt(N)


def characteristic_vg(u, h):
    return (1 - 1j * 0.4 * 0.3 * u + 0.5 * 0.81 * 0.3 * u**2) ** (-h / 0.3)


def characteristic_nig(u, h):
    """E exp(s C_h) = exp(h (1 - √(1 - 2 ν s))/ν) at s = iθu - σ²u²/2."""
    s = 1j * 0.4 * u - 0.5 * 0.81 * u**2
    return torch.exp(h * (1 - (1 - 2 * 0.3 * torch.tensor(s)).sqrt()) / 0.3)


def characteristic_nts(u, h):
    return tempered_transform(-(1j * 0.4 * u - 0.5 * 0.81 * u**2), h, 0.7, 0.3)


SUBORDINATED = [
    (VarianceGamma(0.4, 0.9, 0.3), characteristic_vg),
    (NormalInverseGaussian(0.4, 0.9, 0.3), characteristic_nig),
    (NormalTemperedStable(0.7, 0.4, 0.9, 0.3), characteristic_nts),
]


@pytest.mark.parametrize("process, exact", SUBORDINATED, ids=lambda value: type(value).__name__)
def test_brownian_motion_on_a_clock_has_its_characteristic_function(process, exact):
    paths = simulate(process, torch.zeros(N).double(), TIMES, seed=0)
    for i, h in ((1, 0.3), (2, 2.0)):
        assert_characteristic(paths[:, i], lambda u, h=h: exact(u, h))
    assert abs(stats.spearmanr(*paths.diff(dim=1).T).statistic) < 5 / math.sqrt(N)


def test_the_law_of_the_normal_inverse_gaussian_process():
    """scipy's norminvgauss with a = √(1/ν + θ²/σ²) h/√ν σ/σ…, in its own scaling."""
    theta, sigma, nu, h = 0.4, 0.9, 0.3, 2.0
    x = simulate(
        NormalInverseGaussian(theta, sigma, nu), torch.zeros(N).double(), torch.tensor([0.0, h]), seed=2
    )
    delta, beta = sigma * h / math.sqrt(nu), theta / sigma**2
    alpha = math.sqrt(1 / (nu * sigma**2) + beta**2)
    law = stats.norminvgauss(alpha * delta, beta * delta, scale=delta)
    assert stats.kstest(x[:5000, 1].numpy(), law.cdf).pvalue > ALPHA


@pytest.mark.parametrize(
    "process",
    [
        GammaProcess(),
        InverseGaussianProcess(),
        TemperedStableProcess(spread=0.05),
        VarianceGamma(),
        NormalInverseGaussian(),
        NormalTemperedStable(0.3),
    ],
    ids=lambda process: type(process).__name__,
)
def test_coordinates_and_batches_do_not_mix(process):
    whole = simulate(process, torch.ones(70, 2), TIMES, seed=3)
    assert whole.shape == (70, 3, 2) and whole.dtype == torch.float32 and (whole[:, 0] == 1).all()
    assert torch.equal(whole[66:], process.simulate(torch.ones(4, 2), TIMES, generator=Noise(3, first=66)))
    assert not torch.equal(whole[..., 0], whole[..., 1])


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: VarianceGamma(spread=0.0), "spread is 0"),
        (lambda: GammaProcess(mean=-1.0), "mean is -1"),
        (lambda: InverseGaussianProcess(spread=math.inf), "spread is inf"),
        (lambda: TemperedStableProcess(1.0), "alpha is 1.0; give a number from 0.05 and below 1"),
        (lambda: NormalTemperedStable(0.01), "alpha is 0.01"),
        (lambda: NormalTemperedStable(drift=math.nan), "drift is nan"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
