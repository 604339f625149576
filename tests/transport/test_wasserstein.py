"""Exact transport against sorting, against all permutations, and against scaling laws."""

import itertools
import sys

import pytest
import torch
from scipy import stats

from girsanov.errors import GirsanovError, InputError, MissingExtra
from girsanov.transport import exact, gaussian_w2, wasserstein


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("n, m", [(40, 40), (40, 25), (1, 7)])
def test_on_the_line_it_is_the_distance_of_quantiles(n, m):
    x, y = draw(n), 2 * draw(m, seed=1) + 1
    expected = stats.wasserstein_distance(x.numpy(), y.numpy())
    assert float(wasserstein(x, y, p=1)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_it_is_the_best_of_all_permutations(p):
    x, y = draw(6, 2, 2), draw(6, 2, 2, seed=1)
    distance = (x[:, None] - y).flatten(2).norm(dim=2) ** p
    orders = itertools.permutations(range(6))
    best = min(float(distance[range(6), order].mean()) for order in map(list, orders))
    assert float(wasserstein(x, y, p=p)) == pytest.approx(best ** (1 / p), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_units_do_not_matter(scale):
    x, y = draw(30, 3), draw(20, 3, seed=1) + 1
    assert float(wasserstein(scale * x, scale * y)) == pytest.approx(scale * float(wasserstein(x, y)))


def test_a_shift_costs_its_length_and_order_of_rows_costs_nothing():
    x = draw(50, 4)
    shift = torch.tensor([3.0, 0.0, 4.0, 0.0])
    assert float(wasserstein(x, (x + shift).flip(0))) == pytest.approx(5.0, rel=1e-12)
    assert float(wasserstein(x, x.flip(0))) == 0.0


def test_large_gaussian_samples_approach_the_closed_form():
    covariance = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
    shift = torch.tensor([1.0, -2.0], dtype=torch.float64)
    y = draw(1200, 2, seed=1) @ torch.linalg.cholesky(covariance).T + shift
    law = gaussian_w2(torch.zeros(2), torch.eye(2), shift, covariance)
    # the distance of two 1,200-point samples of one planar law is about 0.07, and the means scatter by 0.03
    assert float(wasserstein(draw(1200, 2), y)) == pytest.approx(float(law), abs=0.1)


def test_the_gradient_is_that_of_finite_differences():
    x, y = draw(5, 2).requires_grad_(), draw(7, 2, seed=1)
    assert torch.autograd.gradcheck(lambda u: wasserstein(u, y), x)
    assert torch.autograd.gradcheck(lambda u: wasserstein(u, y, p=1), x)


def test_float32_is_solved_in_float64():
    x, y = draw(40, 8).float(), draw(40, 8, seed=1).float()
    assert wasserstein(x, y).dtype == torch.float64
    assert float(wasserstein(x, y)) == pytest.approx(float(wasserstein(x.double(), y.double())), rel=1e-14)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="give a finite number of at least 1"):
        wasserstein(draw(3), draw(3), p=0.5)
    with pytest.raises(InputError, match="give equal ones"):
        wasserstein(draw(3, 2), draw(3, 1))
    with pytest.raises(InputError, match="sliced_wasserstein"):
        wasserstein(torch.zeros(5000), torch.zeros(5000))


def test_a_plan_that_fails_its_checks_does_not_leave(monkeypatch):
    monkeypatch.setattr(exact, "_PIVOTS", 3)
    with pytest.warns(UserWarning), pytest.raises(GirsanovError, match="marginals are off"):
        wasserstein(draw(30, 2), draw(30, 2, seed=1))


def test_without_pot_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(MissingExtra, match=r"girsanov\[ot\]"):
        wasserstein(draw(3), draw(3))
