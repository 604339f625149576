"""Laws of times: their distributions, their limits, and what even spreading gains."""

import math

import pytest
import torch
from oracles import ALPHA, ANCHORED, ONE_SIDED, PROCESSES, TWO_SIDED, seeded
from scipy import stats

from girsanov import processes
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise, as_source
from girsanov.objectives import TIMES
from girsanov.objectives.times import draw_times, limits, log_normal, logistic, uniforms
from girsanov.objectives.weightings import likelihood as likelihood_weight

ONE_END = {**ONE_SIDED, **ANCHORED}
U = uniforms(50_000, as_source(Noise(0)), False)


def ks(values, law):
    return stats.kstest(values.numpy(), law.cdf).pvalue


def log_noise(process, t):
    return -torch.as_tensor(process.log_snr(t))


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_uniform_and_logit_normal_are_laws_of_t(process):
    first, last = limits(process)
    assert ks(TIMES["uniform"](U, process, 0.5), stats.uniform(first, last - first)) > ALPHA
    low, high = (math.log(t / (1 - t)) if t < 1 else math.inf for t in (first, last))
    t = TIMES["logit-normal"](U, process, 0.5)
    assert ks(torch.logit(t), stats.truncnorm(low, high)) > ALPHA
    assert ks(torch.logit(t), stats.truncnorm(low, high, loc=0.1)) < ALPHA


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("s", [0.5, 2.0])
def test_log_normal_is_that_of_edm_moved_to_the_scale_of_the_data(process, s):
    first, last = (float(log_noise(process, t)) for t in limits(process))
    mean = -1.2 + math.log(s / 0.5)
    expected = stats.truncnorm((first - mean) / 1.2, (last - mean) / 1.2, loc=mean, scale=1.2)
    assert ks(log_noise(process, TIMES["log-normal"](U, process, s)), expected) > ALPHA


def test_logistic_is_uniform_on_rectified_flow_and_the_same_law_on_every_process():
    flow = processes.RectifiedFlow()
    first, last = limits(flow)
    assert ks(logistic(U, flow, 1.0, mean=0.0), stats.uniform(first, last - first)) > ALPHA
    for process in ONE_END.values():
        first, last = (float(log_noise(process, t)) for t in limits(process))
        centre = math.log(0.5) - 0.5
        a, b = (1 / (1 + math.exp(centre - y)) for y in (first, last))
        shares = (torch.sigmoid(log_noise(process, TIMES["logistic"](U, process, 0.5)) - centre) - a) / (
            b - a
        )
        assert ks(shares, stats.uniform()) > ALPHA


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
def test_the_likelihood_law_is_importance_sampling_of_the_likelihood_weight(process):
    """E[w f]/E[w] over uniform t equals E[f] over the law, for two functions f of the noise level."""
    t = TIMES["likelihood"](U, process, 0.5)
    y = torch.linspace(*(float(log_noise(process, t)) for t in limits(process)), 20_001).double()
    grid = process.time_at(-y)
    weight = likelihood_weight(grid, process, 0.5)
    for f in (torch.tanh, torch.sin):
        values = f(log_noise(process, t))
        whole = torch.trapezoid(weight, grid), torch.trapezoid(weight * f(log_noise(process, grid)), grid)
        spread = values.std().item() / len(t) ** 0.5
        assert abs(values.mean().item() - (whole[1] / whole[0]).item()) < 5 * spread + 1e-3


@pytest.mark.parametrize("name", TIMES)
def test_times_stay_within_the_limits_of_the_process(name):
    edges = torch.tensor([0.0, 1e-12, 0.5, 1 - 1e-16], dtype=torch.float64)
    for process in ONE_END.values():
        first, last = limits(process)
        t = TIMES[name](edges, process, 0.5).clamp(first, last)
        assert torch.isfinite(t).all() and (t.diff().abs() >= 0).all()
        drawn = draw_times(TIMES[name], process, 0.5, torch.zeros(500, 1), as_source(Noise(0)))
        assert drawn.dtype == torch.float32 and drawn.min() >= first * (1 - 1e-6) and drawn.max() <= last
        assert torch.isfinite(process.log_snr(drawn)).all()


def test_limits_keep_away_from_ends_without_noise_or_data():
    assert limits(processes.VP()) == (1e-3, 1.0)
    assert limits(processes.BrownianBridge()) == (1e-3, 1 - 1e-3)
    flow = processes.RectifiedFlow()
    assert 1 - 1e-5 < limits(flow)[1] < 1 and flow.alpha(torch.tensor(limits(flow)[1])) > 0


@pytest.mark.parametrize("generator", [Noise(3), Noise(3, first=100), seeded(3)])
def test_even_times_are_uniform_and_fill_the_interval(generator):
    source = as_source(generator)
    u = uniforms(64, source, True)
    gaps = torch.cat([u, torch.tensor([0.0, 1.0])]).sort().values.diff()
    assert gaps.max() < 3 / 64  # the three-distance theorem; independent draws leave gaps of log(64)/64
    firsts = torch.stack([uniforms(3, as_source(Noise(i)), True)[2] for i in range(2000)])
    assert ks(firsts, stats.uniform()) > ALPHA


def test_even_times_belong_to_the_sample_and_not_to_the_batch():
    whole = uniforms(150, as_source(Noise(5)), True)
    for cut in (1, 64, 149):
        parts = uniforms(cut, as_source(Noise(5)), True), uniforms(150 - cut, as_source(Noise(5, cut)), True)
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-12)


def test_even_times_cut_the_variance_of_a_mean():
    for f in (torch.sin, lambda u: u**2, torch.exp):
        even, free = (
            torch.stack([f(uniforms(64, as_source(Noise(i)), kind)).mean() for i in range(300)]).var()
            for kind in (True, False)
        )
        assert even < free / 20


@pytest.mark.parametrize("name", ["log-normal", "logistic", "likelihood"])
def test_two_random_ends_have_no_noise_level(name):
    for process in TWO_SIDED.values():
        with pytest.raises(Unsuitable, match="times='uniform'"):
            TIMES[name](U[:4], process, 0.5)


def test_a_law_outside_the_process_is_refused():
    for law in (log_normal, logistic):
        with pytest.raises(InputError, match="no mass"):
            law(U[:4], processes.OrnsteinUhlenbeck(), 0.5, mean=60.0)
