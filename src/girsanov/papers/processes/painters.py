"""Diffusion models generate images like painters (Wang & Vastola, 2023; arXiv 2303.02490).

Idea: early in sampling the noise hides all but the mean and covariance of the data, so the trajectory follows
the flow of a Gaussian, which has a closed form (`solvers.analytic`). It is nearly flat, paints the outline
first, weighs early changes most, and its first steps can be skipped.
Stand-in: a small U-Net on 8×8 digits under VP, for Stable Diffusion and models of CIFAR-10 and faces. The
feature distance is the Fréchet distance in the last layer of a classifier of digits, for FID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser
from girsanov.metrics import emergence_times, frechet_distance, planarity
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, digits
from girsanov.papers.plots import pictures
from girsanov.processes import VP
from girsanov.solvers import GaussianFlow, grid, heun, run, trajectory

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

STEPS = 30
"""Heun steps, uniform in time, of the trajectories that are looked at."""

WHEN = (1.0, 0.8, 0.6, 0.4, 0.2)
"""The times of the changes, early first."""

CHANGE = 0.5
"""Their size, in units of the state."""


def relative_error(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|/|b| at each time, mean over trajectories, (T,)."""
    return ((a - b).flatten(2).norm(dim=2) / b.flatten(2).norm(dim=2)).mean(0)


def run_paper(budget: Budget) -> Report:
    """One trained model a seed."""
    report, process = Report(PAPER, budget), VP()
    flow = GaussianFlow.of(digits.split().x, process)
    times = grid("uniform", budget.pick(smoke=8, cpu=STEPS), to_zero=False).times(process)
    reader = digits.reader(steps=budget.pick(smoke=2, cpu=400))
    for seed in budget.seeds:
        model = digits.model(process, seed=seed, steps=budget.pick(smoke=3, cpu=digits.STEPS)).eval()
        x = process.reference_std * Noise(seed).draw(torch.empty(budget.pick(smoke=16, cpu=256), 1, 8, 8), 0)
        with torch.no_grad():
            path = trajectory(heun(process, times), model, x)
            shape(report, seed, model, path, times)
            follows(report, seed, flow, path, times)
            skipping(report, seed, model, reader)
            changes(report, seed, model, x[: budget.pick(smoke=2, cpu=24)], times)
            if seed == budget.seeds[0]:
                pictured(report, model, flow, path[:1], times)
    explain(report)
    return report


def shape(report: Report, seed: int, model: AbstractDenoiser, path: Tensor, times: tuple[float, ...]) -> None:
    """How flat trajectories are, and when each principal component of the data appears."""
    forward = VP().simulate(path[:, -1], torch.tensor(times).flip(0), generator=Noise(seed).child(1))
    report.add(PLANAR, seed, ours=float(planarity(path).mean()), baseline=float(planarity(forward).mean()))
    flow = GaussianFlow.of(digits.split().x, VP())
    kept = int((flow.variances.cumsum(0) < 0.95 * flow.variances.sum()).sum()) + 1
    answers = torch.stack([model.data(path[:, i], t) for i, t in enumerate(times)], 1)
    when = emergence_times(answers, torch.tensor(times), flow.axes[:kept])
    report.add(OUTLINE, seed, ours=float(spearmanr(flow.variances[:kept], when).statistic))
    report.kept.setdefault("emergence", (flow.variances[:kept], when))


def follows(report: Report, seed: int, flow: GaussianFlow, path: Tensor, times: tuple[float, ...]) -> None:
    """The network's trajectory against the closed form, early and late."""
    process, top = flow.process, float(flow.variances[0].sqrt())
    early = [i for i, t in enumerate(times) if process.gamma(t) >= 2 * top * process.alpha(t)]
    error = relative_error(flow.trajectory(path[:, 0], times), path)
    round_one = GaussianFlow(flow.law.mean, float(flow.variances.mean()), process)
    isotropic = relative_error(round_one.trajectory(path[:, 0], times), path)
    report.add(EARLY, seed, ours=float(error[early].max()), baseline=float(isotropic[early].max()))
    report.add(DEPARTS, seed, ours=float(error[-1]), baseline=float(error[early[-1]]))
    report.kept.setdefault("follows", (times, error, isotropic, times[early[-1]]))


