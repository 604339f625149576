"""Lévy processes against scipy's laws, closed cases and characteristic functions."""

import math

import pytest
import torch
from oracles import assert_characteristic
from scipy import stats

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.stable import (
    CompoundPoisson,
    IsotropicStableMotion,
    StableMotion,
    alpha_stable,
)
from girsanov.processes.variates import poisson

N = 40_000
ALPHA = 1e-5
TIMES = torch.tensor([1.0, 1.3, 3.0]).double()


@pytest.mark.parametrize(
    "alpha, beta, law",
    [
        (2.0, 0.0, stats.norm(0, math.sqrt(2))),
        (2.0, 0.7, stats.norm(0, math.sqrt(2))),  # skewness has no meaning there
        (1.0, 0.0, stats.cauchy()),
        (0.5, 1.0, stats.levy()),
    ],
)
def test_closed_cases(alpha, beta, law):
    assert stats.kstest(alpha_stable((N,), alpha, beta, generator=Noise(0)).numpy(), law.cdf).pvalue > ALPHA


def stable_exponent(u, alpha, beta):
    """log of the characteristic function at u > 0, Nolan's parametrisation 1."""
    if alpha == 1:
        return -u * (1 + 1j * beta * 2 / math.pi * math.log(u))
    return -(u**alpha) * (1 - 1j * beta * math.tan(math.pi * alpha / 2))


SHAPES = [(0.4, 0.0), (0.8, -1.0), (1.0, 0.6), (1.3, 0.5), (1.7, 0.0), (1.9, -1.0)]


@pytest.mark.parametrize("alpha, beta", SHAPES)
def test_draws_have_the_stable_characteristic_function(alpha, beta):
    x = alpha_stable((N,), alpha, beta, generator=Noise(1))
    assert_characteristic(x, lambda u: torch.exp(torch.tensor(stable_exponent(u, alpha, beta))))


@pytest.mark.parametrize("alpha, beta", SHAPES)
def test_increments_of_the_motion_add_up_to_longer_ones(alpha, beta):
    """Over a step h the exponent is h times that of the unit law at scale · u, also where α = 1 needs its drift."""
    paths = simulate(StableMotion(alpha, beta, scale=0.7), torch.zeros(N).double(), TIMES, seed=0)

    def exact(u, h):
        # scale · X_h, whose characteristic function at u is that of X_h at 0.7 u
        return torch.exp(h * torch.tensor(stable_exponent(0.7 * u, alpha, beta)))

    for i, h in ((1, 0.3), (2, 2.0)):
        assert_characteristic(paths[:, i], lambda u, h=h: exact(u, h))


def test_two_is_brownian_motion():
    paths = simulate(StableMotion(2.0), n=N, times=TIMES, seed=0)
    z = paths.diff(dim=1) / (2 * TIMES.diff()).sqrt()
    assert all(stats.kstest(column.numpy(), "norm").pvalue > ALPHA for column in z.T)


def test_a_skewed_motion_of_small_index_only_rises():
    paths = simulate(StableMotion(0.6, 1.0), n=500, times=torch.linspace(0, 1, 50).double(), seed=0)
    assert (paths.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.6, 2.0])
def test_isotropic_jumps_have_no_direction(alpha):
    """E exp(i⟨u, X⟩) = exp(-h |0.7 u|^α) along any u of the plane; coordinates jump together."""
    paths = simulate(IsotropicStableMotion(alpha, 0.7), torch.zeros(N, 2).double(), TIMES, seed=0)
    for angle in (0.0, 0.5, 2.0):
        along = paths @ torch.tensor([math.cos(angle), math.sin(angle)]).double()
        for i, h in ((1, 0.3), (2, 2.0)):
            assert_characteristic(along[:, i], lambda u, h=h: math.exp(-h * (0.7 * u) ** alpha))


def characteristic_merton(u, h):
    jump = torch.exp(torch.tensor(1j * 0.5 * u - 0.5 * 0.09 * u**2))
    return torch.exp(h * (2 * (jump - 1) + 1j * -0.2 * u - 0.5 * 0.16 * u**2))


def test_jumps_have_their_characteristic_function():
    process = CompoundPoisson(2.0, 0.5, 0.3, drift=-0.2, volatility=0.4)
    paths = simulate(process, torch.zeros(N).double(), TIMES, seed=0)
    for i, h in ((1, 0.3), (2, 2.0)):
        assert_characteristic(paths[:, i], lambda u, h=h: characteristic_merton(u, h))
    assert abs(stats.spearmanr(*paths.diff(dim=1).T).statistic) < 5 / math.sqrt(N)


@pytest.mark.parametrize("mean", [0.0, 1e-3, 0.5, 3.0, 40.0, 5000.0])
def test_poisson_variables_invert_their_distribution_function(mean):
    u = torch.linspace(0, 1, 1001)[:-1].double()
    exact = stats.poisson(mean).ppf(u.numpy())
    exact[0] = 0  # scipy says -1 at 0
    assert (poisson(u, mean).numpy() == exact).all()


def test_poisson_variables_broadcast_their_mean():
    u, mean = (
        torch.rand(5, 7, generator=torch.Generator().manual_seed(0)).double(),
        torch.linspace(0, 9, 7).double(),
    )
    assert (poisson(u, mean).numpy() == stats.poisson(mean.numpy()).ppf(u.numpy()).clip(0)).all()


@pytest.mark.parametrize(
    "process",
    [
        StableMotion(1.3, 0.2),
        IsotropicStableMotion(),
        CompoundPoisson(),
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
        (lambda: alpha_stable((3,), 0.0), "alpha is 0"),
        (lambda: alpha_stable((3,), 2.1), "alpha is 2.1"),
        (lambda: StableMotion(1.5, 1.2), "beta is 1.2"),
        (lambda: StableMotion(math.nan), "alpha is nan"),
        (lambda: CompoundPoisson(std=-1.0), "std is -1"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
