"""Sources of randomness as values, so that sample i is the same whatever the batch.

A random function takes `generator: torch.Generator | Noise | None`, turns it into a source with
`as_source`, and asks `source.draw(like, index, law)`: `index` is the number of the draw within the
algorithm (the step, the row of a plan), `like` gives shape (B, *shape), dtype and device.

- `Noise(seed, first)`: counter-based. Samples are numbered from `first`; those of one block share a
  Philox stream keyed by (seed, scope, block, index). Any split of a batch gives the same bits, on any
  device, because the bits are made on the CPU. `noise.child(k)` opens a scope for an inner loop.
- `SharedPath(noise, *plans)`: draws that cover intervals of a clock are increments of one Brownian path.
- a `torch.Generator`: draws follow each other and `index` is ignored, as users of PyTorch expect.
- None: a fresh `Noise` seeded by the operating system. The global random state is never touched.

Oracle: a batch drawn whole equals the same batch drawn in parts (tests/test_noise.py).
Source: Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3 (Philox).
"""

from __future__ import annotations

import hashlib
import math
import secrets
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from girsanov.errors import InputError, require
from girsanov.typing import Shape


class Primitive(Protocol):
    """One draw in progress: the two streams that every law is a function of."""

    def normal(self) -> Tensor: ...
    def uniform(self) -> Tensor: ...


Law = Callable[[Primitive], Tensor]


def normal(draw: Primitive) -> Tensor:
    """The standard normal law."""
    return draw.normal()


def uniform(draw: Primitive) -> Tensor:
    """The uniform law on [0, 1)."""
    return draw.uniform()


def rademacher(draw: Primitive) -> Tensor:
    """-1 or 1 with equal chance; the probe of least variance for a trace."""
    return torch.where(draw.uniform() < 0.5, -1.0, 1.0)


@dataclass(frozen=True)
class Stable:
    """The isotropic α-stable law, E exp(i⟨ξ, z⟩) = exp(-‖ξ‖^α): one heavy tail for all coordinates of a sample.

    z = √(2A) g with g normal and A positive (α/2)-stable, E exp(-sA) = exp(-s^{α/2}), drawn by Kanter's
    formula. index = 2 is N(0, 2I); below it the variance is infinite, and below or at 1 the mean too.

    Args:
        index: α in (0, 2].
        largest: A is cut there; jumps then end at about √(2 · largest).

    Source: Kanter (1975), Stable densities under change of scale and total variation inequalities.
    """

    index: float
    largest: float = math.inf

    def __post_init__(self) -> None:
        require(0 < self.index <= 2, f"the index of a stable law is {self.index}; give a number in (0, 2]")
        require(self.largest > 0, f"largest is {self.largest}; give a number above 0, such as 20")

    def __call__(self, draw: Primitive) -> Tensor:
        g, k = draw.normal(), self.index / 2
        angle = math.pi * _one_a_sample(draw)
        wait = -_one_a_sample(draw).log()
        size = angle.mul(k).sin() / angle.sin() ** (1 / k)
        size = size * (angle.mul(1 - k).sin() / wait) ** ((1 - k) / k)
        return g * _broadcast((2 * size.clamp(max=self.largest)).sqrt(), g)


@dataclass(frozen=True)
class StudentT:
    """The multivariate Student-t law, z = g √(df/χ²_df) with one χ² a sample; df → ∞ is the normal law."""

    df: float

    def __post_init__(self) -> None:
        require(0 < self.df < math.inf, f"df is {self.df}; give a finite number above 0, or take `normal`")

    def __call__(self, draw: Primitive) -> Tensor:
        from scipy.special import gammaincinv  # a quarter of a second, for those who need it

        g = draw.normal()
        chi2 = 2 * torch.from_numpy(gammaincinv(self.df / 2, _one_a_sample(draw).numpy(force=True)))
        return g * _broadcast((self.df / chi2).sqrt(), g)


def _one_a_sample(draw: Primitive) -> Tensor:
    """A uniform number inside (0, 1) for each sample, (B,) in float64: two draws of 24 bits make one of 48."""
    high, low = (draw.uniform().flatten(1)[:, 0].double() for _ in range(2))
    return (high + low * 2.0**-24).clamp(2.0**-50, 1 - 2.0**-50)


