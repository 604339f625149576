"""DiffEditor: regional SDE, regional guidance and time travel for edits of an image (Mou et al., 2024).

Idea: invert the image, and on the way back pull its features to where they belong, each energy inside its own region
alone; let noise in only where content may be new; take some steps again.
Stand-in: scenes of 24×24 pixels, a digit on a smooth texture, where the image with the digit moved is known exactly; an
unconditional U-Net of 222,000 parameters for Stable Diffusion, features of its two decoder levels. What is judged is
moving. Image prompts, dragging points and DragonBench cannot be judged here. The strength of the guidance and the start
(t = 0.8) were chosen on scenes of other seeds.
Baseline of the first claims: the digit's box is pasted in the new place, its old place filled with the mean of its rim,
and the seams are repaired by SDEdit from t = 0.3.
Source: arXiv 2402.02583.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.guidance import Editor, Regions, move
from girsanov.noise import Noise, uniform
from girsanov.papers import scenes
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.papers.scenes import DIGIT, SIDE, Scenes
from girsanov.solvers import ancestral
from girsanov.solvers import run as run_plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EDITOR = Editor(layers=("up.0.0", "up.1.0"), steps=50, start=0.8, scale=0.3, eta=0.4, repeat=3)

MOVES = Claim(
    name="moves",
    says="The digit arrives: the centroid is within 1.5 pixels of its new place in 80 % of the scenes.",
    source="Section 4, moving",
    unit="share of scenes",
    bar=Bar(">=", plus=0.8),
)
KEEPS = Claim(
    name="keeps the rest",
    says="Outside the two boxes nothing changes: the PSNR to the source is 28 dB or more.",
    source="Section 4, moving",
    unit="PSNR of the background, dB",
    bar=Bar(">=", plus=28.0),
)
CLEANER = Claim(
    name="cleaner than pasting",
    says="Pasting and SDEdit change the background 1.3 times as much.",
    source="Section 4, comparison",
    unit="root mean squared change of the background",
    against="paste, then SDEdit",
    bar=Bar("<=", times=1 / 1.3),
)
LOCAL = Claim(
    name="noise only in the edit",
    says="Noise everywhere changes the background twice as much.",
    source="Section 3.2, regional SDE",
    unit="mean squared change of the background",
    against="the same noise everywhere",
    bar=Bar("<=", times=0.5),
)
TRAVEL = Claim(
    name="time travel",
    says="Taking steps three times lowers the error of the edit by a tenth.",
    source="Section 3.3, time travel",
    unit="mean squared error in the boxes",
    against="every step once",
    bar=Bar("<=", times=0.9),
)
REGIONAL = Claim(
    name="each energy in its region",
    says="Gradients of all energies everywhere change the background more.",
    source="Section 3.2, regional gradient",
    unit="mean squared change of the background",
    against="the sum of the gradients",
    bar=Bar("<=", times=0.9),
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    n = budget.pick(smoke=2, cpu=48, paper=500)
    for seed in budget.seeds:
        size = budget.pick(smoke=40, cpu=6000, paper=60_000)
        model = scenes.model(seed, budget.pick(smoke=2, cpu=1200, paper=20_000), size)
        editor = replace(EDITOR, steps=budget.pick(smoke=5, cpu=50))
        scene = scenes.scenes(n, 200 + seed, fresh=True)
        corner = elsewhere(scene.corner, seed)
        regions = move(scenes.boxes(scene.corner), corner - scene.corner)
        whole = torch.ones_like(regions.where)
        summed = Regions(tuple(replace(part, mask=whole) for part in regions.parts), regions.where)
        ways = {
            "DiffEditor": (editor, regions),
            "noise everywhere": (editor, Regions(regions.parts, whole)),
            "no time travel": (replace(editor, repeat=1), regions),
            "summed gradients": (editor, summed),
        }
        found = {
            name: one(model, scene.image, plan, generator=Noise(seed)) for name, (one, plan) in ways.items()
        } | {"paste, SDEdit": pasted(model, scene, corner, seed)}
        judge(report, seed, scene, corner, found)
    return report


def judge(report: Report, seed: int, scene: Scenes, corner: Tensor, found: dict[str, Tensor]) -> None:
    """Score every way, and keep some pictures."""
    truth = scene.elsewhere(corner)
    edit = ((scenes.boxes(scene.corner) + scenes.boxes(corner)) > 0).float()[:, None]
    changed = {
        k: float(((x - scene.image).square() * (1 - edit)).sum() / (1 - edit).sum()) for k, x in found.items()
    }
    wrong = {k: float(((x - truth).square() * edit).sum() / edit.sum()) for k, x in found.items()}
    ours = found["DiffEditor"]
    arrived = (scenes.centre(ours) - scenes.centre(truth)).norm(dim=1) <= 1.5
    kept = changed["DiffEditor"]
    report.add(MOVES, seed, ours=float(arrived.float().mean()))
    report.add(KEEPS, seed, ours=10 * torch.log10(torch.tensor(4 / max(kept, 1e-12))).item())
    report.add(CLEANER, seed, ours=kept**0.5, baseline=changed["paste, SDEdit"] ** 0.5)
    report.add(LOCAL, seed, ours=kept, baseline=changed["noise everywhere"])
    report.add(TRAVEL, seed, ours=wrong["DiffEditor"], baseline=wrong["no time travel"])
    report.add(REGIONAL, seed, ours=kept, baseline=changed["summed gradients"])
    rows = {"source": scene.image, "truth": truth} | found
    report.kept.setdefault("pictures", {name: x[:8] for name, x in rows.items()})
    report.kept.setdefault("errors", []).append({name: (changed[name], wrong[name]) for name in found})


def elsewhere(corner: Tensor, seed: int) -> Tensor:
    """New corners, 5 to 10 pixels away along each axis where there is room."""
    u = Noise(seed).child(7).draw(torch.empty(len(corner), 2, dtype=torch.float64), 0, uniform)
    step = 5 + (u * 6).long()
    room = SIDE - DIGIT
    return torch.where(corner + step <= room, corner + step, (corner - step).clamp(min=0))


def pasted(model: Denoiser, scene: Scenes, corner: Tensor, seed: int) -> Tensor:
    """The box of the digit pasted, its old place filled with the mean of the rim, then SDEdit from t = 0.3."""
    image = scene.image.clone()
    for i, ((r, c), (row, column)) in enumerate(zip(scene.corner.tolist(), corner.tolist(), strict=True)):
        rim = scene.image[i, 0, max(r - 1, 0) : r + DIGIT + 1, max(c - 1, 0) : c + DIGIT + 1].clone()
        inner = scene.image[i, 0, r : r + DIGIT, c : c + DIGIT]
        mean = (rim.sum() - inner.sum()) / max(rim.numel() - inner.numel(), 1)
        image[i, 0, r : r + DIGIT, c : c + DIGIT] = mean
        image[i, 0, row : row + DIGIT, column : column + DIGIT] = inner
    process = model.process
    times = [0.3 * (1 - k / 15) for k in range(15)] + [0.0]
    x = process.alpha(0.3) * image + process.gamma(0.3) * Noise(seed).child(8).draw(image, 0)
    plan = ancestral(process, times).recast(model.stored)
    with torch.no_grad():
        return run_plan(plan, model, x, generator=Noise(seed).child(9))


def figure(report: Report) -> Figure:
    drawn, (left, right) = canvas(report, panels=2, equal=(0,))
    short = {"noise everywhere": "noise all over", "summed gradients": "summed pull"}
    pictures(left, [(short.get(name, name), x) for name, x in report.kept["pictures"].items()])
    kept = report.kept["errors"]
    for i, name in enumerate(kept[0]):
        for one in kept:
            changed, wrong = one[name]
            right.plot(changed, wrong, "o", color=PALETTE[i], label=name if one is kept[0] else None)
    right.set(
        xscale="log", xlabel="change of the background, mean square", ylabel="error in the boxes, mean square"
    )
    right.legend(frameon=False, fontsize=8)
    return drawn


PAPER = Paper(
    slug="diffeditor",
    title="DiffEditor: boosting accuracy and flexibility on diffusion-based image editing (Mou et al., 2024)",
    claims=(MOVES, KEEPS, CLEANER, LOCAL, TRAVEL, REGIONAL),
    run=run,
    figure=figure,
)
