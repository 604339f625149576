"""Brownian motion: paths on a grid, refined paths, and a path that is asked as one goes.

    X_t = x_0 + μ (t - t_0) + σ W_t

The increments of a grid are one draw. Between two known points the motion is a bridge,

    W_m | W_s, W_u ~ N(W_s + (m - s)/(u - s) (W_u - W_s), (m - s)(u - m)/(u - s)),

whatever the drift, so a path can be refined, or asked at times that nobody knew in advance. Bridges over
all new times of a gap come at once from a free motion F: the bridge is F plus the line through what is
missing at the known points.

The area between two components over a step h, A_ij = ½ ∫ (W_i dW_j - W_j dW_i), is not Gaussian. Given the
increment W and the space-time area H ~ N(0, h/12), independent of W, its conditional mean is H⊗W - W⊗H, and
Davie's approximation adds an independent normal with the right variance, h²/12.
Source: Davie (2014), KMT theory applied to approximations of SDE; Foster, Lyons & Oberhauser (2020), An
optimal polynomial approximation of Brownian motion.
Oracle: the closed moments, the coarse path within the refined one bit for bit, the variance of Lévy's area and
of its conditional law (tests/processes/test_brownian.py).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Randomness, Source, as_source
from girsanov.processes.paths import (
    LevyProcess,
    check_clock,
    check_state,
    draws,
    require_number,
    require_positive,
)


@dataclass(frozen=True)
class BrownianMotion(LevyProcess):
    """dX = drift dt + volatility dW on physical time, each coordinate by itself.

    Args:
        drift: μ, per unit of time.
        volatility: σ > 0, per square root of time.
    """

    drift: float = 0.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        require_number("drift", self.drift)
        require_positive("volatility", self.volatility)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        noise = draws(source, x0, len(h))
        return noise.mul_(self.volatility * h.sqrt()).add_(self.drift * h)

    def refine(self, times: Tensor, paths: Tensor, finer: Tensor, *, generator: Randomness = None) -> Tensor:
        """Fill known paths in with bridges.

        Args:
            times: (T,), increasing.
            paths: (B, T, *shape), the paths at `times`.
            finer: (S,), increasing, with all of `times` among them and none outside.

        Returns:
            (B, S, *shape), the same numbers at `times`, bit for bit.

        Raises:
            InputError: `finer` lacks one of `times` or goes beyond them.
        """
        coarse, clock = check_clock(times), check_clock(finer)
        require(
            paths.ndim > 1 and paths.shape[1] == len(coarse),
            f"paths {tuple(paths.shape)} must have a state (B, T, *shape) at each of {len(coarse)} times",
        )
        known = torch.searchsorted(clock, coarse).clamp(max=len(clock) - 1)
        missing = (clock[known] != coarse).nonzero()
        require(
            len(missing) == 0 and len(clock) - 1 == int(known[-1]) and int(known[0]) == 0,
            "finer must begin and end with the times of the paths and hold them all, bit for bit; "
            "sort torch.cat([times, new]) to build it",
        )
        x0 = paths[:, 0]
        free = BrownianMotion(0.0, self.volatility).simulate(x0.double(), clock, generator=generator)
        gap = paths.double() - free[:, known]
        path = (free + _interpolate(coarse, gap, clock)).to(paths.dtype)
        path[:, known] = paths
        return path


def _interpolate(times: Tensor, values: Tensor, at: Tensor) -> Tensor:
    """Lines through values (B, T, *shape) at times (T,), read at (S,)."""
    if len(times) == 1:
        return values
    right = torch.searchsorted(times, at).clamp(1, len(times) - 1)
    share = (at - times[right - 1]) / (times[right] - times[right - 1])
    share = share.to(values.device).reshape(-1, *[1] * (values.ndim - 2))
    return torch.lerp(values[:, right - 1], values[:, right], share)


class BrownianPath:
    """One standard Brownian path, for a solver that asks as it goes; what was asked once is remembered.

    `path(s, t)` is W_t - W_s, the same number whenever it is asked. New times cost one bridge between their
    neighbours, and a time beyond all others one free increment. The numbers depend on the order of the
    questions; lay `times` out in advance for numbers that do not, and for speed.

    Args:
        like: (B, *shape), for the shape, dtype and device of the increments.
        times: (T,), increasing: the times known in advance, the first being the start. None starts at 0.
        generator: where the increments come from; a `Noise` makes row i the same whatever the batch.

    Raises:
        InputError: bad times, or a question about a time before the start.
    """

    def __init__(self, like: Tensor, times: Tensor | None = None, *, generator: Randomness = None) -> None:
        check_state(like)
        clock = [0.0] if times is None else check_clock(times).tolist()
        self._like, self._source, self._asked = torch.empty_like(like), as_source(generator), 0
        self._times, self._values = clock[:1], {clock[0]: torch.zeros_like(like)}
        for t in clock[1:]:  # one increment each; a step at a time keeps large states in the cache
            self._new(t)

    def __call__(self, s: float, t: float) -> Tensor:
        """W_t - W_s, shaped and typed like `like`."""
        return self.at(t) - self.at(s)

    def at(self, t: float) -> Tensor:
        """W_t, with W = 0 at the start; the tensor is the path's own, so do not write into it."""
        t = float(t)
        found = self._values.get(t)
        return self._new(t) if found is None else found

    def _new(self, t: float) -> Tensor:
        """Draw the path at a time not asked before."""
        times, values = self._times, self._values
        if not (times[0] <= t < math.inf):
            raise InputError(f"the path was asked at {t:g}, and it starts at {times[0]:g}; ask from there on")
        xi = self._source.draw(self._like, self._asked)
        self._asked += 1
        if t > times[-1]:
            value = torch.add(values[times[-1]], xi, alpha=math.sqrt(t - times[-1]))
            times.append(t)
        else:
            i = bisect_left(times, t)
            s, u = times[i - 1], times[i]
            share = (t - s) / (u - s)
            value = torch.lerp(values[s], values[u], share)
            value.add_(xi, alpha=math.sqrt((u - t) * share))
            times.insert(i, t)
        values[t] = value
        return value


def space_time_area(w: Tensor, h: float, *, generator: Randomness = None) -> Tensor:
    """H = (1/h) ∫_0^h (W_t - t/h W_h) dt, given nothing of it: N(0, h/12), independent of the increment w.

    Args:
        w: (B, *shape), for its shape; the increment over a step of length h.
        h: the length, above 0.
    """
    require_positive("h", h)
    return math.sqrt(h / 12) * as_source(generator).draw(w, 0)


def levy_area(w: Tensor, area: Tensor, h: float, *, generator: Randomness = None) -> Tensor:
    """Davie's approximation of Lévy's area ½ ∫ (W_i dW_j - W_j dW_i) over a step.

    The mean given (w, area) is exact, and so is the variance on average over them.

    Args:
        w: (B, d), the increment.
        area: (B, d), the space-time area H of the same step.
        h: the length, above 0.

    Returns:
        (B, d, d), antisymmetric.
    """
    require_positive("h", h)
    require(
        w.ndim == 2 and w.shape == area.shape,
        f"w {tuple(w.shape)} and area {tuple(area.shape)} must both be (B, d)",
    )
    like = w[:, :, None].expand(*w.shape, w.shape[1])
    noise = (h / math.sqrt(12)) * as_source(generator).draw(like, 0).triu(1)
    mean = area[:, :, None] * w[:, None, :] - w[:, :, None] * area[:, None, :]
    return mean + noise - noise.mT
