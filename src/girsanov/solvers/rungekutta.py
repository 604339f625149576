"""Runge-Kutta methods in three variables: plain time, ρ = γ/α, or κ = α/γ.

The probability flow is d(y/α) = E dρ, or d(y/γ) = D dκ, or dx = v dt. In each a classical tableau is
applied to the left side, with stages at intermediate values of the variable:

    velocity: euler, heun on dx = v dt       noise: DEIS ρRK; `heun` there is the sampler of EDM
    data: the same in κ

A step to t = 0 is the data answer and one call, so EDM's Heun spends 2N - 1 calls; so is a step of the
noise form from α = 0, where ρ is infinite.
Sources: Karras et al. (2022), algorithm 1; Zhang & Chen (2022), section 3.2.
Oracle: orders of convergence; on EDM all three variables of Heun agree where they should.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

from girsanov.errors import choose
from girsanov.processes import AffineConditional, Interpolant, need
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import moved, need_one_unknown, total
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.named import first_order
from girsanov.solvers.plan import Plan


class Tableau(NamedTuple):
    """An explicit Runge-Kutta method: stage places c, stage rows a, weights b, order."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int


TABLEAUS = {
    "euler": Tableau((0,), ((),), (1,), 1),
    "midpoint": Tableau((0, 1 / 2), ((), (1 / 2,)), (0, 1), 2),
    "heun": Tableau((0, 1), ((), (1,)), (1 / 2, 1 / 2), 2),
    "kutta3": Tableau((0, 1 / 2, 1), ((), (1 / 2,), (-1, 2)), (1 / 6, 4 / 6, 1 / 6), 3),
    "heun3": Tableau((0, 1 / 3, 2 / 3), ((), (1 / 3,), (0, 2 / 3)), (1 / 4, 0, 3 / 4), 3),
    "ralston3": Tableau((0, 1 / 2, 3 / 4), ((), (1 / 2,), (0, 3 / 4)), (2 / 9, 1 / 3, 4 / 9), 3),
    "ssp3": Tableau((0, 1, 1 / 2), ((), (1,), (1 / 4, 1 / 4)), (1 / 6, 1 / 6, 2 / 3), 3),
    "rk4": Tableau(
        (0, 1 / 2, 1 / 2, 1), ((), (1 / 2,), (0, 1 / 2), (0, 0, 1)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4
    ),
}


def euler(process: Interpolant, grid: Times) -> Plan:
    """Euler's rule on dx = v dt: the plain sampler of flow matching. Any process."""
    return runge_kutta(process, grid, tableau="euler", form="velocity", name="euler")


def heun(process: Interpolant, grid: Times) -> Plan:
    """Heun's rule on dx = v dt, two calls per step. On the process EDM it is the sampler of that paper."""
    return runge_kutta(process, grid, tableau="heun", form="velocity", name="heun")


def rho_rk(process: Interpolant, grid: Times, *, tableau: str = "heun") -> Plan:
    """DEIS ρRK: a Runge-Kutta method on d(y/α) = E dρ (Zhang & Chen 2022)."""
    name, source = f"deis-rho-rk-{tableau}", "arXiv 2204.13902"
    return runge_kutta(process, grid, tableau=tableau, form="noise", name=name, source=source)


def runge_kutta(
    process: Interpolant,
    grid: Times,
    *,
    tableau: str = "rk4",
    form: Literal["velocity", "noise", "data"] = "velocity",
    name: str = "",
    source: str = "",
) -> Plan:
    """An explicit Runge-Kutta method; as many calls per step as the tableau has stages.

    Raises:
        UnknownName: no such tableau.
        Unsuitable: a ρ or κ form on a two-sided process.
    """
    method = choose(tableau, TABLEAUS, "tableau")
    choose(form, dict.fromkeys(("velocity", "noise", "data")), "form")
    name = name or f"{tableau}-{form}"
    need(process, AffineConditional, name)
    if form != "velocity":
        need_one_unknown(process, name)
    times = resolve(grid, process)
    plan = PlanBuilder(process, name=name, source=source, order=method.order)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        x = stages(plan, x, t, now, method, form)
    return plan.finish(x, times[-1])


def stages(plan: PlanBuilder, x: Affine, t: float, now: Prediction, method: Tableau, form: str) -> Affine:
    """One step from the state x, answered by `now`, to t; the calls after the first are stages."""
    process, s = plan.process, now.t
    if process.end != "marginal" and (
        t == 0 or process.gamma(s) == 0 or (form == "noise" and process.alpha(s) == 0)
    ):
        return first_order(plan, x, s, t, now, "data")
    answers = [now]
    for place, row in zip(method.c[1:], method.a[1:], strict=True):
        middle = _between(process, s, t, place, form)
        _, answer = plan.call(_move(plan, x, s, t, middle, row, answers, form), middle, stage=True)
        answers.append(answer)
    return _move(plan, x, s, t, t, method.b, answers, form)


def _variable(process: Interpolant, t: float, form: str) -> float:
    if form == "velocity":
        return t
    return math.exp(process.log_snr(t) * (1 if form == "data" else -1))


def _between(process: Interpolant, s: float, t: float, place: float, form: str) -> float:
    """The time at which the variable is `place` of the way from s to t."""
    if place == 1:
        return t
    start, stop = _variable(process, s, form), _variable(process, t, form)
    value = start + place * (stop - start)
    return value if form == "velocity" else process.time_at(math.log(value) * (1 if form == "data" else -1))


def _move(
    plan: PlanBuilder,
    x: Affine,
    s: float,
    t: float,
    to: float,
    weights: tuple[float, ...],
    answers: list[Prediction],
    form: str,
) -> Affine:
    """x_s plus the step (s → t) of the variable times the weighted answers, as a state at `to`."""
    process = plan.process
    whole = _variable(process, t, form) - _variable(process, s, form)
    words = [answer.word(form) for answer in answers]
    if form == "velocity":
        return x + total([whole * w for w in weights], words)
    scale = process.gamma if form == "data" else process.alpha
    return moved(plan, x, s, to, scale(to) / scale(s)) + total(
        [scale(to) * whole * w for w in weights], words
    )
