"""Metropolis-Hastings from a score: a Gaussian stays as it is, and from elsewhere it is reached."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.montecarlo import ScoreMetropolisHastings
from girsanov.noise import Noise

N = 20_000


def gaussian(x):
    return -x / torch.tensor([1.0, 0.25], dtype=x.dtype)


@pytest.mark.parametrize("quadrature", [1, 5])
def test_a_gaussian_stays(quadrature):
    x = Noise(0).draw(torch.empty(N, 2, dtype=torch.float64), 0) * torch.tensor(
        [1.0, 0.5], dtype=torch.float64
    )
    found = ScoreMetropolisHastings(gaussian, 0.8, quadrature)(x, 20, generator=Noise(1))
    assert 0.2 < float(found.acceptance.mean()) < 0.9
    wanted = torch.tensor([1.0, 0.25], dtype=torch.float64)
    assert bool(((found.x.var(0) / wanted - 1).abs() < 5 * math.sqrt(2 / N)).all())
    assert bool((found.x.mean(0).abs() < 5 * (wanted / N).sqrt()).all())


def test_the_test_can_fail():
    x = Noise(0).draw(torch.empty(N, 2, dtype=torch.float64), 0)
    found = ScoreMetropolisHastings(lambda y: 0.9 * gaussian(y), 0.8)(x, 60, generator=Noise(1))
    assert float(found.x[:, 0].var()) > 1 + 5 * math.sqrt(2 / N)


@pytest.mark.parametrize("std, points", [(0.0, 5), (float("inf"), 5), (1.0, 0)])
def test_refused(std, points):
    with pytest.raises(InputError):
        ScoreMetropolisHastings(gaussian, std, points)


def test_a_start_that_is_not_finite_is_refused():
    with pytest.raises(InputError, match="NaN or infinite"):
        ScoreMetropolisHastings(gaussian, 1.0)(torch.full((2, 2), math.nan), 1)
