"""Exponential multistep methods: every order, every prediction, one coefficient formula.

With y = x - βx_1, σ = γ, κ = α/σ, ρ = σ/α and λ = log κ, exactly and for any α, σ,

    data form      d(y/σ) = D dκ        y_t = (σ_t/σ_s) y_s + σ_t Σ c_j D_j,  c_j = ∫ ℓ_j e^λ dλ
    noise form     d(y/α) = E dρ        y_t = (α_t/α_s) y_s + α_t Σ c_j E_j,  c_j = -∫ ℓ_j e^{-λ} dλ
    velocity form  dx = v dt            x_t = x_s + Σ c_j v_j,                c_j = ∫ ℓ_j dt

where the answers of the last k calls are interpolated by Lagrange polynomials ℓ_j in a variable: t, λ,
ρ, κ, DDPM's own time at λ, or the index (fixed-step Adams-Bashforth weights). Langevin motion of strength
τ² per unit of λ keeps every marginal, and is solved exactly too, in data form and in noise form:

    y_t = (σ_t/σ_s) e^{-τ²h} y_s + σ_t Σ c_j D_j + σ_t √(1 - e^{-2τ²h}) ξ,
    c_j = (1 + τ²) ∫ ℓ_j e^{-τ²(λ_t - λ)} e^λ dλ;

    y_t = (α_t/α_s) y_s + α_t Σ c_j E_j + σ_t τ √(e^{2h} - 1) ξ,
    c_j = -(1 + τ²) ∫ ℓ_j e^{-λ} dλ.

τ² = 1 at k = 1 in data form is DDPM's ancestral step. In λ, these are the solvers of MR Sampler: ODE at
τ² = 0, SDE at τ² = 1, data or noise, with the anchor as μ. Integrals by 48 Gauss-Legendre nodes in float64: closed
φ-functions agree to 1e-12 and cancel for small steps.
Sources: Zhang & Chen (2022), DEIS; Lu et al. (2022), DPM-Solver++; Liu et al. (2022), PNDM; Song et al.
(2020), DDIM; Ho et al. (2020), DDPM; Li et al. (2025), MR Sampler.
Oracle: constants and polynomials of the right degree are integrated exactly; orders of convergence on
exact Gaussians and mixtures (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np

from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.processes import AffineConditional, GaussianConditional, Interpolant, need
from girsanov.processes.functions import exp, expm1
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.grids import Times, ddpm_time, resolve
from girsanov.solvers.plan import Plan

Form = Literal["data", "noise", "velocity"]
Variable = Literal["time", "log-snr", "ddpm", "rho", "kappa", "index"]

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def exponential(
    process: Interpolant,
    grid: Times,
    *,
    order: int = 3,
    form: Form = "data",
    variable: Variable = "log-snr",
    strength: float = 0.0,
) -> Plan:
    """Exponential multistep of any order in any prediction; one call per step.

    The order ramps up 1, 2, … over the first steps. That holds the method to order 2, unless the start is
    smooth, as it is near t = 1, where the data answer hardly moves.

    Args:
        process: one-sided or anchored; any process in velocity form.
        grid: decreasing times.
        order: how many answers are interpolated, at least 1.
        form: which prediction is interpolated.
        variable: in what variable.
        strength: τ² ≥ 0, Langevin motion per unit of log-SNR; in data or noise form. The latter needs small
            steps: its noise grows as e^h.

    Raises:
        Unsuitable: an exponential form on a two-sided process; strength > 0 in velocity form.
    """
    name = f"exponential-{order}-{form}-{variable}" + (f"-sde{strength:g}" if strength else "")
    return multistep(process, grid, order=order, form=form, variable=variable, strength=strength, name=name)


def adams_bashforth(process: Interpolant, grid: Times, *, order: int = 2) -> Plan:
    """Adams-Bashforth on dx = v dt with variable steps, one call per step: multistep for flows. Any process.

    Exact where the velocity along a path is a polynomial in t of degree below `order`. Started with orders
    1, 2, …, like `exponential`.
    """
    return multistep(
        process, grid, order=order, form="velocity", variable="time", name=f"adams-bashforth{order}"
    )


def multistep(
    process: Interpolant,
    grid: Times,
    *,
    order: int,
    form: Form,
    variable: Variable,
    name: str,
    source: str = "",
    strength: float = 0.0,
) -> Plan:
    """The builder behind the named exponential methods."""
    choose(form, FORMS, "form")
    choose(variable, VARIABLES, "variable")
    require(isinstance(order, int) and order >= 1, f"order is {order}; give a whole number of at least 1")
    require(variable != "index" or order <= 4, f"order is {order}; index weights are known up to order 4")
    require(0 <= strength < math.inf, f"strength is {strength}; give a number of at least 0")
    require(strength == 0 or form != "velocity", "strength > 0 needs form='data' or form='noise'", Unsuitable)
    need(process, GaussianConditional if strength else AffineConditional, name)
    if form != "velocity":
        need_one_unknown(process, name)
    times = resolve(grid, process)
    shown = 1 if strength else min(order, 2)  # the first step, of order one, holds it to that
    plan = PlanBuilder(process, name=name, source=source, order=shown)
    x, past = plan.start, list[Prediction]()
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        past = [now, *past][:order]
        x = step(plan, x, t, past, form=form, variable=variable, strength=strength)
    return plan.finish(x, times[-1])


def step(
    plan: PlanBuilder,
    x: Affine,
    t: float,
    past: Sequence[Prediction],
    *,
    form: Form = "data",
    variable: Variable = "log-snr",
    strength: float = 0.0,
) -> Affine:
    """From the state x at past[0].t to t, with the answers `past`, newest first."""
    process, s = plan.process, past[0].t
    if t == 0.0 and process.end != "marginal":
        return past[0].data  # λ = ∞: the limit of every form is the data answer
    if process.gamma(s) == 0.0:
        return leave_pin(plan, t, past[0])
    past = [now for now in past if process.gamma(now.t) > 0]
    if form == "velocity":
        nodes = [now.t for now in past]
        weights = _velocity_weights(process, s, t, nodes, variable)
        return x + total(weights, [now.velocity for now in past])
    if process.alpha(s) == 0:
        form = "data"  # ρ = ∞; the first-order steps of both forms are one and the same
    usable = _usable(process, past, variable)
    start, stop = past[0].log_snr, process.log_snr(t)
    weights = integrals(process, start, stop, [now.log_snr for now in usable], form, variable, strength)
    answers = [now.data if form == "data" else now.noise for now in usable]
    h = stop - start
    if form == "data":
        keep = process.gamma(t) / process.gamma(s) * (exp(-strength * h) if strength else 1.0)
        scale = process.gamma(t)
    else:
        keep, scale = process.alpha(t) / process.alpha(s), process.alpha(t)
    x = moved(plan, x, s, t, keep) + total([scale * w for w in weights], answers)
    if strength:
        fresh = -expm1(-2 * strength * h) if form == "data" else strength * expm1(2 * h)
        x = x + process.gamma(t) * math.sqrt(fresh) * plan.noise(clock(process, s, t))
    return x


def leave_pin(plan: PlanBuilder, t: float, now: Prediction) -> Affine:
    """The first step from a state that is exactly x_1: α_t D + β_t x_1 + γ_t ξ, the law given D."""
    process = plan.process
    return process.alpha(t) * now.data + process.beta(t) * plan.anchor + process.gamma(t) * plan.noise()


def moved(plan: PlanBuilder, x: Affine, s: float, t: float, keep: float) -> Affine:
    """keep · y_s + β_t x_1: the residual coordinate of x, scaled, back on the anchor."""
    process = plan.process
    if process.end != "anchor":
        return keep * x
    return keep * x + (process.beta(t) - keep * process.beta(s)) * plan.anchor


def clock(process: Interpolant, s: float, t: float) -> tuple[float, float]:
    """The interval of κ² = (α/γ)² that a step from s to t covers."""
    return exp(2 * process.log_snr(s)), exp(2 * process.log_snr(t))


def total(weights: Sequence[float], terms: Sequence[Affine]) -> Affine:
    """Σ weights[i] · terms[i]."""
    result = weights[0] * terms[0]
    for w, term in zip(weights[1:], terms[1:], strict=True):
        result = result + w * term
    return result


def need_one_unknown(process: Interpolant, by: str) -> None:
    """Refuse two-sided processes, which have no log-SNR."""
    require(
        process.end != "marginal",
        f"{by} needs a process with one random end, and {process!r} joins two laws. Use euler, heun or "
        "exponential(form='velocity').",
        Unsuitable,
    )


def _usable(process: Interpolant, past: Sequence[Prediction], variable: str) -> Sequence[Prediction]:
    """Without the calls whose place in the variable is infinite (t = 1 where α = 0)."""
    if process.alpha(past[0].t) == 0:
        return past[:1]
    if variable in ("time", "index"):
        return past
    finite = [now for now in past[1:] if math.isfinite(now.log_snr)]
    return [past[0], *finite]


VARIABLES: dict[str, Callable] = {
    "time": lambda process, lam: process.time_at(lam),
    "log-snr": lambda process, lam: lam,
    "ddpm": lambda process, lam: ddpm_time(lam),
    "rho": lambda process, lam: exp(-lam),
    "kappa": lambda process, lam: exp(lam),
    "index": lambda process, lam: lam,
}
FORMS = {"data": 1, "noise": -1, "velocity": 0}


def integrals(
    process: Interpolant,
    start: float,
    stop: float,
    nodes: list[float],
    form: str,
    variable: str,
    strength: float,
) -> list[float]:
    """The integrals c_j over a step between two λ, divided by σ_t or α_t; `nodes` are λ, anywhere."""
    sign = FORMS[form]
    if len(nodes) == 1 or variable == "index":
        whole = (
            exp(stop) * -expm1(-(1 + strength) * (stop - start))
            if sign > 0
            else (1 + strength) * (exp(-stop) - exp(-start))
        )
        return [whole * w for w in ADAMS_BASHFORTH[len(nodes) - 1]]
    require(
        math.isfinite(start),
        f"a step of order {len(nodes)} to log-SNR {stop:.4g} needs a finite one at its start; begin with order 1",
    )
    lam, quadrature = gauss_legendre(start, stop)
    weight = sign * quadrature * np.exp(sign * lam)
    if strength:
        weight = weight * (1 + strength)
        weight = weight * np.exp(-strength * (stop - lam)) if sign > 0 else weight
    place = VARIABLES[variable]
    knots = [place(process, node) for node in nodes]
    return [float(weight @ basis) for basis in lagrange(knots, place(process, lam))]


def _velocity_weights(
    process: Interpolant, s: float, t: float, nodes: list[float], variable: str
) -> list[float]:
    if len(nodes) == 1 or variable == "index":
        return [(t - s) * w for w in ADAMS_BASHFORTH[len(nodes) - 1]]
    if variable == "time":
        tau, quadrature = gauss_legendre(s, t)
        return [float(quadrature @ basis) for basis in lagrange(nodes, tau)]
    raise InputError(f"the velocity form interpolates in 'time' or 'index', not {variable!r}")


def lagrange(knots: Sequence[float], at: np.ndarray) -> list[np.ndarray]:
    """The Lagrange basis polynomials of the knots, at the points."""
    basis = []
    for j, knot in enumerate(knots):
        value = np.ones_like(at)
        for m, other in enumerate(knots):
            if m != j:
                value = value * ((at - other) / (knot - other))
        basis.append(value)
    return basis


def gauss_legendre(start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """48 points and weights on [start, stop]; the weights carry the sign of stop - start."""
    points, weights = _legendre()
    half = (stop - start) / 2
    return start + half * (points + 1), half * weights


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(48)
