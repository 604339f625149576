"""Image inpainting via tractable steering of diffusion models (Liu, Niepert & Van den Broeck, 2024).

Idea: a probabilistic circuit answers exactly what a part of a picture says of the rest; let it correct the denoiser while
noise is high, where one prediction does not see the whole.
Stand-in: 8×8 digits at eight grey levels and a U-Net of 80,000 parameters, for faces and rooms at 256 pixels with a VQ-GAN; a
hidden Chow–Liu tree over pixels with 16 states for their circuits over codes. Left half, upper half and the outer columns
are hidden. RePaint is their base sampler; DDNM stands in for CoPaint, which is not built here. When steering stops and
its weight are chosen on training digits. Feature distances are those of a small classifier. What steering does for
coherence and what it costs can be judged here; the table of seven masks with LPIPS cannot.
Source: arXiv 2401.03349.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from girsanov.denoiser import Denoiser
from girsanov.inverse import (
    DDNM,
    CircuitSteering,
    HiddenChowLiuTree,
    Inpainting,
    Measurement,
    PosteriorSampler,
    RePaint,
    fit_tree,
    grey_levels,
    posterior,
)
from girsanov.noise import Noise
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = 8

OFTEN = Claim(
    name="more coherent",
    says="Steering lowers the distance to the truth on five of six pairs of a mask and a sampler.",
    source="Table 1",
    unit="pairs of six",
    bar=Bar(">=", plus=5),
)
CLOSER = Claim(
    name="closer",
    says="In the mean it lowers the distance by a twentieth.",
    source="Table 1",
    unit="feature distance to the truth",
    against="the samplers unsteered",
    bar=Bar("<=", times=0.95),
)
LABELS = Claim(
    name="the right digit",
    says="Three more of a hundred restorations are read as the digit they are of.",
    source="Figure 4, coherence",
    unit="share read right",
    against="the samplers unsteered",
    bar=Bar(">=", times=1, plus=0.03),
)
CHEAP = Claim(
    name="cheap",
    says="Steering costs at most a quarter more time.",
    source="Section 5, runtime",
    unit="processor seconds over those unsteered",
    bar=Bar("<=", plus=1.25),
)
ALONE = Claim(
    name="not the circuit alone",
    says="Draws of the circuit alone are further away.",
    source="Section 5, ablation",
    unit="feature distance to the truth",
    against="the circuit alone",
    bar=Bar("<=", times=1.0),
)


def masks() -> dict[str, Inpainting]:
    """What is hidden."""
    left, top, outside = torch.ones(1, 8, 8), torch.ones(1, 8, 8), torch.zeros(1, 8, 8)
    left[..., :4], top[:, :4], outside[..., 2:6] = 0, 0, 1
    return {
        "left half": Inpainting(left),
        "upper half": Inpainting(top),
        "outer columns": Inpainting(outside),
    }


@cache
def circuit(seed: int, steps: int) -> HiddenChowLiuTree:
    """Fitted to the training digits."""
    x = grey_levels(digits.split().x, LEVELS)
    return fit_tree(x, LEVELS, hidden=16, steps=steps, generator=Noise(seed))


def samplers(levels: int) -> dict[str, PosteriorSampler]:
    """The base samplers, some 95 and 50 calls."""
    return {"RePaint": RePaint(levels, jump=5, repeats=2), "DDNM": DDNM(levels)}


def restored(
    model: Denoiser, m: Measurement, sampler: PosteriorSampler, n: int, seed: int
) -> tuple[Tensor, float]:
    """n draws of each, (B·n, 1, 8, 8), and seconds."""
    began = time.process_time()
    x = posterior(model, m, n, sampler=sampler, batch_size=400, seed=seed).x
    return x.flatten(0, 1).clamp(-1, 1), time.process_time() - began


def distance(reader: nn.Module, x: Tensor, truth: Tensor) -> float:
    """The mean distance of features; draws come in equal runs for each truth."""
    n = len(x) // len(truth)
    near = digits.features(reader, truth).repeat_interleave(n, 0)
    return float((digits.features(reader, x) - near).norm(dim=1).mean())


def tuned(model: Denoiser, base: CircuitSteering, reader: nn.Module, seed: int, n: int) -> CircuitSteering:
    """When to stop and the denoiser's weight, by RePaint on training digits whose left half is hidden."""
    truth = digits.split().x[:n]
    m = Measurement.of(masks()["left half"], truth)

    def error(steering: CircuitSteering) -> float:
        return distance(reader, restored(model, m, steering, 2, seed)[0], truth)

    candidates = [replace(base, floor=b, until=u) for b, u in product((0.3, 0.8), (0.2, 0.5))]
    return min(candidates, key=error)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    n, draws, levels = budget.pick(smoke=(2, 1, 3), cpu=(100, 3, 50))
    known = digits.split()
    truth, label = known.fresh[:n], known.fresh_label[:n].repeat_interleave(draws)
    reader = digits.reader(steps=budget.pick(smoke=2, cpu=400))
    for seed in budget.seeds:
        model = digits.model(VP(), seed=seed, steps=budget.pick(smoke=2, cpu=800))
        tree = circuit(seed, budget.pick(smoke=1, cpu=60))
        bases = samplers(levels)
        first = CircuitSteering(bases["RePaint"], tree, data_std=digits.DATA_STD)
        chosen = tuned(model, first, reader, seed, budget.pick(smoke=1, cpu=60))
        rows: dict[str, list[float]] = {
            name: [] for name in ("plain", "steered", "alone", "right", "left", "time")
        }
        for task, operator in masks().items():
            m = Measurement.of(operator, truth)
            known_levels = torch.where(operator.known.flatten(), grey_levels(truth, LEVELS), -1)
            alone = tree.sample(known_levels.repeat_interleave(draws, 0), Noise(seed).child(3))
            alone = (2 * alone / (LEVELS - 1) - 1).reshape(-1, 1, 8, 8).float()
            rows["alone"] += [distance(reader, alone, truth)] * len(bases)
            kept = {"truth": truth[:6], "circuit alone": alone[:: max(draws, 1)][:6]}
            for name, sampler in bases.items():
                plain, cost = restored(model, m, sampler, draws, seed)
                steered, more = restored(model, m, replace(chosen, sampler=sampler), draws, seed)
                rows["plain"].append(distance(reader, plain, truth))
                rows["steered"].append(distance(reader, steered, truth))
                rows["left"].append(digits.accuracy(reader, plain, label))
                rows["right"].append(digits.accuracy(reader, steered, label))
                rows["time"].append(more / cost)
                kept |= {name: plain[::draws][:6], f"{name}, steered": steered[::draws][:6]}
            report.kept.setdefault("pictures", {}).setdefault(task, kept)
        judged(report, seed, rows)
        report.note(OFTEN, f"seed {seed}: b = {chosen.floor:g}, steered down to t = {chosen.until:g}.")
    return report


