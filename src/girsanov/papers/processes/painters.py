"""Diffusion models generate images like painters (Wang & Vastola, 2023; arXiv 2303.02490).

Idea: early in sampling the noise hides all but the mean and covariance of the data, so the trajectory follows
the flow of a Gaussian, which has a closed form (`solvers.analytic`). It is nearly flat, paints the outline
first, weighs early changes most, and its first steps can be skipped.
Stand-in: a small U-Net on 8×8 digits under VP, for Stable Diffusion and models of CIFAR-10 and faces. The
feature distance is the Fréchet distance in the last layer of a classifier of digits, for FID.
Run time at the budget `cpu`: training three models, then about two minutes.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser
from girsanov.metrics import emergence_times, frechet_distance, planarity
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, digits
from girsanov.processes import VP
from girsanov.solvers import GaussianFlow, Row, grid, heun, run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLANAR = Claim(
    name="planar",
    says="A sampling trajectory lies in a plane, up to a few percent of its variance.",
    source="section 2",
    unit="share of the variance in the best plane, mean over trajectories",
    bar=Bar(">=", plus=0.97),
    against="paths of the forward process at the same times",
)
EARLY = Claim(
    name="early phase",
    says="While the noise is at least twice the data's largest deviation, the network follows the Gaussian flow.",
    source="section 4",
    unit="largest relative error of the state",
    bar=Bar("<=", plus=0.10),
    against="the flow of an isotropic Gaussian",
)
DEPARTS = Claim(
    name="late phase",
    says="After that the network departs from the Gaussian flow.",
    source="section 4",
    unit="relative error of the state at the end",
    bar=Bar(">=", times=1.0),
    against="relative error at the end of the early phase",
)
OUTLINE = Claim(
    name="outline first",
    says="Directions of large variance appear first.",
    source="section 3",
    unit="rank correlation of variance and time of emergence, components with 95 % of the variance",
    bar=Bar(">=", plus=0.9),
)
SAVED = Claim(
    name="steps saved",
    says="A large part of Heun's 18 steps can be replaced by the closed form, up to an error of 5 % there.",
    source="section 5",
    unit="share of steps",
    bar=Bar(">=", plus=0.30),
)
FREE = Claim(
    name="skipping is free",
    says="The samples are as good without these steps.",
    source="section 5",
    unit="feature distance to the data",
    bar=Bar("<=", times=1.03),
    against="all 18 steps from the same noise",
)
FORMULA = Claim(
    name="size of a change",
    says="A change at time t along a component with λ > 1 moves the sample by √(λ/(α²λ + γ²)) times its size.",
    source="section 3",
    unit="largest relative deviation from the formula",
    bar=Bar("<=", plus=0.10),
)
MONOTONE = Claim(
    name="early changes matter more",
    says="Along components with λ > 1, the earlier the change the more it moves the sample.",
    source="section 3",
    unit="share of pairs of neighbouring times in that order",
    bar=Bar(">=", plus=1.0),
)

NOTES = {
    "skipping is free": "Nearly free: 61 % of the steps are skipped at an error of 5 %, and "
    "the distance rises by a tenth in the mean of seeds.",
    "size of a change": "The effect has the formula's shape in time and is smaller (right panel): digits are not "
    "Gaussian, and a change is partly undone once the digit is decided. With the exact Gaussian denoiser the formula "
    "holds to 3 % (tests).",
    "early changes matter more": "One pair of 60 is out of order; between the earliest times the formula is flat to a "
    "percent.",
}
"""What was seen beside the verdicts of the runs that ship."""

STEPS = 30
"""Heun steps, uniform in time, of the trajectories that are looked at."""

WHEN = (1.0, 0.8, 0.6, 0.4, 0.2)
"""The times of the changes, early first."""

CHANGE = 0.5
"""Their size, in units of the state."""


@torch.no_grad()
def trajectory(model: AbstractDenoiser, x: Tensor, times: tuple[float, ...]) -> Tensor:
    """The states of Heun's method at all times, (B, T, *shape)."""
    path: list[Tensor] = []

    def keep(row: Row, state: Tensor) -> Tensor:
        path.append(state)
        return state

    run(heun(VP(), times), model, x, edit=keep)
    return torch.stack(path, 1)


def closed(flow: GaussianFlow, x: Tensor, times: tuple[float, ...]) -> Tensor:
    """The same by the closed form."""
    return torch.stack([flow.solution(x, t) for t in times], 1)


