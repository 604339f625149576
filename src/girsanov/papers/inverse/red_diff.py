"""A variational perspective on solving inverse problems with diffusion models (Mardani, Song, Kautz & Vahdat, 2023).

Idea: restore by a plain stochastic optimization. The prior enters as noise predictions, as a regularizer at one noise
level after the other, and no gradient goes through the network.
Stand-in: the mixture fitted to 8×8 digits with its exact denoiser, for ImageNet and FFHQ with trained networks; so the
posterior is known, and no error is one of learning. A random half of the pixels hidden, or means of 2×2 pixels, both with
noise 0.05. N = 100 levels for every method. Coefficients are chosen by PSNR on eight other digits, four draws each:
RED-diff λ and the step of Adam, DPS and ΠGDM the scale and η, DDRM η. Seconds are those of an untrained U-Net, which
takes as long as a trained one. The order of methods and the spread of restorations can be judged here; the tables with
perceptual metrics cannot.
Source: arXiv 2305.04391; coefficients as in NVlabs/RED-diff.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from statistics import mean
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.exact import GaussianMixture
from girsanov.inverse import (
    DDRM,
    DPS,
    BlockDownsampling,
    Measurement,
    PiGDM,
    PosteriorSampler,
    REDDiff,
    Spectral,
    posterior,
)
from girsanov.noise import Noise
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.plots import pictures
from girsanov.papers.posteriors import SHAPE, half, held_out, least_seconds, model
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.papers.restoration import psnr
from girsanov.solvers import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STD, PRICE = 0.05, 0.25
"""Of the noise; the paper's λ."""

TASKS: dict[str, Callable[[int], Spectral]] = {
    "half hidden": half,
    "2×2 means": lambda seed: BlockDownsampling(SHAPE, 2),
}
"""The operator of a seed."""

BEST, SPECTRAL = (
    {
        task: Claim(
            name=f"{name}, {task}",
            says=f"One restoration is nearer to the truth than one of {against} ({task}).",
            source="Tables 1 and 2",
            unit="PSNR in dB",
            against=against,
            bar=Bar(">=", times=1, plus=plus),
            over="mean",
        )
        for task in TASKS
    }
    for name, against, plus in (
        ("above the samplers", "the best of DPS, ΠGDM, DDRM, tuned", 0.4),
        ("above DDRM", "DDRM as published", 1.0),
    )
)
CHEAP = Claim(
    name="cheap steps",
    says="Without gradients through the network a step takes little time.",
    source="Section 5, compute",
    unit="ms per step of a U-Net, 16 pictures of 28×28",
    against="DPS",
    bar=Bar("<=", times=0.6),
)
WEIGHTED = Claim(
    name="weighting matters",
    says="Weighing levels by γ/α beats equal weights, each with its own best λ and step (half hidden).",
    source="Section 4.2 and Figure 5",
    unit="PSNR in dB",
    against="equal weights",
    bar=Bar(">=", times=1, plus=0.3),
    over="mean",
)
NARROW, NARROWER = (
    Claim(
        name=f"not a sampler, {which}",
        says=f"Runs from one measurement spread less than the posterior where nothing is measured ({which}).",
        source="Section 4, the divergence seeks a mode",
        unit="larger ratio of standard deviations of both tasks",
        bar=Bar("<=", plus=limit),
    )
    for which, limit in (("λ = 0.25", 0.8), ("best λ", 0.6))
)


def measured(task: str, seed: int, x: Tensor) -> Measurement:
    """What is known of digits x."""
    return Measurement.of(TASKS[task](seed), x, STD, generator=Noise(seed).child(1))


def restored(m: Measurement, sampler: PosteriorSampler, seed: int, n: int = 1) -> Tensor:
    """n restorations of each, (B, n, *shape)."""
    return posterior(model(), m, n, sampler=sampler, batch_size=512, seed=seed).x


LAMBDAS = tuple(10 ** (-k / 2) for k in range(6, -1, -1))
"""0.001 to 1."""


def reds(weighting: str, steps: int, lr: float) -> list[PosteriorSampler]:
    """RED-diff with every λ."""
    return [REDDiff(steps, weight, lr, weighting) for weight in LAMBDAS]


