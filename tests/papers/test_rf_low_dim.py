"""The parts of the paper on low-dimensional rectified flow that its grids' own tests do not cover."""

import math

import pytest
import torch

from girsanov import solvers
from girsanov.noise import Noise
from girsanov.papers.solvers import rf_low_dim as paper


def test_the_width_of_exact_samples_is_right_and_of_wider_ones_is_not():
    law, n = paper.ring(), 20_000
    x = law.sample(n, generator=Noise(0))
    error = 5 / math.sqrt(4 * n)  # of a standard deviation of 2n numbers, five times
    assert paper.width_error(x, law) < error
    nearest = law.means[torch.cdist(x.double(), law.means).argmin(1)]
    assert paper.width_error(nearest + 1.2 * (x - nearest), law) == pytest.approx(0.2, abs=1.2 * error)


def test_euler_on_unit_data_is_the_product_of_the_plan():
    """The sampler is linear there, so the closed product is what it makes of one number."""
    law = paper.GaussianMixture(torch.zeros(1, 1), 1.0)
    for times in (paper.equal_steps(20), solvers.u_shaped_grid(20)):
        plan = solvers.euler(paper.FLOW, times).recast("data")
        y = plan(law.denoiser(paper.FLOW), torch.ones(1, 1, dtype=torch.float64))
        assert float(y) == pytest.approx(paper.unit_width(times), rel=1e-9)
    assert paper.unit_width(paper.equal_steps(4000)) == pytest.approx(1, abs=1e-3)  # as N(0, 1) began


def test_samples_start_from_the_size_of_the_noisy_law():
    """The start has the second moment of α z' + γ z at the first time."""
    plan = solvers.ancestral(paper.FLOW, (0.5, 0.4))
    x = paper.drawn(plan, paper.ring().denoiser(paper.FLOW), 4, 2, 0)
    again = plan.recast("data")(
        paper.ring().denoiser(paper.FLOW),
        math.sqrt(0.5) * Noise(0).draw(torch.empty(4, 2), 0),
        generator=Noise(0).child(1),
    )
    torch.testing.assert_close(x, again)
