"""Poisson processes, of constant and of varying rate.

Gaps of a constant rate are exponential. A varying intensity λ(t) ≤ bound is thinned: candidates come at the rate
`bound`, and each stays with chance λ(t)/bound (Lewis & Shedler).
Source: Lewis & Shedler (1979), Simulation of nonhomogeneous Poisson processes by thinning.
Oracle: Poisson counts on intervals, independent; times of events given their number; counts against the integral of
the intensity (tests/processes/test_poisson.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes.events import Events, packed
from girsanov.processes.paths import check_clock, draws, require_positive
from girsanov.processes.variates import exponential


@dataclass(frozen=True)
class Poisson:
    """Events at a constant rate, or at an intensity that changes in time.

    Args:
        rate: events per unit of time; with an intensity, its upper bound.
        intensity: times (K,), float64, to intensities (K,) between 0 and `rate`; None is constant.
    """

    rate: float = 1.0
    intensity: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        require_positive("rate", self.rate)

    def events(self, n: int, stop: float, *, start: float = 0.0, generator: Randomness = None) -> Events:
        """Draw n windows of events; their values are 0.

        Args:
            n: how many windows.
            stop: where a window ends, after `start`.

        Raises:
            InputError: the intensity leaves [0, rate].
        """
        check_window(n, start, stop)
        source, last = as_source(generator), torch.full((n,), float(start), dtype=torch.float64)
        mean = self.rate * (stop - start)
        at_once = min(2**16, math.ceil(mean + 4 * math.sqrt(mean) + 4))
        parts = []
        for chunk in count():
            waits = exponential(draws(source, last, at_once, 2 * chunk, uniform)) / self.rate
            parts.append(last[:, None] + waits.cumsum(1))
            last = parts[-1][:, -1]
            if bool((last > stop).all()):
                break
        times = torch.cat(parts, 1)
        mask = times <= stop
        if self.intensity is not None:
            u = torch.cat([draws(source, last, at_once, 2 * i + 1, uniform) for i in range(len(parts))], 1)
            mask &= u * self.rate < self._intensity_at(times, mask)
        ends = [torch.full((n,), float(end), dtype=torch.float64) for end in (start, stop)]
        return packed(times, torch.zeros(times.shape, dtype=torch.long), mask, *ends)

    def _intensity_at(self, times: Tensor, mask: Tensor) -> Tensor:
        """The intensity at the candidates within the window, and 0 beyond."""
        assert self.intensity is not None
        found = self.intensity(times[mask])
        require(
            isinstance(found, Tensor) and found.shape == times[mask].shape,
            "intensity must map times (K,) to as many numbers, on tensors",
        )
        legal = (found >= 0) & (found <= self.rate * (1 + 1e-9))
        if not bool(legal.all()):
            i = int((~legal).nonzero()[0])
            at = times[mask][i].item()
            require(
                False,
                f"the intensity is {found[i].item():g} at {at:g}; it must stay between 0 and {self.rate:g}",
            )
        return torch.zeros_like(times).masked_scatter_(mask, found.double())

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """No event yet: zero, shaped like (B,)."""
        return torch.zeros_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw the counting process: x0 and the number of events since times[0].

        Args:
            x0: (B,), the counts at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T).
        """
        return counted(self, x0, times, generator)


def counted(process: Poisson, x0: Tensor, times: Tensor, generator: Randomness) -> Tensor:
    """The counts of a point process along a grid."""
    clock = check_clock(times)
    require(x0.ndim == 1, f"x0 is {tuple(x0.shape)}; give the counts at times[0], (B,)")
    if len(clock) == 1:
        return x0[:, None]
    found = process.events(len(x0), clock[-1].item(), start=clock[0].item(), generator=generator)
    return x0[:, None] + found.count(clock).to(x0)


def check_window(n: int, start: float, stop: float) -> None:
    """Refuse no windows, and windows without a length."""
    require(n > 0, f"n is {n}; give the number of windows, at least 1")
    require(
        math.isfinite(start) and math.isfinite(stop) and stop > start,
        f"the window runs from {start} to {stop}; stop must be after start",
    )
