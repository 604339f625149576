"""The unified sampling framework: every step of a sampler decides for itself (Liu et al., 2023).

With h = λ_t - λ_s, weight w(λ) = e^λ and f = D (data form), or w = -e^{-λ} and f = E (noise form), a step is
DDIM's plus the derivatives of f in λ at s,

    y_t = base + k_t Σ_{i=1}^{n-1} c_i f^{(i)},    c_i = ∫_{λ_s}^{λ_t} w (λ - λ_s)^i / i! dλ,    k = σ or α,      (1)

c_i being h^{i+1} φ_{i+1}(±h) in the notation of the paper. The derivatives come from the answers of the last calls
by Σ_k a_k Δ_k^j/j! = δ_ij, Δ_k = λ_k - λ_s: the first from `points` of them, higher ones from n - 1. With
n - 1 points for all, (1) is the exponential method of order n. The first derivative may be *relaxed*:

    "none"           c_1 as it is
    "dpm-solver-2"   c_1 ← c_0 h/2, the mean of w in the step: DPM-Solver-2 and ++(2M); also B₂ of UniPC
    "bh1"            c_1 ← w(λ_t) h²/2, w at the end of the step: B₁ of UniPC
    a number r       c_1 ← (1 + r h) c_1

The pseudo-corrector repeats a step once the model has answered at its end, with that answer as a further point
and the order n + 1; the next step begins at the corrected state, and no call is added. A step of order 1 has no
derivative: its relaxation is that of its corrector. Correctors of higher orders are not relaxed, as in UniPC.
Source: Liu, Ning, Yang & Wang (2023), arXiv 2312.07243, sections 3 and appendix A.
Oracle: the coefficients of DDIM, 2M, UniPC and the exponential methods (tests/solvers/test_unified.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from girsanov.errors import InputError, choose, require
from girsanov.processes import Interpolant
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.exponential import FORMS, gauss_legendre, total
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order
from girsanov.solvers.named import start as exponential_start
from girsanov.solvers.plan import Plan

Form = Literal["data", "noise"]
Corrector = Literal["none", "pseudo"]
Relaxation = Literal["none", "dpm-solver-2", "bh1"] | float

RELAXATIONS = ("none", "dpm-solver-2", "bh1")
"""The named ones; a number is another."""

ORDERS = (1, 2, 3, 4)


@dataclass(frozen=True)
class SolverStep:
    """What one step decides.

    Attributes:
        t: the time that it reaches, in [0, 1).
        form: which prediction is expanded.
        order: n of equation (1), 1 to 4; 1 is DDIM's step.
        points: earlier answers in the first derivative, 1 to order - 1; None for order - 1.
        relaxation: of the first derivative; see the head of the module.
        corrector: "pseudo" repeats the step with the next answer.

    Raises:
        InputError: a value out of range.
    """

    t: float
    form: Form = "data"
    order: int = 1
    points: int | None = None
    relaxation: Relaxation = "none"
    corrector: Corrector = "none"

    def __post_init__(self) -> None:
        require(0 <= self.t < 1, f"a step reaches t = {self.t}; give a time in [0, 1)")
        choose(self.form, dict.fromkeys(("data", "noise")), "form")
        require(
            isinstance(self.order, int) and self.order in ORDERS,
            f"order is {self.order}; a step has a whole number, 1 to 4",
        )
        require(
            self.points is None or (isinstance(self.points, int) and 1 <= self.points < self.order),
            f"points is {self.points}; a step of order {self.order} takes None or 1 to {self.order - 1}",
        )
        if isinstance(self.relaxation, str):
            choose(self.relaxation, dict.fromkeys(RELAXATIONS), "relaxation")
        else:
            require(math.isfinite(self.relaxation), f"relaxation is {self.relaxation}; give a finite number")
        choose(self.corrector, dict.fromkeys(("none", "pseudo")), "corrector")
        require(
            self.t > 0 or self.order == 1,
            "a step to t = 0 returns the data answer of the call; give it order 1",
        )


@dataclass(frozen=True)
class SolverSchedule:
    """The steps of a sampler, one call each.

    Attributes:
        start: the time of the first call.
        steps: at least one.

    Raises:
        InputError: times that do not decrease, an order above the number of calls so far, or a corrector after
            the last call.
    """

    start: float
    steps: tuple[SolverStep, ...]

    def __post_init__(self) -> None:
        require(len(self.steps) > 0, "a schedule has no steps; give at least one SolverStep")
        require(0 < self.start <= 1, f"the schedule starts at {self.start}; give a time in (0, 1]")
        require(
            all(a > b for a, b in zip(self.times, self.times[1:], strict=False)),
            f"the times are {self.times}; a schedule needs them decreasing",
        )
        for i, step in enumerate(self.steps):
            require(
                step.order <= i + 1,
                f"step {i} has order {step.order}, and there are {i + 1} answers by then; give at most {i + 1}",
            )
        require(
            self.steps[-1].corrector == "none",
            "the last step has a corrector, and no call follows it; give it corrector='none'",
        )

    @property
    def times(self) -> tuple[float, ...]:
        """The grid: the start and where each step ends."""
        return (self.start, *(step.t for step in self.steps))

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return len(self.steps)

    @classmethod
    def multistep(
        cls,
        process: Interpolant,
        grid: Times,
        *,
        order: int = 1,
        form: Form = "data",
        relaxation: Relaxation = "none",
        corrector: Corrector = "none",
    ) -> SolverSchedule:
        """The same decision in every step, with orders 1, 2, … at the start: the earlier solvers, see `EARLIER`.

        A step to 0 has order 1, and the last step no corrector. A first call at log-SNR -∞ is no point of a
        derivative; orders rise one step later.
        """
        times = exponential_start(process, grid, "a schedule")
        blind, last, steps = beyond(process, times[0]), len(times) - 2, []
        for i, t in enumerate(times[1:]):
            n = 1 if t == 0 else max(1, min(order, i + 1 - blind))
            again: Corrector = "none" if i == last or i < blind else corrector
            steps.append(SolverStep(t, form, n, relaxation=relaxation, corrector=again))
        return cls(times[0], tuple(steps))

    def to_config(self) -> dict:
        """The schedule as JSON; floats survive exactly."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict) -> SolverSchedule:
        """Rebuild a schedule from `to_config`.

        Raises:
            InputError: it is damaged, or not a legal schedule.
        """
        try:
            return cls(config["start"], tuple(SolverStep(**step) for step in config["steps"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"the schedule is damaged: {type(error).__name__}: {error}") from error


EARLIER: dict[str, dict] = {
    "ddim": {},
    "dpm-multistep": {"order": 2, "relaxation": "dpm-solver-2"},
    "unipc-2": {"order": 2, "relaxation": "dpm-solver-2", "corrector": "pseudo"},
    "unipc-2-bh1": {"order": 2, "relaxation": "bh1", "corrector": "pseudo"},
    "exponential2": {"order": 2},
    "exponential3": {"order": 3},
    "exponential4": {"order": 4},
    "exponential2-noise": {"order": 2, "form": "noise"},
    "exponential3-noise": {"order": 3, "form": "noise"},
}
"""The options of `SolverSchedule.multistep` that give an earlier solver, by its name in `SOLVERS`."""


def beyond(process: Interpolant, t: float) -> bool:
    """Whether the log-SNR at t is infinite, so that an answer there is no point of a derivative."""
    return not math.isfinite(process.log_snr(t))


def unified(process: Interpolant, schedule: SolverSchedule) -> Plan:
    """The plan of a schedule.

    Args:
        process: one-sided or anchored.
        schedule: a decision for every step.

    Raises:
        InputError: a derivative from an answer at infinite log-SNR.
        Unsuitable: a two-sided process.
    """
    times = exponential_start(process, schedule.times, "unified")
    plan = PlanBuilder(process, name=f"usf-{schedule.calls}", source="arXiv 2312.07243")
    if beyond(process, times[0]):
        first = schedule.steps[0]
        orders = [step.order > max(1, i) for i, step in enumerate(schedule.steps)]
        require(
            first.corrector == "none" and not any(orders),
            f"the log-SNR at t = {times[0]} is infinite, and a derivative needs the answer there. Let orders rise "
            "one step later and the first step have no corrector, as SolverSchedule.multistep does.",
        )
    x, past, before = plan.start, list[Prediction](), plan.start
    done: SolverStep | None = None
    for s, step in zip(times, schedule.steps, strict=False):
        if done is not None and done.corrector == "pseudo":
            _, now = plan.call(x, s, stage=True)
            x = plan.hold(corrected(plan, before, done, past, now), s, stage=False)
        else:
            x, now = plan.call(x, s)
        past, before, done = [now, *past], x, step
        points = step.order - 1 if step.points is None else step.points
        x = taylor(plan, x, step.t, past[: step.order], points, step.form, step.relaxation)
    return plan.finish(x, times[-1])


def corrected(
    plan: PlanBuilder, x: Affine, step: SolverStep, past: Sequence[Prediction], now: Prediction
) -> Affine:
    """The step from x, made again with the answer at its end."""
    answers = [past[0], now, *past[1 : step.order]]
    points = step.order if step.points is None else step.points + 1
    relaxation: Relaxation = step.relaxation if step.order == 1 else "none"
    return taylor(plan, x, now.t, answers, points, step.form, relaxation)


def taylor(
    plan: PlanBuilder,
    x: Affine,
    t: float,
    answers: Sequence[Prediction],
    points: int,
    form: Form,
    relaxation: Relaxation,
) -> Affine:
    """Equation (1) from x at answers[0].t to t; the first derivative is from the first `points` other answers."""
    x = first_order(plan, x, answers[0].t, t, answers[0], form)
    if len(answers) == 1:
        return x
    process, (begin, *_), end = plan.process, (lam := [a.log_snr for a in answers]), plan.process.log_snr(t)
    gaps = np.array(lam) - begin
    moments = taylor_moments(begin, end, len(answers), form, relaxation)
    weights = moments[1:] @ derivatives(gaps)[1:]
    if points < len(answers) - 1:
        fewer = derivatives(gaps[: points + 1])[1]
        weights -= moments[1] * derivatives(gaps)[1]
        weights[: points + 1] += moments[1] * fewer
    keep = process.gamma(t) if form == "data" else process.alpha(t)
    return x + total([keep * float(w) for w in weights], [a.word(form) for a in answers])


def derivatives(gaps: np.ndarray) -> np.ndarray:
    """Row i has the weights that make the derivative of order i at 0 of values at these points, (n, n)."""
    powers = np.arange(len(gaps))
    factorials = np.array([math.factorial(j) for j in powers], float)
    return np.linalg.inv(gaps[None, :] ** powers[:, None] / factorials[:, None]).T


def taylor_moments(begin: float, end: float, order: int, form: Form, relaxation: Relaxation) -> np.ndarray:
    """c_0 … c_{order-1} of equation (1), c_1 relaxed."""
    h, sign = end - begin, FORMS[form]
    lam, quadrature = gauss_legendre(begin, end)
    weight = sign * quadrature * np.exp(sign * lam)
    moments = np.array([weight @ ((lam - begin) ** i / math.factorial(i)) for i in range(order)])
    if relaxation == "dpm-solver-2":
        moments[1] = moments[0] * h / 2
    elif relaxation == "bh1":
        moments[1] = sign * math.exp(sign * end) * h**2 / 2
    elif not isinstance(relaxation, str):
        moments[1] *= 1 + relaxation * h
    return moments
