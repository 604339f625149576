"""Distances between sets against geomloss and POT, one point each, limits and finite differences."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.metrics import (
    energy_divergence,
    generalized_energy_distance,
    hausdorff_divergence,
    sinkhorn_divergence,
)
from girsanov.noise import Noise
from girsanov.transport import wasserstein

X = Noise(0).draw(torch.empty(3, 5, 2, 3, dtype=torch.float64), 0)
Y = Noise(1).draw(torch.empty(3, 4, 2, 3, dtype=torch.float64), 0) + 0.5
ALL = [
    energy_divergence,
    lambda x, y: sinkhorn_divergence(x, y, blur=0.5),
    lambda x, y: hausdorff_divergence(x, y, blur=0.5),
]


def flat(x):
    return x.flatten(2)


def geomloss(**options):
    library = pytest.importorskip("geomloss")
    loss = library.SamplesLoss(backend="tensorized", **options)
    return loss(flat(X), flat(Y))


def test_energy_is_twice_that_of_geomloss_and_so_is_its_hausdorff_with_the_energy_kernel():
    floor = 1e-4 * (1 / 5 + 1 / 4)  # geomloss takes 1e-4 for the distance of a point to itself
    torch.testing.assert_close(energy_divergence(X, Y), 2 * geomloss(loss="energy") + floor)

    def kernel(x, y, **_):
        return -torch.cdist(x, y)

    torch.testing.assert_close(energy_divergence(X, Y), 2 * geomloss(loss="hausdorff", kernel=kernel))


@pytest.mark.parametrize("p, factor", [(2, 2), (1, 1)])
def test_sinkhorn_is_that_of_geomloss(p, factor):
    found = sinkhorn_divergence(X, Y, blur=0.8, p=p, iterations=5000)
    cost = torch.cdist if p == 1 else None  # theirs has a floor of 1e-4
    theirs = geomloss(loss="sinkhorn", p=p, blur=0.8, scaling=0.999, cost=cost)
    torch.testing.assert_close(found, factor * theirs, rtol=1e-5, atol=1e-6)


def test_the_entropic_cost_is_that_of_pot():
    ot = pytest.importorskip("ot")
    cost = (flat(X)[:, :, None] - flat(Y)[:, None]).square().sum(3)
    own = [(flat(z)[:, :, None] - flat(z)[:, None]).square().sum(3) for z in (X, Y)]

    def value(c):
        a, b = (torch.full((n,), 1 / n, dtype=torch.float64) for n in c.shape)
        plan = ot.sinkhorn(a, b, c, 2.0, stopThr=1e-12, numItermax=100_000)
        return (plan * c).sum() + 2.0 * (plan * (plan / (a[:, None] * b)).log()).sum()

    expected = [value(c) - value(u) / 2 - value(v) / 2 for c, u, v in zip(cost, *own)]
    torch.testing.assert_close(sinkhorn_divergence(X, Y, blur=1.0), torch.stack(expected))


@pytest.mark.parametrize("distance", ALL)
def test_equal_sets_are_at_zero_and_others_are_not(distance):
    shuffled = X[:, [3, 1, 0, 4, 2]]
    assert distance(X, shuffled).abs().max() < 1e-9
    assert distance(X, Y).min() > 0.1
    torch.testing.assert_close(distance(X, Y), distance(Y, X))
    torch.testing.assert_close(distance(X, Y), distance(shuffled, Y))


@pytest.mark.parametrize("distance", ALL)
def test_a_batch_is_its_rows(distance):
    rows = torch.cat([distance(X[i : i + 1], Y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(distance(X, Y), rows)


def test_one_point_each():
    x, y = X[:, :1], Y[:, :1]
    apart = (x - y).flatten(1).norm(dim=1)
    torch.testing.assert_close(energy_divergence(x, y), 2 * apart)
    for distance in (sinkhorn_divergence, hausdorff_divergence):
        torch.testing.assert_close(distance(x, y), apart**2)
    torch.testing.assert_close(sinkhorn_divergence(x, y, p=1), apart)


def test_a_wide_blur_sees_the_means_only():
    means = (X.mean(1) - Y.mean(1)).flatten(1).square().sum(1)
    for distance in (sinkhorn_divergence, hausdorff_divergence):
        torch.testing.assert_close(distance(X, Y, blur=300.0), means, rtol=1e-3, atol=1e-4)


def test_a_narrow_blur_is_transport_or_the_nearest_point():
    y = torch.cat([Y, Y[:, :1] + 1], 1)  # five points, so that the plan is a permutation
    exact = torch.stack([wasserstein(a, b) ** 2 for a, b in zip(X, y)])
    torch.testing.assert_close(
        sinkhorn_divergence(X, y, blur=0.05, iterations=20_000), exact, rtol=2e-3, atol=0
    )
    squares = torch.cdist(flat(X), flat(Y)) ** 2
    nearest = (squares.amin(2).mean(1) + squares.amin(1).mean(1)) / 2
    # of n points within ε, one answers: the logarithm of their number is left, times ε = 2 blur²
    torch.testing.assert_close(hausdorff_divergence(X, Y, blur=0.01), nearest, rtol=2e-3, atol=0)


@pytest.mark.parametrize("distance", ALL)
def test_gradients_are_finite_differences(distance):
    x, y = X[:2, :3, 0].clone().requires_grad_(), Y[:2, :2, 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(distance, (x, y), eps=1e-5, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("distance", ALL)
def test_gradients_at_equal_points_are_finite(distance):
    x = torch.zeros(1, 3, 2, requires_grad=True)
    distance(x, torch.zeros(1, 2, 2)).sum().backward()
    assert x.grad.abs().max() < 1e-6


def test_the_generalized_distance_by_hand():
    a, b = torch.tensor([1, 1, 0, 0]), torch.tensor([0, 1, 1, 0])  # intersection 1, union 3
    empty = torch.zeros_like(a)
    one = generalized_energy_distance(a[None, None], b[None, None])
    torch.testing.assert_close(one, torch.tensor([4 / 3], dtype=torch.float64))
    x, y = torch.stack([a, empty])[None], torch.stack([a, empty, empty, b])[None].bool()
    cross = (0 + 1 + 1 + 2 / 3 + 1 + 0 + 0 + 1) / 8
    within = 2 / 4 + 2 * (1 + 1 + 2 / 3 + 0 + 1 + 1) / 16
    expected = torch.tensor([2 * cross - within], dtype=torch.float64)
    torch.testing.assert_close(generalized_energy_distance(x, y), expected)
    assert generalized_energy_distance(empty[None, None], empty[None, None]) == 0


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: energy_divergence(X, Y[:2]), "at least one point of one shape"),
        (lambda: energy_divergence(X, Y[:, :0]), "at least one point"),
        (lambda: energy_divergence(X, Y[..., :1]), "one shape"),
        (lambda: energy_divergence(X, Y * torch.inf), "infinite"),
        (lambda: sinkhorn_divergence(X, Y, blur=0.0), "blur is 0"),
        (lambda: sinkhorn_divergence(X, Y, p=3), "p is 3"),
        (lambda: hausdorff_divergence(X, Y, iterations=0), "iterations is 0"),
        (lambda: generalized_energy_distance(X, Y), "other than 0 and 1"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()
