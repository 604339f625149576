"""Point clouds for papers on registration: shapes, pairs of partial views, ICP, and the error of a rotation.

Shapes to train on are three primitives each (boxes, ellipsoids, cylinders of random sizes and poses); shapes to
test on are the meshes that pyvista ships (airplane, ant, nut). All are clouds of points on the surface, centred,
with the farthest point at distance 1. A pair is two views of one shape: other points, the 70 % on one side of a
random plane, noise of 0.01; the target is moved.
Everything follows from the seed.
Oracle: pairs match under the motion they come with, ICP finds a small motion (tests/papers/test_clouds.py).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import extra
from girsanov.networks import weighted_kabsch
from girsanov.noise import Noise, uniform
from girsanov.processes import se3_exp, so3_exp, so3_log
from girsanov.processes.lie import move, rigid

POINTS, SEEN, NOISE = 2048, 0.7, 0.01
MESHES = ("airplane.ply", "ant.ply", "nut.ply")


class Pair(NamedTuple):
    """source and target (B, N, 3), and the motion (B, 4, 4) that takes the first to the second."""

    source: Tensor
    target: Tensor
    motion: Tensor


@cache
def primitives(n: int, seed: int) -> Tensor:
    """n shapes of three primitives each, (n, 2048, 3)."""
    source = Noise(seed).child(11)
    parts, each = 3, POINTS // 3 + 1
    normal = source.draw(torch.empty(n, parts, each, 3), 0)
    u = source.draw(torch.empty(n, parts, each, 3), 1, uniform) * 2 - 1
    ball = normal / normal.norm(dim=-1, keepdim=True)
    box = u / u.abs().amax(-1, keepdim=True)
    ring = torch.cat([ball[..., :2] / ball[..., :2].norm(dim=-1, keepdim=True), u[..., 2:]], -1)
    kind = source.draw(torch.empty(n, parts, 1, 1), 2, uniform) * 3
    surface = torch.where(kind < 1, ball, torch.where(kind < 2, box, ring))
    size = 0.15 + 0.6 * source.draw(torch.empty(n, parts, 1, 3), 3, uniform)
    twist = source.draw(torch.empty(n, parts, 6), 4) * torch.tensor([2.0] * 3 + [0.45] * 3)
    placed = move(se3_exp(twist), surface * size)
    return unit(placed.flatten(1, 2)[:, torch.randperm(parts * each, generator=_generator(seed))[:POINTS]])


@cache
def meshes() -> Tensor:
    """The three meshes of pyvista, (3, 2048, 3), points evenly over the surface.

    Raises:
        MissingExtra: pyvista is not installed.
    """
    examples, pyvista = extra("pyvista.examples", "meshes"), extra("pyvista", "meshes")
    clouds = []
    for i, name in enumerate(MESHES):
        mesh = pyvista.read(f"{examples.dir_path}/{name}").triangulate()
        corners = torch.from_numpy(np.asarray(mesh.points)[mesh.faces.reshape(-1, 4)[:, 1:]]).float()
        a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        area = torch.linalg.cross(a, b).norm(dim=-1).double().cumsum(0)
        u = Noise(i).draw(torch.empty(POINTS, 3, dtype=torch.float64), 0, uniform)
        face = torch.searchsorted(area, u[:, 0] * area[-1]).clamp(max=len(area) - 1)
        right, up = u[:, 1:].float().unbind(-1)
        fold = right + up > 1
        right, up = torch.where(fold, 1 - right, right), torch.where(fold, 1 - up, up)
        clouds.append(corners[face, 0] + right[:, None] * a[face] + up[:, None] * b[face])
    return unit(torch.stack(clouds))


def unit(clouds: Tensor) -> Tensor:
    """Centred, with the farthest point at distance 1."""
    clouds = clouds - clouds.mean(1, keepdim=True)
    return clouds / clouds.norm(dim=-1).amax(1)[:, None, None]


def pairs(shapes: Tensor, points: int, angles: tuple[float, float], source: Noise) -> Pair:
    """One pair of views of each shape, turned by an angle in degrees between the two, moved by up to 0.3."""
    turn = source.draw(shapes.new_empty(len(shapes), 3), 0)
    u = source.draw(shapes.new_empty(len(shapes), 4), 1, uniform)
    angle = (angles[0] + (angles[1] - angles[0]) * u[:, :1]) * math.pi / 180
    motion = rigid(so3_exp(turn / turn.norm(dim=-1, keepdim=True) * angle), 0.6 * u[:, 1:] - 0.3)
    first, second = (_view(shapes, points, source.child(k)) for k in (1, 2))
    return Pair(first, move(motion, second), motion)


def _view(shapes: Tensor, points: int, source: Noise) -> Tensor:
    order = source.draw(shapes.new_empty(shapes.shape[:2]), 0, uniform).argsort(1)[:, : round(points / SEEN)]
    some = shapes.gather(1, order[..., None].expand(-1, -1, 3))
    side = source.draw(shapes.new_empty(len(shapes), 3), 1)
    kept = (some @ side[..., None])[..., 0].topk(points, 1).indices
    seen = some.gather(1, kept[..., None].expand(-1, -1, 3))
    return seen + NOISE * source.draw(seen, 2)


def icp(source: Tensor, target: Tensor, *, steps: int = 50) -> Tensor:
    """Iterative closest point from equal centroids (Besl & McKay 1992), the worst 30 % of matches left out.

    Returns:
        (B, 4, 4).
    """
    motion = torch.eye(4).expand(len(source), 4, 4).clone()
    motion[:, :3, 3] = target.mean(1) - source.mean(1)
    for _ in range(steps):
        distance, nearest = torch.cdist(move(motion, source), target).min(-1)
        matched = target.gather(1, nearest[..., None].expand(-1, -1, 3))
        close = distance <= distance.quantile(SEEN, dim=1, keepdim=True)
        motion = weighted_kabsch(source, matched, close.to(source.dtype))
    return motion


def angle_error(found: Tensor, truth: Tensor) -> Tensor:
    """The angle between two rotations in degrees, (B,)."""
    return so3_log(found[:, :3, :3] @ truth[:, :3, :3].mT).norm(dim=-1) * 180 / math.pi


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