def samplers(steps: int) -> dict[str, list[PosteriorSampler]]:
    """The candidates of each method, on the grid of the reference code."""
    even, etas = grid("uniform", steps), (0.0, 1.0)
    return {
        "RED-diff": reds("linear", steps, 0.1) + reds("linear", steps, 0.5),
        "DPS": [DPS(scale=z, eta=e, grid=even) for e in etas for z in (0.3, 0.5, 0.8, 1.25, 2.0)],
        "ΠGDM": [PiGDM(scale=z, eta=e, grid=even) for e in etas for z in (1.0, 2.0, 4.0, 8.0, 16.0)],
        "DDRM": [DDRM(eta=e, grid=even) for e in (0.0, 0.5, 0.85, 0.95, 1.0)],
        "equal weights": reds("constant", steps, 0.1) + reds("constant", steps, 0.5),
    }


@cache
def tuned(task: str, steps: int, draws: int) -> dict[str, PosteriorSampler]:
    """The best candidate of each method by PSNR on the digits to tune on."""
    x = held_out(None, 8)
    m = measured(task, 1000, x)

    def quality(sampler: PosteriorSampler) -> float:
        return psnr(restored(m, sampler, 1000, draws).flatten(0, 1), x.repeat_interleave(draws, 0))

    return {name: max(some, key=quality) for name, some in samplers(steps).items()}


def truths(m: Measurement) -> list[GaussianMixture]:
    """The exact posteriors."""
    return [model().law.posterior(m.operator.forward, y, noise=STD) for y in m.y]


def spread(task: str, seed: int, sampler: PosteriorSampler, n: int) -> float:
    """The standard deviation of n runs over that of the exact posterior, where A measures nothing."""
    m = measured(task, seed, held_out(seed, 8))
    operator = TASKS[task](seed)
    free = operator.singular_values == 0

    def width(x: Tensor) -> Tensor:
        return operator.into(x.flatten(0, 1)).reshape(*x.shape[:2], -1)[..., free].var(1).mean().sqrt()

    exact = torch.stack([law.sample(1000, generator=Noise(seed)) for law in truths(m)])
    return float(width(restored(m, sampler, seed, n)) / width(exact))


def qualities(report: Report, task: str, seed: int, n: int, chosen: dict[str, PosteriorSampler]) -> None:
    """PSNR of every method on the digits of a seed, and of the exact posterior."""
    x = held_out(seed, n)
    m, laws = measured(task, seed, x), truths(measured(task, seed, x))
    steps = chosen["RED-diff"].calls
    shown = {name: restored(m, sampler, seed)[:, 0] for name, sampler in chosen.items()}
    shown["DDRM, published"] = restored(m, DDRM(grid=grid("uniform", steps)), seed)[:, 0]
    shown["λ = 0.25"] = restored(m, REDDiff(steps, PRICE), seed)[:, 0]
    shown["exact draw"] = torch.cat(
        [law.sample(1, generator=Noise(seed).child(i)) for i, law in enumerate(laws)]
    )
    shown["exact mean"] = torch.stack([law.mean for law in laws])
    curves = {
        weighting: [psnr(restored(m, one, seed)[:, 0], x) for one in reds(weighting, steps, 0.1)]
        for weighting in ("linear", "constant")
    }
    found = {name: psnr(picture, x) for name, picture in shown.items()}
    report.kept.setdefault(task, []).append((found, curves))
    pictures = {"truth": x, "measured": m.operator.pinv(m.y), **shown}  # type: ignore[attr-defined]
    report.kept.setdefault("pictures", {}).setdefault(task, pictures)
    judged(report, task, seed, found)


def judged(report: Report, task: str, seed: int, found: dict[str, float]) -> None:
    """The claims on PSNR."""
    ours, best = found["RED-diff"], max(found[name] for name in ("DPS", "ΠGDM", "DDRM"))
    report.add(BEST[task], seed, ours=ours, baseline=best)
    report.add(SPECTRAL[task], seed, ours=ours, baseline=found["DDRM, published"])
    if task == "half hidden":
        report.add(WEIGHTED, seed, ours=ours, baseline=found["equal weights"])


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    steps, draws, n, runs = budget.pick(smoke=(3, 1, 2, 3), cpu=(100, 4, 32, 24))
    chosen = {task: tuned(task, steps, draws) for task in TASKS}
    for seed in budget.seeds:
        for task in TASKS:
            qualities(report, task, seed, n, chosen[task])
        for claim in (NARROW, NARROWER):
            plain = REDDiff(steps, PRICE)
            ratios = [
                spread(task, seed, plain if claim is NARROW else chosen[task]["RED-diff"], runs)
                for task in TASKS
            ]
            report.add(claim, seed, ours=max(ratios))
            report.kept.setdefault(claim.name, []).append(ratios)
        few, repeats = budget.pick(smoke=(1, 1), cpu=(5, 7))
        ours, theirs = (s / few for s in least_seconds((REDDiff(few), DPS(few)), STD, repeats))
        report.add(CHEAP, seed, ours=1e3 * ours, baseline=1e3 * theirs)
    explain(report, chosen)
    return report


