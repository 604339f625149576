"""Walks that stay inside a set: three discretizations of Brownian motion that is reflected at the boundary.

One step from x over the variance h, with ξ standard normal, forwards with s = 0, backwards with the score s:

    Metropolis   y = x + h s + √h ξ, and x again where y is outside                            any set    (1)
    reflected    straight on along h s + √h ξ, mirrored at every facet that is hit             facets     (2)
    barrier      x + h (½∇·g⁻¹ + g⁻¹ s) + √h g^(-1/2) ξ, and x again where that is outside     facets     (3)

(1) and (2) tend to reflected Brownian motion as h → 0, and both keep the uniform law exactly: their steps from x
to y and from y to x are equally likely. (3) is the diffusion of the metric g = ∇²φ, φ = -Σ log(b_i - a_i·x); it slows
down at the boundary and never reaches it, its law at rest is uniform as well, and for h > 0 only nearly. With
r = b - Ax and c_i = a_iᵀ g⁻¹ a_i its drift is

    ½ ∇·g⁻¹ = -g⁻¹ Aᵀ (c/r³).                                                                      (4)

Source: Fishman, Klarner, Mathieu, Hutchinson & De Bortoli (2023), Metropolis sampling for constrained diffusion
models, algorithm 1; Fishman, Klarner, De Bortoli, Mathieu & Hutchinson (2023), Diffusion models for constrained
domains, for (2) and (3). Backwards, (3) is the reversal of its forward equation (Haussmann & Pardoux 1986).
Oracle: the Neumann series on an interval, the uniform law, autograd of (4) (tests/processes/test_walks.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require
from girsanov.processes.base import like_batch
from girsanov.processes.sets import Box, ConstraintSet, Faceted
from girsanov.processes.uniform import size
from girsanov.typing import Time

BOUNCES = 1000
"""Reflections of one step, at most; a row that needs more stays where it was."""

RANGE = 10.0
"""The variance of (1) and (2) over that of the uniform law along its longest direction.

The slowest mode of an interval of length L decays by exp(-½ (π/L)² · 10 L²/12) = 0.016; of other convex sets by about
as much (the conjecture of Kannan, Lovász and Simonovits).
"""

BARRIER_RANGE = 12.0
"""The variance of (3): from a quarter of an interval, the uniform law (tests/processes/test_walks.py)."""

NEAR = 1e-6
"""Distance to a facet at which the barrier's metric still has a Cholesky factor."""


class Walk(Protocol):
    """One step inside a set."""

    def check(self, inside: ConstraintSet) -> None:
        """Refuse a set that the walk cannot walk in."""
        ...

    def reach(self, inside: ConstraintSet) -> float:
        """The variance after which the law is nearly uniform, wherever it began."""
        ...

    def step(
        self, inside: ConstraintSet, x: Tensor, variance: Time, z: Tensor, score: Tensor | None = None
    ) -> Tensor:
        """One step of equations (1) to (3).

        Args:
            x: (B, features), inside.
            variance: h, a number or (B,).
            z: (B, features), ξ.
            score: (B, features), for the way back; None forwards.

        Returns:
            (B, features), inside.
        """
        ...


@dataclass(frozen=True)
class MetropolisWalk:
    """Equation (1) of the head of the module: asks only whether a point is inside."""

    def check(self, inside: ConstraintSet) -> None:
        pass

    def reach(self, inside: ConstraintSet) -> float:
        return RANGE * size(inside).most ** 2

    def step(
        self, inside: ConstraintSet, x: Tensor, variance: Time, z: Tensor, score: Tensor | None = None
    ) -> Tensor:
        return stay(inside, x, x + _move(variance, x, z, score))


