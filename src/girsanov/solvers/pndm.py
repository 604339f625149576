"""PNDM: fixed-step multistep weights on the noise answers, with DDIM's step as the transfer (Liu et al., 2022).

    φ(x, e, s, t) = (α_t/α_s) x + α_t (ρ_t - ρ_s) e,   ρ = γ/α

    start, Runge-Kutta (F-PNDM), three steps of four calls, m the middle of s and t:
        e₁ = E(x, s), e₂ = E(φ(x, e₁, s, m), m), e₃ = E(φ(x, e₂, s, m), m), e₄ = E(φ(x, e₃, s, t), t),
        x_t = φ(x, (e₁ + 2e₂ + 2e₃ + e₄)/6, s, t)
    start, improved Euler (S-PNDM, PLMS), one step of two calls:
        x_t = φ(x, (E(x, s) + E(φ(x, e₁, s, t), t))/2, s, t)
    then x_t = φ(x, Adams-Bashforth of the last answers, s, t), of order up to 4

The weights are those of equal steps in ρ, and m is the middle in t: on another grid the method is of order 2.
A step from α = 0 is DDIM's, and so is a step to 0. iPNDM, without a start of its own, is
`deis(method="ipndm")`.
Source: Liu, Ren, Lin & Zhao (2022), arXiv 2202.09778, sections on the transfer part and on pseudo
linear multi-step methods.
Oracle: the coefficients of diffusers; order 4 where t is ρ, on EDM with equal steps (tests/solvers).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from girsanov.errors import choose
from girsanov.processes import Interpolant
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import ADAMS_BASHFORTH, total
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order, start, transfer
from girsanov.solvers.plan import Plan


def pndm(
    process: Interpolant, grid: Times, *, begin: Literal["runge-kutta", "improved-euler"] = "runge-kutta"
) -> Plan:
    """F-PNDM, and with begin="improved-euler" PLMS; N + 9 or N + 1 calls for N steps.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        begin: how the first steps are made.

    Raises:
        Unsuitable: a two-sided process.
    """
    choose(begin, STARTS, "begin")
    times = start(process, grid, "pndm")
    name = "pndm" if begin == "runge-kutta" else "plms"
    plan = PlanBuilder(process, name=name, source="arXiv 2202.09778", order=2)
    first_steps, make = STARTS[begin]
    x, past = plan.start, list[Affine]()
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.alpha(s) == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        past = [now.noise, *past][:4]
        if first_steps > 0:
            first_steps -= 1
            x = make(plan, x, t, now)
        else:
            x = transfer(plan, x, s, t, total(ADAMS_BASHFORTH[len(past) - 1], past), "noise")
    return plan.finish(x, times[-1])


def runge_kutta_step(plan: PlanBuilder, x: Affine, t: float, now: Prediction) -> Affine:
    """The pseudo Runge-Kutta step."""
    s, e1 = now.t, now.noise
    middle = (s + t) / 2
    _, second = plan.call(transfer(plan, x, s, middle, e1, "noise"), middle, stage=True)
    _, third = plan.call(transfer(plan, x, s, middle, second.noise, "noise"), middle, stage=True)
    _, fourth = plan.call(transfer(plan, x, s, t, third.noise, "noise"), t, stage=True)
    answers = [e1, second.noise, third.noise, fourth.noise]
    return transfer(plan, x, s, t, total([1 / 6, 1 / 3, 1 / 3, 1 / 6], answers), "noise")


def improved_euler_step(plan: PlanBuilder, x: Affine, t: float, now: Prediction) -> Affine:
    """The pseudo improved Euler step."""
    _, second = plan.call(transfer(plan, x, now.t, t, now.noise, "noise"), t, stage=True)
    return transfer(plan, x, now.t, t, (now.noise + second.noise) / 2, "noise")


STARTS = {"runge-kutta": (3, runge_kutta_step), "improved-euler": (1, improved_euler_step)}
"""How many steps the start takes, and each of them."""
