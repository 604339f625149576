"""The CRPS of draws against the closed form for normal laws, and the coverage of exact draws."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.metrics import crps, draw_interval, interval_coverage


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def closed(y):
    """The CRPS of N(0, 1): Gneiting & Raftery (2007), equation 21 there is its negative."""
    cdf, pdf = torch.special.ndtr(y), (-y.square() / 2).exp() / math.sqrt(2 * math.pi)
    return y * (2 * cdf - 1) + 2 * pdf - 1 / math.sqrt(math.pi)


@pytest.mark.parametrize("n", [2, 20])
def test_the_score_is_unbiased_for_any_number_of_draws(n):
    y = torch.tensor([-1.5, 0.0, 0.7], dtype=torch.float64)
    scores = crps(normal(n, 40_000, 3), y.expand(40_000, 3))
    error = (scores.mean(0) - closed(y)) / (scores.std(0) / 200)
    assert error.abs().max() < 4.5


def test_the_plain_estimate_would_be_biased():
    draws, y = normal(2, 40_000), torch.zeros(40_000, dtype=torch.float64)
    plain = (draws - y).abs().mean(0) - (draws[:, None] - draws[None]).abs().mean((0, 1)) / 2
    assert abs(float(plain.mean()) - float(closed(torch.zeros(())))) > 20 * float(plain.std()) / 200


def test_equal_draws_give_the_absolute_error():
    torch.testing.assert_close(
        crps(torch.full((3, 2), 1.0), torch.tensor([0.0, 3.0])), torch.tensor([1.0, 2.0]).double()
    )


@pytest.mark.parametrize("n, level", [(19, 0.9), (20, 0.9), (99, 0.5), (3, 0.5)])
def test_exact_draws_cover_at_the_level(n, level):
    draws, y = normal(n, 40_000), normal(40_000, seed=1)
    # where the ranks are not whole, the interpolation adds under a hundredth
    slack = 0.01 if n == 20 else 0.0
    assert (
        abs(interval_coverage(draws, y, level) - level)
        < 4.5 * math.sqrt(level * (1 - level) / 40_000) + slack
    )


def test_the_ends_are_order_statistics():
    low, high = draw_interval(torch.arange(19.0).flip(0), 0.9)
    assert (float(low), float(high)) == (0.0, 18.0)
    low, high = draw_interval(torch.arange(20.0), 0.9)
    assert (float(low), float(high)) == pytest.approx((0.05, 18.95))


def test_what_is_refused():
    with pytest.raises(InputError, match="needs 19 draws, and there are 18"):
        draw_interval(torch.zeros(18, 2), 0.9)
    with pytest.raises(InputError, match="level"):
        draw_interval(torch.zeros(18), 1.0)
    with pytest.raises(InputError, match="at least 2"):
        crps(torch.zeros(1, 2), torch.zeros(2))
    with pytest.raises(InputError, match="shape"):
        crps(torch.zeros(2, 2), torch.zeros(3))
    with pytest.raises(InputError, match="NaN"):
        crps(torch.full((2, 2), torch.nan), torch.zeros(2))
