"""The parts of the hallucination paper that the library's own tests do not cover."""

import pytest
import torch

from girsanov.noise import Noise, uniform
from girsanov.papers.processes import hallucinations as paper


def test_the_exact_score_does_not_hallucinate():
    law = paper.line()
    model = law.law.denoiser(paper.PROCESS)
    x, variance = paper.drawn(model, 2000, 200, 0)
    assert float(law.outside(x.double()).float().mean()) <= 1e-3
    assert float(variance.median()) < (3 * law.std) ** 2


def test_a_random_score_tells_nothing_apart():
    u = Noise(0).draw(torch.empty(20_000, 2, dtype=torch.float64), 0, uniform)
    assert paper.area(u[:, 0], u[:, 1] < 0.1) == pytest.approx(0.5, abs=5 * 0.29 / 2000**0.5)


def test_segments_join_nearest_modes_only():
    law = paper.square()
    a, b, diagonal = law.law.means[0], law.law.means[1], law.law.means[6]
    assert paper.on_segments(((a + b) / 2)[None], law) == 1
    assert paper.on_segments(((a + diagonal) / 2)[None], law) == 0
