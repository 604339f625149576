"""Kabsch against exact motions and finite differences; the matcher's symmetries and one training."""

import pytest
import torch
from oracles import seeded

from girsanov.errors import InputError
from girsanov.networks import PointMatcher, weighted_kabsch
from girsanov.processes import se3_exp
from girsanov.processes.lie import move

DOUBLE = torch.float64


def cloud(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=DOUBLE)


def test_exact_matches_give_the_exact_motion():
    points, motion = cloud(8, 10, 3), se3_exp(2 * cloud(8, 6, seed=1))
    weight = cloud(8, 10, seed=2).square()
    torch.testing.assert_close(weighted_kabsch(points, move(motion, points), weight), motion)


def test_no_other_motion_has_less_error():
    x, y, weight = cloud(1, 10, 3), cloud(1, 10, 3, seed=1), cloud(1, 10, seed=2).square()
    found = weighted_kabsch(x, y, weight)
    others = se3_exp(0.3 * cloud(2000, 6, seed=3)) @ found

    def error(motion):
        return (weight * (move(motion, x) - y).square().sum(-1)).sum(-1)

    assert error(found) < error(others).min()


def test_a_mirror_image_still_gives_a_rotation():
    x = cloud(5, 10, 3)
    found = weighted_kabsch(x, x * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(torch.linalg.det(found[:, :3, :3]), torch.ones(5, dtype=DOUBLE))


@pytest.mark.parametrize("mirrored", [False, True])
def test_gradients_are_finite_differences(mirrored):
    x = cloud(2, 6, 3)
    y = (
        x * torch.tensor([-1.0 if mirrored else 1.0, 1.0, 1.0]) + 0.2 * cloud(2, 6, 3, seed=1)
    ).requires_grad_()
    weight = (cloud(2, 6, seed=2).square() + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(weighted_kabsch, (x.requires_grad_(), y, weight))


@pytest.mark.parametrize("kind", ["a point", "a line", "a plane", "a cube", "one weight", "no weight"])
def test_gradients_are_finite_where_the_svd_has_none(kind):
    points = {
        "a point": torch.zeros(1, 8, 3),
        "a line": torch.linspace(-1, 1, 8)[None, :, None] * torch.tensor([1.0, 2.0, 0.0]),
        "a plane": torch.cat([cloud(1, 8, 2).float(), torch.zeros(1, 8, 1)], -1),
    }.get(kind, torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)[None])
    x, y = points.clone().requires_grad_(), points.clone().requires_grad_()
    weight = torch.ones(1, 8)
    if kind.endswith("weight"):
        weight = torch.eye(8)[:1] * (kind == "one weight")
    weight.requires_grad_()
    motion = weighted_kabsch(x, y, weight)
    assert torch.linalg.det(motion[0, :3, :3]).item() == pytest.approx(1, abs=1e-5)
    (motion[:, :3] * torch.randn(1, 3, 4, generator=seeded(5))).sum().backward()
    for leaf in (x, y, weight):
        assert torch.isfinite(leaf.grad).all()


def network(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PointMatcher(**options)


def test_it_is_small():
    assert sum(p.numel() for p in network().parameters()) < 200_000


def test_the_order_of_points_and_a_shift_do_not_matter():
    net, x, y = network().double(), cloud(2, 30, 3), cloud(2, 25, 3, seed=1)
    found = net(x, y)
    torch.testing.assert_close(net(x[:, torch.randperm(30, generator=seeded(0))], y), found)
    torch.testing.assert_close(net(x, y[:, torch.randperm(25, generator=seeded(0))]), found)
    back = se3_exp(torch.tensor([[0, 0, 0, -1.0, 2.0, 0.5]], dtype=DOUBLE))
    torch.testing.assert_close(net(x + torch.tensor([1.0, -2.0, -0.5]), y), found @ back)


def test_it_learns_one_pair():
    net, x = network(width=16, neighbours=4), cloud(1, 20, 3).float()
    motion = se3_exp(torch.tensor([[0.3, -0.2, 0.4, 0.1, 0.2, 0.0]]))
    optimizer, losses = torch.optim.Adam(net.parameters(), 1e-2), []
    for _ in range(60):
        loss = (move(net(x, move(motion, x)), x) - move(motion, x)).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.2 * losses[0]


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: PointMatcher(width=6), "multiple of 4"),
        (lambda: PointMatcher(neighbours=0), "neighbours"),
        (lambda: network()(torch.zeros(1, 5, 3), torch.zeros(1, 30, 3)), "more than 12"),
        (lambda: network()(torch.zeros(1, 30, 2), torch.zeros(1, 30, 3)), r"\(1, 30, 2\)"),
        (lambda: weighted_kabsch(torch.zeros(1, 5, 3), torch.zeros(1, 4, 3)), "two"),
        (lambda: weighted_kabsch(torch.zeros(1, 5, 3), torch.zeros(1, 5, 3), torch.ones(5)), "weight"),
    ],
)
def test_bad_input_is_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()
