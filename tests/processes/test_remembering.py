"""Diffusion with memories: its law against simulation, its score against autograd, its limits, its refusals."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from girsanov import exact, processes, sample, solvers
from girsanov.errors import InputError, Unsuitable

ROUGH = pytest.mark.filterwarnings("ignore:.*memories")


def fractional(hurst=0.7, factors=2, base="vp"):
    return processes.Fractional(hurst, factors, base=base)


@ROUGH
@pytest.mark.parametrize("base", ["vp", "ve"])
@pytest.mark.parametrize(("hurst", "factors"), [(0.3, 2), (0.9, 1), (0.7, 3)])
def test_paths_have_the_covariance_of_the_equation(base, hurst, factors):
    """Euler paths of the stochastic equation itself, 40,000 of them, against Σ_t."""
    schedule = fractional(hurst, factors, base).schedule
    steps, rng = 1000, np.random.default_rng(0)
    z = np.zeros((40_000, factors + 1))
    z[:, 1:] = 0.01 * rng.standard_normal((40_000, factors))
    for i in range(steps):
        t, h = (i + 0.5) / steps, 1 / steps
        mu, g = schedule.drift(t)
        dw = math.sqrt(h) * rng.standard_normal(len(z))
        dy = -schedule.memory_rates * z[:, 1:] * h + dw[:, None]
        z[:, 0] += mu * z[:, 0] * h + g * dy @ schedule.weights
        z[:, 1:] += dy
    found, wanted = np.cov(z.T), schedule.covariance(1.0)
    scale = np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert (np.abs(found - wanted) / scale).max() < 0.03


@pytest.mark.parametrize(("base", "same"), [("vp", processes.VP()), ("ve", processes.VE(0.01, 50.0))])
def test_the_variance_at_the_end_is_that_of_the_ordinary_process(base, same):
    for hurst in (0.5, 0.9):
        end = fractional(hurst, 2, base).schedule.covariance(1.0)[0, 0]
        assert end == pytest.approx(same.gamma(1.0) ** 2, rel=1e-9)
    assert processes.Fractional(0.5, 0, base=base).schedule == same.schedule


@pytest.mark.parametrize("t", [1e-5, 0.01, 0.3, 1.0])
def test_the_table_agrees_with_the_covariance_and_the_inverse_inverts(t):
    schedule = fractional().schedule
    full = schedule.covariance(t)
    sigma2 = full[0, 0] - full[0, 1:] @ schedule.regression(t)
    assert schedule.values(t)[2] ** 2 == pytest.approx(sigma2, rel=1e-6)
    h = 1e-5 * t
    slope = (schedule.values(t - h)[2] - schedule.values(t - 3 * h)[2]) / (2 * h)
    assert schedule.rates(t - 2 * h)[2] == pytest.approx(slope, rel=1e-4)
    assert schedule.time_at(schedule.log_snr(t)) == pytest.approx(t, rel=1e-9)
    tensor = torch.tensor([t, t / 2], dtype=torch.float64)
    assert schedule.values(tensor)[2][0].item() == pytest.approx(schedule.values(t)[2], rel=1e-12)


def test_the_score_of_the_state_is_the_gradient_of_the_joint_density():
    process, t, std = fractional(0.8, 2), 0.4, 0.6
    schedule = process.schedule
    joint = torch.from_numpy(schedule.covariance(t))
    joint[0, 0] += (process.alpha(t) * std) ** 2
    z = torch.tensor([0.3, -0.1, 0.2], dtype=torch.float64, requires_grad=True)
    (score,) = torch.autograd.grad(MultivariateNormal(torch.zeros(3).double(), joint).log_prob(z), z)
    law = exact.GaussianMixture(torch.zeros(1, 1), torch.full((1, 1, 1), std**2))
    state, memories = z.detach()[:1][None], z.detach()[1:][None, None]
    eta = torch.from_numpy(schedule.regression(t))
    noise = law.denoiser(process).noise(state - memories @ eta, t)
    by_x = -noise / process.gamma(t)
    full = torch.from_numpy(schedule.covariance(t))
    by_y = -eta * by_x[0, 0] - torch.linalg.solve(full[1:, 1:], memories[0, 0])
    torch.testing.assert_close(torch.cat([by_x[0], by_y]), score)
    _, g = schedule.drift(t)
    push = torch.tensor([g * schedule.weights.sum(), 1.0, 1.0], dtype=torch.float64)
    u = solvers.augmented(process, (1.0, 0.5))._push(noise, memories, t)
    torch.testing.assert_close(u[0, 0], push @ score)


@ROUGH
@pytest.mark.parametrize("hurst", [0.3, 0.7])
def test_gaussian_data_are_recovered(hurst):
    """By both samplers of the whole state, with an error that falls as 1/steps, and by an ordinary plan."""
    process, std = fractional(hurst), 0.6
    model = exact.GaussianMixture(torch.zeros(1, 1), torch.full((1, 1, 1), std**2)).denoiser(process)

    def ratio(plan):
        return sample(model, 20_000, plan=plan, seed=0).std().item() / std

    errors = [
        ratio(solvers.augmented(process, solvers.grid("uniform", steps))) - 1 for steps in (200, 400, 800)
    ]
    assert 0 < errors[2] < 0.6 * errors[1] < 0.36 * errors[0] and errors[2] < 0.05
    assert ratio(solvers.augmented(process, solvers.grid("uniform", 200), stochastic=True)) == pytest.approx(
        1, abs=0.04
    )
    assert ratio(solvers.recommended(process, 20)) == pytest.approx(1, abs=0.01)


def test_processes_without_memories_are_refused():
    with pytest.raises(Unsuitable, match="no memories"):
        solvers.augmented(processes.VP(), solvers.grid("uniform", 4))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [((0.0, 2), "hurst"), ((1.0, 2), "hurst"), ((0.7, -1), "factors"), ((0.7, 0), "factors=2")],
)
def test_bad_numbers_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        processes.Fractional(*arguments)
    with pytest.raises(InputError, match="fastest"):
        processes.Fractional(0.7, 2, fastest=1.0)


def test_a_coarse_approximation_is_warned_about():
    with pytest.warns(UserWarning, match="memories"):
        processes.Fractional(0.1, 3)
