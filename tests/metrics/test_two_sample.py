"""Energy distance, MMD and the 1-NN test: closed forms, averages over many runs, loops over the points."""

import math

import pytest
import torch
from scipy import stats

from girsanov.errors import InputError
from girsanov.metrics import energy_distance, mmd, nearest_neighbour_test
from girsanov.metrics.two_sample import HEURISTIC_SCALES, median_distance


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standard_score(values, expected):
    values = torch.tensor(values, dtype=torch.float64)
    return float((values.mean() - expected) / (values.std() / len(values) ** 0.5))


def runs(statistic, count, n, m, dim, shift=0.0, scale=1.0):
    """The statistic between N(0, I) and N(shift, scale² I), over many small samples."""
    return [
        float(statistic(draw(n, dim, seed=2 * k), scale * draw(m, dim, seed=2 * k + 1) + shift))
        for k in range(count)
    ]


def mean_length(mean, std):
    """E|z| for z ~ N(mean, std²)."""
    return float(stats.foldnorm(abs(mean) / std, scale=std).mean())


def gaussian_kernel_mean(dim, variance, shift, bandwidth):
    """E exp(−|z|²/2h²) for z ~ N(shift, variance I): a convolution of Gaussians."""
    total = bandwidth**2 + variance
    return (bandwidth**2 / total) ** (dim / 2) * math.exp(-dim * shift**2 / (2 * total))


def kernel_contrast(dim, shift, scale, bandwidth):
    same = sum(gaussian_kernel_mean(dim, 2 * s**2, 0, bandwidth) for s in (1, scale))
    return same - 2 * gaussian_kernel_mean(dim, 1 + scale**2, shift, bandwidth)


@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (0.7, 1.0), (0.5, 2.0)])
def test_energy_distance_is_unbiased(shift, scale):
    expected = 2 * mean_length(shift, (1 + scale**2) ** 0.5) - mean_length(0, 2**0.5) * (1 + scale)
    assert abs(standard_score(runs(energy_distance, 1500, 9, 6, 1, shift, scale), expected)) < 4


def test_the_usual_biased_energy_distance_fails_that_test():
    def biased(x, y):
        return stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2

    assert abs(standard_score(runs(biased, 1500, 9, 6, 1), 0.0)) > 20


def test_energy_distance_against_scipy():
    x, y = draw(30, 1), draw(20, 1, seed=1) + 1
    spread = [(s[:, 0, None] - s[:, 0]).abs().sum() / len(s) for s in (x, y)]
    # scipy counts a point as its own pair: it divides by N² what is divided here by N (N − 1)
    correction = sum(s / len(u) - s / (len(u) - 1) for s, u in zip(spread, (x, y), strict=True))
    expected = stats.energy_distance(x[:, 0].numpy(), y[:, 0].numpy()) ** 2 + float(correction)
    assert float(energy_distance(x, y)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shift, scale", [(0.0, 1.0), (0.7, 1.0), (0.2, 1.5)])
def test_mmd_is_unbiased(shift, scale):
    expected = kernel_contrast(3, shift, scale, 1.3)
    found = runs(lambda x, y: mmd(x, y, bandwidth=1.3), 1500, 8, 5, 3, shift, scale)
    assert abs(standard_score(found, expected)) < 4


def test_mmd_with_the_diagonal_fails_that_test():
    def biased(x, y):
        kernel = [torch.exp(-torch.cdist(a, b).square() / 2).mean() for a, b in ((x, x), (y, y), (x, y))]
        return kernel[0] + kernel[1] - 2 * kernel[2]

    assert abs(standard_score(runs(biased, 1500, 8, 5, 3), 0.0)) > 20


def test_mmd_averages_its_kernels_and_the_default_is_around_the_median():
    x, y = draw(40, 3), draw(30, 3, seed=1) + 0.5
    widths = [0.3, 2.0]
    single = [float(mmd(x, y, bandwidth=h)) for h in widths]
    assert float(mmd(x, y, bandwidth=widths)) == pytest.approx(sum(single) / 2)
    middle = float(torch.pdist(torch.cat([x, y])).median())
    assert median_distance(x, y) == pytest.approx(middle)
    assert float(mmd(x, y)) == pytest.approx(
        float(mmd(x, y, bandwidth=[s * middle for s in HEURISTIC_SCALES]))
    )


def test_the_median_of_large_samples_is_that_of_the_law():
    median = (2 * stats.chi2(4).median()) ** 0.5
    assert median_distance(draw(5000, 4), draw(2500, 4, seed=1)) == pytest.approx(median, rel=0.02)


@pytest.mark.parametrize("statistic", [energy_distance, lambda x, y: mmd(x, y, bandwidth=1.0)])
def test_gradients_are_those_of_finite_differences(statistic):
    x, y = draw(4, 2).requires_grad_(), draw(5, 2, seed=1)
    assert torch.autograd.gradcheck(lambda u: statistic(u, y), x)
    (gradient,) = torch.autograd.grad(statistic(x, torch.cat([x.detach(), y])), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("n, m", [(15, 15), (30, 8), (2, 9)])
def test_one_law_is_told_apart_by_chance_only(n, m):
    expected = 0.5 - 1 / (2 * (n + m - 1))
    assert abs(standard_score(runs(nearest_neighbour_test, 1500, n, m, 3), expected)) < 4


def test_the_plain_share_fails_that_test_at_unequal_sizes():
    def plain(x, y):
        pool = torch.cat([x, y])
        nearest = (torch.cdist(pool, pool) + torch.diag(torch.full((len(pool),), torch.inf))).argmin(1)
        return ((nearest < len(x)) == (torch.arange(len(pool)) < len(x))).double().mean()

    assert standard_score(runs(plain, 400, 30, 8, 3), 0.5 - 1 / (2 * 37)) > 20
    x, y = draw(25, 3), draw(25, 3, seed=1)
    assert nearest_neighbour_test(x, y) == pytest.approx(float(plain(x, y)))


def test_far_laws_copies_and_ties():
    x = draw(50, 4)
    assert nearest_neighbour_test(x, draw(40, 4, seed=1) + 20) == 1.0
    assert nearest_neighbour_test(x, x.flip(0)) == 0.0
    same = torch.zeros(6, 2)  # each of 12 points has 11 nearest ones, 5 of its own sample
    assert nearest_neighbour_test(same, same) == pytest.approx(5 / 11)
    # both samples hold every corner of a grid twice: at distance 0 one twin and two points of the other
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(4)).repeat(2, 1)
    assert nearest_neighbour_test(grid, grid) == pytest.approx(1 / 3)


def test_a_narrower_law_is_noticed():
    assert nearest_neighbour_test(0.2 * draw(300, 2), draw(300, 2, seed=1)) > 0.7


def test_bad_input_is_refused():
    x = draw(5, 2)
    for statistic in (energy_distance, mmd, nearest_neighbour_test):
        with pytest.raises(InputError, match="y has 1 samples; give at least 2"):
            statistic(x, x[:1])
    for bad in (0.0, -1.0, float("nan"), math.inf, [], [1.0, 0.0]):
        with pytest.raises(InputError, match="bandwidth is"):
            mmd(x, x, bandwidth=bad)
    with pytest.raises(InputError, match="most points coincide"):
        mmd(torch.ones(4, 2), torch.ones(5, 2))
