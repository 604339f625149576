"""Samplers of high order for the reverse stochastic equation.

With τ² the Langevin strength per unit of λ = log κ (0: the flow, 1: the reverse of the forward equation),

    x_t = (σ_t/σ_s) e^{-τ²h} x_s + σ_t Σ c_j D_j + σ_t √(1 - e^{-2τ²h}) ξ,
    c_j = (1 + τ²) ∫ ℓ_j e^{-τ²(λ_t - λ)} e^λ dλ                                        (exponential.py)

SA-Solver predicts with the last answers, asks at the prediction, and corrects with that answer and the same ξ.
DPM-Solver++ SDE asks in the middle of a step. The ancestral singlestep goes deterministically to a level below
t and adds noise up to it. In a step, noise for its first half is part of the noise of the whole: the
increments belong to one Brownian path.
Sources: Xue et al. (2023), arXiv 2309.05019; Lu et al. (2022), arXiv 2211.01095; k-diffusion's
`sample_dpmpp_sde` and `sample_dpmpp_2s_ancestral`, which have the last two for α = 1.
Oracle: the coefficients of diffusers; laws of Gaussian data by exact bookkeeping; one path gives one sample
as steps get finer (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from girsanov.errors import require
from girsanov.processes import Interpolant
from girsanov.processes.functions import exp, expm1
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import clock, integrals, moved, total
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order, start
from girsanov.solvers.plan import Plan


def sa_solver(
    process: Interpolant,
    grid: Times,
    *,
    order: int = 3,
    corrector: int = 3,
    strength: float = 1.0,
    low: float = 0.0,
    high: float = math.inf,
) -> Plan:
    """SA-Solver: stochastic Adams predictor and corrector, one call a step.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        order: answers that the predictor uses, 1 to 4.
        corrector: answers that the corrector uses, with the one at the prediction, 1 to 4; 0 for none.
        strength: τ² where low ≤ γ/α ≤ high, else 0. The paper has τ = 1 between 0.05 and 1 for CIFAR-10.

    The order of a stochastic method is 1; with strength 0 that of `unipc`, whose own weights of order two
    (also in the authors' code) are here the exact integrals.

    Raises:
        InputError: an order or a strength out of range.
        Unsuitable: a two-sided process.
    """
    require(isinstance(order, int) and 1 <= order <= 4, f"order is {order}; sa_solver has 1 to 4")
    require(isinstance(corrector, int) and 0 <= corrector <= 4, f"corrector is {corrector}; it has 0 to 4")
    require(0 <= strength < math.inf, f"strength is {strength}; give a number of at least 0")
    require(0 <= low <= high, f"low is {low} and high {high}; give 0 <= low <= high")
    times = start(process, grid, "sa_solver")
    name = f"sa-solver-{order}-{corrector}" + f"-strength{strength:g}" * (strength != 1)
    smooth = min(corrector, order + 1, 3) if corrector else min(order, 2)
    shown = 1 if strength else smooth
    plan = PlanBuilder(process, name=name, source="arXiv 2309.05019", order=shown)
    x, past, last = plan.start, list[Prediction](), None
    for s, t in pairwise(times):
        if last is None:
            x, now = plan.call(x, s)
        else:
            _, now = plan.call(x, s, stage=True)
            before, tau, fresh = last
            answers = [*past[: corrector - 1], now]
            x = plan.hold(_adams(plan, before, past[0].t, s, answers, tau) + fresh, s, stage=False)
        past = [now, *(p for p in past if math.isfinite(process.log_snr(p.t)))][:4]
        if t == 0 or process.gamma(s) == 0:
            x, last = first_order(plan, x, s, t, now, "data"), None
            continue
        tau = strength if low <= exp(-process.log_snr(s)) <= high else 0.0
        fresh = _fresh(plan, s, t, tau)
        before, x = x, _adams(plan, x, s, t, past[:order], tau) + fresh
        last = (before, tau, fresh) if corrector and process.alpha(s) > 0 else None
    return plan.finish(x, times[-1])


def _adams(
    plan: PlanBuilder, x: Affine, s: float, t: float, answers: Sequence[Prediction], tau: float
) -> Affine:
    """The deterministic part of a step of strength τ² with any answers."""
    process = plan.process
    start, stop = process.log_snr(s), process.log_snr(t)
    h = stop - start
    weights = integrals(process, start, stop, [a.log_snr for a in answers], "data", "log-snr", tau)
    x = moved(plan, x, s, t, process.gamma(t) / process.gamma(s) * (exp(-tau * h) if tau else 1.0))
    return x + total([process.gamma(t) * w for w in weights], [a.data for a in answers])


def _fresh(plan: PlanBuilder, s: float, t: float, tau: float) -> Affine:
    """The noise of a step of strength τ²."""
    if tau == 0:
        return Affine({})
    h = plan.process.log_snr(t) - plan.process.log_snr(s)
    return plan.process.gamma(t) * math.sqrt(-expm1(-2 * tau * h)) * plan.noise(clock(plan.process, s, t))


def dpm_singlestep_sde(process: Interpolant, grid: Times) -> Plan:
    """DPM-Solver++ SDE: the stochastic midpoint rule in log-SNR, two calls a step.

    A step from α = 0 or to t = 0 is of order one and one call.

    Raises:
        Unsuitable: a two-sided process.
    """
    times = start(process, grid, "dpm_singlestep_sde")
    plan = PlanBuilder(process, name="dpm-singlestep-sde", source="arXiv 2211.01095", order=1)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        if process.alpha(s) == 0:
            x = _reverse(plan, x, s, t, now.data) + _fresh(plan, s, t, 1.0)
            continue
        middle = process.time_at((process.log_snr(s) + process.log_snr(t)) / 2)
        early, late = plan.noise(clock(process, s, middle)), plan.noise(clock(process, middle, t))
        stage = _reverse(plan, x, s, middle, now.data) + _path(process, s, middle, middle) * early
        _, then = plan.call(stage, middle, stage=True)
        x = _reverse(plan, x, s, t, then.data)
        x = x + _path(process, s, middle, t) * early + _path(process, middle, t, t) * late
    return plan.finish(x, times[-1])


def _reverse(plan: PlanBuilder, x: Affine, s: float, t: float, answer: Affine) -> Affine:
    """The deterministic part of a step of strength 1 with a constant answer."""
    process = plan.process
    h = process.log_snr(t) - process.log_snr(s)
    x = moved(plan, x, s, t, process.gamma(t) / process.gamma(s) * exp(-h))
    return x - process.alpha(t) * expm1(-2 * h) * answer


def _path(process: Interpolant, start: float, stop: float, t: float) -> float:
    """The share of the noise at t that the clock κ² gathers from start to stop: (γ_t²/α_t) √Δκ²."""
    a, b = clock(process, start, stop)
    return process.gamma(t) ** 2 / process.alpha(t) * math.sqrt(b - a)


def dpm_ancestral(process: Interpolant, grid: Times, *, eta: float = 1.0) -> Plan:
    """DPM-Solver++(2S) ancestral: the midpoint rule to a level below t, then noise up to t; two calls a step.

    The noise is that of `ddim` with this eta; with eta = 0 it is `dpm_singlestep`.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        eta: from 0, no noise, to 1, that of ancestral sampling.

    Raises:
        InputError: eta out of range.
        Unsuitable: a two-sided process.
    """
    require(0 <= eta <= 1, f"eta is {eta}; give a number from 0 to 1")
    times = start(process, grid, "dpm_ancestral")
    name, shown = f"dpm-ancestral-2s-eta{eta:g}", 1 if eta else 2
    plan = PlanBuilder(process, name=name, source="k-diffusion sample_dpmpp_2s_ancestral", order=shown)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0 or process.gamma(s) == 0:
            x = first_order(plan, x, s, t, now, "data")
            continue
        h = process.log_snr(t) - process.log_snr(s)
        fresh = eta * math.sqrt(-expm1(-2 * h))  # of σ_t; what is left of the old noise is √(1 - fresh²)
        old = math.sqrt(1 - fresh**2)
        answer = now.data
        if process.alpha(s) > 0 and old > 0:
            below = process.log_snr(t) - math.log(old)
            middle = process.time_at((process.log_snr(s) + below) / 2)
            _, then = plan.call(first_order(plan, x, s, middle, now, "data"), middle, stage=True)
            answer = then.data
        keep, gain = old * process.gamma(t) / process.gamma(s), 1 - old * exp(-h)
        x = moved(plan, x, s, t, keep) + process.alpha(t) * gain * answer
        if fresh:
            x = x + fresh * process.gamma(t) * plan.noise(clock(process, s, t))
    return plan.finish(x, times[-1])
