"""The principles of diffusion models (Lai, Song, Kim, Mitsufuji & Ermon, 2025; arXiv 2510.21890).

Idea: the variational, the score and the flow origin of diffusion models are one. What a network predicts is
a convention, what the schedule is a change of time and scale, and a sampler is a solver of one equation.
Stand-in: the book is theory, and these are its identities, on random mixtures in the plane with the exact
denoiser. What they say of trained models at scale cannot be judged here. The checklist of the book's parts
is `docs/principles.md`, written by `checklist.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser, Rescaled
from girsanov.exact import ExactDenoiser, GaussianMixture
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.papers.plots import named_ticks, slope
from girsanov.processes import VP, Interpolant, RectifiedFlow
from girsanov.solvers import Grid, Plan, ddim, dpm_singlestep, euler, flow, grid, rho_rk, run
from girsanov.solvers import variational_bound as elbo
from girsanov.typing import Time, Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADS = ("data", "noise", "score", "velocity")
BOOK = "arXiv 2510.21890, "

PREDICTIONS = Claim(
    name="predictions",
    says="A model that stores data, noise, score or velocity draws the same samples with the same solver.",
    source=BOOK + "equivalence of the parameterizations",
    unit="largest difference of samples",
    bar=Bar("<=", plus=1e-6),
    against="two solvers on one model",
)
SCHEDULES = Claim(
    name="schedules",
    says="A VP model run as rectified flow, by a change of time and scale, draws the same samples.",
    source=BOOK + "equivalence of the schedules",
    unit="largest difference of samples",
    bar=Bar("<=", plus=1e-3),
    against="the VP model asked at rectified flow's own time and state",
)
ORDERS = Claim(
    name="orders",
    says="DDIM, DPM-Solver-2 and DPM-Solver-3 converge with orders 1, 2 and 3.",
    source=BOOK + "numerical solvers",
    unit="largest distance of a fitted slope from the order",
    bar=Bar("<=", plus=0.2),
)
BOUND = Claim(
    name="bound",
    says="The variational bound of a chain of 4 to 256 steps lies below the exact log-likelihood.",
    source=BOOK + "the variational origin",
    unit="largest bound minus log-likelihood, nats",
    bar=Bar("<=", plus=0.0),
)
TIGHTER = Claim(
    name="tighter",
    says="The gap of the bound closes as the chain gets more steps.",
    source=BOOK + "the variational origin",
    unit="gap at 256 steps, nats",
    bar=Bar("<=", times=0.25),
    against="gap at 16 steps",
)
SEMIGROUP = Claim(
    name="semigroup",
    says="The flow map in two pieces is the flow map in one, to the solver's error.",
    source=BOOK + "flow maps",
    unit="largest difference of states",
    bar=Bar("<=", times=1.0),
    against="error of the solver, the larger of both ways",
)

SOLVERS: dict[str, tuple[Callable[..., Plan], int]] = {
    "DDIM": (ddim, 1),
    "DPM-Solver-2": (lambda process, times: dpm_singlestep(process, times, form="noise"), 2),
    "DPM-Solver-3": (lambda p, g: dpm_singlestep(p, g, order=3, form="noise"), 3),
}
LENGTHS = (4, 16, 64, 256)
"""Steps of the chains."""


class Stored(AbstractDenoiser):
    """A model that answers with another word, as a network trained on that word would.

    With `process` given it is asked at that process's time and state as if they were its own, which is wrong:
    the baseline of `SCHEDULES`.
    """

    def __init__(self, model: AbstractDenoiser, word: str, process: Interpolant | None = None) -> None:
        super().__init__()
        self.model, self.process, self.stored, self.shape = (
            model,
            process or model.process,
            (word,),
            model.shape,
        )

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.model.predict(self.stored[0], x, t, cond=cond),)


def mixture(seed: int) -> GaussianMixture:
    """Five components in the plane with full covariances."""
    source, like = Noise(seed).child(1), torch.empty(5, 2, 2, dtype=torch.float64)
    root = 0.35 * source.draw(like, 0)
    return GaussianMixture(1.2 * source.draw(like[:, 0], 1), root @ root.mT + 0.01 * torch.eye(2).double())


def run_paper(budget: Budget) -> Report:
    """Measure every claim on one random mixture a seed."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        model = mixture(seed).denoiser(VP())
        x = Noise(seed).draw(torch.empty(budget.pick(smoke=16, cpu=512), 2, dtype=torch.float64), 0)
        heads(report, seed, model, x)
        schedules(report, seed, model, x, budget.pick(smoke=50, cpu=2000))
        orders(report, seed, model, x, budget.pick(smoke=(10, 20), cpu=(80, 160, 320)))
        bound(report, seed, model, budget.pick(smoke=500, cpu=20_000))
        semigroup(report, seed, model, x, budget.pick(smoke=1e-7, cpu=1e-11))
    return report


