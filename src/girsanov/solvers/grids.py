"""Time grids: where a sampler calls the denoiser.

A `Grid` is a recipe, resolved for a process by `grid.times(process)`; a solver takes a Grid or one's own
decreasing times. With `to_zero` (the default) N steps are N nodes from `start` down to the last noisy
one, then 0: the last step is the denoiser's `data` answer. Without it N steps end at `t_min`.

    uniform     equal steps in t                       quadratic  equal steps in √t (DDIM, CIFAR-10)
    log-snr     equal steps in λ = log(α/γ)            karras     equal steps in (γ/α)^(1/7) (EDM, eq. 5)
    ddpm        equal steps in √τ, τ(λ) the time at which DDPM's linear schedule has the log-SNR λ
    sinh        λ = 2 sinh(u), u equally spaced: dense where |λ| is small, sparse in the tails

A sampler of a one-sided process depends on the schedule through λ alone, so `ddpm` brings the quadratic
grid, the best in trials, to every process.

Two grids of Roy, Rinaldo & Sarkar (2026, arXiv 2601.15500) for rectified flow do not fit a Grid, for they
choose their own ends: `u_shaped_grid` and `ddpm_rf_grid` return times.

Where α(1) = 0 the log-SNR is -∞ at t = 1. Grids in λ then spread their steps from log 10⁻³ and move
the first node to t = 1; the first step, of order one, is exact there up to that size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from girsanov.errors import InputError, choose, require
from girsanov.processes import Interpolant
from girsanov.processes.schedules import LinearVP
from girsanov.typing import Scalar

LOWEST_LOG_SNR = math.log(1e-3)


@dataclass(frozen=True)
class Grid:
    """A recipe for a decreasing sequence of times; see the head of the module.

    Args:
        kind: uniform, quadratic, log-snr, karras, ddpm or sinh.
        steps: the number of steps, at least 1.
        to_zero: end at 0 with the denoiser's answer, else at the process's t_min.
        start: the first time; below 1 to start from a partly noisy sample.
        last: the log-SNR of the last noisy node; that of t_min if None.
    """

    kind: str
    steps: int
    to_zero: bool = True
    start: float = 1.0
    last: float | None = None

    def __post_init__(self) -> None:
        choose(self.kind, SPACINGS, "grid")
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool)
        require(whole and self.steps >= 1, f"steps is {self.steps!r}; give a whole number of at least 1")
        require(0 < self.start <= 1, f"start is {self.start}; a grid starts in (0, 1]")

    def times(self, process: Interpolant) -> tuple[float, ...]:
        """The steps + 1 times for a process, decreasing.

        Raises:
            InputError: the grid starts below its last node.
        """
        stop = process.t_min if self.last is None else process.time_at(self.last)
        require(stop < self.start, f"the grid starts at {self.start}, at or below its last node {stop:.6g}")
        nodes = self.steps if self.to_zero else self.steps + 1
        if nodes == 1:
            inner = [self.start]
        else:
            inner = SPACINGS[self.kind](process, self.start, stop, nodes)
            inner[0], inner[-1] = self.start, (stop if nodes > 1 else self.start)
        return (*inner, 0.0) if self.to_zero else tuple(inner)


def grid(
    kind: str, steps: int, *, to_zero: bool = True, start: float = 1.0, last: float | None = None
) -> Grid:
    """A grid by name; see `Grid`."""
    return Grid(kind, steps, to_zero, start, last)


def u_shaped_grid(steps: int, *, delta: float | None = None) -> tuple[float, ...]:
    """Times of `RectifiedFlow` with small steps at both ends, for `euler`.

    0, δ, (1 + h) δ, (1 + h)² δ, …, ½ and its mirror image, with 1 + h = (1/2δ)^{2/(N-2)}. Take it where data
    have a scale much finer than their extent; on data like the noise equal steps are better.

    Args:
        steps: N, even and at least 4.
        delta: δ, the first and the last step, in (0, ½); the paper's is 1/max(dimension, N), 1/N by default.

    Returns:
        The steps + 1 times, from 1 to 0.
    """
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    require(
        whole and steps >= 4 and steps % 2 == 0,
        f"steps is {steps!r}; a U-shaped grid has an even number of steps, at least 4",
    )
    first = 1 / steps if delta is None else delta
    require(0 < first < 0.5, f"delta is {first}; give a number in (0, ½), usually 1/max(dimension, steps)")
    rising = [first * (1 / (2 * first)) ** (2 * j / (steps - 2)) for j in range(steps // 2 - 1)]
    return (1.0, *(1 - t for t in rising), 0.5, *reversed(rising), 0.0)


def ddpm_rf_grid(steps: int, *, c0: float = 2.0, c1: float = 5.0) -> tuple[float, ...]:
    """Times of `RectifiedFlow` for its stochastic sampler, which is `ancestral`.

    DDPM's signal shares ω_i = Π_{j≤i} (1 - β_j) carried over to the flow, α/γ = √(ω/(1 - ω)), then 0:

        β_1 = N^{-c0},   β_i = f min(1, β_1 (1 + f)^{i-1}),   f = c1 log N/N

    The first time is below 1: start from √(α² + γ²) · noise there. Unless c1 is well above c0 much of the data
    is left in that start; c1 = 5 is the value of the authors' experiments.

    Args:
        steps: N, at least 2; one call each, the last of them the data answer, which the paper leaves out.
        c0: above 0; the last noisy time is about N^{-c0/2}.
        c1: above 0, with f below 1.

    Returns:
        The steps + 1 times, decreasing to 0.
    """
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    require(whole and steps >= 2, f"steps is {steps!r}; give a whole number of at least 2")
    require(0 < c0 < math.inf, f"c0 is {c0}; give a number above 0, usually 2")
    growth = c1 * math.log(steps) / steps
    require(
        0 < growth < 1,
        f"c1 log(steps)/steps is {growth:.3g} with c1 = {c1} and steps = {steps}; it lies in (0, 1): take more "
        "steps or a smaller c1",
    )
    first = steps**-c0
    betas = np.array([first, *(growth * min(1.0, first * (1 + growth) ** i) for i in range(1, steps))])
    share = np.cumsum(np.log1p(-betas))  # log ω
    alpha, gamma = np.exp(share / 2), np.sqrt(-np.expm1(share))
    return (*(gamma / (alpha + gamma))[::-1].tolist(), 0.0)


def fine_start(times: Sequence[float], order: int) -> tuple[float, ...]:
    """The same times with a fine start, for multistep methods whose first steps are of low order.

    The gaps double from (first gap)^(order/2) to the full one: the error of a first step of order one, the
    square of its size, is then of the method's order.

    Args:
        times: decreasing, at least two.
        order: of the method, at least 2 for a start that is finer.
    """
    gap, t = times[0] - times[1], times[0]
    start, h = [t], gap ** (order / 2)
    while t - h > times[1]:
        t, h = t - h, min(2 * h, gap)
        start.append(t)
    return (*start, *(v for v in times[1:] if v < start[-1] - h / 2))


Times = Grid | Sequence[float]
"""What a solver accepts as its grid."""


def resolve(times: Times, process: Interpolant) -> tuple[float, ...]:
    """The times of a grid, or one's own times checked.

    Raises:
        InputError: fewer than two times, not decreasing, repeated, or outside [0, 1].
    """
    if isinstance(times, Grid):
        return times.times(process)
    try:
        found = tuple(float(t) for t in times)
    except TypeError as error:
        raise InputError(f"the grid is {times!r}; give a Grid or decreasing times") from error
    require(len(found) >= 2, f"the grid has {len(found)} times; a step needs two")
    require(all(0 <= t <= 1 for t in found), f"the grid runs {found[0]} → {found[-1]} and leaves [0, 1]")
    if not all(a > b for a, b in pairwise(found)):
        repeated = next((a for a, b in pairwise(found) if a == b), None)
        cure = (
            f"it repeats {repeated}"
            if repeated is not None
            else "sampling needs it decreasing (noise is at t = 1)"
        )
        raise InputError(
            f"the grid runs {found[0]} → {found[-1]} and {cure}. Pass sorted(set(grid), reverse=True)."
        )
    return found


def _uniform(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    return np.linspace(start, stop, nodes).tolist()


def _quadratic(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    return (np.linspace(math.sqrt(start), math.sqrt(stop), nodes) ** 2).tolist()


def _ends(process: Interpolant, start: float, stop: float) -> tuple[float, float]:
    return max(process.log_snr(start), LOWEST_LOG_SNR), process.log_snr(stop)


def _log_snr(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    return [process.time_at(v) for v in np.linspace(*_ends(process, start, stop), nodes).tolist()]


def _karras(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    first, last = (math.exp(-v / 7) for v in _ends(process, start, stop))
    return [process.time_at(-7 * math.log(v)) for v in np.linspace(first, last, nodes).tolist()]


def _ddpm(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    first, last = (math.sqrt(ddpm_time(v)) for v in _ends(process, start, stop))
    return [process.time_at(DDPM.log_snr(v)) for v in (np.linspace(first, last, nodes) ** 2).tolist()]


def _sinh(process: Interpolant, start: float, stop: float, nodes: int) -> list[float]:
    first, last = _ends(process, start, stop)
    u = np.linspace(math.asinh(first / 2), math.asinh(last / 2), nodes)
    return [process.time_at(v) for v in (2 * np.sinh(u)).tolist()]


DDPM = LinearVP()


def ddpm_time(log_snr: Scalar) -> Scalar:
    """τ(λ): the time, possibly above 1, at which DDPM's linear schedule has this log-SNR."""
    return DDPM.time_at(log_snr)


SPACINGS: dict[str, Callable[[Interpolant, float, float, int], list[float]]] = {
    "uniform": _uniform,
    "quadratic": _quadratic,
    "log-snr": _log_snr,
    "karras": _karras,
    "ddpm": _ddpm,
    "sinh": _sinh,
}
