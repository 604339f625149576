"""Momentum in samplers: Heavy Ball (HB) and Generalized Heavy Ball (GHVB), Wizadwongsa et al., 2023.

With v = x/α, dv/dρ = E, or v = x/γ, dv/dκ = D, a step is v_t = v_s + δ f, δ the step of ρ or κ and f the
increment of a solver. Momentum replaces f by a running mean, of damping b in (0, 1]:

    HB        m ← (1 - b) m + b f,   v_t = v_s + δ m,              m = f at the start
    GHVB      m ← (1 - b) m + b E,   v_t = v_s + δ Σ_j w_j m_j,    m_0 the newest,  m = E at the start

    Σ_j w_j S^j = (1 + ½∇ + 5/12 ∇² + 3/8 ∇³ + 251/720 ∇⁴)(1 + (1-b)/b ∇) up to ∇^(r-1),  ∇ = 1 - S, S the shift

which undoes the lag of the mean, so that GHVB is of order r on equal steps in ρ, where HB is of order 1.
b = 1 is no momentum: HB is its base, and GHVB Adams-Bashforth. A smaller b damps the eigenvalues on the left:
on x' = μx with step 1 HB on Euler is stable for μ > -2(2 - b)/b, GHVB of order 2 for μ > -(2 - b)
(at b = 1 these are Euler's -2 and Adams-Bashforth's -1).
"GHVB 1.8" is order 2 with b = 0.8. The means are held rows.
Source: arXiv 2307.11118; the stability limits are derived, not quoted.
Oracle: b = 1 gives the base, order conditions of linear multistep methods in exact fractions, stability limits
by bisection (tests/solvers/test_momentum.py).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from girsanov.errors import choose, require
from girsanov.processes import Interpolant
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import ADAMS_BASHFORTH, total
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order, start, transfer
from girsanov.solvers.plan import Plan

BACKWARD = (1.0, 1 / 2, 5 / 12, 3 / 8, 251 / 720)
"""Adams-Bashforth in powers of the backward difference ∇."""


def ghvb(process: Interpolant, grid: Times, *, order: int = 2, damping: float = 0.8) -> Plan:
    """GHVB, one call a step: high order with momentum.

    Args:
        process: one-sided or anchored.
        grid: decreasing times; orders above 2 need equal steps in ρ.
        order: r, 1 to 5. The first steps are of order 1, 2, …, which holds the method to order 2.
        damping: b in (0, 1]; nearer to 0 is more stable and less accurate.

    Raises:
        InputError: damping or order out of range.
        Unsuitable: a two-sided process.
    """
    require(isinstance(order, int) and 1 <= order <= 5, f"order is {order}; ghvb has 1 to 5")
    _check(damping)
    times = start(process, grid, "ghvb")
    shown = min(order, 2)
    plan = PlanBuilder(process, name=f"ghvb-{order - 1 + damping:g}", source="arXiv 2307.11118", order=shown)
    x, means = plan.start, list[Affine]()
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        mean = now.noise if not means else (1 - damping) * means[0] + damping * now.noise
        means = [plan.hold(mean, s), *means][:order]
        if process.alpha(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
        else:
            x = transfer(plan, x, s, t, total(ghvb_weights(len(means), damping), means), "noise")
    return plan.finish(x, times[-1])


def ghvb_weights(order: int, damping: float) -> list[float]:
    """w_j for the newest mean first."""
    lag = (1 - damping) / damping
    powers = [a + lag * b for a, b in zip(BACKWARD[:order], (0.0, *BACKWARD), strict=False)]
    return [
        (-1) ** j * sum(c * math.comb(k, j) for k, c in enumerate(powers) if k >= j) for j in range(order)
    ]


def heavy_ball(
    process: Interpolant,
    grid: Times,
    *,
    form: Literal["data", "noise"] = "data",
    order: int = 2,
    damping: float = 0.8,
) -> Plan:
    """Heavy Ball on DPM-Solver++(2M), form "data", or on PLMS, form "noise"; one call a step.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        form: the base: 2M on the data answer, Adams-Bashforth on the noise answer.
        order: of the base, 1 or 2 for "data", 1 to 4 for "noise"; with damping < 1 the method is of order 1.
        damping: b in (0, 1].

    Raises:
        InputError: damping, form or order out of range.
        Unsuitable: a two-sided process.
    """
    most = {"data": 2, "noise": 4}[choose(form, {"data": "data", "noise": "noise"}, "form")]
    require(isinstance(order, int) and 1 <= order <= most, f"order is {order}; form {form!r} has 1 to {most}")
    _check(damping)
    times = start(process, grid, "heavy_ball")
    shown = min(order, 2) if damping == 1 else 1
    name = f"heavy-ball-{form}{order}-{damping:g}"
    plan = PlanBuilder(process, name=name, source="arXiv 2307.11118", order=shown)
    x, past, mean = plan.start, list[Prediction](), None
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        past = [now, *past][:order]
        step = _slope(process, past, t) if form == "data" else _adams(past)
        mean = plan.hold(step if mean is None else (1 - damping) * mean + damping * step, s)
        if process.alpha(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
        else:
            x = transfer(plan, x, s, t, mean, form)
    return plan.finish(x, times[-1])


def _slope(process: Interpolant, past: list[Prediction], t: float) -> Affine:
    """The increment of 2M: D + (D - D')/(2 r), r the last step over this one, in log-SNR."""
    now = past[0]
    if len(past) == 1 or not math.isfinite(process.log_snr(past[1].t)):
        return now.data
    h, last = process.log_snr(t) - process.log_snr(now.t), process.log_snr(now.t) - process.log_snr(past[1].t)
    return now.data + (now.data - past[1].data) * (h / (2 * last))


def _adams(past: list[Prediction]) -> Affine:
    """The increment of PLMS: Adams-Bashforth for equal steps."""
    return total(ADAMS_BASHFORTH[len(past) - 1], [p.noise for p in past])


def _check(damping: float) -> None:
    require(0 < damping <= 1, f"damping is {damping}; give a number above 0, at most 1 (no momentum)")