def heads(report: Report, seed: int, model: ExactDenoiser, x: Tensor) -> None:
    """One model in four words, one solver; and one model, two solvers."""
    plan = ddim(model.process, grid("log-snr", 50))
    drawn = [run(plan, Stored(model, word), x) for word in HEADS]
    ours = max(float((a - b).abs().max()) for a, b in combinations(drawn, 2))
    other = run(euler(model.process, grid("log-snr", 50)), model, x)
    report.add(PREDICTIONS, seed, ours=ours, baseline=float((drawn[0] - other).abs().max()))


def schedules(report: Report, seed: int, model: ExactDenoiser, x: Tensor, steps: int) -> None:
    """VP on its grid and rectified flow on its own, from the same state at the same log-SNR."""
    vp, rescaled = model.process, Rescaled(model, RectifiedFlow())
    rf = rescaled.process
    start = rf.time_at(vp.log_snr(1.0))
    truth = run(rho_rk(vp, grid("uniform", steps)), model, x)
    plan, begin = rho_rk(rf, grid("karras", steps, start=start)), rf.gamma(start) / vp.gamma(1.0) * x
    ours, naive = (run(plan, m, begin) for m in (rescaled, Stored(model, "data", rf)))
    apart = [float((y - truth).abs().max()) for y in (ours, naive)]
    report.add(SCHEDULES, seed, ours=apart[0], baseline=apart[1])
    report.kept["samples"] = truth, ours


def orders(report: Report, seed: int, model: ExactDenoiser, x: Tensor, counts: tuple[int, ...]) -> None:
    """Root mean square errors from t = 0.9 to 0.05, against Runge-Kutta of order 4 on a fine grid."""
    process = model.process

    def nodes(steps: int) -> Grid:
        return grid("log-snr", steps, to_zero=False, start=0.9, last=process.log_snr(0.05))

    truth = run(rho_rk(process, nodes(4 * max(counts)), tableau="rk4"), model, x)
    found = {
        name: [float((run(make(process, nodes(n)), model, x) - truth).square().mean().sqrt()) for n in counts]
        for name, (make, _) in SOLVERS.items()
    }
    report.kept["counts"], report.kept["errors"] = counts, found
    off = [abs(slope(counts, found[name]) - order) for name, (_, order) in SOLVERS.items()]
    report.add(ORDERS, seed, ours=max(off))


def bound(report: Report, seed: int, model: ExactDenoiser, n: int) -> None:
    """The bound for chains of several lengths."""
    x0 = model.law.sample(n, generator=Noise(seed).child(2))
    exact = float(model.law.log_prob(x0).mean())
    chains = [grid("log-snr", steps, to_zero=False) for steps in LENGTHS]
    gaps = [exact - float(elbo(model, x0, c, generator=Noise(seed).child(3)).mean()) for c in chains]
    report.kept["gaps"] = gaps
    report.add(BOUND, seed, ours=-min(gaps))
    report.add(TIGHTER, seed, ours=gaps[-1], baseline=gaps[1])


def semigroup(report: Report, seed: int, model: ExactDenoiser, x: Tensor, fine: float) -> None:
    """The adaptive flow from 1 to 0.2, in one piece and by way of 0.6."""
    whole = flow(model, x, 1.0, 0.2, tolerance=1e-6).x
    pieces = flow(model, flow(model, x, 1.0, 0.6, tolerance=1e-6).x, 0.6, 0.2, tolerance=1e-6).x
    truth = flow(model, x, 1.0, 0.2, tolerance=fine).x
    error = max(float((y - truth).abs().max()) for y in (whole, pieces))
    report.add(SEMIGROUP, seed, ours=float((whole - pieces).abs().max()), baseline=error)


def figure(report: Report) -> Figure:
    """Orders of convergence, the gap of the bound, and the same samples from two schedules."""
    drawing, (left, middle, right) = canvas(report, panels=3, equal=(2,))
    counts = report.kept["counts"]
    for colour, (name, values) in zip(PALETTE, report.kept["errors"].items(), strict=False):
        left.loglog(counts, values, "o-", color=colour, label=f"{name}: slope {slope(counts, values):.2f}")
    left.set(xlabel="steps", ylabel="error", title="solvers have their orders")
    named_ticks(left, counts)
    left.legend(fontsize=8, frameon=False)
    middle.loglog(LENGTHS, report.kept["gaps"], "o-", color=PALETTE[0])
    middle.set(xlabel="steps of the chain", ylabel="nats", title="log-likelihood minus its bound")
    named_ticks(middle, LENGTHS)
    truth, ours = report.kept["samples"]
    right.plot(*truth.T, "o", color=PALETTE[1], markersize=5, alpha=0.35, label="VP")
    right.plot(*ours.T, ".", color=PALETTE[0], markersize=2, label="the same model as rectified flow")
    right.set(title="one model, two schedules")
    right.legend(fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    return drawing


PAPER = Paper(
    slug="principles",
    title="The principles of diffusion models (Lai, Song, Kim, Mitsufuji & Ermon, 2025)",
    claims=(PREDICTIONS, SCHEDULES, ORDERS, BOUND, TIGHTER, SEMIGROUP),
    run=run_paper,
    figure=figure,
)
