"""The measure behind the stability claim, and the grid of the samplers."""

import pytest
import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.papers.processes import mr_diffusion as paper
from girsanov.processes import MeanReverting
from girsanov.solvers import grid


class Constant(AbstractDenoiser):
    """Answers with one number for the noise."""

    def __init__(self, value):
        super().__init__()
        self.process, self.stored, self.value = MeanReverting(), ("noise",), value

    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, self.value),)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_the_error_of_a_constant_answer(value):
    """E|z - c|² = 1 + c² for 184,320 normal numbers."""
    assert paper.noise_error(Constant(value), 0) == pytest.approx((1 + value**2) ** 0.5, abs=0.01)


def test_the_grid_is_uniform_whatever_is_recommended():
    process = MeanReverting()
    plan = paper.ancestral_uniform(20)(process, grid("ddpm", 7))
    assert plan.calls == 20 and plan.grid == grid("uniform", 20).times(process)
