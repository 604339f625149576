"""What the simulators of physical time share: the clock, the draws of a whole path at once, running sums.

Physical `times` are in the user's unit, increasing, and may start anywhere; x0 is the state at times[0].
Sums and recursions inside are float64, on the device of x0; a path has the dtype of x0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Law, Randomness, Source, as_source, normal


def check_clock(times: Tensor) -> Tensor:
    """The times as (T,) float64, or a refusal of what is empty, not finite or not increasing."""
    if not isinstance(times, Tensor):
        raise InputError(
            f"times is {type(times).__name__}; give a tensor (T,), such as torch.linspace(0, 1, 101)"
        )
    require(
        times.ndim == 1 and len(times) > 0,
        f"times has shape {tuple(times.shape)}; give (T,), at least one time",
    )
    clock = times.detach().double()
    length, gaps = (clock[-1] - clock[0]).item(), clock.diff()
    if not math.isfinite(length) or (len(gaps) and not gaps.min().item() > 0):
        require(bool(torch.isfinite(clock).all()), "times hold NaN or infinity; give finite times")
        i = int((gaps <= 0).nonzero()[0])
        raise InputError(
            f"times[{i}] is {clock[i]:g} and times[{i + 1}] {clock[i + 1]:g}; "
            "times must increase without repeats: sort them and drop repeats"
        )
    return clock


def uniform_step(times: Tensor) -> float | None:
    """The step of a uniform grid, or None if there is none.

    Times are often made in single precision, and converted: what its rounding does to them, and no more than
    a hundredth of a step, is forgiven.

    Args:
        times: (T,), increasing.
    """
    clock = times.double()
    if len(clock) < 2:
        return None
    first, last = clock[0].item(), clock[-1].item()
    step = (last - first) / (len(clock) - 1)
    ideal = torch.linspace(first, last, len(clock), dtype=torch.float64, device=clock.device)
    rounding = 8 * torch.finfo(torch.float32).eps * max(abs(first), abs(last))
    return step if ideal.sub_(clock).abs_().max().item() <= min(rounding, step / 100) else None


def steps_like(clock: Tensor, x0: Tensor) -> Tensor:
    """The lengths of the steps as (T - 1, 1, …), so that they multiply draws (B, T - 1, *shape)."""
    return clock.diff().to(x0.device).reshape(-1, *[1] * (x0.ndim - 1))


def steps_between(x0: Tensor, times: Tensor) -> Tensor:
    """The lengths of the steps of a simulation, as `steps_like`, once its states and times have been checked."""
    check_state(x0)
    return steps_like(check_clock(times), x0)


class LevyProcess(ABC):
    """Independent increments that depend on the length of their step only, from 0: a path is their running sum."""

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """Zero, shaped like (B, *shape)."""
        return torch.zeros_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly.

        Args:
            x0: (B, *shape), the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape).
        """
        return accumulate(x0, self.increments(x0, steps_between(x0, times), as_source(generator)))

    @abstractmethod
    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""


def draws(source: Source, x0: Tensor, count: int, index: int = 0, law: Law = normal) -> Tensor:
    """`count` draws for every element of x0 (B, *shape), as (B, count, *shape), keyed by `index`.

    Normals are as precise as x0; every other law needs the 53 bits of float64 for its tails, and is float64.
    """
    dtype = torch.float32 if law is normal and x0.dtype != torch.float64 else torch.float64
    return source.draw(torch.empty(len(x0), count, *x0.shape[1:], dtype=dtype, device=x0.device), index, law)


def accumulate(x0: Tensor, increments: Tensor) -> Tensor:
    """x0 (B, *shape) and the running sums of increments (B, T - 1, *shape), in float64: a path (B, T, *shape)."""
    sums = increments.cumsum(1, dtype=torch.float64).add_(x0[:, None])
    return torch.cat([x0[:, None], sums.to(x0.dtype)], 1)


def running_sum(values: Tensor) -> Tensor:
    """Running sums along the last axis, rounded once from float64: on the CPU torch keeps float32 sums in it."""
    if values.device.type == "cpu":
        return values.cumsum(-1)
    return values.cumsum(-1, dtype=torch.float64).to(values.dtype)


def recursion(x0: Tensor, decay: Sequence[float], shocks: Tensor) -> Tensor:
    """x_{i+1} = decay_i x_i + shock_i, as a path (B, T, *shape); shocks are (B, T - 1, *shape)."""
    path = torch.empty(len(x0), shocks.shape[1] + 1, *x0.shape[1:], dtype=torch.float64, device=x0.device)
    path[:, 0] = x0
    for i, keep in enumerate(decay):
        torch.add(shocks[:, i], path[:, i], alpha=keep, out=path[:, i + 1])
    return finished(x0, path)


def finished(x0: Tensor, path: Tensor) -> Tensor:
    """The path in the dtype of x0, starting with x0 itself, bit for bit."""
    path = path.to(x0.dtype)
    path[:, 0] = x0
    return path


def check_state(x0: Tensor) -> None:
    """Refuse states that are no floating-point numbers."""
    require(
        x0.is_floating_point() and x0.ndim > 0,
        f"x0 is {tuple(x0.shape)} of {x0.dtype}; give floating-point states (B, *shape)",
    )


def require_positive(name: str, value: float) -> None:
    """Refuse a parameter that is not above 0 and finite."""
    require(0 < value < math.inf, f"{name} is {value}; give a number above 0")


def require_number(name: str, value: float) -> None:
    """Refuse a parameter that is NaN or infinite."""
    require(math.isfinite(value), f"{name} is {value}; give a finite number")
