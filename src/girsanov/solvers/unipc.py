"""UniPC: a predictor and a corrector of any order that ask for nothing more (Zhao et al., 2023).

With h = λ_t - λ_s, answers D_0 at s, D_m at the nodes before, r_m = (λ_m - λ_s)/h and hh = -h,

    UniP-p    x_t = (σ_t/σ_s) x_s - α_t (e^hh - 1) D_0 - α_t B Σ a_m (D_m - D_0)/r_m,    m = 1 … p-1
    UniC-p    the same with one node more, r = 1: the answer at the predicted x_t,       m = 1 … p

B is hh (B₁, `bh1`) or e^hh - 1 (B₂, `bh2`). The weights solve Σ_m a_m r_m^(n-1) = n! φ_n / B, which makes
the powers of λ exact: B drops out, and the step is the exponential integral of the interpolant. Only a
single weight is put at ½ instead of solved for, in UniP-2 and UniC-1, and there B matters.
In noise form α and σ change places, D becomes E and hh = h.

The answer at the predicted state serves the corrector and the next step, so a step is one call. The
corrected state is a held row, so that an edit of it enters all later states. The answer is older than the edit: a
last step to 0 returns it as it is, with what was edited one step before.
Source: Zhao, Bai, Rao, Zhou & Lu (2023), arXiv 2302.04867.
Oracle: order p + 1; the coefficients of diffusers; UniP-2 with B₂ is DPM-Solver++(2M) (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from girsanov.errors import choose, require
from girsanov.processes import Interpolant
from girsanov.processes.functions import expm1
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import integrals, moved, total
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order, start
from girsanov.solvers.plan import Plan


def unipc(
    process: Interpolant,
    grid: Times,
    *,
    order: int = 2,
    predictor: int | None = None,
    b: Literal["bh1", "bh2"] = "bh2",
    form: Literal["data", "noise"] = "data",
    lower_order_final: bool = True,
) -> Plan:
    """UniPC-p, one call a step.

    Args:
        process: one-sided or anchored.
        grid: decreasing times.
        order: p of the corrector, 1 to 4.
        predictor: p of the predictor, 1 to 4; `order` by default. UniC on DDIM is predictor=1.
        b: B₁ or B₂, see the head of the module.
        form: which prediction is used; "data" is the one for guidance.
        lower_order_final: let both orders fall to 1 in the last steps, as the authors' code does.

    The order is p + 1 and at most that of the predictor + 1; the start, where p is 1 and then 2, holds it to
    3, and `lower_order_final` to 2.

    Raises:
        InputError: an order out of range.
        Unsuitable: a two-sided process.
    """
    predictor = order if predictor is None else predictor
    for name, value in (("order", order), ("predictor", predictor)):
        require(isinstance(value, int) and 1 <= value <= 4, f"{name} is {value}; unipc has 1 to 4")
    choose(b, dict.fromkeys(("bh1", "bh2")), "b")
    choose(form, dict.fromkeys(("data", "noise")), "form")
    times = start(process, grid, "unipc")
    shown = min(order, predictor, 1 if lower_order_final else 2) + 1
    name = (
        f"unipc-{order}-{b}" + f"-predictor{predictor}" * (predictor != order) + "-noise" * (form == "noise")
    )
    plan = PlanBuilder(process, name=name, source="arXiv 2302.04867", order=shown)
    x, past, left = plan.start, list[Prediction](), len(times)
    before, corrected = x, 0  # the state of the last step, and the order that its corrector has
    for s, t in pairwise(times):
        left -= 1
        if corrected:
            _, now = plan.call(x, s, stage=True)
            x = plan.hold(uni_step(plan, before, s, [*past[:corrected], now], b, form), s, stage=False)
        else:
            x, now = plan.call(x, s)
        past = [now, *(p for p in past if math.isfinite(process.log_snr(p.t)))][:4]
        most = left if lower_order_final else 4
        before, corrected = x, min(order, len(past), most) if math.isfinite(process.log_snr(s)) else 0
        x = uni_step(plan, x, t, past[: min(predictor, most)], b, form)
    return plan.finish(x, times[-1])


def uni_step(
    plan: PlanBuilder, x: Affine, t: float, answers: Sequence[Prediction], b: str, form: str
) -> Affine:
    """From x at answers[0].t to t with the answers that follow it: UniP, or UniC if one of them is at t."""
    process, s = plan.process, answers[0].t
    if len(answers) == 1 or t == 0 or not math.isfinite(process.log_snr(s)):
        return first_order(plan, x, s, t, answers[0], form)
    keep, scale = (process.gamma, process.alpha) if form == "data" else (process.alpha, process.gamma)
    words = [answer.word(form) for answer in answers]
    x = moved(plan, x, s, t, keep(t) / keep(s))
    start, stop = answers[0].log_snr, process.log_snr(t)
    if len(answers) > 2:
        weights = integrals(process, start, stop, [a.log_snr for a in answers], form, "log-snr", 0.0)
        return x + total([keep(t) * weight for weight in weights], words)
    h = stop - start
    hh, r = (-h if form == "data" else h), (answers[1].log_snr - start) / h
    half = (hh if b == "bh1" else expm1(hh)) / (2 * r)
    return x - scale(t) * (expm1(hh) * words[0] + half * (words[1] - words[0]))
