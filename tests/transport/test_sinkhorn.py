"""Entropic transport: two points and Gaussians in closed form, both limits of blur, an independent solver."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.transport import sinkhorn, wasserstein


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("gap", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("blur", [0.3, 1.0])
def test_two_points_in_closed_form(gap, blur):
    points = torch.tensor([0.0, gap])
    found = sinkhorn(points, points, blur=blur)
    cross = 1 / (1 + math.exp(gap**2 / (2 * blur**2)))  # the chance of going to the other point
    assert found.cost == pytest.approx(cross * gap**2, rel=1e-6, abs=1e-15)
    entropy = sum(p * math.log(2 * p) for p in (cross, 1 - cross) if p > 0)
    assert found.value == pytest.approx(found.cost + 2 * blur**2 * entropy, rel=1e-6, abs=1e-12)


def test_gaussians_in_closed_form():
    """Janati et al. (2020), theorem 1, on the line, where quantiles stand in for the law."""
    s, t, shift, blur = 1.0, 2.0, 0.5, 0.8
    ranks = (torch.arange(600, dtype=torch.float64) + 0.5) / 600
    z = torch.special.ndtri(ranks)
    root = (4 * s**2 * t**2 + blur**4) ** 0.5
    bures = s**2 + t**2 - root + blur**2 * (1 - math.log(2 * blur**2)) + blur**2 * math.log(root + blur**2)
    found = sinkhorn(s * z, t * z + shift, blur=blur)
    assert found.converged
    assert found.value == pytest.approx(shift**2 + bures, rel=0.01)  # 600 quantiles cut the tails off
    assert wasserstein(s * z, t * z + shift) ** 2 == pytest.approx(shift**2 + (s - t) ** 2, rel=0.01)


def test_an_independent_solver_agrees():
    ot = pytest.importorskip("ot")
    x, y = draw(30, 3), draw(20, 3, seed=1) + 1
    cost = torch.cdist(x, y).square().numpy()
    expected = ot.bregman.sinkhorn_log([], [], cost, reg=2 * 0.7**2, stopThr=1e-12, numItermax=10_000)
    found = sinkhorn(x, y, blur=0.7, tolerance=1e-10)
    torch.testing.assert_close(found.plan, torch.from_numpy(expected), rtol=1e-6, atol=1e-12)


def test_small_blur_is_exact_transport_and_large_blur_is_independence():
    x, y = draw(40, 2), draw(30, 2, seed=1)
    blur, least = 0.05, float(wasserstein(x, y)) ** 2
    sharp = sinkhorn(x, y, blur=blur, iterations=20_000)
    assert sharp.converged
    # any plan has KL at most log(N M) from the independent one, and the exact plan is a candidate
    assert least - 1e-6 <= sharp.cost <= sharp.value <= least + 2 * blur**2 * math.log(40 * 30)
    soft = sinkhorn(x, y, blur=1e4)
    torch.testing.assert_close(soft.plan, torch.full((40, 30), 1 / 1200).double(), rtol=1e-4, atol=0)
    assert soft.cost == pytest.approx(float(torch.cdist(x, y).square().mean()), rel=1e-4)


def test_the_result_says_what_it_is():
    x, y = draw(40, 2), draw(30, 2, seed=1)
    found = sinkhorn(x, y, blur=0.1)
    assert found.converged and found.residual <= 2e-6 and 1 < found.n_iter < 1000
    assert {t.dtype for t in (found.plan, found.f, found.g)} == {torch.float64}
    torch.testing.assert_close(found.plan.sum(0), torch.full((30,), 1 / 30).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.plan.sum(1), torch.full((40,), 1 / 40).double(), rtol=1e-4, atol=0)
    for budget in (1, 3, 20):
        short = sinkhorn(x, y, blur=0.01, iterations=budget)
        assert not short.converged and short.n_iter == budget and short.residual > 1e-6


def test_far_points_and_small_blur_do_not_overflow():
    x = draw(20, 2).float()
    found = sinkhorn(x, x + 1e4, blur=1.0)
    assert found.converged and math.isfinite(found.value)
    assert found.cost == pytest.approx(2e8, rel=0.01)
    assert sinkhorn(x[:1], x[:1], blur=0.1).cost == 0


def test_units_and_order_do_not_matter():
    x, y = draw(20, 2), draw(25, 2, seed=1)
    base = sinkhorn(x, y, blur=0.3)
    assert sinkhorn(1e6 * x, 1e6 * y, blur=3e5).cost == pytest.approx(1e12 * base.cost, rel=1e-6)
    torch.testing.assert_close(sinkhorn(x, y.flip(0), blur=0.3).plan, base.plan.flip(1))
    assert sinkhorn(y, x, blur=0.3).cost == pytest.approx(base.cost, rel=1e-4)


def test_bad_input_is_refused():
    x = draw(4, 2)
    for options, says in [
        ({"blur": 0.0}, "blur is 0"),
        ({"blur": -1.0}, "blur is -1"),
        ({"blur": float("nan")}, "blur is nan"),
        ({"blur": 1e-200}, "its square is 0"),
        ({"blur": 1.0, "iterations": 0}, "iterations is 0"),
        ({"blur": 1.0, "tolerance": 0.0}, "tolerance is 0"),
    ]:
        with pytest.raises(InputError, match=says):
            sinkhorn(x, x, **options)
    with pytest.raises(InputError, match="y holds"):
        sinkhorn(x, x * torch.nan, blur=1.0)
    with pytest.raises(InputError, match="give equal ones"):
        sinkhorn(x, draw(4, 3), blur=1.0)
    with pytest.raises(InputError, match="0 samples"):
        sinkhorn(x[:0], x, blur=1.0)
