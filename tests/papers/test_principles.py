"""The identities that the paper on principles measures, one by one, against closed forms."""

import torch

from girsanov import processes
from girsanov.noise import Noise
from girsanov.objectives import implicit_score_matching
from girsanov.papers.processes import principles

DOUBLE = torch.float64
VP, RF = processes.VP(), processes.RectifiedFlow()


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
