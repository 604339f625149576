"""From posterior sampling to meaningful diversity in image restoration (Cohen, Manor, Bahat & Michaeli, 2024).

Idea: the posterior's bulk gives near copies. Move the draws of one measurement apart while they are made, and few of them
outline what is possible.
Stand-in: the mixture fitted to 8×8 digits with its exact denoiser; digits drawn from it whose lower or right half is
hidden, so that posterior probabilities of the labels are known; a small classifier for labels. DDNM with 50 steps on the
uniform grid and five draws. Strength and radius are chosen on other digits: the most diverse of which nearly as many are
likely as of plain draws, of which only half are: DDNM's draws are no posterior draws. User studies and perceptual metrics cannot be judged here.
Source: arXiv 2310.16047.
"""

from __future__ import annotations

import time
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.inverse import DDNM, Apart, Inpainting, Measurement, furthest_points, posterior
from girsanov.noise import Noise
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.plots import pictures
from girsanov.papers.posteriors import model
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.solvers import grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N, MANY = 5, 100
"""Draws of a measurement, and those among which the furthest are looked for."""

DIVERSE = Claim(
    name="more diverse",
    says="Five draws are 1.4 times as far from their nearest neighbours, over the hidden pixels.",
    source="Table 1",
    unit="mean distance to the nearest of the others",
    against="plain DDNM",
    bar=Bar(">=", times=1.4),
)
CONSISTENT = Claim(
    name="as consistent",
    says="The known pixels are met as well.",
    source="Table 1",
    unit="root mean squared error of the known pixels",
    bar=Bar("<=", plus=1e-3),
)
CHEAP = Claim(
    name="cheap",
    says="Moving draws apart costs little time.",
    source="Section 5",
    unit="processor seconds over those of plain DDNM",
    bar=Bar("<=", plus=1.1),
)
RARE = Claim(
    name="covers rare answers",
    says="Five draws show 1.3 times as many digits.",
    source="Figure 1",
    unit="labels among five draws",
    against="plain DDNM",
    bar=Bar(">=", times=1.3),
)
FURTHEST = Claim(
    name="near the furthest of a hundred",
    says="They show 80 % of the labels of the five furthest among 100 draws.",
    source="Section 4",
    unit="labels among five draws",
    against="furthest points of 100 plain draws",
    bar=Bar(">=", times=0.8),
)
LIKELY = Claim(
    name="still digits",
    says="95 % of them are likelier than the least likely hundredth of prior draws.",
    source="Section 5, quality",
    unit="share of draws",
    bar=Bar(">=", plus=0.95),
)


@cache
def floor() -> float:
    """The hundredth of prior draws' log-densities."""
    law = model().law
    return float(law.log_prob(law.sample(10_000, generator=Noise(0))).quantile(0.01))


def operators() -> dict[str, Inpainting]:
    """Lower and right halves hidden."""
    lower, right = torch.ones(1, 8, 8), torch.ones(1, 8, 8)
    lower[:, 4:], right[..., 4:] = 0, 0
    return {"lower half": Inpainting(lower), "right half": Inpainting(right)}


def restored(m: Measurement, n: int, apart: Apart | None, seed: int, steps: int) -> tuple[Tensor, float]:
    """Draws (B, n, 1, 8, 8) and seconds."""
    sampler = DDNM(apart=apart, grid=grid("uniform", steps, start=0.999))
    began = time.process_time()
    x = posterior(model(), m, n, sampler=sampler, batch_size=1000, seed=seed).x
    return x, time.process_time() - began


def nearest(x: Tensor, operator: Inpainting) -> float:
    """The mean distance of a draw to the nearest other, over hidden pixels."""
    hidden = x.flatten(2)[..., ~operator.known.flatten()]
    far = torch.cdist(hidden, hidden)
    far.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return float(far.min(2).values.mean())


def likely(x: Tensor) -> float:
    """The share of draws above the floor."""
    return float((model().law.log_prob(x.flatten(0, 1).double()) > floor()).double().mean())


def labels(x: Tensor, reader: torch.nn.Module) -> float:
    """The mean number of digits that are read among the draws of a measurement."""
    read = reader(x.flatten(0, 1).float(), torch.zeros(x.shape[0] * x.shape[1])).argmax(1)
    return sum(len(row.unique()) for row in read.reshape(x.shape[:2])) / len(x)


