"""Noise floors and bootstrap intervals against statistics whose spread is known."""

import math

import pytest
import torch
from scipy import stats

from girsanov.errors import InputError
from girsanov.metrics import bootstrap_interval, energy_distance, noise_floor
from girsanov.noise import Noise, as_source
from girsanov.transport import points


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(n, *, generator=None):
    return as_source(generator).draw(torch.empty(n, 1, dtype=torch.float64), 0)


def difference(x, y):
    return x.mean() - y.mean()


@pytest.mark.parametrize("source", [Noise(0), torch.Generator().manual_seed(0)])
def test_the_floor_of_a_known_statistic(source):
    """A difference of two means of 50 has mean 0 and standard deviation √(2/50)."""
    floor = noise_floor(difference, normal, 50, repeats=800, generator=source)
    std = math.sqrt(2 / 50)
    assert abs(floor.mean) < 4 * std / math.sqrt(800)
    assert floor.std == pytest.approx(std, rel=4 / math.sqrt(2 * 800))
    assert floor.standard_error == pytest.approx(std / math.sqrt(800), rel=0.1)
    assert floor.values.unique().numel() == 800


def test_the_floor_of_an_unbiased_distance_is_zero():
    floor = noise_floor(energy_distance, normal, 40, repeats=200, generator=Noise(1))
    assert abs(floor.mean) < 4 * floor.standard_error


def test_the_two_batches_of_a_pair_differ_and_runs_repeat():
    one = noise_floor(difference, normal, 5, generator=Noise(3))
    assert (one.values != 0).all()
    assert torch.equal(one.values, noise_floor(difference, normal, 5, generator=Noise(3)).values)
    assert not torch.equal(one.values, noise_floor(difference, normal, 5).values)


def test_the_floor_refuses_bad_input():
    with pytest.raises(InputError, match="n is 0"):
        noise_floor(difference, normal, 0)
    with pytest.raises(InputError, match="repeats is 1"):
        noise_floor(difference, normal, 5, repeats=1)
    with pytest.raises(InputError, match="what metric returned"):
        noise_floor(lambda x, y: float("nan"), normal, 5)


def test_the_interval_of_a_mean_is_the_normal_one():
    x = draw(1000)
    found = bootstrap_interval(x, level=0.9, resamples=8000, generator=Noise(0))
    half = stats.norm.ppf(0.95) * float(x.std(correction=0)) / math.sqrt(1000)
    assert found.value == float(x.mean())
    assert found.low == pytest.approx(float(x.mean()) - half, abs=0.06 * half)
    assert found.high == pytest.approx(float(x.mean()) + half, abs=0.06 * half)


def test_it_covers_the_truth_as_often_as_it_says():
    inside = 0
    for k in range(300):
        found = bootstrap_interval(draw(60, seed=k), level=0.8, resamples=200, generator=Noise(k))
        inside += found.low <= 0 <= found.high
    # it is narrower than Student's interval: the n of the variance, and the quantile of the normal
    expected = 2 * stats.t(59).cdf(stats.norm.ppf(0.9) * math.sqrt(59 / 60)) - 1
    assert inside / 300 == pytest.approx(expected, abs=4 * math.sqrt(0.8 * 0.2 / 300))


def test_shares_medians_and_rows_of_any_shape():
    hits = torch.arange(50) < 40
    share = bootstrap_interval(hits, generator=Noise(0))
    assert share.value == 0.8 and 0.6 < share.low < 0.8 < share.high < 0.95
    images = draw(30, 1, 4, 4).float()
    median = bootstrap_interval(images, lambda rows: rows.median(), generator=Noise(0))
    assert median.low < median.value < median.high
    certain = bootstrap_interval(torch.ones(5), generator=Noise(0))
    assert (certain.low, certain.value, certain.high) == (1, 1, 1)


def test_intervals_repeat():
    x = draw(40)
    one, two, other = (bootstrap_interval(x, generator=Noise(s)) for s in (0, 0, 1))
    assert one == two != other
    assert bootstrap_interval(x, generator=torch.Generator().manual_seed(0)).low < float(x.mean())


def test_blocks_do_not_matter_and_every_row_is_drawn(monkeypatch):
    rows = torch.arange(6)
    whole = bootstrap_interval(rows, resamples=300, generator=Noise(0))
    monkeypatch.setattr(points, "BLOCK", 60)
    assert bootstrap_interval(rows, resamples=300, generator=Noise(0)) == whole
    assert bootstrap_interval(rows, torch.max, generator=Noise(0)).high == 5
    assert bootstrap_interval(rows, torch.min, generator=Noise(0)).low == 0


def test_the_interval_refuses_bad_input():
    x = draw(5)
    for options, says in [
        ({"level": 1.0}, "level is 1"),
        ({"level": 95}, "level is 95"),
        ({"resamples": 9}, "is 9"),
    ]:
        with pytest.raises(InputError, match=says):
            bootstrap_interval(x, **options)
    with pytest.raises(InputError, match="values has 1 samples"):
        bootstrap_interval(x[:1])
    with pytest.raises(InputError, match="values holds"):
        bootstrap_interval(x * torch.nan)
    with pytest.raises(InputError, match="statistic gave NaN"):
        bootstrap_interval(x, lambda rows: float("nan"))
