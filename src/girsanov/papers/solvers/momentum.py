"""Diffusion sampling with momentum for mitigating divergence artifacts (Wizadwongsa et al., 2023).

Idea: with few calls and strong guidance a step of high order leaves its region of stability, and the sample
diverges in places. A running mean of the increments (Heavy Ball, HB) widens the region; corrected for its lag
(GHVB) it keeps the order. "GHVB 3.1" is order 4 with damping 0.1.
Stand-in: digits of 8×8 pixels with a class-conditional U-Net and classifier-free guidance, for the latents of
Stable Diffusion. The magnitude score is the paper's, on 2×2 blocks: the share of local maxima of |x| beyond 3
standard deviations above the mean of those of the data. What a viewer thinks of the images cannot be judged.
All have the grid uniform in log-SNR, down to t_min, and start at the same noise.
Source: arXiv 2307.11118.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import NotFinite
from girsanov.guidance import classifier_free
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, digits
from girsanov.processes import EDM, VP
from girsanov.solvers import Plan, deis, dpm_multistep, ghvb, grid, heavy_ball, run, sample
from girsanov.solvers.momentum import ghvb_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALE, CALLS, DAMPINGS = 7.5, 10, (0.2, 0.5, 0.8, 1.0)
SCORE = "share of local maxima of |x| beyond 3 standard deviations of the data's, 10 calls, guidance 7.5"
LIMIT = "left limit of stability on x' = μx with step 1, by bisection on the plan"

FEWER = Claim(
    name="GHVB against PLMS",
    says="With 10 calls at guidance 7.5, GHVB 3.1 has fewer artifacts than PLMS4, its base without momentum.",
    source="abstract, low-step sampling",
    unit=SCORE,
    against="PLMS4 (Adams-Bashforth 4)",
    bar=Bar("<=", times=0.6),
)
FEWER_2M = Claim(
    name="Heavy Ball against 2M",
    says="With 10 calls at guidance 7.5, Heavy Ball (damping 0.5) on 2M has fewer artifacts than 2M.",
    source="abstract, low-step sampling",
    unit=SCORE,
    against="DPM-Solver++(2M)",
    bar=Bar("<=", times=0.6),
)
LIMITS = Claim(
    name="stability limits",
    says="Heavy Ball on Euler is stable down to -2(2 - b)/b, GHVB (1 + b) down to -(2 - b), b from 0.2 to 1.",
    source="the stability regions of both methods; the limits are derived here",
    unit="largest distance of the limit by bisection from the formula",
    bar=Bar("<=", plus=1e-3),
    seeds=1,
)
ACCURATE = Claim(
    name="order pays",
    says="Without guidance and with 20 calls, GHVB 2.5 is more accurate than GHVB 1.5.",
    source="abstract, trade-off between accuracy and artifacts",
    unit="rms distance a pixel to 200 steps of 2M",
    against="GHVB 1.5",
    bar=Bar("<=", times=1.0),
)
LESS_STABLE = Claim(
    name="order costs stability",
    says="GHVB 2.5 is stable on a shorter interval than GHVB 1.5.",
    source="abstract, trade-off between accuracy and artifacts",
    unit=LIMIT + ", its size",
    against="GHVB 1.5",
    bar=Bar("<=", times=1.0),
    seeds=1,
)


def ghvb_of(name: float) -> Callable[..., Plan]:
    """GHVB by the paper's name: 1.5 is order 2 with damping 0.5."""
    order = math.ceil(name)
    return partial(ghvb, order=order, damping=round(name - order + 1, 6))


SOLVERS: dict[str, Callable[..., Plan]] = {
    "GHVB 3.1": ghvb_of(3.1),
    "PLMS4": partial(deis, order=4, method="ipndm"),
    "HB 0.5 on 2M": partial(heavy_ball, damping=0.5),
    "2M": partial(dpm_multistep, lower_order_final=False),
}


def run_paper(budget: Budget) -> Report:
    """One conditional model a seed, sampled by every solver from the same noise."""
    report = Report(PAPER, budget)
    n = budget.pick(smoke=10, cpu=200, paper=5000)
    counts = budget.pick(smoke=(CALLS,), cpu=(8, CALLS, 12, 15, 20))
    for seed in budget.seeds:
        model = digits.model(VP(), seed=seed, steps=budget.pick(smoke=3, cpu=digits.STEPS), labels=True)
        guided = classifier_free(model, SCALE)
        drawn = {name: {c: draw(guided, make, c, n, seed) for c in counts} for name, make in SOLVERS.items()}
        found = {name: {c: magnitude(x) for c, x in of.items()} for name, of in drawn.items()}
        report.add(FEWER, seed, ours=found["GHVB 3.1"][CALLS], baseline=found["PLMS4"][CALLS])
        report.add(FEWER_2M, seed, ours=found["HB 0.5 on 2M"][CALLS], baseline=found["2M"][CALLS])
        exact = draw(model, SOLVERS["2M"], budget.pick(smoke=20, cpu=200), n, seed)
        error = {v: rms(draw(model, ghvb_of(v), 20, n, seed), exact) for v in (1.5, 2.5)}
        report.add(ACCURATE, seed, ours=error[2.5], baseline=error[1.5])
        report.kept.setdefault("scores", []).append(found)
        if seed == budget.seeds[0]:
            many = draw(
                guided, SOLVERS["2M"], budget.pick(smoke=20, cpu=200), budget.pick(smoke=10, cpu=50), seed
            )
            floor = f"2M with 200 calls has {magnitude(many):.3f} on seed {seed}: guidance alone leaves the range here."
            report.note(FEWER, floor)
            report.note(FEWER_2M, floor)
            report.kept["images"] = {**{name: of[CALLS] for name, of in drawn.items()}, "2M, 200 calls": many}
    stability(report)
    return report