def _broadcast(size: Tensor, like: Tensor) -> Tensor:
    return size.to(like.device, like.dtype).reshape(-1, *[1] * (like.ndim - 1))


class Source(Protocol):
    """What an algorithm draws from."""

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor: ...
    def child(self, scope: int) -> Source: ...
    def shifted(self, by: int) -> Source: ...


@dataclass(frozen=True)
class Noise:
    """Keyed randomness: the draw of sample i depends on (seed, scope, i, index) and on nothing else.

    Args:
        seed: any integer.
        first: the number of the first sample of the batch; give 64 to continue after 64 samples.
        scope: opened by `child`; leave empty.
    """

    seed: int
    first: int = 0
    scope: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.first < 0:
            raise InputError(f"first is {self.first}; samples are numbered from 0")

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        """Draw for samples first, first + 1, …: one value for each element of `like` (B, *shape).

        `span` is the interval of the noise clock that the draw covers; independent draws ignore it.
        """
        event = tuple(like.shape[1:])
        size = block_size(prod(event))
        stop = self.first + like.shape[0]
        blocks = range(self.first // size, -(-stop // size))
        kind = np.float64 if like.dtype == torch.float64 else np.float32
        shape = (size, *event)
        parts = [law(_Block(self._stream(b, index), shape, kind)) for b in blocks]
        if not parts:
            return torch.empty_like(like)
        values = parts[0] if len(parts) == 1 else torch.cat(parts)
        offset = self.first - blocks.start * size
        return values[offset : offset + like.shape[0]].to(like.device, like.dtype)

    def child(self, scope: int) -> Noise:
        """An independent source for an inner loop."""
        return Noise(self.seed, self.first, (*self.scope, scope))

    def shifted(self, by: int) -> Noise:
        """The same source, seen from `by` samples further on."""
        return Noise(self.seed, self.first + by, self.scope)

    def _stream(self, block: int, index: int) -> np.random.Generator:
        label = repr((self.seed, self.scope, block, index)).encode()
        digest = hashlib.blake2b(label, digest_size=16).digest()
        return np.random.Generator(np.random.Philox(_Key(digest), counter=_START))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sequential:
    """A `torch.Generator` as a source: every draw is the generator's next one."""

    generator: Generator

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        return law(_Next(self.generator, like)).to(like.device)

    def child(self, scope: int) -> Sequential:
        return self

    def shifted(self, by: int) -> Sequential:
        return self


class SharedPath:
    """One Brownian path behind several plans, whatever their numbers of steps.

    A stochastic plan says for each draw which interval of its noise clock κ² = (α/γ)² it covers. Here the
    increments of one path W are drawn once on the union of all those intervals, and the draw for (a, b) is
    (W(b) - W(a))/√(b - a): standard normal, independent on disjoint intervals, and the same path for every
    plan, so that samples of few and of many steps belong together. Exact for strength 1 (ancestral
    sampling, the SDE solvers), where the noise of a step is (γ_t²/α_t)(W(κ_t²) - W(κ_s²)).
    A draw without an interval is one of its own.

    Args:
        noise: where the increments come from.
        plans: objects with `spans`; others cannot be driven by this path.
    """

    def __init__(self, noise: Noise, *plans: Spanning) -> None:
        require(
            len(plans) > 0,
            "SharedPath needs the plans that share the path; give SharedPath(noise, plan, ...)",
        )
        ends = {end for plan in plans for span in plan.spans if span is not None for end in span}
        require(
            all(map(math.isfinite, ends)), "the noise clock of a plan reaches infinity; end its grid earlier"
        )
        self._noise, self._plans, self._ends = noise, plans, sorted(ends)

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        """The normal of the span; of its own if there is none.

        Raises:
            InputError: the span ends where no plan of this path has an end.
        """
        if span is None or law is not normal:
            return self._noise.draw(like, index, law)
        first, last = (bisect_left(self._ends, end) for end in span)
        require(
            first < last < len(self._ends) and (self._ends[first], self._ends[last]) == span,
            f"the interval {span} of the noise clock is not one of this path; give its plan to SharedPath too",
        )
        cells, total = self._noise.child(PATH), torch.zeros_like(like)
        for i in range(first, last):
            total += math.sqrt(self._ends[i + 1] - self._ends[i]) * cells.draw(like, i)
        return total / math.sqrt(span[1] - span[0])

    def child(self, scope: int) -> SharedPath:
        """An independent path on the same clock, for an inner loop."""
        return SharedPath(self._noise.child(scope), *self._plans)

    def shifted(self, by: int) -> SharedPath:
        """The same source, seen from `by` samples further on."""
        return SharedPath(self._noise.shifted(by), *self._plans)


class Spanning(Protocol):
    """What says which intervals of the clock its draws cover: a plan."""

    @property
    def spans(self) -> tuple[tuple[float, float] | None, ...]: ...


PATH = -2
"""The scope of a path's increments."""


@dataclass(frozen=True)
class Rows:
    """The draws that the rows `index` of a batch of `size` would have had: a part keeps the whole's noise."""

    source: Source
    size: int
    index: Tensor

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        whole = torch.empty(self.size, *like.shape[1:], dtype=like.dtype, device=like.device)
        return self.source.draw(whole, index, law, span)[self.index]

    def child(self, scope: int) -> Rows:
        return Rows(self.source.child(scope), self.size, self.index)

    def shifted(self, by: int) -> Rows:
        return Rows(self.source.shifted(by), self.size, self.index)


@dataclass(frozen=True)
class Branches:
    """Draws for `many` copies of each of `size` samples, copy after copy of the first sample, then of the second.

    The first copies have the draws of the source itself, so that one copy changes nothing, and no copy depends on
    the batch.
    """

    source: Source
    size: int
    many: int

    def draw(
        self, like: Tensor, index: int, law: Law = normal, span: tuple[float, float] | None = None
    ) -> Tensor:
        part = torch.empty(self.size, *like.shape[1:], dtype=like.dtype, device=like.device)
        others = [self.source.child(BRANCH).child(m) for m in range(1, self.many)]
        drawn = [source.draw(part, index, law, span) for source in (self.source, *others)]
        return torch.stack(drawn, 1).flatten(0, 1)

    def child(self, scope: int) -> Branches:
        return Branches(self.source.child(scope), self.size, self.many)

    def shifted(self, by: int) -> Branches:
        return Branches(self.source.shifted(by), self.size, self.many)


BRANCH = -3
"""The scope of the copies after the first."""

Randomness = Generator | Source | None
"""What a public random function accepts."""


def as_source(generator: Randomness) -> Source:
    """Turn what the user gave into a source; None becomes fresh noise from the operating system."""
    if isinstance(generator, Noise | Sequential | SharedPath | Rows | Branches):
        return generator
    if isinstance(generator, Generator):
        return Sequential(generator)
    if generator is None:
        return Noise(secrets.randbits(63))
    raise InputError(
        f"generator is {type(generator).__name__}; give a torch.Generator, a girsanov.Noise, or None. "
        "For an integer seed, give Noise(seed)."
    )


def block_size(numel: int) -> int:
    """Samples per stream: large enough to draw fast, small enough to waste little at a batch's edge."""
    return max(1, min(64, 2**14 // max(numel, 1)))


_START = np.zeros(4, np.uint64)


class _Key(np.random.bit_generator.ISeedSequence):
    """The key of a Philox stream. Given as `Philox(key=...)`, NumPy would ask the system for a seed as well."""

    def __init__(self, digest: bytes) -> None:
        self.words = np.frombuffer(digest, "<u8")

    def generate_state(self, n_words: int, dtype: object = np.uint64) -> np.ndarray:
        return self.words


class _Block(NamedTuple):
    stream: np.random.Generator
    shape: Shape
    dtype: type[np.float32] | type[np.float64]

    def normal(self) -> Tensor:
        return torch.from_numpy(self.stream.standard_normal(self.shape, self.dtype))

    def uniform(self) -> Tensor:
        return torch.from_numpy(self.stream.random(self.shape, self.dtype))


@dataclass(frozen=True)
class _Next:
    generator: Generator
    like: Tensor

    def normal(self) -> Tensor:
        return torch.randn(self.like.shape, **self._options())

    def uniform(self) -> Tensor:
        return torch.rand(self.like.shape, **self._options())

    def _options(self) -> dict:
        return {"generator": self.generator, "dtype": self.like.dtype, "device": self.generator.device}
