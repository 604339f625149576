"""The named solvers of the field, each a function (process, grid) -> Plan.

`exponential.py` holds the machinery; the formulas that papers write differently stand here as in the
paper. Every one ends a grid at 0 with the data answer and takes any one-sided or anchored process.
Oracle: orders of convergence, special cases of each other, and coefficients probed from other
implementations (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from girsanov.errors import Unsuitable, require
from girsanov.processes import AffineConditional, GaussianConditional, Interpolant, need
from girsanov.processes.functions import exp, expm1
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import clock, leave_pin, moved, multistep, need_one_unknown
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.plan import Plan


def ddim(process: Interpolant, grid: Times, *, eta: float = 0.0) -> Plan:
    """DDIM, Song, Meng & Ermon (2021), equation 12.

    eta = 0 is deterministic and the first-order exponential method in either form; eta = 1 is ancestral
    sampling; in between noise of standard deviation η σ_t √(1 - e^{-2h}) replaces part of the old one.
    """
    require(0 <= eta < math.inf, f"eta is {eta}; give a number of at least 0, usually at most 1")
    times = start(process, grid, "ddim")
    plan = PlanBuilder(
        process, name="ddim" if eta == 0 else f"ddim-eta{eta:g}", source="arXiv 2010.02502", order=1
    )
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        alpha, sigma = process.alpha(t), process.gamma(t)
        fresh = eta * sigma * math.sqrt(-expm1(-2 * (process.log_snr(t) - process.log_snr(s))))
        require(
            fresh <= sigma, f"eta = {eta} asks for more noise than there is at t = {t:.4g}; give at most 1"
        )
        old = math.sqrt(sigma**2 - fresh**2)
        x = process.beta(t) * plan.anchor + alpha * now.data + old * now.noise
        if fresh:
            x = x + fresh * plan.noise(clock(process, s, t))
    return plan.finish(x, times[-1])


def ancestral(process: Interpolant, grid: Times) -> Plan:
    """Ancestral sampling: draw from the posterior of x_t given x_s and the data answer.

    Ho et al. (2020), equation 7; on rectified flow it is the stochastic sampler of Roy et al. (2026).
    The exponential method of order 1 with Langevin strength τ² = 1. Needs many steps.
    """
    return multistep(
        process, grid, order=1, form="data", variable="log-snr", strength=1.0, name="ancestral", source="arXiv 2006.11239"
    )  # fmt: skip


def deis(
    process: Interpolant, grid: Times, *, order: int = 3, method: Literal["tab", "rho-ab", "ipndm"] = "tab"
) -> Plan:
    """DEIS multistep, Zhang & Chen (2022): noise form, polynomial extrapolation.

    `order` counts the answers used: the paper's tAB-r is order r + 1. method "tab" interpolates in t,
    "rho-ab" in ρ = γ/α, "ipndm" uses fixed-step Adams-Bashforth weights. For the
    Runge-Kutta members see `rho_rk`.
    """
    variable: Literal["time", "rho", "index"] = {"tab": "time", "rho-ab": "rho", "ipndm": "index"}[method]  # type: ignore[assignment]
    return multistep(
        process, grid, order=order, form="noise", variable=variable, name=f"deis-{method}{order}", source="arXiv 2204.13902"
    )  # fmt: skip


def dpm_multistep(
    process: Interpolant,
    grid: Times,
    *,
    order: Literal[2, 3] = 2,
    stochastic: bool = False,
    lower_order_final: bool = True,
) -> Plan:
    """DPM-Solver++ multistep (2M, 3M and their SDE versions), Lu et al. (2022), algorithm 2.

    One call per step, in data form and log-SNR. The start has orders 1, 2, …; with `lower_order_final` the end
    of fewer than 15 steps has …, 2, 1, as in the authors' code. 3M is of order 2: its curvature has half the
    weight of the exact integral (all known codes agree on that; `exponential` has the whole). The SDE version
    of 3M is the one of k-diffusion, `sample_dpmpp_3m_sde`.
    """
    require(order in (2, 3), f"order is {order}; dpm_multistep has 2 and 3")
    times = start(process, grid, "dpm_multistep")
    name = f"dpm-multistep-{order}m" + ("-sde" if stochastic else "")
    plan = PlanBuilder(process, name=name, source="arXiv 2211.01095", order=1 if stochastic else 2)
    x, past = plan.start, list[Prediction]()
    few = lower_order_final and len(times) <= 15
    for i, (s, t) in enumerate(pairwise(times)):
        x, now = plan.call(x, s)
        past = [now, *(p for p in past if math.isfinite(process.log_snr(p.t)))][:order]
        left = len(times) - 1 - i
        x = dpm_step(plan, x, t, past[:left] if few else past, order=order, stochastic=stochastic)
    return plan.finish(x, times[-1])


def dpm_step(
    plan: PlanBuilder, x: Affine, t: float, past: list[Prediction], *, order: int, stochastic: bool
) -> Affine:
    """One multistep update with one to three answers, newest first (equations 9-11 of the paper's code)."""
    process, s = plan.process, past[0].t
    if t == 0 or process.gamma(s) == 0:
        return first_order(plan, x, s, t, past[0], "data")
    h = process.log_snr(t) - process.log_snr(s)
    alpha, ratio, now = process.alpha(t), process.gamma(t) / process.gamma(s), past[0].data
    if not math.isfinite(h):
        past = past[:1]
    gaps = [process.log_snr(a.t) - process.log_snr(b.t) for a, b in pairwise(past)]
    double = 2.0 if stochastic else 1.0
    x = moved(plan, x, s, t, ratio * exp(-h) if stochastic else ratio)
    phi1 = expm1(-double * h)
    x = x - alpha * phi1 * now
    if len(past) == 2 and (order == 2 or not stochastic):
        slope = (now - past[1].data) * (h / gaps[0])
        x = x - 0.5 * alpha * phi1 * slope
    elif len(past) == 2:
        x = x + alpha * (phi1 / (double * h) + 1) * (h / gaps[0]) * (now - past[1].data)
    elif len(past) == 3:
        first, second = (now - past[1].data) * (h / gaps[0]), (past[1].data - past[2].data) * (h / gaps[1])
        r0, r1 = gaps[0] / h, gaps[1] / h
        slope = first + (first - second) * (r0 / (r0 + r1))
        curve = (first - second) / (r0 + r1)
        phi2 = phi1 / (double * h) + 1
        x = x + alpha * phi2 * slope - alpha * (phi2 / (double * h) - 0.5) * curve
    if stochastic:
        x = x + process.gamma(t) * math.sqrt(-expm1(-2 * h)) * plan.noise(clock(process, s, t))
    return x


def dpm_singlestep(
    process: Interpolant, grid: Times, *, order: Literal[2, 3] = 2, form: Literal["data", "noise"] = "data"
) -> Plan:
    """Exponential Runge-Kutta in log-SNR, `order` calls per step.

    form "data" is DPM-Solver++(2S), Lu et al. (2022), algorithm 1 with r = ½, and (3S), form "noise"
    DPM-Solver-2 and DPM-Solver-3 of the same authors (arXiv 2206.00927, algorithms 1 and 2, r = ⅓ and ⅔). A
    step from α = 0 or to t = 0 is of order one and one call.
    """
    require(order in (2, 3), f"order is {order}; dpm_singlestep has 2 and 3")
    times = start(process, grid, "dpm_singlestep")
    name = f"dpm-singlestep-{order}s" if form == "data" else f"dpm-solver-{order}"
    source = "arXiv 2211.01095" if form == "data" else "arXiv 2206.00927"
    plan = PlanBuilder(process, name=name, source=source, order=order)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0 or not math.isfinite(process.log_snr(s)):
            x = first_order(plan, x, s, t, now, form)
        elif order == 2:
            middle = _at(process, s, t, 1 / 2)
            _, now = plan.call(first_order(plan, x, s, middle, now, form), middle, stage=True)
            x = transfer(plan, x, s, t, now.word(form), form)
        else:
            x = _third_order(plan, x, t, now, form)
    return plan.finish(x, times[-1])


def _third_order(plan: PlanBuilder, x: Affine, t: float, now: Prediction, form: str) -> Affine:
    """Algorithm 2: stages a third and two thirds of the way, then the slope that both show."""
    s, first = now.t, now.word(form)
    third, two_thirds = _at(plan.process, s, t, 1 / 3), _at(plan.process, s, t, 2 / 3)
    _, one = plan.call(transfer(plan, x, s, third, first, form), third, stage=True)
    change = one.word(form) - first
    stage = (
        transfer(plan, x, s, two_thirds, first, form) + _slope_gain(plan, s, two_thirds, form) * 2 * change
    )
    _, two = plan.call(stage, two_thirds, stage=True)
    gain = _slope_gain(plan, s, t, form) * 3 / 2
    return transfer(plan, x, s, t, first, form) + gain * (two.word(form) - first)


def _slope_gain(plan: PlanBuilder, s: float, t: float, form: str) -> float:
    """What an answer adds that grows by 1 from s to t, evenly in log-SNR: h² φ_2 of the exponential methods."""
    process = plan.process
    h = process.log_snr(t) - process.log_snr(s)
    if form == "data":
        return process.alpha(t) * (1 + expm1(-h) / h)
    return -process.gamma(t) * (expm1(h) / h - 1)


def _at(process: Interpolant, s: float, t: float, place: float) -> float:
    """The time `place` of the way from s to t in log-SNR."""
    return process.time_at(process.log_snr(s) + place * (process.log_snr(t) - process.log_snr(s)))


def first_order(plan: PlanBuilder, x: Affine, s: float, t: float, now: Prediction, form: str) -> Affine:
    """The exponential Euler step from s to t with one answer, wherever it was asked for."""
    process = plan.process
    if t == 0:
        return now.data
    if process.gamma(s) == 0:
        return leave_pin(plan, t, now)
    if form == "noise" and process.alpha(s) > 0:
        return transfer(plan, x, s, t, now.noise, "noise")
    return transfer(plan, x, s, t, now.data, "data")


def transfer(plan: PlanBuilder, x: Affine, s: float, t: float, answer: Affine, form: str) -> Affine:
    """From x at s to t with a constant answer, whatever it is made of: DDIM's step.

    noise: y_t = (α_t/α_s) y_s + α_t (ρ_t - ρ_s) E;  data: y_t = (γ_t/γ_s) y_s + γ_t (κ_t - κ_s) D.
    """
    process = plan.process
    if form == "noise":
        alpha = process.alpha(t)
        gain = alpha * (exp(-process.log_snr(t)) - exp(-process.log_snr(s)))
        return moved(plan, x, s, t, alpha / process.alpha(s)) + gain * answer
    gain = process.alpha(t) * -expm1(process.log_snr(s) - process.log_snr(t))
    return moved(plan, x, s, t, process.gamma(t) / process.gamma(s)) + gain * answer


def reverse_diffusion(process: Interpolant, grid: Times) -> Plan:
    """The reverse-diffusion predictor of Song et al. (2021), appendix E.

    With the forward step x_s = r x_t + b x_1 + G z, one reverse step is
    x_t = (2 - r) x_s - b x_1 + G² score + G z; b = 0 without an anchor (Richter et al. 2023 with one).
    """
    times = start(process, grid, "reverse_diffusion")
    require(
        process.gamma(times[0]) > 0,
        f"reverse_diffusion follows the score, and {process!r} has no noise at t = {times[0]:g}; use ancestral",
        Unsuitable,
    )
    plan = PlanBuilder(process, name="reverse-diffusion", source="arXiv 2011.13456", order=1)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        forward = process.transition(t, s)
        if t == 0:
            x = now.data
        else:
            x = (2 - forward.state) * x + forward.std**2 * now.score
            x = x - forward.anchor * plan.anchor if process.end == "anchor" else x
            x = x + forward.std * plan.noise(clock(process, s, t))
    return plan.finish(x, times[-1])


def euler_maruyama(
    process: Interpolant, grid: Times, *, strength: Callable[[float], float] | None = None
) -> Plan:
    """Euler-Maruyama on the reverse equation dx = (v - ½ w² score) dt + w dW̄.

    Every w(t) ≥ 0 keeps the marginals (Albergo et al. 2023, theorem 2.8: w² = 2ε). The default is the
    forward volatility g, Anderson's reverse of a one-sided or anchored process.

    Args:
        strength: w, per square root of time; needed for a two-sided process.

    Raises:
        Unsuitable: the volatility is infinite at a node (a flow at t = 1): start the grid below 1.
    """
    need(process, GaussianConditional, "euler_maruyama")
    require(
        strength is not None or process.end != "marginal",
        "a two-sided process has no volatility of its own; give strength, such as lambda t: 1.0",
        Unsuitable,
    )
    times = resolve(grid, process)
    plan = PlanBuilder(process, name="euler-maruyama", source="arXiv 2011.13456", order=1)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if process.end != "marginal" and (t == 0 or process.gamma(s) == 0):
            x = first_order(plan, x, s, t, now, "data")
            continue
        w = _volatility(process, s) if strength is None else strength(s)
        require(
            0 <= w < math.inf,
            f"the volatility is {w} at t = {s}. Start the grid below 1, as in grid(..., start=0.999).",
            Unsuitable,
        )
        x = x + (t - s) * now.velocity
        if w:
            x = x + (s - t) * w**2 / 2 * now.score + w * math.sqrt(s - t) * plan.noise()
    return plan.finish(x, times[-1])


def start(process: Interpolant, grid: Times, by: str) -> tuple[float, ...]:
    """The times of the grid, once the process is known to suit an exponential method."""
    need(process, AffineConditional, by)
    need_one_unknown(process, by)
    return resolve(grid, process)


def _volatility(process: Interpolant, t: float) -> float:
    return process.volatility(t) if process.alpha(t) > 0 else math.inf
