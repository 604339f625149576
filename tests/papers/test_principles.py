"""The identities that the paper on principles measures, one by one, against closed forms."""

from itertools import pairwise

import pytest
import torch

from girsanov import exact, processes, solvers
from girsanov.noise import Noise
from girsanov.objectives import implicit_score_matching
from girsanov.papers.processes import principles
from girsanov.solvers import grid, run

DOUBLE = torch.float64
VP, RF = processes.VP(), processes.RectifiedFlow()


def equal_log_snr(process, steps=30, first=-4.0, last=5.0):
    return tuple(process.time_at(first + (last - first) * i / steps) for i in range(steps + 1))


def test_the_bound_depends_on_the_schedule_through_its_log_snr_only():
    law = principles.mixture(0)
    x0 = law.sample(200, generator=Noise(1))
    inner = []
    for process in (VP, RF):  # the prior term alone sees the scale of the state
        bound = principles.elbo(law.denoiser(process), x0, equal_log_snr(process), Noise(2))
        alpha, variance = (f(equal_log_snr(process)[0]) for f in (process.alpha, process.gamma))
        prior = (alpha**2 * x0.square().sum(1) + 2 * (variance**2 - 1 - 2 * torch.tensor(variance).log())) / 2
        inner.append(bound + prior)
    assert torch.allclose(*inner, atol=1e-8)


def test_on_gaussian_data_the_bound_closes():
    law = exact.Gaussian(torch.zeros(2), 1.0)
    x0 = law.sample(4000, generator=Noise(0))
    gaps = []
    for steps in (32, 128, 512):
        times = grid("log-snr", steps, to_zero=False).times(VP)
        bound = principles.elbo(law.denoiser(VP), x0, times, Noise(1))
        gaps.append(float((law.log_prob(x0) - bound).mean()))
    assert all(a > 3 * b > 0 for a, b in pairwise(gaps))  # a quarter each time, but for what is drawn


@pytest.mark.parametrize("process", [VP, RF], ids=["VP", "RF"])
def test_dpm_solver_3_integrates_constant_noise_exactly(process):
    start, stop = 0.8, 0.1
    plan = principles.dpm_solver_3(process, (start, 0.4, stop))

    class Constant(solvers.plan.AbstractDenoiser):
        stored = ("noise",)

        def __init__(self):
            super().__init__()
            self.process = process

        def forward(self, x, t, *, cond=None, anchor=None):
            return (torch.ones_like(x),)

    x = torch.tensor([[0.3, -2.0]], dtype=DOUBLE)
    rho = [process.gamma(t) / process.alpha(t) for t in (start, stop)]
    expected = process.alpha(stop) * (x / process.alpha(start) + rho[1] - rho[0])
    assert torch.allclose(run(plan, Constant(), x), expected, atol=1e-12)
    assert plan.calls == 6


def test_tweedie_of_first_and_second_order():
    """E[x_0 | x_t] from the score, and Cov[x_0 | x_t] = (γ²/α)(∂E[x_0 | x_t]/∂x_t)."""
    law, t = principles.mixture(1), 0.3
    model, alpha, gamma = law.denoiser(VP), VP.alpha(0.3), VP.gamma(0.3)
    x = torch.tensor([[0.4, -0.2]], dtype=DOUBLE)
    assert torch.allclose(model.data(x, t), (x + gamma**2 * model.score(x, t)) / alpha, atol=1e-10)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.data(y, t), x)[0, :, 0]
    posterior = law.posterior(alpha * torch.eye(2, dtype=DOUBLE), x[0], noise=gamma)
    assert torch.allclose(gamma**2 / alpha * jacobian, posterior.covariance, atol=1e-8)


def test_implicit_and_denoising_score_matching_share_their_minimizer():
    """Among the scores -a x of N(0, 1) data, both losses are least at the score of x_t."""
    t = 0.5
    variance = VP.alpha(t) ** 2 + VP.gamma(t) ** 2
    x0 = Noise(3).draw(torch.empty(40_000, 1, dtype=DOUBLE), 0)
    x_t, z = VP.perturb(x0, t, generator=Noise(4))
    slopes = torch.linspace(0.8, 1.2, 41, dtype=DOUBLE)
    implicit = [implicit_score_matching()(lambda y, a=a: -a * y, x_t).mean() for a in slopes]
    denoising = [(-a * x_t + z / VP.gamma(t)).square().mean() for a in slopes]
    for losses in (implicit, denoising):
        assert abs(float(slopes[torch.stack(losses).argmin()]) - 1 / variance) < 0.03
