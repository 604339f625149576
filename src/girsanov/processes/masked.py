"""Masking, the absorbing process on discrete data: each coordinate is erased at a time of its own.

A coordinate keeps its value x_0 until a time T with P(T > t) = α(t), decreasing from 1 to 0, and is the mask
from then on; the coordinates are independent. So

    P(x_t = x_0 | x_0) = α(t),   and 1 - α(T) is uniform on [0, 1].

Hence the reverse in the clock 1 - α is the same for every schedule: with n coordinates masked, the last of their
n uniform times is the next to be undone, and each of the n is equally likely to be it. A masked coordinate says
nothing about t, so the law of the clean data given x_t does not depend on t, and a network needs no time.

Data are integers 0, …, classes - 1, in any shape: token sequences (B, L), adjacency matrices (B, N, N). The mask
is the number `classes`. Networks answer with logits (B, *shape, classes); one more, for the mask, is left out.

Source: Austin et al. (2021), D3PM; Sahoo et al. (2024), MDLM; Shi et al. (2024), MD4; Zheng et al. (2024),
arXiv 2409.02908, sections 3 and 4.
Oracle: counts of masks are binomial; the time of the n-th mask is the n-th order statistic of uniforms
(tests/processes/test_masked.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes.base import like_batch, refuse_end
from girsanov.processes.interpolant import check_times
from girsanov.processes.saved import kept_as
from girsanov.typing import Scalar, Time

SCHEDULES = ("linear", "cosine")


class Stopped(NamedTuple):
    """The process at the moment of its n-th mask.

    Args:
        x: (B, *shape), n coordinates masked.
        t: (B,), when that was, float64.
    """

    x: Tensor
    t: Tensor


@kept_as("masked")
@dataclass(frozen=True)
class Masked:
    """The masking process; see the head of the module.

    Args:
        classes: the number of values a coordinate can have, at least 2; the mask is one more.
        schedule: α as "linear", 1 - t; "cosine", 1 - cos(π(1 - t)/2); or its values at equally spaced times
            from 0 to 1, joined by lines. It moves times only: neither loss nor sampler depends on it.

    Raises:
        InputError: classes below 2, or an α that does not decrease from 1 to 0.
        UnknownName: no such schedule.
    """

    classes: int
    schedule: str | tuple[float, ...] = "linear"

    def __post_init__(self) -> None:
        require(
            type(self.classes) is int and self.classes >= 2,
            f"classes is {self.classes!r}; give the number of different values, at least 2",
        )
        if isinstance(self.schedule, str):
            choose(self.schedule, dict.fromkeys(SCHEDULES), "schedule")
            return
        values = tuple(float(a) for a in self.schedule)
        falls = all(a > b for a, b in pairwise(values))
        require(
            len(values) >= 2 and falls and values[0] == 1 and values[-1] == 0,
            f"schedule is {values}; α must decrease from 1 at t = 0 to 0 at t = 1",
        )
        object.__setattr__(self, "schedule", values)

    @property
    def mask(self) -> int:
        """The number that stands for a masked coordinate."""
        return self.classes

    @property
    def t_min(self) -> float:
        """Sampling goes down to 0: nothing blows up there."""
        return 0.0

    def alpha(self, t: Scalar) -> Scalar:
        """The probability that a coordinate is not masked; t a float or a tensor."""
        if self.schedule == "linear":
            return 1 - t
        if self.schedule == "cosine":
            angle = (1 - t) * (math.pi / 2)
            return 1 - (angle.cos() if isinstance(t, Tensor) else math.cos(angle))
        heights = torch.tensor(self.schedule, dtype=torch.float64)
        return _joined(torch.linspace(0, 1, len(heights), dtype=torch.float64), heights, t)

    def time_at(self, alpha: Scalar) -> Scalar:
        """The time at which α has that value."""
        if self.schedule == "linear":
            return 1 - alpha
        if self.schedule == "cosine":
            rest = 1 - alpha
            return 1 - (rest.acos() if isinstance(alpha, Tensor) else math.acos(rest)) * (2 / math.pi)
        heights = torch.tensor(self.schedule, dtype=torch.float64).flip(0)
        return _joined(heights, torch.linspace(1, 0, len(heights), dtype=torch.float64), alpha)

    # Laws and draws.

    def perturb(
        self, x0: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> tuple[Tensor, Tensor]:
        """Mask each coordinate with probability 1 - α(t).

        Args:
            x0: (B, *shape), integers from 0 to classes - 1.
            t: (B,) or a float, in [0, 1].

        Returns:
            (x_t, masked), both (B, *shape): int64, and bool where the mask is.
        """
        refuse_end(self, end)
        self.check_data(x0)
        keys = _keys(x0, generator, 0)
        alpha = self.alpha(t.double() if isinstance(t, Tensor) else t)
        masked = keys < 1 - like_batch(alpha, keys)
        return x0.long().masked_fill(masked, self.mask), masked

    def stopped(self, x0: Tensor, n: Tensor, *, generator: Randomness = None) -> Stopped:
        """The state and the time when the n-th coordinate has just been masked.

        The masked set is uniform among those of n coordinates; 1 - α(t) is the n-th smallest of as many uniforms
        as there are coordinates, so Beta(n, L - n + 1), which is the law over times in the likelihood bound.

        Args:
            x0: (B, *shape), integers from 0 to classes - 1.
            n: (B,), integers from 1 to the number of coordinates.
        """
        self.check_data(x0)
        keys = _keys(x0, generator, 0).flatten(1)
        last = keys.sort(1).values.gather(1, n[:, None] - 1)
        masked = (keys <= last).reshape(x0.shape)
        return Stopped(x0.long().masked_fill(masked, self.mask), self.time_at(1 - last[:, 0]))

    def reference(
        self, like: Tensor, *, anchor: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """All masked, which is the law at t = 1; (B, *shape), int64."""
        refuse_end(self, anchor, "anchor")
        return torch.full(like.shape, self.mask, dtype=torch.int64, device=like.device)

    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw paths; what is masked stays so.

        Args:
            x0: (B, *shape), the state at times[0], which after time 0 may hold masks.
            times: (T,), increasing, in [0, 1].

        Returns:
            (B, T, *shape), int64.
        """
        refuse_end(self, end)
        clock, source = check_times(times), as_source(generator)
        self.check_state(x0) if clock[0] > 0 else self.check_data(x0)
        path = [x0.long()]
        for i, (s, t) in enumerate(pairwise(clock)):
            keep = self.alpha(t) / self.alpha(s)
            path.append(path[-1].masked_fill(_keys(x0, source, i) >= keep, self.mask))
        return torch.stack(path, dim=1)

    # What a network may store, and how it is read.

    @property
    def words(self) -> tuple[str, ...]:
        """What a network may answer with."""
        return ("logits",)

    def view(self, x: Tensor) -> Tensor:
        """The network is given the state as it is."""
        return x

    def finish(self, word: str, x: Tensor, t: Time, answer: Tensor) -> Tensor:
        """Make a network's answer legal: known coordinates keep their value, and no clean value is the mask.

        Args:
            word: "logits".
            x: (B, *shape), the state.
            answer: (B, *shape, classes), or with one logit more, for the mask.

        Returns:
            (B, *shape, classes): at known coordinates 0 for the value and -inf for all others.
        """
        require(
            answer.shape[:-1] == x.shape and answer.shape[-1] in (self.classes, self.classes + 1),
            f"the network answered {tuple(answer.shape)} for a state {tuple(x.shape)}; it must give a logit for "
            f"each of {self.classes} classes, {(*x.shape, self.classes)}",
            Unsuitable,
        )
        legal = answer[..., : self.classes]
        value = x[..., None] == torch.arange(self.classes, device=x.device)
        sure = torch.full_like(legal, -math.inf).masked_fill(value, 0.0)
        return torch.where((x == self.mask)[..., None], legal, sure)

    def read(
        self, word: str, stored: tuple[str, ...], answers: tuple[Tensor, ...], x: Tensor, t: Time
    ) -> Tensor:
        """Another word from the stored ones: "data", the law of each clean coordinate, (B, *shape, K), float64."""
        require(
            word in ("data", "logits") and "logits" in stored,
            f"{word!r} cannot be had from {', '.join(stored)} under {self!r}; ask for data or logits",
            Unsuitable,
        )
        logits = answers[stored.index("logits")]
        return logits if word == "logits" else torch.softmax(logits, -1, dtype=torch.float64)

    def check_anchor(self, anchor: Tensor | None) -> None:
        """Refuse an x_1: the process has none."""
        refuse_end(self, anchor, "anchor")

    # What is refused.

    def check_data(self, x0: Tensor) -> None:
        """Refuse what are no clean data: other numbers than 0 to classes - 1."""
        self._check(x0, self.classes - 1, "clean data")

    def check_state(self, x: Tensor) -> None:
        """Refuse what is no state: other numbers than those of data and the mask."""
        self._check(x, self.mask, "a state")

    def _check(self, x: Tensor, most: int, what: str) -> None:
        # Plain conditions: this runs at every step of a training.
        if not isinstance(x, Tensor) or x.dtype not in INTEGERS or x.ndim < 2:
            raise InputError(
                f"x is {getattr(x, 'dtype', type(x).__name__)} {tuple(getattr(x, 'shape', ()))}; {what} of a masking "
                "process are integers (B, *shape), such as int64"
            )
        if x.numel():
            low, high = (int(bound) for bound in x.aminmax())
            if low < 0 or high > most:
                hint = ", which is the mask," if high == self.mask > most else ""
                raise InputError(
                    f"x holds numbers from {low} to {high}{hint} and {what} of {self!r} lie in 0 to {most}. "
                    "Number the values from 0, or give more classes"
                )

    # Saving.

    def to_config(self) -> dict[str, Any]:
        """The process as JSON: a name and numbers."""
        schedule = self.schedule if isinstance(self.schedule, str) else list(self.schedule)
        return {"kind": "masked", "classes": self.classes, "schedule": schedule}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Masked:
        """Rebuild a process from `to_config`, with or without its kind; anything else is refused."""
        classes, schedule = config.get("classes"), config.get("schedule")
        legal = isinstance(schedule, str) or (
            isinstance(schedule, list) and all(type(a) in (int, float) and math.isfinite(a) for a in schedule)
        )
        require(
            set(config) - {"kind"} == {"classes", "schedule"} and type(classes) is int and legal,
            f"the saved process {dict(config)!r} cannot be rebuilt; a Masked has classes and a schedule",
        )
        return cls(classes, schedule if isinstance(schedule, str) else tuple(schedule))  # type: ignore[arg-type]


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def _keys(x: Tensor, generator: Randomness, index: int) -> Tensor:
    """A uniform for each coordinate, in float64: float32 has ties."""
    like = torch.empty(x.shape, dtype=torch.float64, device=x.device)
    return as_source(generator).draw(like, index, uniform)


def _joined(x: Tensor, y: Tensor, at: Scalar) -> Scalar:
    """The line through (x_i, y_i), x increasing, at a float or at a tensor."""
    if not isinstance(at, Tensor):
        return float(_joined(x, y, torch.tensor(at, dtype=torch.float64)))
    x, y = x.to(at.device, at.dtype), y.to(at.device, at.dtype)
    i = (torch.searchsorted(x, at.contiguous(), right=True) - 1).clamp(0, len(x) - 2)
    return y[i] + (y[i + 1] - y[i]) * (at - x[i]) / (x[i + 1] - x[i])
