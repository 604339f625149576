"""Stationary Gaussian processes against their covariance, from their own start and from a given one."""

import math

import pytest
import torch

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.gaussian import StationaryGaussian, fast_size

N = 40_000
UNIFORM = torch.linspace(0, 2, 7).double()
UNEVEN = torch.tensor([0.5, 0.7, 0.71, 1.5, 2.0]).double()
COVARIANCES = {
    "exponential": lambda t: 2 * torch.exp(-t),
    "waves": lambda t: torch.exp(-t) * torch.cos(3 * t),
    "squared exponential": lambda t: torch.exp(-2 * t.square()),  # needs a circle larger than the least
    "triangle": lambda t: (1 - t).clamp(min=0),
}


def within(estimate, exact, products):
    error = products.std(0) / math.sqrt(len(products))
    return ((estimate - exact).abs() <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("covariance", COVARIANCES.values(), ids=COVARIANCES)
@pytest.mark.parametrize("times", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])
def test_paths_have_their_covariance(covariance, times):
    paths = simulate(StationaryGaussian(covariance), n=N, times=times, seed=0)
    products = paths[:, :, None] * paths[:, None, :]
    exact = covariance((times[:, None] - times).abs())
    assert within(products.mean(0), exact, products)
    with pytest.raises(AssertionError):
        assert within(products.mean(0), 1.05 * exact, products)


@pytest.mark.parametrize("times", [UNIFORM, UNEVEN], ids=["uniform", "uneven"])
def test_a_given_start_is_conditioned_on(times):
    """Mean γ(t)/γ(0) x_0, covariance γ(t - s) - γ(s) γ(t)/γ(0)."""
    covariance = COVARIANCES["waves"]
    paths = simulate(
        StationaryGaussian(covariance), torch.full((N,), 1.7, dtype=torch.float64), times, seed=0
    )
    along = covariance(times - times[0])
    rest = paths - 1.7 * along
    products = rest[:, :, None] * rest[:, None, :]
    assert within(rest.mean(0), torch.zeros(len(times)), rest)
    assert within(
        products.mean(0), covariance((times[:, None] - times).abs()) - along[:, None] * along, products
    )


def test_batches_and_coordinates():
    process, x0 = StationaryGaussian(COVARIANCES["waves"]), torch.zeros(70, 2)
    whole = simulate(process, x0, UNIFORM, seed=1)
    assert whole.shape == (70, 7, 2) and whole.dtype == torch.float32
    assert torch.equal(whole[66:], process.simulate(x0[66:], UNIFORM, generator=Noise(1, first=66)))


def test_sizes_of_transforms_are_small_and_smooth():
    for steps in [*range(1, 300), 1023, 1025, 4097, 10_000]:
        size = fast_size(steps)
        assert steps <= size < 1.25 * steps + 1
        for prime in (2, 3, 5):
            while size % prime == 0:
                size //= prime
        assert size == 1


@pytest.mark.parametrize(
    "covariance, times, says",
    [
        (lambda t: torch.where(t < 1.1, 1.0, -1.0), UNIFORM, "no nonnegative circulant embedding"),
        (lambda t: torch.where(t < 1.1, 1.0, -1.0), UNEVEN, "not positive definite"),
        (lambda t: -torch.exp(-t), UNIFORM, "a variance, above 0"),
        (lambda t: t.sum(), UNIFORM, "must map lags"),
        (COVARIANCES["waves"], torch.linspace(0, 1, 3000) ** 2, "not evenly spaced"),
    ],
)
def test_bad_input_is_refused(covariance, times, says):
    with pytest.raises(InputError, match=says):
        simulate(StationaryGaussian(covariance), n=2, times=times)
