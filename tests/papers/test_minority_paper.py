"""The parts of the minority paper that the library's own tests do not cover."""

import pytest
import torch
from oracles import seeded
from scipy.stats import spearmanr

from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.papers.guidance import minority as paper
from girsanov.solvers import ancestral, grid, sample


def test_heat_widens_what_a_sampler_draws():
    """On Gaussian data the chain is linear, so that samples around 0 are those of temperature 1, times it."""
    plan = ancestral(paper.PROCESS, grid("ddpm", 8))
    model = Gaussian(torch.zeros(2), 0.5).denoiser(paper.PROCESS)
    plain, warm = (sample(model, 9, plan=p, seed=0) for p in (plan, paper.hot(plan, 1.5)))
    assert torch.allclose(warm, 1.5 * plain, atol=1e-5)


def test_the_rank_correlation_is_spearmans():
    a, b = torch.randn(2, 50, generator=seeded(0))
    assert paper.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_the_rare_parts_hold_a_tenth():
    n = 20_000
    x = paper.law().sample(n, generator=Noise(1))
    assert paper.rare(x) == pytest.approx(0.1, abs=4.5 * (0.09 / n) ** 0.5)
    assert paper.rare(paper.law().means[1:]) > 0.9


def test_bisection_finds_the_temperature():
    found, x = paper.as_far(lambda t: torch.full((3,), t), lambda x: float(x.mean()), 1.7)
    assert found == pytest.approx(1.7, abs=2 * 2**-10) and float(x[0]) == pytest.approx(found)
