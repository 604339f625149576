"""Diffusion inside a set, given only a test of membership: from data to the uniform law, and never outside.

On the clock τ(t) = V t² a Brownian motion that is reflected at the boundary,

    dX = dW_τ + reflection,        X_1 nearly uniform,                                              (1)

is discretized by a walk of `steps` steps, uniform in t, so they are short near the data (`processes.walks`).
V is enough to forget them.

There is no closed law of X_t given X_0. A network learns the score by integration by parts
(`objectives.path_score_matching`), which asks that it vanishes along the boundary:

    s(x, t) = m(x) net(x, t)/w(t),   m(x) = min(1, d(x, ∂M)/ε),   w(t)² = ε² + τ σ²/(τ + σ²),         (2)

with σ² the variance of the uniform law. w is about the width of what the score sees, so the network answers with
numbers of order one. Bring the set to
about unit size, for the network is given x as it is.

Source: Fishman, Klarner, Mathieu, Hutchinson & De Bortoli (2023), Metropolis sampling for constrained diffusion
models, arXiv 2307.05439; the constants in (2) are ours.
Oracle: the Neumann series on an interval, the uniform law (tests/processes/test_constrained.py).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.noise import Randomness, Source, as_source
from girsanov.processes.base import like_batch, refuse_end
from girsanov.processes.interpolant import REFERENCE, check_times
from girsanov.processes.polygons import Polygon
from girsanov.processes.saved import kept_as
from girsanov.processes.sets import (
    Box,
    ConstraintSet,
    Polytope,
    Simplex,
    SPDTrace,
    Union,
    require_inside,
)
from girsanov.processes.uniform import size, uniform_points
from girsanov.processes.walks import WALKS, MetropolisWalk, Walk
from girsanov.typing import Scalar, Time

EDGE = 0.1
"""ε over the standard deviation of the uniform law along its shortest direction."""

LEAST_ACCEPTED = 0.05
"""Below this share of accepted proposals a walk warns."""

METROPOLIS = MetropolisWalk()

SETS: dict[str, type] = {kind.__name__: kind for kind in (Box, Simplex, Polytope, Polygon, SPDTrace, Union)}
"""The sets by the name they are saved under."""


@kept_as("constrained")
@dataclass(frozen=True)
class Constrained:
    """Diffusion inside a set; see the head of the module.

    Args:
        inside: the set, such as `Polygon.from_geojson("country.json")`, `Simplex(9)`, `Box([0], [1])`.
        steps: of the walk from t = 0 to t = 1.
        walk: `MetropolisWalk()`, or `ReflectedWalk()` and `BarrierWalk()` where the set has facets.
        variance: V, of the free motion at t = 1; None for what the walk takes to forget its start.
        margin: ε, the width of the strip along the boundary in which the score falls to 0; None for a tenth of
            the standard deviation of the uniform law across the set.

    Raises:
        InputError: numbers out of range.
        Unsuitable: something that is no constraint set, or a walk that cannot walk in it.
    """

    inside: ConstraintSet
    steps: int = 100
    walk: Walk = METROPOLIS
    variance: float | None = None
    margin: float | None = None

    def __post_init__(self) -> None:
        require(
            isinstance(self.inside, ConstraintSet),
            f"inside is {type(self.inside).__name__}; give a set such as processes.Polygon or processes.Simplex",
            Unsuitable,
        )
        require(isinstance(self.steps, int) and self.steps >= 1, f"steps is {self.steps}; give at least 1")
        for name, found in (("variance", self.variance), ("margin", self.margin)):
            require(found is None or 0 < found < math.inf, f"{name} is {found}; give a number above 0")
        self.walk.check(self.inside)
        if self.variance is None:
            object.__setattr__(self, "variance", self.walk.reach(self.inside))
        if self.margin is None:
            object.__setattr__(self, "margin", EDGE * size(self.inside).least)

    @property
    def t_min(self) -> float:
        """The time of the first step of the walk."""
        return 1 / self.steps

    def clock(self, t: Scalar) -> Scalar:
        """τ(t) = V t², the variance of the free motion."""
        return self.variance * t * t

    def width(self, t: Scalar) -> Scalar:
        """w(t) of equation (2)."""
        assert self.margin is not None
        most, clock = size(self.inside).most ** 2, self.clock(t)
        return (self.margin**2 + clock * most / (clock + most)) ** 0.5

    def boundary_factor(self, x: Tensor) -> Tensor:
        """m(x) of equation (2), (B,) for x (B, features)."""
        assert self.margin is not None
        return (self.inside.distance(x) / self.margin).clamp(max=1)

    # Draws.

    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw paths of the walk.

        Args:
            x0: (B, features), the states at times[0], inside.
            times: (T,), increasing, in [0, 1]. Between two of them the walk takes as many steps as it needs for
                none to be longer than 1/steps.
            end: leave it out.

        Returns:
            (B, T, features), all of it inside.

        Raises:
            InputError: points outside, the first one named; bad times; an `end`.

        Warns:
            UserWarning: fewer than one step in twenty was accepted.
        """
        refuse_end(self, end)
        require_inside(self.inside, x0, "x0")
        grid, path, kept = check_times(times), [x0], [0]
        fine = [grid[0]]
        for s, t in pairwise(grid):
            n = max(1, math.ceil((t - s) * self.steps - 1e-6))
            fine += [s + (t - s) * i / n for i in range(1, n + 1)]
            kept.append(len(fine) - 1)
        path = self._walk(x0, [float(self.clock(t)) for t in fine], kept, as_source(generator))
        return torch.stack(path, 1)

    def perturb(
        self, x0: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> tuple[Tensor, Tensor]:
        """Walk from x_0 to x_t.

        Args:
            x0: (B, features), inside.
            t: (B,) or a float, in [0, 1]; each row takes all steps of the walk, of its own length.

        Returns:
            x_t and x_t - x_0, both (B, features).
        """
        refuse_end(self, end)
        require_inside(self.inside, x0, "x0")
        grid = [self.clock(t * (i / self.steps)) for i in range(self.steps + 1)]
        x = self._walk(x0, grid, [self.steps], as_source(generator))[0]
        return x, x - x0

    def reference(
        self, like: Tensor, *, anchor: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Uniform points of the set, shaped like `like` (B, features); see `processes.uniform`."""
        refuse_end(self, anchor, "anchor")
        return uniform_points(self.inside, like, as_source(generator).child(REFERENCE))

    def _walk(self, x: Tensor, clock: list[Any], kept: list[int], source: Source) -> list[Tensor]:
        """The states at the indices `kept` of the clock."""
        found, moved = [x] if 0 in kept else [], x.new_zeros(())
        for k, (before, after) in enumerate(pairwise(clock)):
            y = self.walk.step(self.inside, x, after - before, source.draw(x, k))
            moved += (y != x).any(1).sum()
            x = y
            if k + 1 in kept:
                found.append(x)
        if moved < LEAST_ACCEPTED * (len(clock) - 1) * len(x):
            # The same words for the same process, so that Python shows them once.
            warnings.warn(
                f"fewer than {LEAST_ACCEPTED:.0%} of the proposals of a walk in this {type(self.inside).__name__} were "
                f"accepted. Let the longest step have a variance of {self.variance / (2 * self.steps):.3g}: "  # type: ignore[operator]
                f"Constrained(..., steps={4 * self.steps})",
                stacklevel=3,
            )
        return found

    # Learning.

    @property
    def words(self) -> tuple[str, ...]:
        """What a network may store."""
        return ("score",)

    def view(self, x: Tensor) -> Tensor:
        """The network is given the state as it is."""
        return x

    def finish(self, word: str, x: Tensor, t: Time, answer: Tensor) -> Tensor:
        """The score of equation (2) from the network's answer (B, features)."""
        return answer * (self.boundary_factor(x)[:, None] / like_batch(self.width(t), x))

    def read(
        self, word: str, stored: tuple[str, ...], answers: tuple[Tensor, ...], x: Tensor, t: Time
    ) -> Tensor:
        """Refused: only the score of a constrained process is known.

        Raises:
            Unsuitable: always.
        """
        raise Unsuitable(
            f"{word!r} was asked of a model of {type(self).__name__}, which knows the score only: a walk with a "
            "boundary has no closed law that would give other predictions. Use model.score"
        )

    # Saving.

    def to_config(self) -> dict[str, Any]:
        """The process as JSON: names and numbers."""
        return {
            "kind": "constrained",
            "inside": self.inside.to_config(),
            "steps": self.steps,
            "walk": type(self.walk).__name__,
            "variance": self.variance,
            "margin": self.margin,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constrained:
        """Rebuild a process from `to_config`; only known names, only their own fields."""
        fields = dict(config)
        try:
            inside = set_from(fields.pop("inside"))
            walk = choose(str(fields.pop("walk", "(none)")), WALKS, "walk")
            return cls(inside, walk=walk, **fields)
        except (TypeError, KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the saved constrained process cannot be rebuilt: {error!r}") from error


def set_from(config: dict[str, Any]) -> ConstraintSet:
    """Rebuild a set from its `to_config`.

    Raises:
        UnknownName: a set that does not exist.
        InputError: numbers that it refuses.
    """
    fields = dict(config)
    kind = choose(str(fields.pop("set", "(none)")), SETS, "set")
    if kind is Union:
        return Union(tuple(set_from(part) for part in fields["parts"]))
    found: ConstraintSet = kind(**fields)
    return found
