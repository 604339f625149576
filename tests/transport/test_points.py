"""Distances against differences, and what a sample may look like."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.transport import points


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("dim", [1, 3, 64, 784])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_distances_are_those_of_the_differences(dim, far):
    a, b = draw(30, dim) + far, draw(20, dim, seed=1) + far
    expected = (a[:, None] - b).square().sum(-1)
    torch.testing.assert_close(points.squared_distances(a, b), expected, rtol=1e-12, atol=0)


def test_one_far_point_costs_the_others_no_digits():
    a, b = draw(30, 4), draw(20, 4, seed=1)
    b[0] = 1e9
    expected = (a[:, None] - b[1:]).square().sum(-1)
    torch.testing.assert_close(points.squared_distances(a, b)[:, 1:], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 17, 3072])
def test_copies_are_at_distance_zero_and_near_points_are_not(dim):
    a = draw(20, dim) + 3
    assert (points.squared_distances(a, a.clone()).diagonal() == 0).all()
    near = a + 1e-5 * draw(20, dim, seed=1)
    assert (points.squared_distances(a, near).diagonal() > 0).all()


def test_blocks_are_the_rows_of_the_whole(monkeypatch):
    a, b = draw(23, 5), draw(7, 5, seed=1)
    whole = points.squared_distances(a, b)
    for block in (1, 20, 10_000):
        monkeypatch.setattr(points, "BLOCK", block)
        parts = list(points.blocks(a, b))
        torch.testing.assert_close(torch.cat([d for _, d in parts]), whole, rtol=1e-13, atol=1e-13)
        assert [i for rows, _ in parts for i in range(rows.start, rows.stop)] == list(range(23))


def test_the_gradient_is_finite_where_points_coincide():
    a = draw(4, 2).requires_grad_()
    distance = points.root(points.squared_distances(a, torch.cat([a.detach()[:2], draw(3, 2, seed=1)])))
    (gradient,) = torch.autograd.grad(distance.sum(), a)
    assert torch.isfinite(gradient).all()
    assert torch.autograd.gradcheck(lambda u: points.squared_distances(u, draw(3, 2, seed=2)), a)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool])
def test_every_real_dtype_becomes_float64(dtype):
    assert points.as_points(torch.ones(3, 2, 2, dtype=dtype)).dtype == torch.float64
    assert points.as_points(torch.ones(3, 2, 2, dtype=dtype)).shape == (3, 4)


def test_strided_and_expanded_input_pass():
    x = draw(4, 3, 2)
    assert torch.equal(points.as_points(x.mT), x.mT.reshape(4, 6))
    assert points.as_points(torch.ones(1).expand(5)).shape == (5, 1)


BAD = {
    "a list": ([1.0, 2.0], "list"),
    "one number": (torch.tensor(1.0), "single number"),
    "complex": (torch.ones(2, dtype=torch.complex64), "complex"),
    "empty": (torch.empty(0, 3), "0 samples"),
    "empty events": (torch.empty(4, 0), "empty"),
    "nan": (torch.tensor([[0.0], [float("nan")]]), r"index \(1, 0\)"),
    "infinite": (torch.tensor([float("inf"), 1.0]), r"index \(0,\)"),
    "overflow": (torch.tensor([1e200], dtype=torch.float64), "overflows"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_samples_are_refused(bad):
    value, says = BAD[bad]
    with pytest.raises(InputError, match=says):
        points.as_points(value)


def test_samples_that_do_not_match_are_refused():
    with pytest.raises(InputError, match=r"events of x have shape \(2,\) and those of y \(3,\)"):
        points.matched_points(draw(4, 2), draw(4, 3))