def skipping(report: Report, seed: int, model: AbstractDenoiser, reader: nn.Module) -> None:
    """Heun on EDM's grid, whole and begun where the closed form is 5 % off; for the notes also earlier."""
    process, budget, flow = VP(), report.budget, GaussianFlow.of(digits.split().x, VP())
    times, data = grid("karras", budget.pick(smoke=6, cpu=18)).times(process), digits.split()
    n, steps = budget.pick(smoke=80, cpu=1000), len(times) - 1
    x = process.reference_std * Noise(seed).child(2).draw(torch.empty(n, 1, 8, 8), 0)
    whole = trajectory(heun(process, times), model, x)
    error = relative_error(flow.trajectory(x, times[:-1]), whole[:, :-1])
    skipped = max(int((error <= 0.05).long().cumprod(0).sum()) - 1, 1)
    real = digits.features(reader, torch.cat([data.x, data.fresh]))

    def distance(y: Tensor) -> float:
        return float(frechet_distance(digits.features(reader, y), real))

    tried = (max(steps // 3, 1), max(skipped - 1, 1), skipped)
    found = [distance(flow.skip_to(heun(process, times[k:]))(model, x)) for k in tried]
    full = distance(whole[:, -1])
    report.add(SAVED, seed, ours=skipped / steps)
    report.add(FREE, seed, ours=found[-1], baseline=full)
    report.kept.setdefault("skip", times[skipped])
    for k, value in zip(("third", "one less"), zip(tried, found)):
        report.kept.setdefault(k, []).append((value[0] / steps, float(error[value[0]]), value[1] / full))
    # Stein's identity: over Gaussian noise, the mean of d(u·sample)/d(u·noise) is their covariance.
    axes = flow.axes[flow.variances > 1].flatten(1)
    noise, ends = ((y.flatten(1).double() @ axes.T) for y in (x, whole[:, -1]))
    stein = ((noise - noise.mean(0)) * ends).mean(0) / flow.variances[flow.variances > 1].sqrt()
    report.kept.setdefault("stein", []).append(stein)


def effects(model: AbstractDenoiser, x: Tensor, axes: Tensor, times: tuple[float, ...]) -> Tensor:
    """How far a change along an axis moves the sample along it, for each unit, (len(WHEN), K, B)."""
    path, found = trajectory(heun(VP(), times), model, x), list[Tensor]()
    for i in nearest(times):
        moved = (path[:, i] + CHANGE * axes[:, None]).flatten(0, 1)
        ends = run(heun(VP(), times[i:]), model, moved).reshape(len(axes), len(x), -1)
        found.append(torch.einsum("kbd,kd->kb", ends - path[:, -1].flatten(1), axes.flatten(1)) / CHANGE)
    return torch.stack(found).double()


def nearest(times: tuple[float, ...]) -> list[int]:
    """Where in times the moments WHEN are."""
    return [min(range(len(times)), key=lambda i: abs(times[i] - t)) for t in WHEN]


def changes(report: Report, seed: int, model: AbstractDenoiser, x: Tensor, times: tuple[float, ...]) -> None:
    """Change the state along each component at several times, and see how far the sample moves along it.

    For the notes also with the exact answers of a Gaussian and of ten, in place of the network.
    """
    process, flow = VP(), GaussianFlow.of(digits.split().x, VP())
    large = flow.variances > 1
    formula = torch.stack([flow.factors(times[i], times[-1])[large] for i in nearest(times)])
    laws = {
        "network": model,
        "Gaussian": flow.law.denoiser(process),
        "classes": digits.gaussians().denoiser(process),
    }
    for name, one in laws.items():
        y = x if name == "network" else x.double()
        found = effects(one, y, flow.axes[large].to(y.dtype), times)
        off = float((found.mean(2) / formula - 1).abs().max())
        if name == "network":
            report.add(FORMULA, seed, ours=off)
            report.add(MONOTONE, seed, ours=float((found.mean(2).diff(dim=0) < 0).double().mean()))
            report.kept.setdefault("changes", ([times[i] for i in nearest(times)], found.mean(2), formula))
            report.kept.setdefault("effects", []).append((found, formula))
        else:
            report.kept.setdefault(name, []).append(off)


def explain(report: Report) -> None:
    """What the same run measured beside the claims."""
    kept = report.kept
    third, less = (torch.tensor(kept[name]).mean(0).tolist() for name in ("third", "one less"))
    report.note(
        FREE,
        f"It depends on where one stops. With {less[0]:.0%} of the steps skipped, where the closed form "
        f"is {less[1]:.1%} off, the distance is {less[2]:.3f} × that of all steps in the mean of seeds; with "
        f"{third[0]:.0%}, {third[2]:.3f} ×.",
    )
    found, formula = kept["effects"][0][0].mean(2), kept["effects"][0][1]
    first = torch.stack([a.mean(2)[0] / b[0] for a, b in kept["effects"]])
    report.note(
        FORMULA,
        "The digits are not one Gaussian. With exact answers in place of the network the largest deviation is "
        f"{max(kept['Gaussian']):.3f} for the Gaussian of the digits and {min(kept['classes']):.2f} or more for ten "
        "Gaussians, one a digit. At t = 1 Stein's identity gives the mean effect without any change: the covariance "
        f"of noise and sample is {float(torch.stack(kept['stein']).mean()):.2f} of the formula in the mean, and the "
        f"effect found there {float(first.mean()):.2f}.",
    )
    rises = [(a[:-1] - a[1:], b[:-1] - b[1:]) for a, b in kept["effects"]]
    rise, seed = min((float(a.mean(2).min()), i) for i, (a, _) in enumerate(rises))
    if rise < 0:
        pair, k = divmod(int(rises[seed][0].mean(2).argmin()), found.shape[1])
        spread = float(rises[seed][0][pair, k].std() / rises[seed][0].shape[2] ** 0.5)
        variance = float(GaussianFlow.of(digits.split().x, VP()).variances[k])
        report.note(
            MONOTONE,
            f"The worst pair, t = {WHEN[pair]:g} and {WHEN[pair + 1]:g} along the component of variance {variance:.2f}, "
            f"falls by {-rise:.4f} ± {spread:.4f} where the formula rises by {float(rises[seed][1][pair, k]):.4f} of "
            f"{float(formula[pair, k]):.2f}.",
        )


def pictured(
    report: Report, model: AbstractDenoiser, flow: GaussianFlow, path: Tensor, times: tuple[float, ...]
) -> None:
    """The answers along one trajectory, of the network and of the Gaussian."""
    gaussian, states = flow.law.denoiser(flow.process), flow.trajectory(path[:, 0], times)
    chosen = [round(f * (len(times) - 1)) for f in (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    report.kept["pictures"] = [
        (
            f"t = {times[i]:.2f}",
            torch.cat([model.data(path[:, i], times[i]), gaussian.data(states[:, i], times[i])]),
        )
        for i in chosen
    ]


def figure(report: Report) -> Figure:
    """The picture as it is painted, the error of the closed form, emergence, and the effect of changes."""
    drawing, (painted, error, emergence, effect) = canvas(report, panels=4, equal=(0,))
    kept, process = report.kept, VP()
    pictures(painted, kept["pictures"], columns=2)
    painted.set(title="answers: network, Gaussian")
    times, found, isotropic, early = kept["follows"]
    error.plot(times, found, color=PALETTE[0], label="Gaussian")
    error.plot(times, isotropic, color=PALETTE[1], label="isotropic Gaussian")
    error.axvline(early, color=PALETTE[4], ls=":", label="early phase ends")
    error.axvline(kept["skip"], color=PALETTE[2], ls="--", label="skipped to")
    error.set(xlabel="t", xlim=(1, 0), ylim=(0, 1), title="relative error of the closed form")
    variances, when = kept["emergence"]
    emergence.semilogx(variances, when, "o", color=PALETTE[0], markersize=4, label="network")
    expected = [process.time_at(-0.5 * float(v.log())) for v in variances]
    emergence.semilogx(variances, expected, color=PALETTE[1], label="Gaussian")
    emergence.set(xlabel="variance of the component", title="time of emergence")
    moments, moved, formula = kept["changes"]
    for k, colour in zip((0, moved.shape[1] // 2, moved.shape[1] - 1), PALETTE, strict=False):
        effect.plot(moments, moved[:, k], "o", color=colour, label=f"component {k + 1}")
        effect.plot(moments, formula[:, k], color=colour)
    effect.set(xlabel="time of the change", xlim=(1.05, 0), title="effect on the sample (line: formula)")
    for ax in (painted, error, emergence, effect):
        ax.title.set_fontsize(9.5)
    for ax in (error, emergence, effect):
        ax.legend(fontsize=7, frameon=False)
    return drawing


PAPER = Paper(
    slug="painters",
    title="Diffusion models generate images like painters (Wang & Vastola, 2023)",
    claims=(PLANAR, EARLY, DEPARTS, OUTLINE, SAVED, FREE, FORMULA, MONOTONE),
    run=run_paper,
    figure=figure,
)
