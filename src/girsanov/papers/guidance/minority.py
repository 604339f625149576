"""Don't play favorites: minority guidance for diffusion models (Um, Lee & Ye, 2024).

Idea: a denoiser brings rare samples back as common ones, so how far a sample comes back tells how rare it is; that
score, cut into classes, is something to guide to.
Stand-in: a mixture in eight dimensions, of which two parts hold 7 and 3 of 100 samples, with its exact denoiser and
density, and a trained classifier of noisy samples with ten classes; for CelebA, LSUN and brain scans with LPIPS as the
distance and 100 classes. Whether the score ranks by density, and what guidance finds, can be judged exactly here; that
its distances are those that people see cannot.
Choice: t* = 0.6, 5 draws and w = 3.5 are the authors'. Temperature τ multiplies all noise of the sampler; the one that is
as far out as the guided samples is found by bisection.
Source: arXiv 2301.12334.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.classifier import NoisyClassifier
from girsanov.denoiser import AbstractDenoiser
from girsanov.exact import GaussianMixture
from girsanov.guidance import classifier, minority_classes, minority_score
from girsanov.metrics import average_knn, precision_recall
from girsanov.noise import Noise
from girsanov.objectives import classification
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.papers.plots import pictures
from girsanov.processes import VP
from girsanov.solvers import Plan, ancestral, grid, sample
from girsanov.solvers.plan import INITIAL, NOISE
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROCESS, CLASSES, SCALE, NEIGHBOURS = VP(), 10, 3.5, 5

WHY_PRECISION = (
    "What is rare is imprecise by this measure, because its neighbours among the data are few and their balls seldom "
    "meet; real samples of the rare are no better. It is"
)

RANKS = Claim(
    name="ranks by density",
    says="The minority score ranks samples as -log p does.",
    source="Section 3.1, and figure 2",
    unit="Spearman correlation with -log p",
    bar=Bar(">=", plus=0.6),
)
BETTER = Claim(
    name="better than the loss",
    says="It does so better than the denoising loss at t = 0.1.",
    source="Section 3.1",
    unit="Spearman correlation with -log p",
    bar=Bar(">=", times=1.0),
    against="the denoising loss",
)
FINDS = Claim(
    name="finds the rare",
    says="Guided to the top class, four times as many samples come from the two rare parts.",
    source="Section 3.2",
    unit="share of samples from the rare parts",
    bar=Bar(">=", times=4.0),
    against="ancestral sampling",
)
LONELY = Claim(
    name="further out",
    says="Guided samples lie further from their neighbours among the data.",
    source="Table 1, and figure 4",
    unit="mean distance to the 5 nearest of 5,000",
    bar=Bar(">=", times=1.3),
    against="ancestral sampling",
)
QUALITY = Claim(
    name="quality kept",
    says="They are as precise, to a tenth.",
    source="Table 1",
    unit="precision, k = 5",
    bar=Bar(">=", times=0.9),
    against="ancestral sampling",
)
COLDER = Claim(
    name="better than heat",
    says="Sampling hot enough to lie as far out is less precise.",
    source="Table 1, against temperature sampling",
    unit="precision, k = 5",
    bar=Bar(">=", times=1.0),
    against="the temperature with the same distance",
)


def law() -> GaussianMixture:
    """Three round parts of width 1/2, two units from the middle, with 90, 7 and 3 of 100 samples."""
    means = Noise(0).draw(torch.empty(3, 8, dtype=torch.float64), 0)
    means = 2 * means / means.norm(dim=1, keepdim=True)
    return GaussianMixture(means, 0.25, [0.9, 0.07, 0.03])


def hot(plan: Plan, temperature: float) -> Plan:
    """The plan with all its noise, that of the start too, times the temperature."""
    rows = tuple(
        row._replace(
            terms=tuple(
                term._replace(coefficient=term.coefficient * temperature)
                if term.source in (NOISE, INITIAL)
                else term
                for term in row.terms
            )
        )
        for row in plan.rows
    )
    return replace(plan, rows=rows, name=f"{plan.name}, temperature {temperature:g}")


def fitted(x: Tensor, label: Tensor, seed: int, steps: int) -> NoisyClassifier:
    """A classifier of noisy samples for the minority classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(x.shape[1], hidden=64, depth=2, outputs=CLASSES)
    found = NoisyClassifier(net, PROCESS, data_std=float(x.std()))
    settings = Training(
        batch_size=256, lr=2e-3, weight_decay=0.05, ema=0.99, validation=0, seed=seed, progress=False
    )
    fit(found, classification(), x, cond=label, steps=steps, config=settings)
    return found


