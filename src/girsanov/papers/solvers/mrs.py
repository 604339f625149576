"""MR Sampler: fast sampling of mean-reverting diffusion (Li et al., 2025).

Idea: in the coordinate y = x - (1 - α) μ the reverse equations of IR-SDE are semi-linear, their linear part is
solved exactly and the rest by extrapolating the network in log-SNR; so 5 to 20 calls do what took 100.
Stand-in: blurred, noisy digits of 8×8 pixels and a U-Net of 80,000 parameters, for ten restoration tasks of
DA-CLIP at full resolution. Distances to the exact flow and PSNR can be judged here; LPIPS and FID cannot.
MR Sampler is the exponential multistep method with the anchor as μ; its ODE of order 2 on the data is compared
on the grid of its code, uniform in t, with the posterior step (`ancestral`) and Euler's method on the flow.
Source: arXiv 2502.07856.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.exact import GaussianMixture, PairedDenoiser
from girsanov.noise import Noise
from girsanov.papers import restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import Interpolant, MeanReverting
from girsanov.solvers import Plan, ancestral, euler, exponential, grid, sample
from girsanov.solvers.builder import PlanBuilder
from girsanov.solvers.grids import Grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CALLS, FEWEST, MANY, REFERENCE = 10, 5, 100, 500

QUALITY = Claim(
    name="ten calls",
    says="MR Sampler with 10 calls restores as well as posterior sampling with 100, up to 0.3 dB.",
    source="Abstract",
    paper="a speedup of 10 to 20 times",
    unit="PSNR, dB",
    against="posterior sampling, 100 calls",
    bar=Bar(">=", times=1.0, plus=-0.3),
)
COLLAPSE = Claim(
    name="posterior sampling with ten calls",
    says="Posterior sampling itself loses at least 1 dB when it is cut to 10 calls.",
    source="Comparison with posterior sampling",
    unit="PSNR, dB",
    against="posterior sampling, 100 calls",
    bar=Bar("<=", times=1.0, plus=-1.0),
)
FASTER = Claim(
    name="order two beats Euler",
    says="With 10 calls, MR Sampler is closer to the exact flow than Euler's method.",
    source="Comparison with Euler's discretization",
    unit="rms distance a pixel to 500 steps",
    against="Euler on the reverse ODE, 10 calls",
    bar=Bar("<=", times=0.3),
)
DATA = Claim(
    name="data prediction is stable",
    says="With 5 calls, extrapolating the data is closer to the exact flow than extrapolating the noise.",
    source="Comparison of parameterizations",
    paper="data prediction is numerically more stable",
    unit="rms distance a pixel to 500 steps",
    against="noise form, order 2, 5 calls",
    bar=Bar("<=", times=0.7),
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        one(report, seed)
    exact = on_pairs(CALLS), on_pairs(FEWEST)
    report.note(
        FASTER, f"The same with exact answers, {told(CALLS, exact[0])}. Extrapolated noise is better here."
    )
    report.note(DATA, f"The same with exact answers, {told(FEWEST, exact[1])}.")
    return report


DATA_FORM, NOISE_FORM, EULER = "MRS-ODE, data", "MRS-ODE, noise", "Euler"
FLOWS: dict[str, Callable[[Interpolant, Grid], Plan]] = {
    DATA_FORM: partial(exponential, order=2),
    NOISE_FORM: partial(exponential, order=2, form="noise"),
    EULER: euler,
}


def one(report: Report, seed: int) -> None:
    process, known = MeanReverting(std=100 / 255), restoration.pairs(seed)
    steps = report.budget.pick(smoke=2, cpu=restoration.STEPS, paper=20_000)
    model = restoration.restorer(process, seed=seed, steps=steps)
    n = report.budget.pick(smoke=8, cpu=200, paper=len(known.fresh))
    truth, worse = known.fresh[:n], known.fresh_worse[:n]

    def draw(make: Callable[[Interpolant, Grid], Plan], calls: int) -> Tensor:
        plan = make(process, grid("uniform", calls))
        assert plan.calls == calls
        return sample(model, n, anchor=worse, plan=plan.recast(model.stored), seed=seed)

    exact = draw(FLOWS[DATA_FORM], report.budget.pick(smoke=6, cpu=REFERENCE))
    counts = report.budget.pick(smoke=(FEWEST, CALLS), cpu=(FEWEST, 7, CALLS, 20, 50))
    found = {name: {k: draw(make, k) for k in counts} for name, make in FLOWS.items()}
    errors = {
        name: {k: float((x - exact).square().mean().sqrt()) for k, x in row.items()}
        for name, row in found.items()
    }
    many = report.budget.pick(smoke=12, cpu=MANY)
    posterior = {k: draw(ancestral, k) for k in (*counts, many)}
    skipped = {k: draw(one_hundredth, k) for k in counts}
    quality = {
        DATA_FORM: {k: restoration.psnr(x, truth) for k, x in found[DATA_FORM].items()},
        "posterior": {k: restoration.psnr(x, truth) for k, x in posterior.items()},
        "posterior, skipping": {k: restoration.psnr(x, truth) for k, x in skipped.items()},
    }
    best = quality["posterior"][many]
    report.add(QUALITY, seed, ours=quality[DATA_FORM][CALLS], baseline=best)
    report.add(COLLAPSE, seed, ours=quality["posterior"][CALLS], baseline=best)
    report.add(FASTER, seed, ours=errors[DATA_FORM][CALLS], baseline=errors[EULER][CALLS])
    report.add(DATA, seed, ours=errors[DATA_FORM][FEWEST], baseline=errors[NOISE_FORM][FEWEST])
    report.kept.setdefault("errors", []).append(errors)
    report.kept.setdefault("quality", []).append(quality)
    report.note(COLLAPSE, explained([q["posterior, skipping"][CALLS] for q in report.kept["quality"]]))
    rows = {
        "degraded": worse,
        "posterior 100": posterior[many],
        "posterior 10": posterior[CALLS],
        "skipping 10": skipped[CALLS],
        "MRS 10": found[DATA_FORM][CALLS],
        "truth": truth,
    }
    report.kept.setdefault("pictures", {name: x[:9] for name, x in rows.items()})


def on_pairs(calls: int) -> dict[str, float]:
    """The distance of each method to the exact flow where the denoiser is exact: a mixture of clean and degraded."""
    process, source, d = MeanReverting(std=100 / 255), Noise(0), 4
    clean, shift = (source.draw(torch.empty(6, d, dtype=torch.float64), k) for k in (0, 1))
    root = 0.15 * source.draw(torch.empty(6, 2 * d, 2 * d, dtype=torch.float64), 2)
    covariances = root @ root.mT + 0.01 * torch.eye(2 * d)
    joint = GaussianMixture(torch.stack([clean, clean + 0.3 * shift], 1), covariances)
    model, worse = PairedDenoiser(joint, process), joint.sample(200, generator=Noise(1))[:, 1]

    def draw(make: Callable[[Interpolant, Grid], Plan], steps: int) -> Tensor:
        plan = make(process, grid("uniform", steps)).recast(model.stored)
        return sample(model, len(worse), anchor=worse, plan=plan, seed=0)

    exact = draw(FLOWS[DATA_FORM], REFERENCE)
    return {name: float((draw(make, calls) - exact).square().mean().sqrt()) for name, make in FLOWS.items()}


def told(calls: int, errors: dict[str, float]) -> str:
    """Errors in words."""
    return f"pairs from a mixture and {calls} calls: " + ", ".join(
        f"{v:.3f} ({k})" for k, v in errors.items()
    )


def explained(skipping: list[float]) -> str:
    return (
        "Here a posterior step is exact for any step size. The authors' code keeps the coefficients of a step of "
        f"one hundredth when it skips times; done so, 10 calls reach {sum(skipping) / len(skipping):.2f} dB."
    )


def one_hundredth(process: Interpolant, times: Grid) -> Plan:
    """Posterior sampling as the authors' code shortens it: at each node a step of 1/100, then on to the next."""
    nodes = times.times(process)
    plan = PlanBuilder(process, name="posterior-skipping", source="arXiv 2502.07856, code")
    x = plan.start
    for s in nodes[:-1]:
        x, now = plan.call(x, s)
        t = s - 1 / MANY
        if t <= 1e-9:
            return plan.finish(now.data, nodes[-1])
        r, gamma = process.transition(t, s), process.gamma(t) ** 2
        back = r.state * gamma / process.gamma(s)
        mean = process.alpha(t) * now.data + process.beta(t) * plan.anchor + back * now.noise
        x = mean + process.gamma(t) * r.std / process.gamma(s) * plan.noise()
    return plan.finish(x, nodes[-1])


