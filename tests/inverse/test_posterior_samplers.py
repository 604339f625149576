"""Posterior samplers on Gaussian data with the exact denoiser, where the posterior and its score are known."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import ExactDenoiser, Gaussian, GaussianMixture
from girsanov.inverse import (
    DDNM,
    DDRM,
    DPS,
    PSLD,
    SMC,
    STSL,
    BlockDownsampling,
    CircularBlur,
    ClippedRange,
    DenseOperator,
    DiffPIR,
    Inpainting,
    LatentOperator,
    Measurement,
    PiGDM,
    PoissonNoise,
    REDDiff,
    RePaint,
    posterior,
)
from girsanov.inverse.guided import towards
from girsanov.inverse.steps import levels, pulled, spans, step
from girsanov.noise import Noise
from girsanov.processes import EDM, VP, RectifiedFlow
from girsanov.solvers.grids import Grid

EYE = torch.eye(2, dtype=torch.float64)
A = DenseOperator(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]))
PROCESSES = {"VP": VP(), "EDM": EDM(sigma_max=40.0), "flow": RectifiedFlow()}
SAMPLERS = {
    "DPS": DPS(steps=10),
    "PiGDM": PiGDM(steps=10),
    "DDRM": DDRM(steps=10),
    "DiffPIR": DiffPIR(steps=10),
    "DDNM": DDNM(steps=10),
    "RePaint": RePaint(steps=10),
    "REDDiff": REDDiff(steps=10),
    "SMC": SMC(steps=10),
    "STSL": STSL(steps=10, repeats=3),
    "PSLD": PSLD(steps=10),
}
LATENT = {"PSLD": LatentOperator(torch.nn.Identity(), A, (3,), encoder=torch.nn.Identity())}
"""What A is to samplers that need a decoder."""


class Counted(ExactDenoiser):
    """Counts its calls, and sees that no graph reaches from one step into the next, where memory would grow.

    A sum with a leaf is allowed: the state of this very step, moved.
    """

    count = 0

    def predict(self, word, x, t, **kwargs):
        before = () if x.grad_fn is None else (f for f, _ in x.grad_fn.next_functions if f is not None)
        assert all(type(f).__name__ == "AccumulateGrad" for f in before)
        Counted.count += 1
        return super().predict(word, x, t, **kwargs)


def draw(*shape, seed=0):
    return Noise(seed).draw(torch.empty(*shape, dtype=torch.float64), 0)


def identity(n):
    return DenseOperator(torch.eye(n, dtype=torch.float64))


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize(("eta", "error"), [(0.0, 0.03), (1.0, 0.03), (1.5, 0.06)])
def test_steps_keep_the_law_of_a_gaussian(name, eta, error):
    process, law = PROCESSES[name], Gaussian(torch.zeros(1), 0.25)
    model, x = law.denoiser(process), draw(20_000, 1, seed=3)
    times = levels(process, 200)
    x = x * math.sqrt(0.25 * process.alpha(times[0]) ** 2 + process.gamma(times[0]) ** 2)
    source = Noise(1)
    for i, (t, s) in spans(times):
        x = step(process, x, model.data(x, t), (t, s), eta, (source, i))
    assert float(x.std()) == pytest.approx(0.5, rel=error)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("std", [0.3, 0.0])
def test_the_guidance_of_pigdm_is_exact_for_standard_normal_data(name, std):
    """y = A x + σ z, x_t = α x + γ e, x ~ N(0, 1): everything is jointly Gaussian."""
    process, model = PROCESSES[name], Gaussian(torch.zeros(3), 1.0).denoiser(PROCESSES[name])
    x, y, t = draw(4, 3), draw(4, 2, seed=1), 0.6
    alpha, gamma = process.alpha(t), process.gamma(t)
    total = alpha**2 + gamma**2
    r2 = gamma**2 / total
    _, found = pulled(model, x, t, None, lambda d: towards(A, y, d, r2=r2, std=std))
    # y | x_t ~ N(A x α/(α²+γ²), r² A Aᵀ + σ²)
    matrix = A.matrix
    gain = torch.linalg.inv(r2 * matrix @ matrix.T + std**2 * EYE)
    wanted = (alpha / total) * (y - (alpha / total) * x @ matrix.T) @ gain @ matrix
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PROCESSES)
def test_pigdm_draws_from_the_posterior_of_standard_normal_data(name):
    m = Measurement(A, draw(1, 2, seed=5), 0.5)
    law = Gaussian(torch.zeros(3), 1.0)
    exact = law.posterior(A.forward, m.y[0], noise=0.5)
    x = (
        posterior(law.denoiser(PROCESSES[name]), m, 8000, sampler=PiGDM(steps=150), batch_size=8000, seed=0)
        .x[0]
        .double()
    )
    torch.testing.assert_close(x.mean(0), exact.means[0], atol=0.04, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariances[0], atol=0.05, rtol=0)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("eta", [0.0, 0.85])
def test_ddrm_of_a_denoising_problem_follows_its_recursion(name, eta):
    """x ~ N(0, 1) and A = 1: v̂ = v/(1 + κ²), so that mean and variance of v follow from each other."""
    process, std, y = PROCESSES[name], 0.5, 0.8
    m = Measurement(identity(1), torch.tensor([[y]], dtype=torch.float64), std)
    sampler, model = DDRM(steps=40, eta=eta), Gaussian(torch.zeros(1), 1.0).denoiser(process)
    x = posterior(model, m, 20_000, sampler=sampler, batch_size=20_000, seed=0).x
    kappas = [process.gamma(t) / process.alpha(t) for t in levels(process, 40)]
    mean, variance = y, kappas[0] ** 2 - std**2
    for before, after in pairwise(kappas):
        keep = 1 / (1 + before**2)
        if after >= std:
            mean, variance = y, after**2 - std**2
        else:
            pull = math.sqrt(1 - eta**2) * after / std
            mean = (1 - pull) * keep * mean + pull * y
            variance = ((1 - pull) * keep) ** 2 * variance + (eta * after) ** 2
    assert float(x.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / 20_000) + 1e-5)
    assert float(x.var()) == pytest.approx(variance, rel=0.05, abs=1e-8)


def test_without_noise_the_measurement_is_met():
    model = Gaussian(torch.zeros(1, 8, 8), 1.0).denoiser(VP())
    mask = torch.ones(1, 8, 8)
    mask[..., :4] = 0
    for operator in (Inpainting(mask), BlockDownsampling((1, 8, 8), 2)):
        m = Measurement.of(operator, draw(2, 1, 8, 8))
        for sampler in (DDNM(steps=10), DDRM(steps=10), RePaint(steps=10)):
            x = posterior(model, m.to(torch.empty(0)), 2, sampler=sampler, seed=0).x
            left = m.to(x).repeat(2).residual(x.flatten(0, 1))
            assert float(left.abs().max()) < 1e-4, (type(sampler).__name__, type(operator).__name__)


@pytest.mark.parametrize(
    "sampler", [DPS(steps=12, scale=0.0), PiGDM(steps=12, scale=0.0)], ids=["DPS", "PiGDM"]
)
def test_without_guidance_it_is_the_plain_sampler_bit_for_bit(sampler):
    law, process = GaussianMixture(torch.tensor([[-1.0, 0, 0], [1, 1, 1]]), 0.1), VP()
    model, x = law.denoiser(process), draw(5, 3).float()
    found = sampler(model, x, Measurement(A, torch.zeros(5, 2), 0.1), generator=Noise(4))
    times = levels(process, 12)
    own = x * (math.hypot(process.alpha(times[0]), process.gamma(times[0])) / process.reference_std)
    for i, (t, s) in spans(times):
        own = step(process, own, model.data(own, t), (t, s), 1.0, (Noise(4).child(1), i))
    assert torch.equal(found, own)


def test_red_diff_rests_where_its_expected_gradient_vanishes():
    """One level, Gaussian data N(m, c): E[ẑ - z] is linear in μ, and so is the misfit."""
    process, t, weight = VP(), 0.4, 0.7
    alpha, gamma = process.alpha(t), process.gamma(t)
    m0, c, y = torch.tensor([0.5, -0.5, 0.2]).double(), 0.3, draw(1, 2, seed=2)
    total = alpha**2 * c + gamma**2
    # ẑ = (x_t - α x̂_0)/γ = γ (x_t - α m)/total, E z = 0: E[ẑ - z] = γ α (μ - m)/total
    slope = weight * (gamma / alpha) * gamma * alpha / total / 3
    matrix = A.matrix
    wanted = torch.linalg.solve(
        matrix.T @ matrix / 2 + slope * torch.eye(3), matrix.T @ y[0] / 2 + slope * m0
    )
    sampler = REDDiff(weight=weight, lr=0.02, grid=[t - 1e-9 * i for i in range(1200)])
    model = Gaussian(m0, c).denoiser(process)
    found = sampler(
        model, torch.zeros(64, 3).double(), Measurement(A, y.repeat(64, 1), 0.1), generator=Noise(0)
    )
    error = 5 * found.std(0) / 8 + 5e-3
    assert ((found.mean(0) - wanted).abs() < error).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_spends_the_calls_it_states(name):
    Counted.count = 0
    model = Counted(Gaussian(torch.zeros(3), 1.0), VP())
    sampler = SAMPLERS[name]
    m = Measurement(LATENT.get(name, A), torch.ones(2, 2), 0.2)
    found = posterior(model, m, 3, sampler=sampler, seed=0)
    assert Counted.count == sampler.calls == found.calls
    assert found.x.shape == (2, 3, 3) and found.x.isfinite().all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_follow_from_the_seed_whatever_the_batch(name):
    model = Gaussian(torch.zeros(3), 1.0).denoiser(VP())
    m = Measurement(LATENT.get(name, A), draw(3, 2), 0.2)
    whole = posterior(model, m, 4, sampler=SAMPLERS[name], seed=1).x
    parts = posterior(model, m, 4, sampler=SAMPLERS[name], seed=1, batch_size=4).x
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_grid_of_ones_own_counts_its_steps(name):
    model = Counted(Gaussian(torch.zeros(3), 1.0), VP())
    m = Measurement(LATENT.get(name, A), torch.ones(1, 2), 0.2)
    for grid in (Grid("uniform", 4), [0.9, 0.6, 0.3, 0.1, 0.0]):
        Counted.count = 0
        sampler = replace(SAMPLERS[name], grid=grid)
        found = posterior(model, m, 2, sampler=sampler, seed=0)
        assert Counted.count == sampler.calls == found.calls >= 4


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_grid_without_signal_or_end_is_refused(name):
    m = Measurement(LATENT.get(name, A), torch.ones(1, 2), 0.2)
    with pytest.raises(InputError, match="start the grid below"):
        model = Gaussian(torch.zeros(3), 1.0).denoiser(RectifiedFlow())
        posterior(model, m, 2, sampler=replace(SAMPLERS[name], grid=Grid("uniform", 4)))
    if name != "REDDiff":  # which optimizes, and has no last step
        model, open_ended = Gaussian(torch.zeros(3), 1.0).denoiser(VP()), Grid("uniform", 4, to_zero=False)
        with pytest.raises(InputError, match="end with an answer"):
            posterior(model, m, 2, sampler=replace(SAMPLERS[name], grid=open_ended))


def test_red_diff_visits_the_levels_of_ddpm_on_every_process():
    for process in PROCESSES.values():
        found = [process.log_snr(t) for t in REDDiff(steps=5).times(process) if t < 1]
        assert found == pytest.approx([VP().log_snr(k / 5) for k in range(len(found), 0, -1)])
        assert len(found) >= 4


def test_repaint_visits_its_levels_in_order():
    assert RePaint(jump=2, repeats=2).route(4) == [0, 1, 2, 0, 1, 2, 3, 4]
    assert RePaint(jump=2, repeats=1).route(3) == [0, 1, 2, 3]


Y = torch.zeros(1, 2)
FIELD = (1, 4, 4)


@pytest.mark.parametrize(
    ("sampler", "m", "says"),
    [
        (DDRM(), Measurement(ClippedRange((3,)), torch.zeros(1, 3), 0.1), "inverse.dense"),
        (PiGDM(), Measurement(ClippedRange((3,)), torch.zeros(1, 3), 0.1), "Use DPS, REDDiff or SMC"),
        (DDNM(), Measurement(ClippedRange((3,)), torch.zeros(1, 3), 0.1), "Use DPS"),
        (DiffPIR(), Measurement(A, Y), "Use DDNM or PiGDM"),
        (SMC(), Measurement(A, Y), "small noise"),
        (SMC(), Measurement(A, Y, 0.1), "needs particles"),
        (DDRM(), Measurement(A, Y, PoissonNoise(10.0)), "DDRM takes the noise as normal"),
        (RePaint(), Measurement(ClippedRange((3,)), torch.zeros(1, 3), 0.1), "singular coordinates"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(sampler, m, says):
    with pytest.raises(Unsuitable, match=says):
        posterior(Gaussian(torch.zeros(3), 1.0).denoiser(VP()), m, sampler=sampler)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DPS(scale=-1.0),
        lambda: PiGDM(width=0.0),
        lambda: DDRM(eta=1.5),
        lambda: DiffPIR(zeta=2.0),
        lambda: DiffPIR(weight=0.0),
        lambda: RePaint(jump=0),
        lambda: REDDiff(lr=0.0),
        lambda: REDDiff(weighting="cubic"),
        lambda: SMC(eta=0.0),
        lambda: SMC(below=2.0),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises((InputError, UnknownName)):
        make()


def test_a_composition_without_decomposition_still_works():
    operator = BlockDownsampling(FIELD, 2) @ CircularBlur.gaussian(0.6, FIELD)
    model, m = (
        Gaussian(torch.zeros(FIELD), 1.0).denoiser(VP()),
        Measurement.of(operator, draw(1, *FIELD), 0.1),
    )
    for sampler in (
        DPS(steps=8),
        STSL(steps=8),
        PiGDM(steps=8),
        DiffPIR(steps=8),
        DDNM(steps=8),
        REDDiff(steps=8),
        SMC(steps=8),
    ):
        assert posterior(model, m, 3, sampler=sampler, seed=0).x.isfinite().all()
