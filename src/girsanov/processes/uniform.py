"""Uniform points of a constraint set, where a constrained process ends.

    closed form   where the set has one (`Drawable`)
    rejection     points of the box around the set until one is inside; exact
    hit-and-run   a convex set with facets of which the box holds little: a uniform point of the chord through
                  the present point in a random direction, over and over
    a long walk   other sets of which the box holds little: the Metropolis walk from a point inside

Rejection and the closed forms end with a test in the dtype that was asked for, so rounding leaves none outside.

Oracle: moments of the simplex and of positive definite matrices, quadrature (tests/processes).
Source: Smith (1984), Efficient Monte Carlo procedures for generating points uniformly distributed over bounded
regions, Operations Research 32; Lovász & Vempala (2006), Hit-and-run from a corner: fast from any start.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Noise, Source, uniform
from girsanov.processes.halfspaces import largest_ball
from girsanov.processes.sets import Box, ConstraintSet, Drawable, Faceted

PILOT = 4096
"""Points by which a set is sized up."""

LEAST = 0.02
"""The share of the box that rejection asks for."""

HIT_AND_RUN = 60
"""Chords a coordinate."""

WALK = 2000
"""Steps of a long walk."""


class Size(NamedTuple):
    """The standard deviations of the uniform law along its principal directions, least and most."""

    least: float
    most: float


def uniform_points(inside: ConstraintSet, like: Tensor, source: Source) -> Tensor:
    """Uniform points (B, features) of a set, shaped like `like`.

    Raises:
        InputError: shapes differ, or no point of the set is found.
    """
    require(
        like.ndim == 2 and like.shape[1] == inside.features,
        f"points of this {type(inside).__name__} are (B, {inside.features}), not {tuple(like.shape)}",
    )
    if isinstance(inside, Drawable) or _share(inside) >= LEAST:
        return _rejection(inside, like, source)
    if isinstance(inside, Faceted):
        return _hit_and_run(inside, like, source)
    return _long_walk(inside, like, source)


@lru_cache(maxsize=64)
def size(inside: ConstraintSet) -> Size:
    """How large the set is, from `PILOT` uniform points, the same every time."""
    like = torch.empty(PILOT, inside.features, dtype=torch.float64)
    x = uniform_points(inside, like, Noise(0))
    values = torch.linalg.eigvalsh(x.T.cov().reshape(inside.features, inside.features))
    return Size(float(values[0]) ** 0.5, float(values[-1]) ** 0.5)


@lru_cache(maxsize=64)
def _share(inside: ConstraintSet) -> float:
    """The share of the box that the set fills, from `PILOT` points."""
    return float(inside.contains(_pilot(inside)).double().mean())


def _pilot(inside: ConstraintSet) -> Tensor:
    like = torch.empty(PILOT, inside.features, dtype=torch.float64)
    return Box(*inside.bounds).draw(like, Noise(0), 0)


def _rejection(inside: ConstraintSet, like: Tensor, source: Source) -> Tensor:
    around = inside if isinstance(inside, Drawable) else Box(*inside.bounds)
    x, attempt = around.draw(like, source, 0), 0
    missing = (~inside.contains(x)).nonzero()[:, 0]
    while len(missing):
        attempt += 1
        require(
            attempt < 100 / LEAST, f"no point of {type(inside).__name__} was found in {attempt} tries a row"
        )
        again = around.draw(like, source, attempt)[missing]
        good = inside.contains(again)
        x[missing[good]] = again[good]
        missing = missing[~good]
    return x


def _hit_and_run(inside: Faceted, like: Tensor, source: Source) -> Tensor:
    rows, right = inside.facets
    centre = torch.tensor(largest_ball(rows, right)[0], dtype=torch.float64)
    x = centre.expand(len(like), -1)
    flat = torch.empty(len(like), 1, dtype=torch.float64)
    for k in range(HIT_AND_RUN * inside.features):
        v = source.draw(torch.empty_like(x), 2 * k)
        speed, room = v @ rows.T, (right - x @ rows.T).clamp(min=0)
        reach = room / speed
        ahead = torch.where(speed > 0, reach, torch.inf).amin(1, keepdim=True)
        behind = torch.where(speed < 0, reach, -torch.inf).amax(1, keepdim=True)
        y = x + torch.lerp(behind, ahead, source.draw(flat, 2 * k + 1, uniform)) * v
        x = torch.where(inside.contains(y.to(like.dtype))[:, None], y, x)
    return x.to(like.device, like.dtype)


def _long_walk(inside: ConstraintSet, like: Tensor, source: Source) -> Tensor:
    found = _pilot(inside)
    found = found[inside.contains(found)]
    require(
        len(found) > 0,
        f"none of {PILOT} points of the box around this {type(inside).__name__} is inside; it is too thin to draw "
        "from. Give a Polytope where it is one, or coordinates in which it is wider",
    )
    depth = inside.distance(found)
    start = found[depth.argmax()]
    # Half the depth of the deepest point as the length of a step: it is taken about every other time.
    std = float(depth.max()) / (2 * inside.features**0.5)
    x = start.to(like.device, like.dtype).expand(len(like), -1)
    for k in range(WALK):
        y = x + std * source.draw(like, k)
        x = torch.where(inside.contains(y)[:, None], y, x)
    return x
