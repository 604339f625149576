"""What the simulators of physical time share: the clock, the draws of a whole path at once, running sums.

Physical `times` are in the user's unit, increasing, and may start anywhere; x0 is the state at times[0].
Everything inside is float64, on the device of x0; a path has the dtype of x0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Law, Source, normal


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
    require(bool(torch.isfinite(clock).all()), "times hold NaN or infinity; give finite times")
    falls = (clock.diff() <= 0).nonzero()
    if len(falls):
        i = int(falls[0])
        raise InputError(
            f"times[{i}] is {clock[i]:g} and times[{i + 1}] {clock[i + 1]:g}; "
            "times must increase without repeats: sort them and drop repeats"
        )
    return clock


def uniform_step(times: Tensor) -> float | None:
    """The step of a uniform grid, as far as the rounding of the dtype of `times` tells; None if there is none.

    Args:
        times: (T,), increasing.
    """
    clock = times.double()
    if len(clock) < 2:
        return None
    first, last = clock[0].item(), clock[-1].item()
    ideal = torch.linspace(first, last, len(clock), dtype=torch.float64, device=clock.device)
    precision = torch.finfo(times.dtype).eps if times.is_floating_point() else 0.0
    slack = 8 * precision * max(abs(first), abs(last)) + 1e-9 * (last - first) / len(clock)
    if (clock - ideal).abs().max().item() > slack:
        return None
    return (last - first) / (len(clock) - 1)


def steps_like(clock: Tensor, x0: Tensor) -> Tensor:
    """The lengths of the steps as (T - 1, 1, …), so that they multiply draws (B, T - 1, *shape)."""
    return clock.diff().to(x0.device).reshape(-1, *[1] * (x0.ndim - 1))


def draws(source: Source, x0: Tensor, count: int, index: int = 0, law: Law = normal) -> Tensor:
    """`count` draws for every element of x0 (B, *shape), as (B, count, *shape), float64, keyed by `index`."""
    like = torch.empty(len(x0), count, *x0.shape[1:], dtype=torch.float64, device=x0.device)
    return source.draw(like, index, law)


def accumulate(x0: Tensor, increments: Tensor) -> Tensor:
    """x0 (B, *shape) and the running sums of float64 increments (B, T - 1, *shape): a path (B, T, *shape)."""
    path = torch.cat([x0.double()[:, None], increments], 1).cumsum_(1)
    return finished(x0, path)


def recursion(x0: Tensor, decay: Sequence[float], shocks: Tensor) -> Tensor:
    """x_{i+1} = decay_i x_i + shock_i, as a path (B, T, *shape); shocks are (B, T - 1, *shape), float64."""
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
