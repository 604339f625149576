"""The closed Gaussian flow against the adaptive solver, and against itself."""

import pytest
import torch
from oracles import ONE_SIDED, seeded

from girsanov import exact, processes, sample, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.solvers import GaussianFlow, flow, grid

DOUBLE = torch.float64
MEAN = torch.tensor([[0.3, -1.0], [0.5, 2.0]], dtype=DOUBLE)
ROOT = torch.randn(4, 4, generator=seeded(3), dtype=DOUBLE)
COVARIANCE = ROOT @ ROOT.T / 4
PAIRS = [(1.0, 0.3), (0.7, 0.01), (0.2, 0.9)]


def gaussian_flow(process):
    return GaussianFlow(MEAN, COVARIANCE, process)


def noisy(process, t=1.0, n=6):
    return (process.alpha(t) ** 2 + process.gamma(t) ** 2) ** 0.5 * torch.randn(
        n, 2, 2, generator=seeded(0), dtype=DOUBLE
    )


@pytest.mark.parametrize("process", [processes.VP(), processes.VE(sigma_max=10.0), processes.RectifiedFlow()])
@pytest.mark.parametrize("start, stop", PAIRS)
def test_it_is_the_flow_of_the_exact_denoiser(process, start, stop):
    model = exact.Gaussian(MEAN, COVARIANCE).denoiser(process)
    start = min(start, 1 - 1e-9) if process.alpha(start) == 0 else start
    x = noisy(process, start)
    found = flow(model, x, start, stop, tolerance=1e-11).x
    expected = gaussian_flow(process).solution(x, stop, start=start)
    assert (found - expected).abs().max() < 1e-8 * x.abs().max()


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_mean_and_covariance_are_carried_to_those_of_the_data(process):
    analytic, law = gaussian_flow(process), exact.Gaussian(MEAN, COVARIANCE)
    before = law.marginal(process, 1.0)
    assert torch.allclose(analytic.solution(before.mean[None], 0.0)[0], MEAN, atol=1e-12)
    basis = torch.eye(4, dtype=DOUBLE).reshape(4, 2, 2)
    origin = analytic.solution(torch.zeros(1, 2, 2, dtype=DOUBLE), 0.0)
    matrix = (analytic.solution(basis, 0.0) - origin).flatten(1)  # rows: the images of the basis
    assert torch.allclose(matrix.T @ before.covariance @ matrix, COVARIANCE, atol=1e-10)


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_two_pieces_are_the_whole(process):
    analytic, x = gaussian_flow(process), noisy(process)
    halfway = analytic.solution(x, 0.4)
    assert torch.allclose(analytic.solution(halfway, 0.1, start=0.4), analytic.solution(x, 0.1), atol=1e-10)
    both = analytic.factors(1.0, 0.4) * analytic.factors(0.4, 0.1)
    assert torch.allclose(both, analytic.factors(1.0, 0.1), rtol=1e-12)


def test_the_comparison_can_fail():
    process = processes.VP()
    wrong = GaussianFlow(MEAN, 1.01 * COVARIANCE, process)
    x = noisy(process)
    assert (wrong.solution(x, 0.0) - gaussian_flow(process).solution(x, 0.0)).abs().max() > 1e-3


def test_axes_come_by_decreasing_variance():
    analytic = gaussian_flow(processes.VP())
    assert (analytic.variances.diff() <= 0).all()
    rows = analytic.axes.flatten(1)
    assert torch.allclose(rows @ COVARIANCE @ rows.T, analytic.variances.diag(), atol=1e-12)


def test_a_direction_without_variance_shrinks_with_the_noise():
    process = processes.VP()
    flat = GaussianFlow(torch.zeros(2), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), process)
    assert flat.factors(1.0, 0.3)[1] == pytest.approx(process.gamma(0.3) / process.gamma(1.0))
    assert flat.factors(1.0, 0.0)[1] == 0


def test_samples_give_their_own_mean_and_covariance():
    x = torch.randn(50, 3, generator=seeded(1), dtype=DOUBLE) * torch.tensor([1.0, 2.0, 0.5])
    found = GaussianFlow.of(x, processes.VP())
    assert torch.allclose(found.law.mean, x.mean(0))
    assert torch.allclose(found.law.covariance, torch.cov(x.T))
    assert found.solution(x.float(), 0.5).dtype == torch.float32
    assert GaussianFlow.of(x[:, :1], processes.VP()).variances.shape == (1,)


@pytest.mark.parametrize("process", [processes.VP(), processes.RectifiedFlow()])
def test_on_gaussian_data_skipping_costs_nothing_and_saves_calls(process):
    model, analytic = exact.Gaussian(MEAN, COVARIANCE).denoiser(process), gaussian_flow(process)
    whole = solvers.dpm_singlestep(process, grid("log-snr", 300))
    rest = solvers.dpm_singlestep(process, grid("log-snr", 150, start=0.5))
    skipped = analytic.skip_to(rest)
    a, b = (sample(model, 32, plan=plan, seed=0) for plan in (whole, skipped))
    assert skipped.calls == rest.calls < whole.calls
    assert (a - b).abs().max() < 5e-4


@pytest.mark.parametrize("t", [-0.1, 1.1, float("nan")])
def test_times_outside_are_refused(t):
    with pytest.raises(InputError, match=r"within \[0, 1\]"):
        gaussian_flow(processes.VP()).solution(noisy(processes.VP()), t)
    with pytest.raises(InputError, match=r"starts in \(0, 1\]"):
        gaussian_flow(processes.VP()).solution(noisy(processes.VP()), 0.5, start=min(t, 0.0) if t < 1 else t)


def test_bad_input_is_refused():
    vp = processes.VP()
    with pytest.raises(InputError, match="positive semi-definite"):
        GaussianFlow(torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]), vp)
    with pytest.raises(InputError, match="N at least 2"):
        GaussianFlow.of(torch.zeros(1, 3), vp)
    with pytest.raises(InputError, match="NaN"):
        GaussianFlow.of(torch.full((3, 3), float("nan")), vp)
    with pytest.raises(Unsuitable, match="one-sided"):
        GaussianFlow(torch.zeros(2), 1.0, processes.BrownianBridge())
    with pytest.raises(InputError, match="give \\(B, \\*shape\\)"):
        gaussian_flow(vp).solution(torch.zeros(3, 4), 0.5)
    with pytest.raises(InputError, match="start it below 1"):
        gaussian_flow(vp).skip_to(solvers.ddim(vp, grid("uniform", 5)))
    with pytest.raises(Unsuitable, match="the plan is for"):
        gaussian_flow(vp).skip_to(solvers.ddim(processes.VE(), grid("uniform", 5, start=0.5)))
