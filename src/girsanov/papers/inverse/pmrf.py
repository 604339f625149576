"""Posterior-mean rectified flow (Ohayon, Michaeli & Elad, 2024).

Idea: to restore with the least error among images that look real, do not draw from the posterior; estimate the
posterior mean, and carry the estimates to the law of the data by a rectified flow.
Stand-in: 5,000 MNIST digits at 16×16 pixels and U-Nets of 80,000 parameters, for faces of 512 pixels with SwinIR and
HDiT. One network of each kind serves three tasks at once, as in the paper's blind restoration: strong noise, means of
4×4 pixels with a little noise, and a hidden right half. Fréchet distances are those of a small classifier's features
to 700 digits that nobody restored, for FID. The ordering of methods and the bounds can be judged here; the tables on
faces cannot.
All flows are unconditional or conditional U-Nets of one size. PMRF spends half of its training steps on the
estimator; the other flows are trained for as many steps as both its halves. Values are in [-1, 1], so that σ is
twice the paper's 0.1.
Source: arXiv 2410.00418.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from girsanov import data, networks
from girsanov.denoiser import Denoiser
from girsanov.inverse import BlockDownsampling, Inpainting, Linear, PosteriorMeanFlow
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise, uniform
from girsanov.objectives import flow_matching
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.estimators import estimator, settings, unet
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import RectifiedFlow, StochasticInterpolant
from girsanov.solvers import euler, grid, sample
from girsanov.training import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE, STD, STEPS = (1, 16, 16), 0.2, 25
TASKS: dict[str, tuple[Linear | None, float]] = {
    "noise": (None, 1.0),
    "4×4 means": (BlockDownsampling(SHAPE, 4), 0.1),
    "half hidden": (Inpainting((torch.arange(16) < 8).expand(SHAPE)), 0.1),
}
"""The operator of each task, and the standard deviation of the noise after it."""

METHODS = ("PMRF", "posterior", "from y", "estimate")
SHOWN = ("estimate", "PMRF", "posterior", "from y")

ERRORS = tuple(
    Claim(
        name=f"error, {task}",
        says=f"Its error is well below that of a flow that draws from the posterior ({task}).",
        source="Section 5.2",
        unit="mean squared error",
        against="posterior sampling",
        bar=Bar("<=", times=0.85),
    )
    for task in TASKS
)
REAL = Claim(
    name="as real",
    says="On every task its digits are as close to real ones as the posterior's.",
    source="Section 5.2",
    unit="largest ratio of Fréchet distances",
    against="posterior sampling",
    bar=Bar("<=", plus=1.1),
)
NAIVE = Claim(
    name="not from the degraded image",
    says="It has less error than a flow from the degraded image itself, at no larger Fréchet distance.",
    source="Section 5.2, flow from y",
    unit="tasks of three where both hold",
    bar=Bar(">=", plus=2),
)
FEW = Claim(
    name="few steps",
    says="Five Euler steps are as good as fifty.",
    source="Section 5.2",
    unit="largest ratio of Fréchet distances",
    against="50 steps",
    bar=Bar("<=", plus=1.3),
)
TWICE = Claim(
    name="at most twice",
    says="Its error is at most twice that of the estimator.",
    source="Freirich et al. (2021): MMSE + W₂² ≤ 2 MMSE",
    unit="largest ratio of errors",
    against="the estimator",
    bar=Bar("<=", plus=2.0),
)
NEVER = Claim(
    name="never below",
    says="Its error is never below that of the estimator.",
    source="Freirich et al. (2021): MMSE + W₂²",
    unit="least ratio of errors",
    against="the estimator",
    bar=Bar(">=", plus=1.0),
)


class Known(NamedTuple):
    """Digits (N, 1, 16, 16) in [-1, 1]: to train on, to restore, and to compare with."""

    x: Tensor
    label: Tensor
    truth: Tensor
    fresh: Tensor


@cache
def known() -> Known:
    """4,000 to train on; of 1,000 others 300 to restore."""
    x, label = data.mnist5k()
    x = avg_pool2d(pad(x, (2, 2, 2, 2), value=-1.0), 2)
    order = Noise(0).draw(torch.empty(len(x), 1, dtype=torch.float64), 0, uniform)[:, 0].argsort()
    x, label = x[order], label[order]
    return Known(x[:4000], label[:4000], x[4000:4300], x[4300:])


def degraded(x: Tensor, task: str, source: Noise) -> Tensor:
    """What is measured of x, as an image of its shape: A⁺(A x + noise)."""
    operator, std = TASKS[task]
    y = x if operator is None else operator(x)
    y = y + std * source.draw(y, 0)
    return y if operator is None else operator.pinv(y)


class Models(NamedTuple):
    """The estimator and the three flows."""

    estimate: nn.Module
    ours: PosteriorMeanFlow
    naive: PosteriorMeanFlow
    drawing: Denoiser


def trained(seed: int, steps: int) -> Models:
    """Each on all three tasks: row i is degraded by task i mod 3."""
    x = known().x
    kinds = [degraded(x, task, Noise(seed).child(i)) for i, task in enumerate(TASKS)]
    y = torch.stack(kinds, 1)[torch.arange(len(x)), torch.arange(len(x)) % 3]
    mean = estimator(x, y, seed=seed, steps=steps)
    between, noise = StochasticInterpolant(latent="none"), RectifiedFlow()
    ours, naive = (
        PosteriorMeanFlow(
            f, Denoiser(unet(1, seed), between, predicts="velocity", data_std=None, shape=SHAPE), STD
        )
        for f in (mean, lambda y: y)
    )
    drawing = Denoiser(networks.Beside(unet(2, seed)), noise, predicts="velocity", data_std=None)
    fit(ours.flow, ours.objective(), x, end=y, steps=steps, config=settings(seed))  # type: ignore[arg-type]
    fit(naive.flow, naive.objective(), x, end=y, steps=2 * steps, config=settings(seed))  # type: ignore[arg-type]
    fit(drawing, flow_matching(), x, cond=y, steps=2 * steps, config=settings(seed))
    return Models(mean, ours, naive, drawing)


def restored(models: Models, y: Tensor, seed: int) -> dict[str, Tensor]:
    """What each method makes of y."""
    plan = euler(RectifiedFlow(), grid("uniform", STEPS)).recast(models.drawing.stored)
    with torch.no_grad():
        mean = models.estimate(y)
    return {
        "estimate": mean,
        "PMRF": models.ours.restore(y, steps=STEPS, seed=seed),
        "from y": models.naive.restore(y, steps=STEPS, seed=seed),
        "posterior": sample(models.drawing, len(y), cond=y, plan=plan, seed=seed, shape=SHAPE),
        "5 steps": models.ours.restore(y, steps=5, seed=seed),
        "50 steps": models.ours.restore(y, steps=50, seed=seed),
    }


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    steps, n = budget.pick(smoke=2, cpu=600, paper=20_000), budget.pick(smoke=6, cpu=300)
    digit = known()
    judge = digits.classifier(digit.x, digit.label, steps=budget.pick(smoke=2, cpu=200), width=16)
    real = digits.features(judge, digit.fresh)
    for seed in budget.seeds:
        models, errors, far = trained(seed, steps), {}, {}
        for i, task in enumerate(TASKS):
            truth = digit.truth[:n]
            y = degraded(truth, task, Noise(seed).child(10 + i))
            found = {name: x.clamp(-1, 1) for name, x in restored(models, y, seed).items()}
            errors[task] = {name: float((x - truth).square().mean()) for name, x in found.items()}
            far[task] = {
                name: float(frechet_distance(digits.features(judge, x), real)) for name, x in found.items()
            }
            rows = {"given": y, **{name: found[name] for name in SHOWN}, "truth": truth}
            kept = {name: x[:5] for name, x in rows.items()}
            report.kept.setdefault("pictures", {}).setdefault(task, kept)
        judged(report, seed, errors, far)
    remark(report)
    return report


def remark(report: Report) -> None:
    """What the verdicts do not say: how good the baselines are."""
    kept = report.kept["errors"]

    def error(task: str, name: str) -> float:
        return sum(errors[task][name] for errors in kept) / len(kept)

    for claim, task in zip(ERRORS, TASKS, strict=True):
        bound = 2 * error(task, "estimate")
        report.note(claim, f"Exact draws have at most twice the error of the estimator, {bound:.4f}.")
    naive = ", ".join(f"{error(task, 'from y'):.4f} ({task})" for task in TASKS)
    report.note(NAIVE, f"The errors of the flow from the degraded image: {naive}.")


def judged(
    report: Report, seed: int, errors: dict[str, dict[str, float]], far: dict[str, dict[str, float]]
) -> None:
    """The claims, from errors and Fréchet distances by task and method."""
    report.kept.setdefault("errors", []).append(errors)
    report.kept.setdefault("far", []).append(far)
    for claim, task in zip(ERRORS, TASKS, strict=True):
        report.add(claim, seed, ours=errors[task]["PMRF"], baseline=errors[task]["posterior"])
    report.add(REAL, seed, ours=max(far[t]["PMRF"] / far[t]["posterior"] for t in TASKS))
    better = [errors[t]["PMRF"] < errors[t]["from y"] and far[t]["PMRF"] <= far[t]["from y"] for t in TASKS]
    report.add(NAIVE, seed, ours=sum(better))
    report.add(FEW, seed, ours=max(far[t]["5 steps"] / far[t]["50 steps"] for t in TASKS))
    ratios = [errors[t]["PMRF"] / errors[t]["estimate"] for t in TASKS]
    report.add(TWICE, seed, ours=max(ratios))
    report.add(NEVER, seed, ours=min(ratios))


def figure(report: Report) -> Figure:
    drawn, (*sheets, right) = canvas(report, panels=4, height=2.6, equal=(0, 1, 2))
    for i, (ax, (task, rows)) in enumerate(zip(sheets, report.kept["pictures"].items(), strict=True)):
        pictures(ax, rows.items(), columns=5)
        ax.set_title(task, fontsize=9)
        if i:
            ax.set_yticks([])
    colours = dict(zip(METHODS, PALETTE, strict=False))
    for task, mark in zip(TASKS, "os^", strict=True):
        for name, colour in colours.items():
            for errors, far in zip(report.kept["errors"], report.kept["far"], strict=True):
                right.plot(errors[task][name], far[task][name], mark, color=colour, ms=6, alpha=0.75)
    for name, colour in colours.items():
        right.plot([], [], "s", color=colour, label=name)
    for task, mark in zip(TASKS, "os^", strict=True):
        right.plot([], [], mark, color="#444", mfc="none", label=task)
    right.set_yscale("log")
    right.set_xlabel("mean squared error", fontsize=8.5)
    right.set_title("Fréchet distance to real digits", fontsize=9)
    handles, labels = right.get_legend_handles_labels()
    sheets[1].legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.04), fontsize=7.5, frameon=False, ncols=2
    )
    return drawn


PAPER = Paper(
    slug="pmrf",
    title="Posterior-mean rectified flow (Ohayon, Michaeli & Elad, 2024)",
    claims=(*ERRORS, REAL, NAIVE, FEW, TWICE, NEVER),
    run=run,
    figure=figure,
)
