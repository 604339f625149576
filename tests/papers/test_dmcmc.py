"""The parts of the denoising MCMC paper that the library's own tests do not cover."""

import math

import pytest
import torch
from oracles import seeded

from girsanov.exact import Gaussian
from girsanov.papers import digits
from girsanov.papers.montecarlo import dmcmc as paper
from girsanov.processes import EDM
from girsanov.solvers import grid


@pytest.mark.parametrize("name", paper.INTEGRATORS)
def test_both_arms_spend_eleven_or_twelve_calls(name):
    make, whole, part = paper.INTEGRATORS[name]
    plain, short = (paper.plan_from(make, EDM(), steps).calls for steps in (whole, part))
    assert plain == short + paper.SKIP and plain in (11, 12)


def test_the_predictor_corrector_has_the_law_of_the_data_in_many_steps():
    process, n = EDM(0.01, 20.0), 20_000
    model = Gaussian(torch.zeros(1), 0.5).denoiser(process)
    x = 20 * torch.randn(n, 1, generator=seeded(0), dtype=torch.float64)
    found = paper.predictor_corrector(process, grid("karras", 200))(model, x, generator=seeded(1))
    # The last step, from σ = 0.01 to the mean, takes away 0.01² of the variance.
    assert float(found.var()) == pytest.approx(0.5, abs=4.5 * 0.5 * math.sqrt(2 / n) + 0.01)


def test_features_are_what_the_head_reads():
    net, x = digits.reader(seed=0, steps=2), digits.split().fresh[:300]
    seen = paper.features(net, x)
    assert seen.shape == (300, 64) and torch.allclose(net.head(seen), net(x, torch.zeros(300)), atol=1e-5)


def test_the_modes_weigh_one_to_three():
    weights = paper.modes().weights
    assert float(weights.max() / weights.min()) == pytest.approx(3) and len(weights.unique()) == 25
