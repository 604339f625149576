"""Noise models against torch.distributions, measurements that are refused, and the frame of `posterior`."""

import math
from dataclasses import dataclass

import pytest
import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian
from girsanov.inverse import DenseOperator, GaussianNoise, Inpainting, Measurement, PoissonNoise, posterior
from girsanov.noise import Noise
from girsanov.processes import VP, Masked

MASK = torch.tensor([1.0, 1.0, 0.0])
A = DenseOperator(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 1.0]]))


def test_likelihoods_are_those_of_the_laws():
    clean = torch.tensor([[0.5, 2.0], [1.0, 3.0]], dtype=torch.float64)
    y = torch.tensor([[0.0, 2.5], [1.5, 3.0]], dtype=torch.float64)
    normal = torch.distributions.Normal(clean, 0.3)
    torch.testing.assert_close(GaussianNoise(0.3).log_likelihood(y, clean), normal.log_prob(y).sum(1))
    counts = torch.distributions.Poisson(2 * clean)
    torch.testing.assert_close(PoissonNoise(2).log_likelihood(y, clean), counts.log_prob(2 * y).sum(1))


@pytest.mark.parametrize("noise", [GaussianNoise(0.5), PoissonNoise(4.0)])
def test_draws_have_the_moments_of_the_law(noise):
    clean = torch.tensor([0.5, 2.0], dtype=torch.float64).expand(40_000, 2)
    y = noise.draw(clean, Noise(0))
    variance = 0.25 * torch.ones(2).double() if isinstance(noise, GaussianNoise) else clean[0] / 4
    error = 5 * (variance / len(y)).sqrt()
    assert ((y.mean(0) - clean[0]).abs() < error).all()
    torch.testing.assert_close(y.var(0), variance, rtol=0.06, atol=0)


def test_a_measurement_repeats_and_splits():
    m = Measurement.of(Inpainting(MASK), torch.arange(6.0).reshape(2, 3), 0.0)
    assert m.y.tolist() == [[0.0, 1.0], [3.0, 4.0]]
    many = m.repeat(3)
    assert many.y[:, 0].tolist() == [0, 0, 0, 3, 3, 3] and many.draws == 3
    assert len(many[2:4]) == 2
    assert m.residual(torch.zeros(2, 3)).tolist() == m.y.tolist()


@dataclass
class Echo:
    """Answers with its start."""

    joint: bool = False
    calls: int = 0

    def __call__(self, model, x, measurement, *, cond=None, generator=None):
        assert len(x) == len(measurement) and (not self.joint or len(x) % measurement.draws == 0)
        return x


def test_draws_do_not_depend_on_the_batch():
    model = Gaussian(torch.zeros(3), 1.0).denoiser(VP())
    m = Measurement(A, torch.ones(5, 2), 0.1)
    whole = posterior(model, m, 4, sampler=Echo(), seed=0).x
    assert whole.shape == (5, 4, 3)
    for size in (1, 3, 7):
        assert torch.equal(posterior(model, m, 4, sampler=Echo(), seed=0, batch_size=size).x, whole)
        assert torch.equal(posterior(model, m, 4, sampler=Echo(True), seed=0, batch_size=size).x, whole)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Measurement(A, torch.ones(5, 3), 0.1), "y has the shape"),
        (lambda: Measurement(A, torch.tensor([[math.nan, 0.0]]), 0.1), "y "),
        (lambda: Measurement(A, torch.ones(5, 2), -0.1), "at least 0"),
        (lambda: Measurement(lambda x: x, torch.ones(5, 2)), "operator is function"),
        (lambda: PoissonNoise(0.0), "above 0"),
        (lambda: PoissonNoise(1.0).draw(-torch.ones(2, 2)), "negative"),
        (lambda: Measurement(A, torch.ones(1, 2)).log_likelihood(torch.ones(1, 3)), "without noise"),
        (lambda: Measurement(A, torch.ones(1, 2), PoissonNoise(1.0)).std("DDRM"), "DDRM takes the noise"),
    ],
)
def test_refusals(make, says):
    with pytest.raises((InputError, Unsuitable), match=says):
        make()


class OneByOne(AbstractDenoiser):
    """A denoiser of a discrete process."""

    process, stored, shape = Masked(4), ("data",), (3,)

    def forward(self, x, t, *, cond=None, anchor=None):
        raise AssertionError("asked for an answer")


def test_posterior_refuses_before_any_work():
    m = Measurement(A, torch.ones(1, 2), 0.1)
    with pytest.raises(InputError, match="the model's are"):
        posterior(Gaussian(torch.zeros(2), 1.0).denoiser(VP()), m, sampler=Echo())
    with pytest.raises(Unsuitable, match="posterior needs a process"):
        posterior(OneByOne(), m, sampler=Echo())
    with pytest.raises(InputError, match="n is 0"):
        posterior(Gaussian(torch.zeros(3), 1.0).denoiser(VP()), m, 0, sampler=Echo())
