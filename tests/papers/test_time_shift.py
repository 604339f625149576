"""The parts of the time-shift paper that the sampler's own tests do not cover."""

import pytest
import torch

from girsanov import solvers
from girsanov.noise import Noise
from girsanov.papers.solvers import time_shift as paper


def test_every_setting_is_a_legal_sampler_of_ten_calls():
    for plan in paper.PLANS.values():
        assert {solvers.TimeShift(plan, *setting).calls for setting in paper.SETTINGS} == {10}


def test_the_variance_of_pixels_leaves_out_the_mean_of_a_sample():
    x = torch.tensor([[[[1.0, -1.0]]], [[[5.0, 5.0]]]])
    assert paper.pixel_variance(x) == pytest.approx(1.0)


def test_the_mixture_has_the_spread_it_is_meant_to_have():
    assert paper.pixel_variance(paper.mixture(0).sample(500, generator=Noise(1))) == pytest.approx(
        0.51, rel=0.2
    )