def denoising_loss(model: AbstractDenoiser, x: Tensor, seed: int, draws: int = 5) -> Tensor:
    """|E[z | x_t] - z|² at t = 0.1, (N,)."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for i in range(draws):
        noisy, z = PROCESS.perturb(x, 0.1, generator=Noise(seed).child(i))
        total += (model.noise(noisy, 0.1) - z).square().sum(1)
    return total / draws


def spearman(a: Tensor, b: Tensor) -> float:
    ranks = torch.stack([v.argsort().argsort().double() for v in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


def rare(x: Tensor) -> float:
    """The share of points that come from the two rare parts, as their mean posterior probability."""
    joint, _, _ = law().log_joint(x.double(), 1.0, 0.0)
    return float(torch.softmax(joint, 1)[:, 1:].sum(1).mean())


def as_far(
    draw: Callable[[float], Tensor], far: Callable[[Tensor], float], target: float
) -> tuple[float, Tensor]:
    """The temperature at which samples lie as far out as `target`, by bisection, and those samples."""
    low, high = 1.0, 3.0
    for _ in range(10):
        middle = (low + high) / 2
        x = draw(middle)
        low, high = (middle, high) if far(x) < target else (low, middle)
    return middle, x


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        ranking(report, seed)
        guidance(report, seed)
    x, _ = data.digits()
    x = x[: budget.pick(smoke=60, cpu=1500)]
    prior = GaussianMixture(*data.digits_mixture()).denoiser(PROCESS)
    order = minority_score(prior, x, generator=Noise(0)).argsort()
    report.kept["digits"] = x[order[:24]], x[order[-24:]]
    return report


def ranking(report: Report, seed: int) -> None:
    model = law().denoiser(PROCESS)
    x = law().sample(report.budget.pick(smoke=100, cpu=5000), generator=Noise(seed))
    score, loss, surprise = (
        minority_score(model, x, generator=Noise(seed + 100)),
        denoising_loss(model, x, seed + 200),
        -law().log_prob(x),
    )
    report.add(RANKS, seed, ours=spearman(score, surprise))
    report.add(BETTER, seed, ours=spearman(score, surprise), baseline=spearman(loss, surprise))
    report.kept.setdefault(
        "ranking", (surprise, score, law().sample_labelled(len(x), generator=Noise(seed))[1])
    )


def guidance(report: Report, seed: int) -> None:
    budget, model = report.budget, law().denoiser(PROCESS)
    n, steps = budget.pick(smoke=30, cpu=2000), budget.pick(smoke=4, cpu=50)
    x = law().sample(budget.pick(smoke=100, cpu=5000), generator=Noise(seed)).float()
    label = minority_classes(minority_score(model, x, generator=Noise(seed + 100)), CLASSES)
    guide = fitted(x, label, seed, budget.pick(smoke=2, cpu=2000))
    plan = ancestral(PROCESS, grid("ddpm", steps))
    real = law().sample(n, generator=Noise(seed + 300))

    def far(found: Tensor) -> float:
        return float(average_knn(found, x, NEIGHBOURS).mean())

    def precise(found: Tensor) -> float:
        return precision_recall(found.double(), real, NEIGHBOURS).precision

    def draw(temperature: float) -> Tensor:
        return sample(model, n, plan=hot(plan, temperature), seed=seed)

    plain = sample(model, n, plan=plan, seed=seed)
    guided = sample(classifier(model, guide, SCALE), n, cond=CLASSES - 1, plan=plan, seed=seed)
    warm = draw(1.1)
    temperature, heated = as_far(draw, far, far(guided))
    report.add(FINDS, seed, ours=rare(guided), baseline=rare(plain))
    report.add(LONELY, seed, ours=far(guided), baseline=far(plain))
    report.add(QUALITY, seed, ours=precise(guided), baseline=precise(plain))
    report.add(COLDER, seed, ours=precise(guided), baseline=precise(heated))
    told = f"At temperature 1.1 the share is {rare(warm):.3g} and the precision {precise(warm):.3g}"
    report.note(FINDS, f"{told}, on the last seed.")
    report.note(
        QUALITY,
        f"{WHY_PRECISION} {precise(x[label == CLASSES - 1]):.3g} for the top class of the data, on the last seed.",
    )
    report.note(COLDER, f"That temperature is {temperature:.3g} on the last seed.")
    if "samples" not in report.kept:
        levels = [
            sample(classifier(model, guide, SCALE), n, cond=k, plan=plan, seed=seed) for k in range(CLASSES)
        ]
        heat = [draw(t) for t in (1.0, 1.1, 1.2, 1.4, 1.7)]
        report.kept["samples"] = x, guided, heated
        report.kept["levels"] = [(far(v), precise(v)) for v in levels], [(far(v), precise(v)) for v in heat]


def figure(report: Report) -> Figure:
    drawing, (sheet, ranks, plane, trade) = canvas(report, panels=4, height=3.3, equal=(0,))
    usual, unusual = report.kept["digits"]
    rows = [("common", part) for part in usual.split(6)] + [("rare", part) for part in unusual.split(6)]
    pictures(sheet, rows, columns=6)
    sheet.set_title("digits, by their score", fontsize=9)
    surprise, score, part = report.kept["ranking"]
    for k, name in enumerate(("90 of 100", "7", "3")):
        mine = part == k
        ranks.scatter(surprise[mine], score[mine], s=2, linewidths=0, color=PALETTE[(4, 0, 1)[k]], label=name)
    ranks.set_xlabel("-log p, nats", fontsize=8)
    ranks.set_title("minority score", fontsize=9)
    ranks.legend(fontsize=7, frameon=False, markerscale=3, loc="upper left")
    means = law().means
    axes = torch.linalg.qr((means[1:] - means[0]).T).Q
    x, guided, heated = ((v.double() - means[0]) @ axes for v in report.kept["samples"])
    for k, (name, v) in enumerate((("data", x), ("guided", guided), ("hot, as far out", heated))):
        plane.scatter(
            v[:700, 0], v[:700, 1], s=3, linewidths=0, color=PALETTE[(4, 0, 1)[k]], alpha=0.6, label=name
        )
    plane.set_title("the plane of the three parts", fontsize=9)
    plane.set_xticks([])
    plane.set_yticks([])
    plane.legend(fontsize=7, frameon=False, markerscale=3)
    for k, (name, curve) in enumerate(
        zip(("guided, class 1 to 10", "temperature 1 to 1.7"), report.kept["levels"], strict=True)
    ):
        distance, precision = zip(*curve, strict=True)
        trade.plot(distance, precision, "o-", markersize=4, color=PALETTE[k], label=name)
    trade.set_xlabel("mean distance to 5 neighbours", fontsize=8)
    trade.set_title("precision", fontsize=9)
    trade.legend(fontsize=7, frameon=False)
    return drawing


PAPER = Paper(
    slug="minority",
    title="Don't play favorites: minority guidance for diffusion models (Um, Lee & Ye, 2024)",
    claims=(RANKS, BETTER, FINDS, LONELY, QUALITY, COLDER),
    run=run,
    figure=figure,
)
