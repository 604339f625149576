"""Samplers of geometric noise, in log space and in the coordinates of the data."""

import pytest
import torch
from oracles import ALPHA
from scipy import stats

from girsanov import processes, solvers
from girsanov.errors import Unsuitable
from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.solvers import grid, hyvarinen_score, multiplicative_langevin

GEOMETRIC = processes.Geometric()
MODEL = Gaussian(torch.tensor([0.2]), 0.25).denoiser(GEOMETRIC)


def start(n, seed=0):
    return GEOMETRIC.reference(torch.empty(n, 1, dtype=torch.float64), generator=Noise(seed))


def test_h_is_the_elasticity_of_the_density():
    """x ∂log p/∂x of a log-normal density, by automatic differentiation."""
    t, x = 0.7, torch.linspace(0.3, 3, 7, dtype=torch.float64)[:, None].requires_grad_()
    v = 0.25 + GEOMETRIC.gamma(t) ** 2
    log_p = -((x.log() - 0.2) ** 2) / (2 * v) - x.log()
    (slope,) = torch.autograd.grad(log_p.sum(), x)
    torch.testing.assert_close(hyvarinen_score(MODEL, x.detach(), t), (x * slope).detach())


def test_the_log_space_sampler_of_the_paper_is_reverse_diffusion():
    """x ← x ∘ exp[s²δ (1 + h) + s√δ z], written out."""
    times = (1.0, 0.7, 0.4)
    u = start(5)
    plan = solvers.reverse_diffusion(GEOMETRIC, times)
    x = u.exp()
    for i, (s, t) in enumerate(((1.0, 0.7), (0.7, 0.4))):
        gain = GEOMETRIC.gamma(s) ** 2 - GEOMETRIC.gamma(t) ** 2
        z = Noise(3).draw(x, i)
        x = x * (gain * (1 + hyvarinen_score(MODEL, x, s)) + gain**0.5 * z).exp()
    torch.testing.assert_close(plan(MODEL, u, generator=Noise(3)).exp(), x)


def test_many_ambient_steps_recover_log_normal_data():
    """From the exact marginal at t = 0.6, equal steps of γ²: the mean and variance of the log, five standard errors.

    Steps are 800, so that the bias of the scheme, of first order in Δ = 3e-4, is far below them.
    """
    n, top = 20_000, GEOMETRIC.gamma(0.6) ** 2
    times = [GEOMETRIC.time_at(-torch.tensor(top * (1 - i / 801)).log().item() / 2) for i in range(801)]
    u = 0.2 + (0.25 + top) ** 0.5 * Noise(1).draw(torch.empty(n, 1, dtype=torch.float64), 0)
    x = multiplicative_langevin(MODEL, u.exp(), times, generator=Noise(2))
    assert (x > 0).all()
    std = (0.25 + GEOMETRIC.gamma(times[-1]) ** 2) ** 0.5
    assert stats.kstest(((x.log() - 0.2) / std)[:, 0].numpy(), "norm").pvalue > ALPHA


def test_large_ambient_steps_leave_the_orthant_and_the_log_does_not():
    few = grid("uniform", 5)
    below = multiplicative_langevin(MODEL, start(500).exp(), few, generator=Noise(0))
    assert below.isfinite().all() and (below < 0).any()
    inside = solvers.reverse_diffusion(GEOMETRIC, few)(MODEL, start(500), generator=Noise(0)).exp()
    assert (inside > 0).all()


@pytest.mark.parametrize("process", [processes.VE(), processes.VP()])
def test_other_processes_are_refused(process):
    model = Gaussian(torch.tensor([0.2]), 0.25).denoiser(process)
    with pytest.raises(Unsuitable, match="geometric noise"):
        multiplicative_langevin(model, torch.ones(2, 1), grid("uniform", 3))
