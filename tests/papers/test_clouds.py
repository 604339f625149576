"""Clouds and pairs match as they say, ICP finds small motions, and the papers' networks train on them."""

import math

import pytest
import torch

from girsanov.errors import MissingExtra
from girsanov.noise import Noise
from girsanov.papers import BUDGETS, clouds
from girsanov.papers.processes import se3_registration as paper
from girsanov.processes import so3_exp
from girsanov.processes.lie import move, rigid


@pytest.mark.parametrize("name", ["primitives", "meshes"])
def test_shapes_fill_the_unit_ball(name):
    if name == "meshes":
        pytest.importorskip("pyvista", reason="the meshes are an extra that make setup leaves out")
    shapes = clouds.primitives(5, 0) if name == "primitives" else clouds.meshes()
    assert shapes.shape[1:] == (2048, 3)
    torch.testing.assert_close(shapes.norm(dim=-1).amax(1), torch.ones(len(shapes)))
    assert shapes.mean(1).abs().max() < 1e-4


def test_pairs_match_under_their_motion():
    shapes = clouds.primitives(8, 0)
    pair = clouds.pairs(shapes, 300, (20.0, 70.0), Noise(1))
    assert pair.source.shape == pair.target.shape == (8, 300, 3)
    gap = torch.cdist(move(pair.motion, pair.source), pair.target).amin(-1).median()
    assert gap < 0.1 < torch.cdist(pair.source, pair.target).amin(-1).median() * 2
    angle = clouds.angle_error(torch.eye(4).expand(8, 4, 4), pair.motion)
    assert angle.min() >= 20 and angle.max() <= 70


def test_views_lie_on_the_shape_but_for_the_noise():
    shapes = clouds.primitives(4, 0)
    pair = clouds.pairs(shapes, 200, (0.0, 0.0), Noise(2))
    away = torch.cdist(pair.source, shapes).amin(-1)
    assert away.square().mean().sqrt() < math.sqrt(3) * clouds.NOISE


def test_icp_finds_a_small_motion():
    cloud = clouds.primitives(4, 0)[:, :300]
    motion = rigid(so3_exp(torch.tensor([[0.1, 0.05, -0.1]])), torch.tensor([[0.1, 0.0, 0.0]])).expand(
        4, 4, 4
    )
    found = clouds.icp(cloud, move(motion, cloud))
    assert clouds.angle_error(found, motion).max() < 0.5


def test_the_angle_between_known_rotations():
    one = torch.eye(4)[None]
    turned = rigid(so3_exp(torch.tensor([[0.0, 0.0, math.pi / 3]])), torch.zeros(1, 3))
    assert clouds.angle_error(turned, one).item() == pytest.approx(60, abs=1e-3)


def test_without_pyvista_a_smoke_test_runs_and_a_judged_run_does_not(monkeypatch):
    def missing():
        raise MissingExtra("no pyvista")

    monkeypatch.setattr(clouds, "meshes", missing)
    assert paper.tested(BUDGETS["smoke"]).shape == (3, 2048, 3)
    with pytest.raises(MissingExtra):
        paper.tested(BUDGETS["cpu"])


def test_training_follows_from_the_seed():
    a, b = (paper.trained(0, 2, True).state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)
