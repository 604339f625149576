"""Diffusions against their transition laws, over one step and over many."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.brownian import BrownianMotion
from girsanov.processes.diffusions import (
    CoxIngersollRoss,
    GeometricBrownianMotion,
    ReflectedBrownianMotion,
    SquaredBessel,
    Vasicek,
)

N = 30_000
ALPHA = 1e-5
TIMES = torch.tensor([1.0, 1.2, 1.21, 3.0]).double()


def square_root_law(process, x, h):
    """X_{t+h} / c is a noncentral chi-square (Cox, Ingersoll & Ross 1985, equation 18)."""
    keep = math.exp(-process.rate * h)
    c = process.volatility**2 * (1 - keep) / (4 * process.rate)
    d = 4 * process.rate * process.mean / process.volatility**2
    return stats.ncx2(d, x * keep / c, scale=c)


CASES = {
    "Vasicek": (
        Vasicek(rate=0.8, mean=2.0, volatility=1.5),
        lambda p, x, h: stats.norm(
            2 + math.exp(-0.8 * h) * (x - 2), 1.5 * math.sqrt(-math.expm1(-1.6 * h) / 1.6)
        ),
    ),
    "geometric": (
        GeometricBrownianMotion(drift=0.3, volatility=0.6),
        lambda p, x, h: stats.lognorm(0.6 * math.sqrt(h), scale=x * math.exp((0.3 - 0.18) * h)),
    ),
    "square root, far from 0": (CoxIngersollRoss(rate=1.1, mean=0.9, volatility=0.6), square_root_law),
    "square root, touching 0": (CoxIngersollRoss(rate=1.1, mean=0.9, volatility=1.6), square_root_law),
    "square root, at 0 often": (CoxIngersollRoss(rate=0.5, mean=0.3, volatility=1.2), square_root_law),
    "squared Bessel": (SquaredBessel(3.0), lambda p, x, h: stats.ncx2(3, x / h, scale=h)),
    "squared Bessel, at 0 often": (SquaredBessel(0.6), lambda p, x, h: stats.ncx2(0.6, x / h, scale=h)),
}  # the square roots have d = 11, 1.5 and 0.42


@pytest.mark.parametrize("process, law", CASES.values(), ids=CASES)
def test_every_step_has_the_closed_law(process, law):
    """From 1.4 at time 1 the state at each time has the law of one step: so steps compose as well."""
    paths = simulate(process, torch.full((N,), 1.4).double(), TIMES, seed=0).numpy()
    for i in (1, 2, 3):
        exact = law(process, 1.4, (TIMES[i] - TIMES[0]).item())
        assert stats.kstest(paths[:, i], exact.cdf).pvalue > ALPHA


@pytest.mark.parametrize("process, law", CASES.values(), ids=CASES)
def test_a_step_depends_on_the_state_as_its_law_says(process, law):
    """The distribution function of every step at its own start is uniform."""
    paths = simulate(process, torch.full((N,), 1.4).double(), TIMES, seed=1).numpy()
    h = (TIMES[3] - TIMES[2]).item()
    some = paths[:2000]
    u = law(process, some[:, 2], h).cdf(some[:, 3])
    assert stats.kstest(u, "uniform").pvalue > ALPHA
    assert abs(stats.spearmanr(u, some[:, 2]).statistic) < 5 / math.sqrt(2000)


def test_the_squared_distance_of_brownian_motion_is_a_squared_bessel_process():
    """Two independent programs, and two times at once."""
    times = torch.tensor([0.0, 0.3, 1.0]).double()
    ours = simulate(SquaredBessel(3.0), torch.full((N,), 1.5).double(), times, seed=0)
    start = torch.tensor([1.0, 0.5, -0.5]).double().expand(N, 3)
    theirs = simulate(BrownianMotion(), start, times, seed=1).square().sum(-1)
    for combine in (lambda x: x[:, 1], lambda x: x[:, 2], lambda x: x[:, 2] - 2 * x[:, 1]):
        assert stats.ks_2samp(combine(ours).numpy(), combine(theirs).numpy()).pvalue > ALPHA
    assert (simulate(SquaredBessel(2.0), n=3, times=times, seed=0)[:, 0] == 0).all()


@pytest.mark.parametrize(
    "process, law",
    [
        (Vasicek(0.8, 2.0, 1.5), stats.norm(2, 1.5 / math.sqrt(1.6))),
        (CoxIngersollRoss(1.1, 0.9, 0.6), stats.gamma(5.5, scale=0.18 / 1.1)),
        (ReflectedBrownianMotion(-1.0, 2.0), stats.uniform(-1, 3)),
    ],
)
def test_the_natural_start_is_stationary(process, law):
    paths = simulate(process, n=N, times=torch.tensor([0.0, 0.4]).double(), seed=2)
    for states in paths.T:
        assert stats.kstest(states.numpy(), law.cdf).pvalue > ALPHA


def test_a_slow_pull_is_brownian_motion():
    """κ → 0 at κ = 1e-12: no digit is lost to 1 - e^{-κh}."""
    paths = simulate(Vasicek(1e-12, 0.0, 2.0), torch.zeros(N).double(), TIMES, seed=0)
    z = paths.diff(dim=1) / (2 * TIMES.diff().sqrt())
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > ALPHA


def neumann(x, x0, t, low, width, terms=60):
    """The distribution function of reflected Brownian motion, by the cosine series of its density."""
    k = np.arange(1, terms)[:, None] * math.pi / width
    u, u0 = np.asarray(x) - low, x0 - low
    return u / width + (2 / width * np.exp(-(k**2) * t / 2) * np.cos(k * u0) * np.sin(k * u) / k).sum(0)


def test_reflection_has_the_law_of_the_neumann_problem():
    walls = ReflectedBrownianMotion(-1.0, 0.5, volatility=2.0)
    paths = simulate(walls, torch.full((N,), 0.4).double(), TIMES, seed=0)
    assert paths.min() >= -1 and paths.max() <= 0.5
    for i in (1, 2, 3):
        t = 4 * (TIMES[i] - TIMES[0]).item()
        law = stats.kstest(paths[:, i].numpy(), lambda x, t=t: neumann(x, 0.4, t, -1.0, 1.5))
        assert law.pvalue > ALPHA


def test_the_mean_of_a_walk_near_a_wall():
    """From 0.1 in [0, 1], after 0.1: 0.26437 by the series."""
    paths = simulate(
        ReflectedBrownianMotion(), torch.full((N,), 0.1).double(), torch.tensor([0, 0.1]).double(), seed=1
    )
    exact = 1 - np.trapezoid(neumann(np.linspace(0, 1, 4001), 0.1, 0.1, 0.0, 1.0), np.linspace(0, 1, 4001))
    assert exact == pytest.approx(0.26437, abs=1e-5)
    assert abs(paths[:, 1].mean().item() - exact) < 5 * paths[:, 1].std().item() / math.sqrt(N)


@pytest.mark.parametrize(
    "process", [*(case[0] for case in CASES.values()), ReflectedBrownianMotion()], ids=[*CASES, "reflected"]
)
def test_coordinates_and_batches_do_not_mix(process):
    x0 = torch.full((70, 2), 0.4)
    whole = simulate(process, x0, TIMES, seed=3)
    assert whole.shape == (70, 4, 2) and whole.dtype == torch.float32
    assert torch.equal(whole[66:], process.simulate(x0[66:], TIMES, generator=Noise(3, first=66)))
    assert not torch.equal(whole[..., 0], whole[..., 1])


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: Vasicek(rate=0.0), "rate is 0"),
        (lambda: SquaredBessel(0.0), "dimension is 0"),
        (lambda: simulate(SquaredBessel(), torch.tensor([-1.0]), TIMES), "least x0 is -1"),
        (lambda: CoxIngersollRoss(mean=-1.0), "mean is -1"),
        (lambda: ReflectedBrownianMotion(1.0, 1.0), "give low < high"),
        (lambda: simulate(GeometricBrownianMotion(), torch.zeros(2), TIMES), "start above 0"),
        (lambda: simulate(CoxIngersollRoss(), -torch.ones(2), TIMES), "starts at 0 or above"),
        (lambda: simulate(ReflectedBrownianMotion(), torch.full((2,), 1.1), TIMES), "between the walls"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
