"""The sliced Wasserstein distance: shifts and Gaussians in closed form, exact transport on the line."""

import math

import pytest
import torch
from scipy import stats

from girsanov.errors import InputError
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise
from girsanov.transport import wasserstein


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [2, 5, 40])
def test_a_shift_in_closed_form(dim):
    """Every direction sees (θ·δ)², whose mean is |δ|²/d and whose variance is |δ|⁴ 2(d−1)/(d²(d+2))."""
    shift, count = draw(dim, seed=3), 20_000
    found = sliced_wasserstein(draw(3, dim), draw(3, dim) + shift, projections=count, generator=Noise(0)) ** 2
    length = float(shift.square().sum())
    error = length * math.sqrt(2 * (dim - 1) / (dim**2 * (dim + 2)) / count)
    assert abs(float(found) - length / dim) < 4 * error


def test_round_gaussians_in_closed_form():
    """Between N(0, I) and N(δ, s² I) every direction sees (θ·δ)² + (1 − s)²."""
    x, y = draw(20_000, 3), 3 * draw(20_000, 3, seed=1)
    y[:, 0] += 4
    found = sliced_wasserstein(x, y, projections=500, generator=Noise(0)) ** 2
    error = 16 * math.sqrt(2 * 2 / (9 * 5) / 500)  # of the directions; that of the points is a tenth of it
    assert abs(float(found) - (16 / 3 + 4)) < 4 * error


@pytest.mark.parametrize("n, m", [(30, 30), (30, 20), (7, 50), (1, 9), (1, 1)])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_on_the_line_it_is_exact_for_unequal_sizes(n, m, p):
    x, y = draw(n, 1), 2 * draw(m, 1, seed=1)
    found = float(sliced_wasserstein(x, y, projections=3, p=p, generator=Noise(0)))
    assert found == pytest.approx(float(wasserstein(x, y, p=p)), rel=1e-12)
    if p == 1:
        assert found == pytest.approx(stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy()), rel=1e-12)


def test_directions_come_from_the_generator_alone():
    x, y = draw(20, 3, 2), draw(30, 3, 2, seed=1)
    values = [float(sliced_wasserstein(x, y, projections=8, generator=Noise(s))) for s in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    generators = [torch.Generator().manual_seed(4) for _ in range(2)]
    assert len({float(sliced_wasserstein(x, y, generator=g)) for g in generators}) == 1
    assert sliced_wasserstein(x, x, projections=4, generator=Noise(0)) == 0


def test_the_gradient_is_that_of_finite_differences():
    x, y = draw(5, 3).requires_grad_(), draw(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda u: sliced_wasserstein(u, y, projections=6, generator=Noise(0)), x)


def test_bad_input_is_refused():
    x = draw(4, 2)
    for options, says in [
        ({"projections": 0}, "projections is 0"),
        ({"p": 0.9}, "p is 0"),
        ({"p": math.inf}, "inf"),
    ]:
        with pytest.raises(InputError, match=says):
            sliced_wasserstein(x, x, **options)
    with pytest.raises(InputError, match="generator is int"):
        sliced_wasserstein(x, x, generator=3)
