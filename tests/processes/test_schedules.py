"""Schedules against automatic differentiation, numerical integration and each other."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from oracles import DRIVEN, EVERY, TWO_SIDED
from scipy.integrate import quad, solve_ivp

from girsanov import processes
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.processes import schedules
from girsanov.processes.laws import stability

INSIDE = (0.013, 0.2, 0.41, 0.66, 0.97)


def check_rates(schedule):
    t = torch.tensor(INSIDE, dtype=torch.float64, requires_grad=True)
    for value, rate in zip(schedule.values(t), schedule.rates(t), strict=True):
        slope = torch.zeros_like(t)
        if isinstance(value, torch.Tensor) and value.requires_grad:
            (slope,) = torch.autograd.grad(value.sum(), t, retain_graph=True)
        torch.testing.assert_close(torch.as_tensor(rate).expand(5).double(), slope, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("process", EVERY.values(), ids=EVERY)
def test_rates_are_the_derivatives(process):
    check_rates(process.schedule)


def test_the_rate_test_can_fail():
    class Wrong(schedules.Straight):
        def rates(self, t):
            return 1.0, 0.0, 1.0

    with pytest.raises(AssertionError):
        check_rates(Wrong())


@pytest.mark.parametrize("process", EVERY.values(), ids=EVERY)
def test_floats_arrays_and_tensors_agree(process):
    array, tensor = np.array(INSIDE), torch.tensor(INSIDE, dtype=torch.float64)
    for i, t in enumerate(INSIDE):
        for on_float, on_array, on_tensor in zip(
            process.schedule.values(t),
            process.schedule.values(array),
            process.schedule.values(tensor),
            strict=True,
        ):
            assert type(on_float) is float or on_float == 0
            assert np.broadcast_to(on_array, 5)[i] == pytest.approx(on_float, rel=1e-13)
            assert float(torch.as_tensor(on_tensor).expand(5)[i]) == pytest.approx(on_float, rel=1e-13)


@pytest.mark.parametrize("name", [n for n in EVERY if n not in TWO_SIDED])
def test_time_is_the_inverse_of_log_snr(name):
    process = EVERY[name]
    for t in (2e-3, *INSIDE, 0.999):
        assert process.time_at(process.log_snr(t)) == pytest.approx(t, rel=1e-9)


@pytest.mark.parametrize("process", DRIVEN.values(), ids=DRIVEN)
def test_drift_and_volatility_integrate_to_the_coefficients(process):
    """dα = fα dt, dβ = (fβ + pull) dt and dγ^p = (pfγ^p + g^p) dt, from t = 0.1 to 0.9; p = 2 if z is normal."""
    p = stability(process.law)

    def moments(t, y):
        (f, pull), g = process.linear_drift(float(t)), process.volatility(float(t))
        return [f * y[0], p * f * y[1] + g**p, f * y[2] + pull]

    start = [process.alpha(0.1), process.gamma(0.1) ** p, process.beta(0.1)]
    end = solve_ivp(moments, (0.1, 0.9), start, rtol=1e-9, atol=1e-12, max_step=0.002).y[:, -1]
    assert end[0] == pytest.approx(process.alpha(0.9), rel=1e-4)
    assert end[1] == pytest.approx(process.gamma(0.9) ** p, rel=1e-4)
    assert end[2] == pytest.approx(process.beta(0.9), rel=1e-4, abs=1e-12)


def test_sub_vp_has_less_variance_than_vp():
    for t in INSIDE:
        assert processes.SubVP().gamma(t) < processes.VP().gamma(t)


def test_vp_is_a_time_changed_ornstein_uhlenbeck():
    vp, ou = processes.VP(), processes.OrnsteinUhlenbeck(rate=5.0)
    for t in INSIDE:
        s = ou.time_at(vp.log_snr(t))
        assert ou.alpha(s) == pytest.approx(vp.alpha(t)) and ou.gamma(s) == pytest.approx(vp.gamma(t))


def test_a_discrete_chain_passes_through_its_steps():
    table = np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000))
    process = processes.DiscreteVP(table.tolist())
    for i in (0, 1, 499, 999):
        assert process.alpha((i + 1) / 1000) == pytest.approx(math.sqrt(table[i]), rel=1e-12)


def test_the_cosine_reversion_is_the_limit_of_the_authors_table():
    """θ_i = 1 - ᾱ_i at i = 1, …, N + 1 of N + 2 steps of the squared cosine; Θ_i = Σ θ dt, Θ_N = -log eps."""
    process, errors = processes.MeanReverting(eps=0.01), []
    for n in (100, 1000, 10_000):
        angle = (np.arange(n + 3) / (n + 2) + 0.008) / 1.008 * math.pi / 2
        theta = 1 - (np.cos(angle) / np.cos(angle[0]))[1:-1] ** 2
        total = np.cumsum(theta) / np.sum(theta) * -math.log(0.01)
        ours = -np.log(process.alpha((np.arange(n + 1) + 1) / (n + 1)))
        errors.append(np.abs(total - ours).max())
    assert errors[0] < 0.1 and errors[1] < errors[0] / 8 and errors[2] < errors[1] / 8


@pytest.mark.parametrize("process", [processes.MeanReverting(), processes.MeanReverting(rate=2.0)])
def test_mean_reversion_starts_from_its_stationary_law(process):
    """μ + std ξ; the law at t = 1 is off by α(1) (x_0 - μ) in the mean, and by 1 - α² in the variance."""
    mu, std = torch.full((200_000, 1), 0.7).double(), process.schedule.std
    start = process.reference(mu, anchor=mu, generator=Noise(0))
    assert start.mean().item() == pytest.approx(0.7, abs=5 * std / math.sqrt(200_000))
    assert start.std().item() == pytest.approx(std, rel=0.01)
    alpha, beta, gamma = process.schedule.values(1.0)
    x0 = 0.2
    assert (alpha * x0 + beta * 0.7) - 0.7 == pytest.approx(alpha * (x0 - 0.7))
    assert gamma**2 == pytest.approx(std**2 * (1 - alpha**2))
    assert process.alpha(1.0) == pytest.approx(0.005 if process.t_min == 0.01 else math.exp(-2))


@pytest.mark.parametrize("t", [0.1, 0.5, 1.0])
def test_the_variance_of_ouve_is_its_noise_damped_and_summed(t):
    """γ² = ∫_0^t e^{-2θ(t-s)} g(s)² ds with g = σ_min (σ_max/σ_min)^s √(2 log(σ_max/σ_min))."""
    process, rise = processes.OUVE(1.5, 0.05, 0.5), math.log(10)
    expected, _ = quad(lambda s: math.exp(-3 * (t - s)) * 2 * rise * (0.05 * 10**s) ** 2, 0, t, epsabs=1e-14)
    assert process.gamma(t) ** 2 == pytest.approx(expected, rel=1e-10)
    assert process.volatility(t) == pytest.approx(0.05 * 10**t * math.sqrt(2 * rise), rel=1e-10)


def test_ouve_without_pull_is_ve():
    ouve, ve = processes.OUVE(1e-10, 0.05, 0.5), processes.VE(0.05, 0.5)
    for t in INSIDE:
        assert ouve.schedule.values(t) == pytest.approx(ve.schedule.values(t), rel=1e-8, abs=1e-8)


def test_ouve_starts_at_the_anchor():
    """N(x_1, γ(1)²), although e^{-θ} of x_0 is left at t = 1."""
    process, end = processes.OUVE(), torch.full((200_000, 1), 0.7).double()
    start = process.reference(end, anchor=end, generator=Noise(0))
    assert start.mean().item() == pytest.approx(0.7, abs=5 * process.gamma(1.0) / math.sqrt(200_000))
    assert start.std().item() == pytest.approx(process.gamma(1.0), rel=0.01)
    assert process.alpha(1.0) == pytest.approx(math.exp(-1.5))


def test_data_at_the_anchor_stay_there_in_the_mean():
    process = processes.MeanReverting()
    for t in INSIDE:
        assert process.alpha(t) + process.beta(t) == pytest.approx(1.0)


@pytest.mark.parametrize("path, latent", product(("linear", "trigonometric"), ("brownian", "sine-squared")))
def test_two_sided_ends(path, latent):
    schedule = processes.StochasticInterpolant(path, latent, 0.5).schedule
    assert schedule.values(0.0) == pytest.approx((1, 0, 0), abs=1e-12)
    assert schedule.values(1.0) == pytest.approx((0, 1, 0), abs=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: processes.Interpolant(schedules.Straight(), t_min=0.0),
        lambda: processes.Interpolant(schedules.Straight(), end="marginal"),
        lambda: processes.Interpolant(schedules.PinnedBrownian(), end="noise"),
        lambda: processes.Interpolant.from_config({"schedule": "os.system"}),
        lambda: processes.Interpolant.from_config({"schedule": "LinearVP", "gamma": 1.0}),
        lambda: processes.Interpolant.from_config({"schedule": "LinearVP", "beta_min": math.nan}),
        lambda: processes.Interpolant.from_config({"schedule": "LinearVP", "beta_min": "0.1"}),
    ],
)
def test_bad_parameters_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_wrong_name_offers_the_nearest():
    with pytest.raises(InputError, match="Did you mean linear"):
        processes.StochasticInterpolant("lineal")


def test_two_sided_processes_have_no_time_for_a_log_snr():
    with pytest.raises(Unsuitable, match="uniform"):
        processes.StochasticInterpolant().time_at(0.0)


@pytest.mark.parametrize("process", EVERY.values(), ids=EVERY)
def test_configuration_round_trip(process):
    import json

    copy = processes.Interpolant.from_config(json.loads(json.dumps(process.to_config())))
    assert copy == process and hash(copy) == hash(process)
