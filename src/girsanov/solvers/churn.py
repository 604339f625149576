"""Deterministic steps with noise put back in: EDM's stochastic sampler, and Restart.

Both raise the noise level and undo it by more of the deterministic flow, which contracts errors made so far.
With ρ = γ/α the noise level of EDM, and x̂ drawn from the forward process at the higher level,

    churn     each step from s to t: ŝ with ρ̂ = (1 + min(S_churn/N, √2 - 1)) ρ_s where S_min ≤ ρ_s ≤ S_max,
              x̂ = the forward process from s to ŝ with its noise S_noise times as large, then Heun from ŝ to t
    restart   Heun down to ρ_min, then K times: the forward process up to ρ_max, Heun down again in n steps

Heun is the one in ρ. On EDM (α = 1, γ ∝ t) these are the papers' own formulas; on other processes the forward
transition takes the place of adding noise, so that they are exact there too.
Sources: Karras, Aittala, Aila & Laine (2022), arXiv 2206.00364, algorithm 2; Xu, Deng, Cheng, Tian, Liu &
Jaakkola (2023), arXiv 2306.14878.
Oracle: without churn or restarts Heun's plan; the law of Gaussian data by exact bookkeeping (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from girsanov.errors import choose, require
from girsanov.processes import Interpolant
from girsanov.processes.functions import exp
from girsanov.solvers.builder import Affine, PlanBuilder
from girsanov.solvers.grids import Times
from girsanov.solvers.named import start
from girsanov.solvers.plan import Plan
from girsanov.solvers.rungekutta import TABLEAUS, stages


def edm_churn(
    process: Interpolant,
    grid: Times,
    *,
    churn: float = 40.0,
    low: float = 0.05,
    high: float = 50.0,
    inflation: float = 1.0,
    tableau: str = "heun",
) -> Plan:
    """EDM's stochastic sampler, 2N - 1 calls; with tableau="euler" N calls.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        churn: S_churn, in all steps together, at least 0; 40 for ImageNet-64, 80 at most of use.
        low, high: S_min and S_max in units of γ/α, where noise is put back.
        inflation: S_noise; the paper has 1.003 and 1.007, against the loss of detail by imperfect networks.
            On an exact denoiser anything but 1 leaves the samples with the wrong variance.
        tableau: the deterministic step.

    A level above that of t = 1 is cut to it: there is no process beyond. The law converges with the order of
    the tableau: the noise is added exactly.

    Raises:
        InputError: a setting out of range.
        Unsuitable: a two-sided process.
    """
    require(0 <= churn < math.inf, f"churn is {churn}; give a number of at least 0, such as 40")
    require(0 <= low <= high, f"low is {low} and high {high}; give 0 <= low <= high")
    require(0 < inflation < math.inf, f"inflation is {inflation}; give a number above 0, such as 1.003")
    method = choose(tableau, TABLEAUS, "tableau")
    times = start(process, grid, "edm_churn")
    growth = 1 + min(churn / (len(times) - 1), math.sqrt(2) - 1)
    name = f"edm-churn{churn:g}-{tableau}"
    plan = PlanBuilder(process, name=name, source="arXiv 2206.00364", order=method.order)
    x = plan.start
    for s, t in pairwise(times):
        level = exp(-process.log_snr(s))
        up = min(process.time_at(-math.log(growth * level)), 1.0) if 0 < level < math.inf else s
        if growth > 1 and low <= level <= high and up > s:
            x = plan.hold(x, s, stage=False)
            x, now = plan.call(raised(plan, x, s, up, inflation), up, stage=True)
        else:
            x, now = plan.call(x, s)
        x = stages(plan, x, t, now, method, "noise")
    return plan.finish(x, times[-1])


class Interval(NamedTuple):
    """Where Restart goes up: from ρ = `low` to `high`, `times` times, each in `steps` steps of Heun."""

    low: float
    high: float
    times: int = 2
    steps: int = 2


def restart(
    process: Interpolant, grid: Times, *, intervals: Sequence[Interval] = (Interval(0.06, 0.3),)
) -> Plan:
    """Restart sampling: Heun, and over some noise levels again and again.

    Args:
        process: one-sided or anchored.
        grid: decreasing times of the main pass.
        intervals: in units of ρ = γ/α; `low` is moved to the nearest node of the grid, and an interval is left
            out if that node is above `high`. The default is the paper's for CIFAR-10; it counts nodes, one more
            than steps.

    The way down from `high` has nodes as EDM's grid has (equal steps in ρ^(1/7)), as many for every N, so that
    there is no order of convergence. A plan that restarts goes up in time, and its `grid` does so too.

    Raises:
        InputError: an interval that is empty or repeats less than once.
        Unsuitable: a two-sided process.
    """
    for one in intervals:
        require(0 < one.low < one.high < math.inf, f"{one} is empty; give 0 < low < high")
        require(
            one.times >= 1 and one.steps >= 1, f"{one} repeats nothing; give times and steps of at least 1"
        )
    times = start(process, grid, "restart")
    plan = PlanBuilder(process, name="restart", source="arXiv 2306.14878")
    x = plan.start
    after = _after(process, times, intervals)
    for s, t in pairwise(times):
        x = _heun(plan, x, s, t)
        for one in after.get(t, ()):
            top = min(process.time_at(-math.log(one.high)), times[0])
            for _ in range(one.times):
                x = raised(plan, plan.hold(x, t, stage=False), t, top, 1.0)
                for a, b in pairwise(_down(process, top, t, one.steps)):
                    x = _heun(plan, x, a, b)
    return plan.finish(x, times[-1])


def raised(plan: PlanBuilder, x: Affine, s: float, t: float, inflation: float) -> Affine:
    """The forward process from s up to t > s, a fresh draw; its noise `inflation` times as large."""
    forward = plan.process.transition(s, t)
    x = forward.state * x + inflation * forward.std * plan.noise()
    return x + forward.anchor * plan.anchor if plan.process.end == "anchor" else x


def _heun(plan: PlanBuilder, x: Affine, s: float, t: float) -> Affine:
    x, now = plan.call(x, s)
    return stages(plan, x, t, now, TABLEAUS["heun"], "noise")


def _after(
    process: Interpolant, times: tuple[float, ...], intervals: Sequence[Interval]
) -> dict[float, list[Interval]]:
    """The intervals by the node of the grid that they start from."""
    found: dict[float, list[Interval]] = {}
    inner = [t for t in times[1:] if t > 0]
    for one in intervals if inner else ():
        node = min(inner, key=lambda t: abs(exp(-process.log_snr(t)) - one.low))
        if exp(-process.log_snr(node)) < min(one.high, exp(-process.log_snr(times[0]))):
            found.setdefault(node, []).append(one)
    return found


def _down(process: Interpolant, top: float, bottom: float, steps: int) -> list[float]:
    """EDM's grid between two times."""
    a, b = (exp(-process.log_snr(t)) ** (1 / 7) for t in (top, bottom))
    inner = [process.time_at(-7 * math.log(a + (b - a) * i / steps)) for i in range(1, steps)]
    return [top, *inner, bottom]