@torch.no_grad()
def draw(model: AbstractDenoiser, make: Callable[..., Plan], calls: int, n: int, seed: int) -> Tensor:
    """n digits of all classes."""
    plan = make(model.process, grid("log-snr", calls, to_zero=False)).recast(model.stored)
    return sample(model, n, cond=torch.arange(n) % 10, plan=plan, seed=seed)


def magnitude(x: Tensor) -> float:
    """The magnitude score; lower is better, and that of the data is about 0."""
    local, data = max_pool2d(x.abs(), 2), max_pool2d(digits.split().x.abs(), 2)
    return float((local > data.mean() + 3 * data.std()).float().mean())


def rms(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().mean().sqrt())


# Stability, on the plans themselves.


class Linear(AbstractDenoiser):
    """E = μx, so that dx = E dρ is the linear test equation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.process, self.stored, self.rate = EDM(), ("noise",), rate

    def forward(
        self, x: Tensor, t: Tensor | float, *, cond: object = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.rate * x,)


def limit(make: Callable[..., Plan], steps: int) -> float:
    """The lowest μ at which x' = μx with step 1 does not grow."""
    times = [0.9 - 0.8 * i / steps for i in range(steps + 1)]
    plan, x = make(EDM(), times).recast("noise"), torch.ones(1, 1, dtype=torch.float64)
    step, size = EDM().gamma(times[1]) - EDM().gamma(times[0]), dict[int, float]()

    def grows(rate: float) -> bool:
        size.clear()
        model = Linear(rate / step)
        try:
            run(plan, model, x, edit=lambda row, now: size.update({row.node: abs(now.item())}) or now)
        except NotFinite:
            return True
        return size[steps] > size[steps // 2]

    low, high = -25.0, -0.05
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if grows(middle) else (low, middle)
    return (low + high) / 2


def stability(report: Report) -> None:
    """The limits of both methods for several dampings, and of two orders at one damping."""
    steps, dampings = report.budget.pick(smoke=(40, (0.5,)), cpu=(300, DAMPINGS))
    worst, seed = 0.0, report.budget.seeds[0]
    for b in dampings:
        heavy = limit(partial(heavy_ball, form="noise", order=1, damping=b), steps)
        general = limit(partial(ghvb, damping=b), steps)
        worst = max(worst, abs(heavy + 2 * (2 - b) / b), abs(general + 2 - b))
    report.add(LIMITS, seed, ours=worst)
    both = {v: -limit(ghvb_of(v), steps) for v in (1.5, 2.5)}
    report.add(LESS_STABLE, seed, ours=both[2.5], baseline=both[1.5])


def locus(order: int, damping: float) -> np.ndarray:
    """Where a root of the characteristic polynomial of GHVB has modulus 1: μ over the unit circle."""
    shift = np.exp(-1j * np.linspace(0, 2 * np.pi, 721))
    weights = sum(w * shift**j for j, w in enumerate(ghvb_weights(order, damping)))
    return (1 - (1 - damping) * shift) * (1 - shift) / (damping * shift * weights)


def figure(report: Report) -> Figure:
    """The same noise by each solver, the score against the calls, the regions of stability."""
    drawing, (left, middle, right) = canvas(report, panels=3, equal=(0,), height=3.9)
    rows = report.kept["images"]
    sheet = torch.cat([torch.cat(list(x[:6, 0]), 1) for x in rows.values()])
    shown = left.imshow(sheet, cmap="PuOr_r", vmin=-2, vmax=2)
    for i, name in enumerate(rows):
        left.text(-1.5, 8 * i + 3.5, name, ha="right", va="center", fontsize=7.5)
    left.set(title=f"the same noise, {CALLS} calls, guidance {SCALE}")
    drawing.colorbar(
        shown, ax=left, shrink=0.5, label="pixel; data lie in [-1, 1]", location="bottom", pad=0.04
    )
    scores = report.kept["scores"]
    counts = list(scores[0]["2M"])
    for colour, name in zip(PALETTE, SOLVERS, strict=False):
        values = [np.mean([one[name][c] for one in scores]) for c in counts]
        middle.plot(counts, values, "o-", color=colour, label=name, markersize=4)
    middle.set(xlabel="network calls", ylabel="magnitude score", title="artifacts", ylim=(0, None))
    middle.legend(fontsize=8, frameon=False)
    for colour, b in zip(PALETTE, reversed(DAMPINGS), strict=False):
        curve = locus(2, b)
        right.plot(curve.real, curve.imag, color=colour, lw=1.4, label=f"b = {b:g}" + " (PLMS2)" * (b == 1))
        right.plot([-(2 - b)], [0], "o", color=colour, markersize=4)
    right.axvline(0, color="#d0d0d0", lw=0.8, zorder=0)
    right.set(
        xlabel="Re μ", ylabel="Im μ", title="GHVB, order 2: stable inside", xlim=(-2.2, 0.4), ylim=(-1.3, 1.3)
    )
    right.legend(fontsize=8, frameon=False, loc="upper left")
    return drawing


PAPER = Paper(
    slug="momentum",
    title="Diffusion sampling with momentum for mitigating divergence artifacts (Wizadwongsa et al., 2023)",
    claims=(FEWER, FEWER_2M, LIMITS, ACCURATE, LESS_STABLE),
    run=run_paper,
    figure=figure,
)
