"""The reverse of a process driven by α-stable noise, as a plan whose fresh noise is stable too.

With noise of index p (the paper's α) and E exp(i⟨ξ, z⟩) = exp(-‖ξ‖^p), the forward equation is
dX = f X dt + g dL, and its law moves by ∂ρ/∂t = -∇·(f x ρ) - g^p (-Δ)^{p/2} ρ. The fractional score

    S = ∇(-Δ)^{(p-2)/2} ρ / ρ = -E[z | x]/(p γ^{p-1}),      g^p S = -γ (log γ/α)' E[z | x],

turns the last term into g^p ∇·(S ρ). So the flow is f x - g^p S, the velocity of every process here, and an
equation driven backwards by g dL has

    drift = "marginal"   f x - 2 g^p S     the marginals of the forward process at every time
    drift = "lim"        f x - p g^p S     the paper's: without the jump part of the exact reversal

and k = 2 or p below. At p = 2 both are Anderson's reverse equation. Otherwise "lim" settles on a law
wider by the factor (1/(p-1))^{1/p}, 1.13 at p = 1.8, until the data answer at the end takes the noise away.
A step from s to t with the answer held constant, h = λ_t - λ_s in log-SNR and r = α_t/α_s:

    form = "data"    x_t = α_t D + r e^{-kh} (x_s - α_s D) + γ_t ((1 - e^{-p(k-1)h})/(k-1))^{1/p} ξ     (1)
    form = "score"   x_t = r x_s + k p (r - 1) S + (r^p - 1)^{1/p} ξ,  where α^p + γ^p = 1                (2)

(2) is the paper's update. It overshoots where r is large, so it needs many steps near t = 1; (1) does not, and
at p = 2 it is ancestral sampling. A schedule with another sum of powers is rescaled to have that one.

Source: Yoon, Park, Kim & Lim (2023), Score-based generative models with Lévy processes, section 4; the form (1)
and drift="marginal" are derived here.
Oracle: on stable data plans are linear and the scale of every state has a closed form; at p = 2 `ancestral`
(tests/solvers/test_levy.py).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from girsanov.errors import Unsuitable, choose, require
from girsanov.noise import Stable
from girsanov.processes import Interpolant
from girsanov.processes.functions import exp, expm1
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.grids import Times
from girsanov.solvers.named import start
from girsanov.solvers.plan import Plan


def levy(
    process: Interpolant,
    grid: Times,
    *,
    drift: Literal["marginal", "lim"] = "marginal",
    form: Literal["data", "score"] = "data",
) -> Plan:
    """The sampler of the Lévy-Itō model: stable noise in every step, one call a step, order 1.

    Args:
        process: one-sided, with noise `Stable(index)` of an index above 1, such as `Levy()`.
        grid: decreasing times. At 0 the sample is the data answer.
        drift: "marginal" keeps the marginals of the process, "lim" is the paper's.
        form: what is held constant in a step, "data" or, as in the paper, "score"; see the head of the module.

    Raises:
        UnknownName: no such drift or form.
        Unsuitable: the noise is not stable, or the process has a second end.

    Source: Yoon et al. (2023), section 4.
    """
    choose(drift, dict.fromkeys(("marginal", "lim")), "drift")
    choose(form, dict.fromkeys(("data", "score")), "form")
    law = process.law
    require(
        isinstance(law, Stable) and law.index > 1 and process.end == "noise",
        f"levy needs a one-sided process with stable noise of index above 1, such as Levy(1.8), not {process!r}",
        Unsuitable,
    )
    assert isinstance(law, Stable)
    k = 2.0 if drift == "marginal" else law.index
    name = f"levy-{drift}" + "-score" * (form == "score")
    plan = PlanBuilder(process, name=name, source="Yoon et al., NeurIPS 2023", order=1)
    times, x = start(process, grid, "levy"), plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        if t == 0:
            x = now.data
        elif form == "data" or process.alpha(s) == 0:
            x = _data_step(plan, x, t, now, law.index, k)
        else:
            x = _score_step(plan, x, t, now, law.index, k)
    return plan.finish(x, times[-1])


def _data_step(plan: PlanBuilder, x: Affine, t: float, now: Prediction, p: float, k: float) -> Affine:
    """Equation (1)."""
    process, h = plan.process, plan.process.log_snr(t) - now.log_snr
    gamma = process.gamma(t)
    keep = gamma / process.gamma(now.t) * exp(-(k - 1) * h)  # r e^{-kh}, and 0 from α_s = 0
    fresh = gamma * (-expm1(-p * (k - 1) * h) / (k - 1)) ** (1 / p)
    gain = process.alpha(t) - keep * process.alpha(now.t)
    return keep * x + gain * now.data + fresh * plan.noise(law=process.law)


def _score_step(plan: PlanBuilder, x: Affine, t: float, now: Prediction, p: float, k: float) -> Affine:
    """Equation (2), in units in which α^p + γ^p = 1 at both times."""
    process = plan.process
    before, after = (
        math.hypot(*v) if p == 2 else sum(c**p for c in v) ** (1 / p)
        for v in ((process.alpha(u), process.gamma(u)) for u in (now.t, t))
    )
    r = process.alpha(t) / after * before / process.alpha(now.t)
    score = -1 / (p * (process.gamma(now.t) / before) ** (p - 1)) * now.noise
    x = (r / before) * x + k * p * (r - 1) * score
    return after * (x + (r**p - 1) ** (1 / p) * plan.noise(law=process.law))