def figure(report: Report) -> Figure:
    drawn, (pictures, error, decibel) = canvas(report, panels=3, equal=(0,))
    restoration.show(pictures, report.kept["pictures"])
    for key, axes in (("errors", error), ("quality", decibel)):
        for name, colour in zip(report.kept[key][0], PALETTE):
            counts = list(report.kept[key][0][name])
            found = torch.tensor([list(one[name].values()) for one in report.kept[key]])
            axes.plot(counts, found.mean(0), "o-", ms=3, color=colour, label=name)
            axes.fill_between(
                counts, found.min(0).values, found.max(0).values, color=colour, alpha=0.2, linewidth=0
            )
        axes.set(xscale="log")
        ticks = max((list(row) for row in report.kept[key][0].values()), key=len)
        axes.set_xticks(ticks, ticks)
        axes.xaxis.minorticks_off()
        axes.set_xlabel("network calls", fontsize=8)
        axes.legend(fontsize=7, frameon=False)
    error.set(yscale="log")
    error.set_title("distance to the exact flow", fontsize=9)
    decibel.set_title("PSNR, dB", fontsize=9)
    return drawn


PAPER = Paper(
    slug="mrs",
    title="MR Sampler: mean-reverting diffusion in few steps (Li et al., 2025)",
    claims=(QUALITY, COLLAPSE, FASTER, DATA),
    run=run,
    figure=figure,
)
