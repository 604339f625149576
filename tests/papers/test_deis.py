"""The parts of the DEIS paper that the library's own tests do not cover."""

import pytest
import torch
from oracles import seeded

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.exact import Gaussian
from girsanov.papers.solvers import deis as paper
from girsanov.solvers import grid, run

VP = processes.VP()


class Known(AbstractDenoiser):
    """A model that answers with a word as a function of time."""

    def __init__(self, word, answer):
        super().__init__()
        self.process, self.stored, self.answer = VP, (word,), answer

    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, self.answer(t)),)


def exact(x, start, stop, answer, word):
    """The flow's solution for an answer that depends on time only, by fine quadrature."""
    fine = [start + (stop - start) * i / 300 for i in range(301)]
    return run(solvers.rho_rk(VP, fine, tableau="rk4"), Known(word, answer), x)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_polynomials_in_time_are_integrated_exactly(degree):
    times, x = (0.8, 0.79, 0.78, 0.77, 0.5, 0.2), torch.randn(3, 2, generator=seeded(0), dtype=torch.float64)

    def answer(t):
        return 1.0 - 2 * (t - 0.3) ** degree

    start = run(paper.tab(degree)(VP, times[: degree + 1]), Known("noise", answer), x) if degree else x
    whole = run(paper.tab(degree)(VP, times), Known("noise", answer), x)
    assert torch.allclose(whole, exact(start, times[degree], times[-1], answer, "noise"), atol=1e-8)


def test_a_score_linear_in_time_is_integrated_exactly_by_the_baseline():
    times, x = (0.8, 0.799, 0.5, 0.2), torch.randn(3, 2, generator=seeded(1), dtype=torch.float64)

    def answer(t):
        return 0.5 - t

    start = run(paper.tab_on_score(1)(VP, times[:2]), Known("score", answer), x)
    whole = run(paper.tab_on_score(1)(VP, times), Known("score", answer), x)
    assert torch.allclose(whole, exact(start, times[1], times[-1], answer, "score"), atol=1e-8)


def test_the_coefficients_of_every_degree_add_up_to_those_of_ddim():
    times = grid("quadratic", 6, to_zero=False).times(VP)
    ones = Known("noise", lambda t: 1.0)
    x = torch.zeros(1, 1, dtype=torch.float64)
    expected = run(solvers.ddim(VP, times), ones, x)
    for degree in range(4):
        assert torch.allclose(run(paper.tab(degree)(VP, times), ones, x), expected, atol=1e-10)


def test_degree_zero_is_ddim():
    times = grid("quadratic", 5, to_zero=False).times(VP)
    a, b = paper.tab(0)(VP, times).recast("noise"), solvers.ddim(VP, times).recast("noise")
    assert a.difference(b) < 1e-12


def test_the_quadratic_grid_suits_euler_on_gaussian_data_of_large_variance():
    """Why the second claim is missed, against the closed form for a single coordinate."""
    variances = torch.tensor([1e-5, 1e-3, 0.1, 1.0, 2.75], dtype=torch.float64)
    x = torch.ones(1, 5, dtype=torch.float64)
    ours, euler = paper.on_gaussian(variances, x)
    assert ours[0, 0] < euler[0, 0] and bool((ours[0, 1:] > 2 * euler[0, 1:]).all())
    assert euler[0, 3] < 1e-12
    alone = Gaussian(torch.zeros(1), 0.1).denoiser(VP)
    truth = solvers.GaussianFlow(torch.zeros(1), 0.1, VP).solution(x[:, :1], VP.t_min)
    found = run(solvers.ddim(VP, grid("quadratic", 10, to_zero=False)), alone, x[:, :1])
    assert float(ours[0, 2]) == pytest.approx(float((found - truth).abs()), rel=1e-9)
