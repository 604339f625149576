"""Solving diffusion ODEs with optimal boundary conditions for better super-resolution (Ma et al., 2023).

Idea: the deterministic sampler maps a start to an image; good starts are good for nearly every image, so one is
chosen on a few references and kept.
Stand-in: digits of 8×8 from their means over 2×2 pixels, a U-Net of 80,000 parameters that sees the bicubic
enlargement, for photographs and SR3 or StableSR; the features of a classifier of digits, of unit length, in place of
LPIPS. Whether one start generalizes, and whether it lets 20 calls do what 100 stochastic ones do, can be judged here;
the tables on DIV2K cannot. K = 256 and M = 16, as in `select_start`.
Source: arXiv 2305.15357.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.inverse import BlockDownsampling, FixedStart, select_start
from girsanov.noise import Noise
from girsanov.objectives import score_matching
from girsanov.papers import digits, restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP
from girsanov.solvers import ancestral, dpm_multistep, grid, sample
from girsanov.solvers.sampling import Sampler
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE, REFERENCES, CALLS = (1, 8, 8), 16, 20

GENERAL = Claim(
    name="generalizes",
    says="On fresh digits the chosen start is at least one standard deviation better than the mean start.",
    source="Section 3.2 and the tables of the experiments",
    unit="(mean over starts - chosen start) / standard deviation over starts, of the feature distance",
    bar=Bar(">=", plus=1.0),
)
AGREE = Claim(
    name="halves agree",
    says="Two disjoint halves of the references rank the candidates alike.",
    source="Section 3.2, the best start is nearly independent of the image",
    unit="rank correlation",
    bar=Bar(">=", plus=0.5),
)
FEW = Claim(
    name="20 calls suffice",
    says="20 calls from the chosen start are as near in features as 100 stochastic ones.",
    source="Tables of the experiments",
    unit="feature distance",
    against="ancestral sampling, 100 calls",
    bar=Bar("<=", times=1.0),
)


def run(budget: Budget) -> Report:
    from scipy.stats import spearmanr

    report = Report(PAPER, budget)
    fresh = digits.split().fresh[: budget.pick(smoke=6, cpu=120, paper=360)]
    for seed in budget.seeds:
        model = enlarger(seed, budget.pick(smoke=2, cpu=restoration.STEPS, paper=20_000))
        distance = partial(feature_distances, digits.reader(steps=budget.pick(smoke=2, cpu=400)))
        start = chosen(model, distance, seed, budget.pick(smoke=4, cpu=256))
        halves = start.distances[:, ::2].mean(1), start.distances[:, 1::2].mean(1)
        starts = VP().reference(
            torch.empty(budget.pick(smoke=3, cpu=40), *SHAPE), generator=Noise(seed).child(7)
        )
        found = {"chosen": draw(model, start, fresh, seed)}
        others = [draw(model, FixedStart(start.plan, x, start.distances[:0]), fresh, seed) for x in starts]
        noisy = ancestral(VP(), grid("uniform", budget.pick(smoke=6, cpu=100)))
        repeated = [draw(model, noisy, fresh, 10 * seed + i) for i in range(3)]
        ours = float(distance(found["chosen"], fresh).mean())
        means = torch.stack([distance(x, fresh).mean() for x in others])
        baseline = torch.stack([distance(x, fresh).mean() for x in repeated])
        report.add(GENERAL, seed, ours=(float(means.mean()) - ours) / float(means.std()))
        report.add(AGREE, seed, ours=float(spearmanr(*halves).statistic))
        report.add(FEW, seed, ours=ours, baseline=float(baseline.mean()))
        spread = torch.stack(repeated).std(0).mean()
        rows = {"enlarged": enlarged(fresh)} | found | {"another": others[0], "100 calls": repeated[0]}
        rows["truth"] = fresh
        report.kept.setdefault("pictures", {name: x[:6] for name, x in rows.items()})
        report.kept.setdefault("halves", halves)
        share = (start.distances.amax(1) / start.distances.sum(1)).median()
        report.kept.setdefault("worst", []).append(float(share))
        report.kept.setdefault("starts", []).append((ours, means, float(baseline.mean()), float(spread)))
    again = sum(one[3] for one in report.kept["starts"]) / len(report.kept["starts"])
    report.note(
        FEW, f"A second run differs by {again:.3f} a pixel with 100 stochastic calls, and by 0 with ours."
    )
    return report


def enlarged(x: Tensor) -> Tensor:
    """The means over 2×2 pixels, bicubically enlarged to the size they had."""
    return interpolate(BlockDownsampling(SHAPE, 2)(x), scale_factor=2, mode="bicubic")


def enlarger(seed: int, steps: int) -> Denoiser:
    """A denoiser of digits that is given the enlargement as `cond`."""
    x = digits.split().x
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.UNet(2, outputs=1, width=16, levels=(1, 2), blocks=1)
    model = Denoiser(networks.Beside(net), VP(), data_std=digits.DATA_STD)
    settings = Training(batch_size=64, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, score_matching(), x, cond=enlarged(x), steps=steps, config=settings)
    return model


def chosen(model: Denoiser, distance: partial[Tensor], seed: int, candidates: int) -> FixedStart:
    """The best of the candidates on 16 digits that the model was trained on."""
    order = torch.randperm(len(digits.split().x), generator=torch.Generator().manual_seed(seed))
    x = digits.split().x[order[:REFERENCES]]
    plan = dpm_multistep(VP(), grid("ddpm", CALLS)).recast(model.stored)
    return select_start(
        plan,
        model,
        enlarged(x),
        x,
        distance=distance,
        candidates=candidates,
        generator=Noise(seed).child(6),
    )


def draw(model: Denoiser, sampler: Sampler, fresh: Tensor, seed: int) -> Tensor:
    """Each digit restored from its enlargement."""
    return sample(model, len(fresh), cond=enlarged(fresh), plan=sampler, seed=seed, shape=SHAPE)


def feature_distances(reader: nn.Module, x: Tensor, truth: Tensor) -> Tensor:
    """The squared distance of unit features, (B,)."""
    a, b = (normalize(digits.features(reader, v.clamp(-1, 1))) for v in (x, truth))
    return (a - b).square().sum(1)


def figure(report: Report) -> Figure:
    drawn, (pictures, starts, agree) = canvas(report, panels=3, equal=(0,))
    restoration.show(pictures, report.kept["pictures"])
    pictures.set_xticks([])
    for i, (ours, means, noisy, _) in enumerate(report.kept["starts"]):
        starts.plot(means, i + torch.linspace(-0.15, 0.15, len(means)), ".", color=PALETTE[4], ms=4)
        starts.plot(ours, i, "D", color=PALETTE[0], ms=7, label="chosen start, 20 calls" if i == 0 else None)
        starts.plot(
            noisy, i, "|", color=PALETTE[1], ms=13, mew=2, label="stochastic, 100 calls" if i == 0 else None
        )
    starts.set_yticks(
        range(len(report.kept["starts"])), [f"seed {s}" for s in report.budget.seeds], fontsize=8
    )
    starts.set_ylim(-0.6, len(report.kept["starts"]) - 0.1)
    starts.set_title("feature distance on fresh digits, a dot a start", fontsize=9)
    starts.legend(fontsize=7.5, frameon=False, loc="upper right")
    agree.set_xscale("log")
    agree.set_yscale("log")
    agree.plot(*report.kept["halves"], "o", ms=3, alpha=0.6, color=PALETTE[0])
    agree.set_xlabel("mean over eight references", fontsize=8)
    agree.set_ylabel("over the eight others", fontsize=8)
    agree.set_title("feature distance of a candidate, seed 0", fontsize=9)
    return drawn


PAPER = Paper(
    slug="optimal-bc",
    title="Diffusion ODEs with optimal boundary conditions for super-resolution (Ma et al., 2023)",
    claims=(GENERAL, AGREE, FEW),
    run=run,
    figure=figure,
)
