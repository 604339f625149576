"""The parts of the SVDD paper that the library's own tests do not cover."""

import pytest
import torch
from oracles import seeded

from girsanov.papers.guidance import svdd as paper


def test_strokes_are_counted_within_a_picture():
    x = -torch.ones(4, 1, 8, 8)
    x[0, 0, 1, 1] = x[0, 0, 2, 2] = 1  # touching at a corner is not touching
    x[1, 0, 1, :] = x[1, 0, 1:5, 3] = 1
    x[2, 0, 0, 0] = x[2, 0, 7, 7] = x[2, 0, 4, 3:6] = 1
    assert paper.strokes(x).tolist() == [2, 1, 3, 0]
    assert paper.strokes(x.flip(0)).tolist() == [0, 3, 1, 2]


def test_ascent_reaches_the_reward_and_moves_all_pixels_alike():
    x = torch.rand(5, 1, 8, 8, generator=seeded(0))
    found = paper.ascended(x, -1e-6)
    assert bool((paper.ink(found) >= -1e-6).all())
    assert float((found - x).flatten(1).std(1).max()) < 1e-5


def test_the_tilted_law_is_the_prior_times_the_exponential_of_the_reward():
    law, tilted = paper.plane()
    x = torch.randn(50, 2, generator=seeded(0), dtype=torch.float64)
    ratio = tilted.log_prob(x) - law.log_prob(x) - paper.bumps(x)
    assert float(ratio.std()) == pytest.approx(0, abs=1e-9)