@dataclass(frozen=True)
class ReflectedWalk:
    """Equation (2): mirrored at each facet on its way; in a box, by folding."""

    def check(self, inside: ConstraintSet) -> None:
        _need_facets(self, inside)

    def reach(self, inside: ConstraintSet) -> float:
        return RANGE * size(inside).most ** 2

    def step(
        self, inside: ConstraintSet, x: Tensor, variance: Time, z: Tensor, score: Tensor | None = None
    ) -> Tensor:
        move = _move(variance, x, z, score)
        if isinstance(inside, Box):
            return stay(inside, x, _folded(inside, x + move))
        assert isinstance(inside, Faceted)
        y, left, going = x.clone(), move.clone(), torch.arange(len(x), device=x.device)
        rows, right = (part.to(x.device, x.dtype) for part in inside.facets)
        for _ in range(BOUNCES):
            speed = left[going] @ rows.T
            reach = (right - y[going] @ rows.T).clamp(min=0) / speed
            share, facet = torch.where(speed > 0, reach, torch.inf).min(1)
            hit = share < 1
            y[going] += share.clamp(max=1)[:, None] * left[going]
            going, facet, share = going[hit], facet[hit], share[hit]
            if len(going) == 0:
                break
            normal, rest = rows[facet], (1 - share)[:, None] * left[going]
            left[going] = rest - 2 * (rest * normal).sum(1, keepdim=True) * normal
        y[going] = x[going]
        return stay(inside, x, y)


@dataclass(frozen=True)
class BarrierWalk:
    """Equation (3): the diffusion of the logarithmic barrier's metric, by Euler's rule."""

    def check(self, inside: ConstraintSet) -> None:
        _need_facets(self, inside)

    def reach(self, inside: ConstraintSet) -> float:
        return BARRIER_RANGE  # the metric is the same in all coordinates

    def step(
        self, inside: ConstraintSet, x: Tensor, variance: Time, z: Tensor, score: Tensor | None = None
    ) -> Tensor:
        assert isinstance(inside, Faceted)
        rows, right = (part.to(x.device) for part in inside.facets)
        lower, drift = barrier(rows, right, x.double())  # the metric spans more than float32 holds
        noise = torch.linalg.solve_triangular(lower.mT, z.double()[:, :, None], upper=True)[:, :, 0]
        if score is not None:
            drift = drift + torch.cholesky_solve(score.double()[:, :, None], lower)[:, :, 0]
        move = like_batch(variance, x) * drift + like_batch(_root(variance), x) * noise
        return stay(inside, x, x + move.to(x.dtype))


def barrier(rows: Tensor, right: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The Cholesky factor L of g = L Lᵀ, (B, d, d), and the drift of equation (4), (B, d), at x inside, float64.

    Nearer than `NEAR` to a facet they are those at that distance.
    """
    room = (right - x @ rows.T).clamp(min=NEAR)
    scaled = rows / room[:, :, None]
    lower = torch.linalg.cholesky(scaled.mT @ scaled)
    # Columns L⁻¹ a_i: their squared lengths are the c_i.
    half = torch.linalg.solve_triangular(lower, rows.mT.expand(len(x), -1, -1), upper=False)
    weights = half.square().sum(1) / room**3
    pull = -(half * weights[:, None]).sum(2, keepdim=True)
    return lower, torch.linalg.solve_triangular(lower.mT, pull, upper=True)[:, :, 0]


def stay(inside: ConstraintSet, x: Tensor, y: Tensor) -> Tensor:
    """y where it is inside, and x where it is not."""
    return torch.where(inside.contains(y)[:, None], y, x)


def _folded(inside: Box, y: Tensor) -> Tensor:
    """Reflection in a box, a coordinate at a time: the line folded into its interval."""
    low, high = (torch.tensor(end, dtype=y.dtype, device=y.device) for end in inside.bounds)
    width = high - low
    u = (y - low).remainder(2 * width)
    return low + torch.minimum(u, 2 * width - u)


def _need_facets(walk: Walk, inside: ConstraintSet) -> None:
    require(
        isinstance(inside, Faceted),
        f"{type(walk).__name__} needs facets, and {type(inside).__name__} has none; use MetropolisWalk()",
        Unsuitable,
    )


def _move(variance: Time, x: Tensor, z: Tensor, score: Tensor | None) -> Tensor:
    """h s + √h ξ."""
    move = like_batch(_root(variance), x) * z
    return move if score is None else move + like_batch(variance, x) * score


def _root(variance: Time) -> Time:
    return variance.sqrt() if isinstance(variance, Tensor) else math.sqrt(variance)


WALKS: dict[str, Walk] = {
    type(walk).__name__: walk for walk in (MetropolisWalk(), ReflectedWalk(), BarrierWalk())
}
"""The walks by name."""