@cache
def tuned(steps: int, n: int) -> Apart:
    """The most diverse of the candidates that keep 97 % of what is likely of plain draws."""

    def scored(apart: Apart) -> tuple[float, float]:
        found, share = 0.0, 0.0
        for operator in operators().values():
            truth = model().law.sample(n, generator=Noise(1000)).float()
            x, _ = restored(Measurement.of(operator, truth), N, apart, 1000, steps)
            found, share = found + nearest(x, operator), share + likely(x)
        return found, share

    plain = Apart(0.0)
    some = [plain, *(Apart(a, d) for a, d in product((0.1, 0.2, 0.4, 0.8), (0.4, 0.7, 10.0)))]
    scores = {one: scored(one) for one in some}
    return max(
        (one for one in some if scores[one][1] >= 0.97 * scores[plain][1]), key=lambda one: scores[one][0]
    )


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    n, many, steps = budget.pick(smoke=(2, 6, 4), cpu=(100, MANY, 50))
    reader = digits.reader(steps=budget.pick(smoke=2, cpu=400))
    apart = tuned(steps, budget.pick(smoke=2, cpu=40))
    for seed in budget.seeds:
        found: dict[str, list[float]] = {claim.name: [] for claim in PAPER.claims}
        plain: dict[str, list[float]] = {claim.name: [] for claim in PAPER.claims}
        for task, operator in operators().items():
            truth = model().law.sample(n, generator=Noise(seed).child(1)).float()
            m = Measurement.of(operator, truth)
            x, seconds = restored(m, N, apart, seed, steps)
            y, least = restored(m, N, None, seed, steps)
            wide, _ = restored(m[: n // 2], many, None, seed + 100, steps)
            furthest = torch.stack([row[furthest_points(row, N)] for row in wide])
            found[DIVERSE.name].append(nearest(x, operator))
            plain[DIVERSE.name].append(nearest(y, operator))
            left = m.repeat(N).residual(x.flatten(0, 1))
            found[CONSISTENT.name].append(float(left.square().mean().sqrt()))
            found[CHEAP.name].append(seconds / least)
            found[RARE.name].append(labels(x, reader))
            plain[RARE.name].append(labels(y, reader))
            found[FURTHEST.name].append(labels(x[: n // 2], reader))
            plain[FURTHEST.name].append(labels(furthest, reader))
            found[LIKELY.name].append(likely(x))
            report.kept.setdefault("likely plain", []).append(likely(y))
            rows = {"truth": truth[:4, None], "plain": y[:4], "apart": x[:4]}
            report.kept.setdefault("pictures", {}).setdefault(task, rows)
        for claim in PAPER.claims:
            ours, theirs = found[claim.name], plain[claim.name]
            baseline = {"baseline": sum(theirs) / 2} if theirs else {}
            report.add(claim, seed, ours=sum(ours) / 2, **baseline)
        report.kept.setdefault("labels", []).append(
            (plain[RARE.name], found[RARE.name], plain[FURTHEST.name])
        )
    share = report.kept["likely plain"]
    report.note(LIKELY, f"Of plain DDNM's draws it is {sum(share) / len(share):.2f}.")
    report.note(DIVERSE, f"η = {apart.strength:g} and D = {apart.radius:g} were chosen.")
    return report


def figure(report: Report) -> Figure:
    drawn, (*sheets, right) = canvas(report, panels=3, equal=(0, 1))
    for ax, (task, kept) in zip(sheets, report.kept["pictures"].items(), strict=True):
        rows = []
        for i in range(len(kept["truth"])):
            blank = torch.ones_like(kept["plain"][i][:1])
            rows.append(
                ("plain | apart", torch.cat([kept["truth"][i], kept["plain"][i], blank, kept["apart"][i]]))
            )
        pictures(ax, rows, columns=2 + 2 * N)
        ax.set_title(f"{task} hidden: truth, plain draws, draws apart", fontsize=9)
        ax.set_yticks([])
    for k in range(3):
        values = [sum(one[k]) / 2 for one in report.kept["labels"]]
        right.bar(k, sum(values) / len(values), color=PALETTE[k], alpha=0.35)
        right.plot([k] * len(values), values, "o", ms=5, color=PALETTE[k])
    right.set_xticks(range(3), ["plain", "apart", "furthest\nof 100"], fontsize=8)
    right.set_title("digits read among five draws", fontsize=9)
    return drawn


PAPER = Paper(
    slug="meaningful-diversity",
    title="From posterior sampling to meaningful diversity in image restoration (Cohen et al., 2024)",
    claims=(DIVERSE, CONSISTENT, CHEAP, RARE, FURTHEST, LIKELY),
    run=run,
    figure=figure,
)
