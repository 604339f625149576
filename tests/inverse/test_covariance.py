"""Guidance that knows the data's covariance, on Gaussian data, where it is Bayes' rule."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.inverse import (
    BlockDownsampling,
    DataCovariance,
    DenseOperator,
    Measurement,
    PiGDM,
    posterior,
)
from girsanov.inverse.steps import pulled
from girsanov.noise import Noise
from girsanov.processes import EDM, VP

ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [-0.5, 0.2, 0.1]], dtype=torch.float64)
C = ROOT @ ROOT.T
A = DenseOperator(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]))
PROCESSES = {"VP": VP(), "EDM": EDM(sigma_max=40.0)}


def draw(*shape, seed=0):
    return Noise(seed).draw(torch.empty(*shape, dtype=torch.float64), 0)


def known():
    """C itself, without an estimate."""
    return DataCovariance(*torch.linalg.eigh(C), (3,))


def test_the_covariance_is_that_of_the_sample():
    x = draw(500, 1, 2, 2) * torch.tensor([[1.0, 2.0], [0.5, 3.0]])
    found = DataCovariance.of(x)
    matrix = (found.vectors * found.values) @ found.vectors.T
    torch.testing.assert_close(matrix, torch.cov(x.flatten(1).T))
    assert found.shape == (1, 2, 2)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("std", [0.3, 0.0])
def test_the_guidance_is_the_score_of_y_given_x_t(name, std):
    """By the joint law of (y, x_t), with no step in common with the code."""
    process, t = PROCESSES[name], 0.6
    model = Gaussian(torch.zeros(3, dtype=torch.float64), C).denoiser(process)
    x, y = draw(4, 3), draw(4, 2, seed=1)
    alpha, gamma = process.alpha(t), process.gamma(t)
    push = known().gains(A, std)((gamma / alpha) ** 2, 1.0)
    _, found = pulled(model, x, t, None, lambda data: push(y, data))
    into = alpha * A.matrix @ C @ torch.linalg.inv(alpha**2 * C + gamma**2 * torch.eye(3))
    left = A.matrix @ C @ A.matrix.T + std**2 * torch.eye(2) - alpha * into @ C @ A.matrix.T
    wanted = (y - x @ into.T) @ torch.linalg.inv(left) @ into
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PROCESSES)
def test_draws_follow_the_posterior_of_correlated_data(name):
    m, law = Measurement(A, draw(1, 2, seed=5), 0.5), Gaussian(torch.zeros(3, dtype=torch.float64), C)
    exact = law.posterior(A.forward, m.y[0], noise=0.5)
    sampler = PiGDM(steps=200, covariance=known())
    x = (
        posterior(law.denoiser(PROCESSES[name]), m, 8000, sampler=sampler, batch_size=8000, seed=0)
        .x[0]
        .double()
    )
    scale = float(exact.covariances[0].diagonal().max())
    torch.testing.assert_close(x.mean(0), exact.means[0], atol=0.06 * math.sqrt(scale), rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariances[0], atol=0.06 * scale, rtol=0)


def test_measurements_that_agree_need_no_noise():
    twice = DenseOperator(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    m = Measurement(twice, torch.ones(1, 2, dtype=torch.float64))
    law = Gaussian(torch.zeros(3, dtype=torch.float64), C)
    x = posterior(law.denoiser(VP()), m, 50, sampler=PiGDM(steps=50, covariance=known()), seed=0).x[0]
    torch.testing.assert_close(x[:, 0].double(), torch.ones(50, dtype=torch.float64), atol=0.05, rtol=0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="1 signals have no covariance"):
        DataCovariance.of(torch.zeros(1, 3))
    with pytest.raises(InputError, match="5000 numbers"):
        DataCovariance.of(torch.zeros(2, 5000))
    with pytest.raises(InputError, match="NaN"):
        DataCovariance.of(torch.full((2, 3), math.nan))
    shape = (1, 4, 4)
    with pytest.raises(InputError, match=r"signals \(3,\), and the operator measures \(1, 4, 4\)"):
        known().gains(BlockDownsampling(shape, 2), 0.1)
