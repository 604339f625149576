"""The density of a chain on the line, and the law of a two-sided process."""

import math

import pytest
import torch
from oracles import TWO_SIDED

from girsanov import exact, processes
from girsanov.errors import InputError
from girsanov.exact import kullback_leibler, push_density
from girsanov.noise import Noise

LINE = torch.linspace(-5, 5, 401, dtype=torch.float64)
LAW = exact.GaussianMixture(torch.tensor([[-1.5], [0.5]]), torch.tensor([0.1, 0.3]), [0.4, 0.6])
NORMAL = exact.Gaussian(torch.zeros(1), 1.0)


def normal(mean, variance):
    return exact.Gaussian(torch.tensor([mean], dtype=torch.float64), variance).log_prob(LINE[:, None]).exp()


def test_a_step_moves_and_spreads():
    moved = push_density(normal(0.0, 0.1), LINE, 0.5 * LINE + 0.3, 0.05)
    torch.testing.assert_close(moved, normal(0.3, 0.1 * 0.25 + 0.05), atol=1e-8, rtol=0)
    assert not torch.allclose(moved, normal(0.3, 0.1 * 0.5 + 0.05), atol=1e-3)


def test_mass_is_kept_at_the_end_of_the_grid():
    moved = push_density(normal(4.0, 0.2), LINE, LINE + 0.5, 0.05)
    assert float(moved.sum() * (LINE[1] - LINE[0])) == pytest.approx(
        float(normal(4.0, 0.2).sum() * (LINE[1] - LINE[0])), abs=1e-9
    )


def test_noise_that_the_grid_cannot_carry_is_refused():
    with pytest.raises(InputError, match="spacing"):
        push_density(normal(0.0, 0.1), LINE, LINE, 1e-5)


def test_the_divergence_of_two_gaussians():
    found = kullback_leibler(normal(0.2, 0.3), normal(-0.1, 0.5), LINE)
    assert float(found) == pytest.approx((0.3 / 0.5 + 0.09 / 0.5 - 1 + math.log(0.5 / 0.3)) / 2, abs=1e-9)


@pytest.mark.parametrize("name", TWO_SIDED)
def test_the_marginal_is_the_law_of_the_samples(name):
    process, t, n = TWO_SIDED[name], 0.4, 100_000
    ends = LAW.sample(n, generator=Noise(0)), NORMAL.sample(n, generator=Noise(1))
    x, _ = process.perturb(ends[0], t, end=ends[1], generator=Noise(2))
    law = exact.MixtureInterpolant(LAW, NORMAL, process).marginal(t)
    rho = law.log_prob(LINE[:, None]).exp()
    dx = float(LINE[1] - LINE[0])
    assert float(rho.sum() * dx) == pytest.approx(1, abs=1e-6)
    for power in (1, 2, 3):
        values = x[:, 0] ** power
        moment = float((rho * LINE**power).sum() * dx)
        assert abs(float(values.mean()) - moment) < 5 * float(values.std()) / math.sqrt(n)


def test_the_score_between_two_laws_is_the_gradient_of_the_log_density():
    model = exact.MixtureInterpolant(LAW, NORMAL, processes.StochasticInterpolant())
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(model.marginal(0.3).log_prob(x).sum(), x)
    torch.testing.assert_close(model.score(x.detach(), 0.3), gradient, rtol=1e-8, atol=1e-8)