def judged(report: Report, seed: int, rows: dict[str, list[float]]) -> None:
    """The claims of a seed."""
    size = len(rows["plain"])
    means = {name: sum(values) / size for name, values in rows.items()}
    report.add(OFTEN, seed, ours=sum(a < b for a, b in zip(rows["steered"], rows["plain"], strict=True)))
    report.add(CLOSER, seed, ours=means["steered"], baseline=means["plain"])
    report.add(LABELS, seed, ours=means["right"], baseline=means["left"])
    report.add(CHEAP, seed, ours=means["time"])
    report.add(ALONE, seed, ours=means["steered"], baseline=means["alone"])
    report.kept.setdefault("rows", []).append(rows)


def figure(report: Report) -> Figure:
    drawn, (*sheets, right) = canvas(report, panels=4, height=3.0, equal=(0, 1, 2))
    for i, (ax, (task, kept)) in enumerate(zip(sheets, report.kept["pictures"].items(), strict=True)):
        pictures(ax, [(name.replace(", steered", " +"), x) for name, x in kept.items()], columns=6)
        ax.set_title(task, fontsize=9)
        if i:
            ax.set_yticks([])
    for one in report.kept["rows"]:
        for k, (a, b) in enumerate(zip(one["plain"], one["steered"], strict=True)):
            right.plot(a, b, "os"[k % 2], color=PALETTE[k // 2], ms=6, alpha=0.8)
    low, high = right.get_xlim()
    right.plot([low, high], [low, high], color="0.6", lw=0.8)
    for k, task in enumerate(report.kept["pictures"]):
        right.plot([], [], "o", color=PALETTE[k], label=task)
    for mark, name in zip("os", ("RePaint", "DDNM"), strict=True):
        right.plot([], [], mark, color="0.4", mfc="none", label=name)
    right.set_xlabel("feature distance, unsteered", fontsize=8.5)
    right.set_title("steered (+)", fontsize=9)
    right.legend(fontsize=7, frameon=False)
    return drawn


PAPER = Paper(
    slug="tiramisu",
    title="Image inpainting via tractable steering of diffusion models (Liu, Niepert & Van den Broeck, 2024)",
    claims=(OFTEN, CLOSER, LABELS, CHEAP, ALONE),
    run=run,
    figure=figure,
)