def relative_error(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|/|b| at each time, mean over trajectories, (T,)."""
    return ((a - b).flatten(2).norm(dim=2) / b.flatten(2).norm(dim=2)).mean(0)


def features(reader: nn.Module, x: Tensor) -> Tensor:
    """The last layer of the classifier before its answer, (B, 64)."""
    body = copy.deepcopy(reader)
    body.head = nn.Identity()
    with torch.no_grad():
        return torch.cat([body(part, torch.zeros(len(part))) for part in x.split(512)])


def run_paper(budget: Budget) -> Report:
    """One trained model a seed."""
    report, process = Report(PAPER, budget), VP()
    data = digits.split()
    flow = GaussianFlow.of(data.x, process)
    steps = budget.pick(smoke=8, cpu=STEPS)
    times = grid("uniform", steps, to_zero=False).times(process)
    for seed in budget.seeds:
        model = digits.model(process, seed=seed, steps=budget.pick(smoke=3, cpu=digits.STEPS))
        model.eval()
        x = process.reference_std * Noise(seed).draw(torch.empty(budget.pick(smoke=16, cpu=256), 1, 8, 8), 0)
        path = trajectory(model, x, times)
        shape(report, seed, model, path, times)
        error = follows(report, seed, flow, path, times)
        skipping(report, seed, model, flow, budget)
        changes(report, seed, model, flow, x[: budget.pick(smoke=2, cpu=24)], times)
        if seed == budget.seeds[0]:
            pictures(report, model, flow, path[:1], times, error)
    for claim in PAPER.claims:
        if claim.name in NOTES:
            report.note(claim, NOTES[claim.name])
    return report


def shape(report: Report, seed: int, model: AbstractDenoiser, path: Tensor, times: tuple[float, ...]) -> None:
    """How flat trajectories are, and when each principal component of the data appears."""
    forward = VP().simulate(path[:, -1], torch.tensor(times).flip(0), generator=Noise(seed).child(1))
    report.add(PLANAR, seed, ours=float(planarity(path).mean()), baseline=float(planarity(forward).mean()))
    flow = GaussianFlow.of(digits.split().x, VP())
    share = flow.variances.cumsum(0) / flow.variances.sum()
    kept = int((share < 0.95).sum()) + 1
    with torch.no_grad():
        answers = torch.stack([model.data(path[:, i], t) for i, t in enumerate(times)], 1)
    when = emergence_times(answers, torch.tensor(times), flow.axes[:kept])
    report.add(OUTLINE, seed, ours=float(spearmanr(flow.variances[:kept], when).statistic))
    report.kept.setdefault("emergence", (flow.variances[:kept], when))


def follows(report: Report, seed: int, flow: GaussianFlow, path: Tensor, times: tuple[float, ...]) -> Tensor:
    """The network's trajectory against the closed form, early and late."""
    process, top = flow.process, float(flow.variances[0].sqrt())
    early = [i for i, t in enumerate(times) if process.gamma(t) >= 2 * top * process.alpha(t)]
    error = relative_error(closed(flow, path[:, 0], times), path)
    round_one = GaussianFlow(flow.law.mean, float(flow.variances.mean()), process)
    isotropic = relative_error(closed(round_one, path[:, 0], times), path)
    report.add(EARLY, seed, ours=float(error[early].max()), baseline=float(isotropic[early].max()))
    report.add(DEPARTS, seed, ours=float(error[-1]), baseline=float(error[early[-1]]))
    report.kept.setdefault("isotropic", isotropic)
    report.kept.setdefault("early", times[early[-1]])
    return error


def skipping(report: Report, seed: int, model: AbstractDenoiser, flow: GaussianFlow, budget: Budget) -> None:
    """Heun on EDM's grid, whole and begun where the closed form is 5 % off."""
    process, n = flow.process, budget.pick(smoke=80, cpu=1000)
    times = grid("karras", budget.pick(smoke=6, cpu=18)).times(process)
    x = process.reference_std * Noise(seed).child(2).draw(torch.empty(n, 1, 8, 8), 0)
    error = relative_error(
        closed(flow, x[:256], times[:-1]), trajectory(model, x[:256], times)[:, : len(times) - 1]
    )
    skipped = max(int((error <= 0.05).long().cumprod(0).sum()) - 1, 1)
    report.add(SAVED, seed, ours=skipped / (len(times) - 1))
    report.kept.setdefault("skip", times[skipped])
    data = digits.split()
    reader = digits.reader(steps=budget.pick(smoke=2, cpu=400))
    real = features(reader, torch.cat([data.x, data.fresh]))
    with torch.no_grad():
        whole = heun(process, times)(model, x)
        rest = flow.skip_to(heun(process, times[skipped:]))(model, x)
    distance = [float(frechet_distance(features(reader, y), real)) for y in (rest, whole)]
    report.add(FREE, seed, ours=distance[0], baseline=distance[1])


def changes(
    report: Report,
    seed: int,
    model: AbstractDenoiser,
    flow: GaussianFlow,
    x: Tensor,
    times: tuple[float, ...],
) -> None:
    """Change the state along each component at several times, and see how far the sample moves along it."""
    large = flow.variances > 1
    axes, process = flow.axes[large].to(x.dtype), flow.process
    rows = []
    for t in WHEN:
        start = min(times, key=lambda s: abs(s - t))
        rest = times[times.index(start) :]
        state = x if len(rest) == len(times) else trajectory(model, x, times)[:, times.index(start)]
        moved = (state + CHANGE * axes[:, None]).flatten(0, 1)
        with torch.no_grad():
            ends = run(heun(process, rest), model, torch.cat([state, moved]))
        apart = ends[len(x) :].reshape(len(axes), len(x), -1) - ends[: len(x)].flatten(1)
        measured = torch.einsum("kbd,kd->kb", apart, axes.flatten(1)).mean(1) / CHANGE
        rows.append((start, measured.double(), flow.factors(start, times[-1])[large]))
    found, formula = torch.stack([r[1] for r in rows]), torch.stack([r[2] for r in rows])
    report.add(FORMULA, seed, ours=float((found / formula - 1).abs().max()))
    report.add(MONOTONE, seed, ours=float((found[:-1] > found[1:]).double().mean()))
    report.kept.setdefault("changes", ([r[0] for r in rows], found, formula))


@torch.no_grad()
def pictures(
    report: Report,
    model: AbstractDenoiser,
    flow: GaussianFlow,
    path: Tensor,
    times: tuple[float, ...],
    error: Tensor,
) -> None:
    """The answers along one trajectory, of the network and of the Gaussian."""
    gaussian, states = flow.law.denoiser(flow.process), closed(flow, path[:, 0], times)
    chosen = [round(f * (len(times) - 1)) for f in (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    rows = [
        [model.data(path[:, i], times[i])[0, 0] for i in chosen],
        [gaussian.data(states[:, i], times[i])[0, 0] for i in chosen],
    ]
    report.kept["sheet"] = torch.cat([torch.cat(row, 1) for row in rows])
    report.kept["shown"], report.kept["times"], report.kept["error"] = (
        [times[i] for i in chosen],
        times,
        error,
    )


def figure(report: Report) -> Figure:
    """The picture as it is painted, the error of the closed form, emergence, and the effect of changes."""
    drawing, axes = canvas(report, panels=4, equal=(0,))
    kept, process = report.kept, VP()
    sheet = kept["sheet"]
    axes[0].imshow(torch.cat([sheet[:, :32], sheet[:, 32:]]), cmap="gray_r", vmin=-1, vmax=1)
    for i, name in enumerate(("network", "Gaussian", "network", "Gaussian")):
        axes[0].text(-1, 8 * i + 3.5, name, ha="right", va="center", fontsize=7.5)
    axes[0].set(title="answers from t = 1 to 0")
    axes[1].plot(kept["times"], kept["error"], color=PALETTE[0], label="Gaussian")
    axes[1].plot(kept["times"], kept["isotropic"], color=PALETTE[1], label="isotropic Gaussian")
    axes[1].axvline(kept["early"], color=PALETTE[4], ls=":", label="early phase ends")
    axes[1].axvline(kept["skip"], color=PALETTE[2], ls="--", label="skipped to")
    axes[1].set(xlabel="t", xlim=(1, 0), ylim=(0, 1), title="relative error of the closed form")
    variances, when = kept["emergence"]
    axes[2].semilogx(variances, when, "o", color=PALETTE[0], markersize=4, label="network")
    expected = [process.time_at(-0.5 * float(v.log())) for v in variances]
    axes[2].semilogx(variances, expected, color=PALETTE[1], label="Gaussian")
    axes[2].set(xlabel="variance of the component", title="time of emergence")
    when_changed, found, formula = kept["changes"]
    for k, colour in zip((0, found.shape[1] // 2, found.shape[1] - 1), PALETTE, strict=False):
        axes[3].plot(when_changed, found[:, k], "o", color=colour, label=f"component {k + 1}")
        axes[3].plot(when_changed, formula[:, k], color=colour)
    axes[3].set(xlabel="time of the change", xlim=(1.05, 0), title="effect on the sample (line: formula)")
    for ax in axes[1:]:
        ax.title.set_fontsize(9.5)
        ax.legend(fontsize=7, frameon=False)
    return drawing


PAPER = Paper(
    slug="painters",
    title="Diffusion models generate images like painters (Wang & Vastola, 2023)",
    claims=(PLANAR, EARLY, DEPARTS, OUTLINE, SAVED, FREE, FORMULA, MONOTONE),
    run=run_paper,
    figure=figure,
)
