"""Bounded sets with an interior, as values: where a constrained process lives.

A set of points in R^features says whether it `contains` a point and how far its boundary is. All questions are
answered for a whole batch, in float64 whatever the dtype of x, so the answer on a float32 sample is that of the
sample itself.

    Box          lower ≤ x ≤ upper
    Simplex      x_i ≥ 0, Σ x_i ≤ 1: probabilities of dim + 1 outcomes without the last one
    Polytope     A x ≤ b
    SPDTrace     symmetric positive definite matrices with tr S ≤ bound, as vectors of the diagonal and √2 times
                 what is below it, so that lengths are Frobenius norms
    Union        of any of these, and of `Polygon`

`distance` is the distance to the boundary for a point inside, and 0 outside; of a union it is the largest of the
parts', which is never more. It is differentiable almost everywhere, with |∇ distance| = 1.

Oracle: distances against random chords and against matrices with a known nearest singular one; membership
against independent formulas (tests/processes/test_sets.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Source, uniform
from girsanov.processes.halfspaces import extent

Numbers = tuple[float, ...]


@runtime_checkable
class ConstraintSet(Protocol):
    """A bounded set with an interior, of vectors."""

    @property
    def features(self) -> int:
        """Coordinates of a point."""
        ...

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        """The lower and upper corner of a box around it."""
        ...

    def contains(self, x: Tensor) -> Tensor:
        """Whether each row of x (B, features) is inside, (B,) bool; NaN is not."""
        ...

    def distance(self, x: Tensor) -> Tensor:
        """How far the boundary is from each row of x (B, features), (B,); 0 outside."""
        ...

    def to_config(self) -> dict[str, Any]:
        """The set as JSON: names and numbers."""
        ...

    def __hash__(self) -> int: ...


@runtime_checkable
class Faceted(ConstraintSet, Protocol):
    """A convex set given by its facets, A x ≤ b."""

    @property
    def facets(self) -> tuple[Tensor, Tensor]:
        """A (F, features) with rows of length 1, and b (F,), float64."""
        ...


@runtime_checkable
class Drawable(ConstraintSet, Protocol):
    """A set with a uniform law of closed form."""

    def draw(self, like: Tensor, source: Source, index: int) -> Tensor:
        """Uniform points, shaped like `like` (B, features); rounding may leave one outside."""
        ...


@dataclass(frozen=True)
class Box:
    """lower ≤ x ≤ upper, coordinate by coordinate.

    Raises:
        InputError: unequal lengths, or an empty side.
    """

    lower: Sequence[float]
    upper: Sequence[float]

    def __post_init__(self) -> None:
        _freeze(self, lower=numbers(self.lower, "lower"), upper=numbers(self.upper, "upper"))
        require(
            len(self.lower) == len(self.upper) and all(a < b for a, b in zip(self.lower, self.upper)),
            f"a box from {self.lower} to {self.upper} is empty or lopsided; give lower < upper in each coordinate",
        )

    @property
    def features(self) -> int:
        return len(self.lower)

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        return tuple(self.lower), tuple(self.upper)

    @cached_property
    def facets(self) -> tuple[Tensor, Tensor]:
        eye = torch.eye(self.features, dtype=torch.float64)
        return torch.cat([-eye, eye]), torch.cat([-double(self.lower), double(self.upper)])

    @cached_property
    def _corners(self) -> tuple[Tensor, Tensor]:
        return double(self.lower), double(self.upper)

    def contains(self, x: Tensor) -> Tensor:
        y, (low, high) = x.double(), self._corners
        return ((y >= low.to(x.device)) & (y <= high.to(x.device))).all(1)

    def distance(self, x: Tensor) -> Tensor:
        return slack(self.facets, x)

    def draw(self, like: Tensor, source: Source, index: int) -> Tensor:
        low, high = (corner.to(like.device, like.dtype) for corner in self._corners)
        return torch.lerp(low, high, source.draw(like, index, uniform))

    def to_config(self) -> dict[str, Any]:
        return {"set": "Box", "lower": list(self.lower), "upper": list(self.upper)}


@dataclass(frozen=True)
class Simplex:
    """x_i ≥ 0 and Σ x_i ≤ 1 in R^dim: the first dim of dim + 1 probabilities."""

    dim: int

    def __post_init__(self) -> None:
        require(
            isinstance(self.dim, int) and self.dim >= 1,
            f"dim is {self.dim!r}; give a whole number of at least 1",
        )

    @property
    def features(self) -> int:
        return self.dim

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        return (0.0,) * self.dim, (1.0,) * self.dim

    @cached_property
    def facets(self) -> tuple[Tensor, Tensor]:
        rows = torch.cat([-torch.eye(self.dim), torch.full((1, self.dim), self.dim**-0.5)]).double()
        rows[-1] = self.dim**-0.5
        return rows, torch.cat([torch.zeros(self.dim), torch.ones(1)]).double() * rows[-1, 0]

    def contains(self, x: Tensor) -> Tensor:
        y = x.double()
        return (y.amin(1) >= 0) & (y.sum(1) <= 1)

    def distance(self, x: Tensor) -> Tensor:
        return slack(self.facets, x)

    def draw(self, like: Tensor, source: Source, index: int) -> Tensor:
        # Exponentials over their sum are uniform on the simplex (Devroye 1986, chapter V, theorem 4.1).
        wide = torch.empty(len(like), self.dim + 1, dtype=torch.float64)
        e = -torch.log1p(-source.draw(wide, index, uniform))
        return (e / e.sum(1, keepdim=True))[:, :-1].to(like.device, like.dtype)

    def to_config(self) -> dict[str, Any]:
        return {"set": "Simplex", "dim": self.dim}


@dataclass(frozen=True)
class Polytope:
    """A x ≤ b, bounded, with an interior; rows of A may have any length.

    Raises:
        InputError: shapes that do not fit, an empty set or one without interior, an unbounded one.
    """

    A: Sequence[Sequence[float]]
    b: Sequence[float]
    bounds: tuple[Numbers, Numbers] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = tuple(numbers(row, "a row of A") for row in self.A)
        _freeze(self, A=rows, b=numbers(self.b, "b"))
        widths = {len(row) for row in rows}
        require(
            len(rows) == len(self.b) > 0 and len(widths) == 1,
            f"A has {len(rows)} rows of lengths {sorted(widths)} and b {len(self.b)} numbers; give one b a row",
        )
        zero = [i for i, row in enumerate(rows) if not any(row)]
        require(not zero, f"row {zero[:1]} of A is zero and constrains nothing; leave it out")
        _freeze(self, bounds=extent(*self.facets))

    @property
    def features(self) -> int:
        return len(self.A[0])

    @cached_property
    def facets(self) -> tuple[Tensor, Tensor]:
        rows, right = double(self.A), double(self.b)
        length = rows.norm(dim=1)
        return rows / length[:, None], right / length

    def contains(self, x: Tensor) -> Tensor:
        rows, right = (part.to(x.device) for part in self.facets)
        return (x.double() @ rows.T <= right).all(1)

    def distance(self, x: Tensor) -> Tensor:
        return slack(self.facets, x)

    def to_config(self) -> dict[str, Any]:
        return {"set": "Polytope", "A": [list(row) for row in self.A], "b": list(self.b)}


@dataclass(frozen=True)
class SPDTrace:
    """Symmetric positive definite matrices of size dim with trace at most `bound`, as vectors.

    `matrices` and `vectors` go between the two; see the head of the module for the coordinates. The nearest
    singular matrix is λ_min away and the nearest of trace `bound` is (bound - tr S)/√dim.
    """

    dim: int
    bound: float = 1.0

    def __post_init__(self) -> None:
        require(
            isinstance(self.dim, int) and self.dim >= 1,
            f"dim is {self.dim!r}; give a whole number of at least 1",
        )
        require(0 < self.bound < math.inf, f"bound is {self.bound}; give a finite trace above 0")

    @property
    def features(self) -> int:
        return self.dim * (self.dim + 1) // 2

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        # |S_ij| ≤ (S_ii + S_jj)/2 ≤ bound/2 off the diagonal.
        off = (self.bound / math.sqrt(2),) * (self.features - self.dim)
        return (0.0,) * self.dim + tuple(-v for v in off), (self.bound,) * self.dim + off

    def matrices(self, x: Tensor) -> Tensor:
        """Vectors (B, features) as symmetric matrices (B, dim, dim)."""
        off = x[:, self.dim :] / math.sqrt(2)
        full = torch.diag_embed(x[:, : self.dim])
        for k, (i, j) in enumerate(combinations(range(self.dim), 2)):
            unit = torch.zeros(self.dim, self.dim, dtype=x.dtype, device=x.device)
            unit[i, j] = unit[j, i] = 1
            full = full + off[:, k, None, None] * unit
        return full

    def vectors(self, S: Tensor) -> Tensor:
        """Symmetric matrices (B, dim, dim) as vectors (B, features)."""
        off = [S[:, i, j] * math.sqrt(2) for i, j in combinations(range(self.dim), 2)]
        return torch.stack([*S.diagonal(dim1=1, dim2=2).unbind(1), *off], 1)

    def contains(self, x: Tensor) -> Tensor:
        S = self.matrices(x.double())
        good = S.diagonal(dim1=1, dim2=2).sum(1) <= self.bound
        for _ in range(self.dim):  # Sylvester: all pivots of the elimination are above 0
            pivot = S[:, 0, 0]
            good = good & (pivot > 0)
            column = S[:, 1:, 0]
            S = S[:, 1:, 1:] - column[:, :, None] * column[:, None, :] / pivot[:, None, None]
        return good

    def distance(self, x: Tensor) -> Tensor:
        S = self.matrices(x)
        _, vectors = torch.linalg.eigh(S.detach())
        # vᵀSv with v held fixed has the gradient of λ_min, also where eigenvalues meet.
        v = vectors[:, :, 0]
        smallest = torch.einsum("bi,bij,bj->b", v, S, v)
        room = (self.bound - S.diagonal(dim1=1, dim2=2).sum(1)) / math.sqrt(self.dim)
        return torch.minimum(smallest, room).clamp(min=0)

    def to_config(self) -> dict[str, Any]:
        return {"set": "SPDTrace", "dim": self.dim, "bound": self.bound}


@dataclass(frozen=True)
class Union:
    """The points of any of its parts; what is not connected is not reached from elsewhere but by a jump."""

    parts: tuple[ConstraintSet, ...]

    def __post_init__(self) -> None:
        _freeze(self, parts=tuple(self.parts))
        sizes = {part.features for part in self.parts}
        require(
            len(sizes) == 1, f"the parts of a union have {sorted(sizes)} features; give parts of one space"
        )

    @property
    def features(self) -> int:
        return self.parts[0].features

    @property
    def bounds(self) -> tuple[Numbers, Numbers]:
        lows, highs = zip(*(part.bounds for part in self.parts), strict=True)
        return tuple(map(min, *lows, lows[0])), tuple(map(max, *highs, highs[0]))

    def contains(self, x: Tensor) -> Tensor:
        return torch.stack([part.contains(x) for part in self.parts]).any(0)

    def distance(self, x: Tensor) -> Tensor:
        return torch.stack([part.distance(x) for part in self.parts]).amax(0)

    def to_config(self) -> dict[str, Any]:
        return {"set": "Union", "parts": [part.to_config() for part in self.parts]}


def require_inside(inside: ConstraintSet, x: Tensor, name: str) -> None:
    """Refuse points outside, naming the first one and, where the set has facets, what it violates.

    Raises:
        InputError: x is not (B, features), or a row is outside.
    """
    require(
        x.ndim == 2 and x.shape[1] == inside.features,
        f"{name} is {tuple(x.shape)}; this {type(inside).__name__} holds vectors (B, {inside.features})",
    )
    bad = (~inside.contains(x)).nonzero()
    if len(bad) == 0:
        return
    index = int(bad[0])
    where = ", ".join(f"{v:.6g}" for v in x[index].tolist())
    why = ""
    if isinstance(inside, Faceted):
        rows, right = inside.facets
        over = (rows @ x[index].double().cpu()) - right
        why = f", and violates facet {int(over.argmax())} by {float(over.max()):.3g}"
    raise InputError(
        f"{len(bad)} of {len(x)} rows of {name} are outside, the first at index {index}: ({where}) is not in the "
        f"{type(inside).__name__}{why}. Drop those rows or move them inside."
    )


def slack(facets: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    """The distance (B,) to the nearest of the facets; 0 outside."""
    rows, right = (part.to(x.device) for part in facets)
    with torch.no_grad():  # differentiate the nearest facet only
        nearest = (right - x.double() @ rows.T).argmin(1)
    found = right[nearest].to(x.dtype) - (rows[nearest].to(x.dtype) * x).sum(1)
    return found.clamp(min=0)


def numbers(values: Sequence[float], name: str) -> Numbers:
    """Finite numbers as floats."""
    found = tuple(float(v) for v in values)
    require(
        len(found) > 0 and all(map(math.isfinite, found)),
        f"{name} is {found}; give finite numbers, at least one",
    )
    return found


def double(values: Sequence[Any]) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values, dtype=torch.float64)


def _freeze(value: object, **fields: object) -> None:
    for name, found in fields.items():
        object.__setattr__(value, name, found)