def explain(report: Report, chosen: dict[str, dict[str, PosteriorSampler]]) -> None:
    """What the same run measured beside the claims; means of seeds."""
    for task in TASKS:
        db = {name: mean(found[name] for found, _ in report.kept[task]) for name in report.kept[task][0][0]}
        tuned_to = "; ".join(
            f"{name} {db[name]:.2f} with {words(sampler)}" for name, sampler in chosen[task].items()
        )
        rival = max(db[name] for name in ("DPS", "ΠGDM", "DDRM"))
        reason = "Tuned for PSNR, a sampler too is nearer to the truth than draws of the posterior are. "
        report.note(
            BEST[task],
            reason
            * (rival > db["exact draw"])
            + f"{tuned_to}; RED-diff at λ = 0.25 {db['λ = 0.25']:.2f}; a draw "
            f"from the exact posterior {db['exact draw']:.2f}, its mean {db['exact mean']:.2f} dB.",
        )
        report.note(SPECTRAL[task], f"DDRM with its η tuned has {db['DDRM']:.2f} dB.")
        if task == "2×2 means":
            report.note(
                WEIGHTED,
                f"With 2×2 means it is {db['RED-diff']:.2f} against {db['equal weights']:.2f} dB.",
            )
    for claim in (NARROW, NARROWER):
        means = torch.tensor(report.kept[claim.name]).mean(0).tolist()
        report.note(claim, "; ".join(f"{t}: {v:.2f}" for t, v in zip(TASKS, means, strict=True)) + ".")


def words(sampler: PosteriorSampler) -> str:
    """The coefficients that were chosen."""
    if isinstance(sampler, REDDiff):
        return f"λ = {sampler.weight:.2g}, step {sampler.lr:g}"
    scale = "" if isinstance(sampler, DDRM) else f"scale {sampler.scale:g}, "  # type: ignore[attr-defined]
    return f"{scale}η = {sampler.eta:g}"  # type: ignore[attr-defined]


SHOWN = ("measured", "RED-diff", "DPS", "ΠGDM", "DDRM", "exact draw", "exact mean", "truth")


def figure(report: Report) -> Figure:
    drawn, (*sheets, right) = canvas(report, panels=3, height=4.0, equal=(0, 1))
    for i, (ax, task) in enumerate(zip(sheets, TASKS, strict=True)):
        kept = report.kept["pictures"][task]
        pictures(ax, [(name, kept[name]) for name in SHOWN], columns=7)
        ax.set_title(f"{task}, noise {STD}", fontsize=9)
        if i:
            ax.set_yticks([])
    for task, colour in zip(TASKS, PALETTE, strict=False):
        for weighting, style in (("linear", "-"), ("constant", ":")):
            lines = torch.tensor([curves[weighting] for _, curves in report.kept[task]])
            label = f"{task}, {'γ/α' if weighting == 'linear' else 'equal weights'}"
            right.plot(LAMBDAS, lines.mean(0), style, marker="o", ms=3.5, color=colour, label=label)
        exact = mean(found["exact draw"] for found, _ in report.kept[task])
        right.axhline(exact, color=colour, lw=0.8, ls="--", label=f"{task}, exact draw")
    right.set_xscale("log")
    right.set_xlabel("λ, step of Adam 0.1", fontsize=8.5)
    right.set_title("PSNR of RED-diff, dB", fontsize=9)
    right.legend(fontsize=7, frameon=False)
    return drawn


PAPER = Paper(
    slug="red-diff",
    title="A variational perspective on solving inverse problems with diffusion models (Mardani et al., 2023)",
    claims=(*BEST.values(), *SPECTRAL.values(), CHEAP, WEIGHTED, NARROW, NARROWER),
    run=run,
    figure=figure,
)
