"""Denoising MCMC for accelerating diffusion-based generative models (Kim & Ye, 2022; arXiv 2209.14593).

Idea: let Markov chains walk over noisy samples and their noise level together, close to the data, and denoise
from where they are: a few calls a sample, for any reverse integrator.
Stand-in: a small U-Net on 8×8 digits and a trained classifier of 1,000 noise levels, for CIFAR-10. The distance
is that of Fréchet in the features of a digit classifier, as FID is, to the training digits: the gain of each
integrator can be judged, FID cannot. The chains themselves are judged on 25 unequal Gaussians in the plane
with the exact score and the exact classifier.
A sample costs skip + the plan's calls; the start of the chains and their burn-in are beside that, as in the
paper, and the note says what they add. η lies in the paper's range and was not tuned on the digits, as the paper
does for each integrator; for the modes, η and the levels were chosen on another seed (100).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from girsanov import networks
from girsanov.classifier import NoisyClassifier
from girsanov.exact import GaussianMixture, LevelClassifier
from girsanov.metrics import frechet_distance
from girsanov.montecarlo import DenoisingMCMC, Drawn, LangevinGibbs
from girsanov.objectives import classification
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, digits
from girsanov.processes import EDM, Interpolant
from girsanov.solvers import Plan, PlanBuilder, grid, sample, solver
from girsanov.solvers.grids import Times, resolve
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SNR, LEVELS = 0.16, 1000
STEP, SKIP = 0.2, 6
BURN_IN, CHAINS = 20, 50

WHY_MODES = (
    "1,200 transitions are few for a chain here: on seed 0 the standard error of a mode's share, from chain to "
    "chain, is 16 % in the median and up to 39 %. And the outskirts are visited too often: the corners have 1.34 "
    "times their weight, the nine inner modes 0.75 times."
)

ACCELERATES = Claim(
    name="integrators",
    says="At 11 or 12 calls a sample, chains cut the distance to 0.8 times or less for 4 of 5 integrators.",
    source="Table 1, CIFAR-10: all six integrators gain",
    paper="FID 3.86 at about 10 calls",
    unit="integrators with a ratio of at most 0.8, of 5",
    bar=Bar(">=", plus=4),
)
HARMLESS = Claim(
    name="worst integrator",
    says="Chains harm no integrator.",
    source="Table 1, CIFAR-10",
    unit="largest ratio of distances, with chains to without",
    bar=Bar("<=", plus=1.1),
)
COVERS = Claim(
    name="modes",
    says="64 chains of 200 emissions visit all of 25 modes as often as their weights ask.",
    source="Section 3, and figure 2",
    unit="largest |share/weight - 1| of a mode",
    bar=Bar("<=", plus=0.4),
)
NEAR = Claim(
    name="small noise",
    says="The emitted states have little noise.",
    source="Section 3.1, chains stay near the data",
    unit="median emitted σ/σ_max, digits",
    bar=Bar("<=", plus=0.05),
)


def predictor_corrector(process: Interpolant, times: Times) -> Plan:
    """Reverse diffusion after one Langevin step of fixed size 2 (snr γ)²: two calls a step, and a plan.

    The size from norms of the batch, as Song et al. (2021) have it, would tie the samples to each other.
    """
    plan = PlanBuilder(process, name="predictor-corrector", source="arXiv 2011.13456")
    nodes = resolve(times, process)
    x = plan.start
    for s, t in pairwise(nodes):
        x, now = plan.call(x, s)
        size = 2 * (SNR * process.gamma(s)) ** 2
        x = x + size * now.score + math.sqrt(2 * size) * plan.noise()
        x, now = plan.call(x, s, stage=True)
        forward = process.transition(t, s)
        x = x + forward.std**2 * now.score + forward.std * plan.noise() if t > 0 else now.data
    return plan.finish(x, nodes[-1])


INTEGRATORS: dict[str, tuple[Callable[[Interpolant, Times], Plan], int, int]] = {
    "Euler–Maruyama": (solver("euler-maruyama"), 12, 6),
    "predictor–corrector": (predictor_corrector, 6, 3),
    "Heun": (solver("heun"), 6, 3),
    "churned Heun": (solver("edm-churn"), 6, 3),
    "2M": (solver("dpm-multistep"), 12, 6),
}
"""Each with its steps from pure noise, and after six transitions of a chain: 11 or 12 calls either way."""


def plan_from(make: Callable, process: Interpolant, steps: int, start: float = 1.0) -> Plan:
    plan: Plan = make(process, grid("karras", steps, start=start))
    return plan


@cache
def level_classifier(process: Interpolant, *, seed: int, steps: int) -> NoisyClassifier:
    """A classifier of the noise level of digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.Classifier(1, LEVELS, width=16)
    found = NoisyClassifier(net, process, predicts="level", data_std=digits.DATA_STD)
    settings = Training(batch_size=128, lr=3e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(found, classification(), digits.split().x, steps=steps, config=settings)
    return found


@torch.no_grad()
def features(net: nn.Module, x: Tensor) -> Tensor:
    """What the digit classifier's last layer sees, (N, 64)."""
    seen: list[Tensor] = []
    head = net.get_submodule("head")
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for part in x.split(256):
        net(part, torch.zeros(len(part)))
    hook.remove()
    return torch.cat(seen)


def on_digits(report: Report, seed: int) -> dict[str, tuple[float, float]]:
    """Distances with and without chains, for each integrator."""
    budget, process = report.budget, EDM()
    model = digits.model(process, seed=seed, steps=budget.pick(smoke=3, cpu=digits.STEPS))
    levels = level_classifier(process, seed=seed, steps=budget.pick(smoke=3, cpu=1000))
    reader = digits.reader(seed=seed, steps=budget.pick(smoke=2, cpu=400))
    truth, n = features(reader, digits.split().x), budget.pick(smoke=40, cpu=2000)
    kernel, chains = LangevinGibbs(model, levels, STEP), budget.pick(smoke=10, cpu=CHAINS)
    found, drawn = {}, None
    for name, (make, whole, part) in INTEGRATORS.items():
        walk = DenoisingMCMC(kernel, partial(plan_from, make, process, part), SKIP)
        drawn = walk.sample(n, chains=chains, burn_in=budget.pick(smoke=2, cpu=BURN_IN), seed=seed)
        plain = sample(model, n, plan=plan_from(make, process, whole).recast(model.stored), seed=seed)
        ours, theirs = (float(frechet_distance(features(reader, x), truth)) for x in (drawn.x, plain))
        found[name] = ours, theirs
        if name == "Heun":
            report.kept.setdefault("digits", (plain[:40], drawn.x[:40]))
    assert drawn is not None
    report.kept.setdefault("emitted", []).append(float(drawn.sigma.median()) / process.gamma(1.0))
    report.kept.setdefault("calls", []).append(drawn.calls)
    return found


def modes() -> GaussianMixture:
    """25 Gaussians on a square lattice, with weights from 1 to 3."""
    axis = torch.linspace(-4, 4, 5)
    return GaussianMixture(torch.cartesian_prod(axis, axis), 0.01, 1 + torch.arange(25) * 7 % 25 / 12)


def on_modes(report: Report, seed: int) -> tuple[Drawn, Tensor]:
    """Samples of 64 chains, and the share of each mode."""
    law, process = modes(), EDM(0.1, 5.0)
    kernel = LangevinGibbs(law.denoiser(process), LevelClassifier(law, process, levels=100), 0.1)
    walk = DenoisingMCMC(kernel, partial(plan_from, solver("heun"), process, 6), SKIP)
    drawn = walk.sample(64 * report.budget.pick(smoke=2, cpu=200), burn_in=BURN_IN, seed=seed)
    nearest = torch.cdist(drawn.x.double(), law.means).argmin(1)
    return drawn, torch.bincount(nearest, minlength=25) / len(nearest)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    table = report.kept["table"] = []
    for seed in budget.seeds:
        found = on_digits(report, seed)
        table.append(found)
        ratios = {name: ours / theirs for name, (ours, theirs) in found.items()}
        report.add(ACCELERATES, seed, ours=sum(ratio <= 0.8 for ratio in ratios.values()))
        report.add(HARMLESS, seed, ours=max(ratios.values()))
        drawn, share = on_modes(report, seed)
        weights = modes().weights
        report.add(COVERS, seed, ours=float((share / weights - 1).abs().max()))
        report.add(NEAR, seed, ours=report.kept["emitted"][-1])
        report.note(NEAR, f"On the 25 modes, with σ_max = 5, it is {float(drawn.sigma.median()) / 5:.2g}.")
        report.kept.setdefault("modes", (drawn, share))
    averages = {name: [average([found[name][k] for found in table]) for k in (0, 1)] for name in INTEGRATORS}
    told = ", ".join(f"{name} {a:.3g} against {b:.3g}" for name, (a, b) in averages.items())
    report.note(ACCELERATES, f"Mean distances with and without chains: {told}.")
    report.note(
        HARMLESS, f"With the start of the chains a sample costs {average(report.kept['calls']):.3g} calls."
    )
    return report


def average(values: list[float]) -> float:
    return sum(values) / len(values)


def figure(report: Report) -> Figure:
    drawing, (plane, bars, shares, pictures) = canvas(report, panels=4, height=3.0, equal=(0, 3))
    drawn, share = report.kept["modes"]
    path = drawn.x[drawn.chain < 3].reshape(-1, 3, 2)[:60]
    plane.scatter(drawn.x[:4000, 0], drawn.x[:4000, 1], s=1, color="#bbbbbb", linewidths=0)
    for k in range(3):
        plane.plot(path[:, k, 0], path[:, k, 1], "o-", ms=2, lw=0.7, color=PALETTE[k], alpha=0.8)
    plane.set_title("25 modes, three chains' samples", fontsize=9)
    for k, label in ((1, "from pure noise"), (0, "from chains")):
        found = torch.tensor([[row[name][k] for name in INTEGRATORS] for row in report.kept["table"]])
        place = torch.arange(len(INTEGRATORS)) + (0.2 if k else -0.2)
        bars.barh(place, found.mean(0), 0.38, color=PALETTE[k], label=label)
        bars.hlines(place, found.min(0).values, found.max(0).values, color="black", lw=1)
    bars.set_yticks(range(len(INTEGRATORS)), list(INTEGRATORS), fontsize=7)
    bars.invert_yaxis()
    bars.set_xscale("log")
    bars.set_title("distance at 11 or 12 calls, digits", fontsize=9)
    bars.legend(fontsize=7, frameon=False)
    weights = modes().weights
    shares.plot([0, 0.07], [0, 0.07], color="#999999", lw=0.8)
    shares.plot(weights, share, "o", ms=4, color=PALETTE[0])
    shares.set_xlabel("weight of a mode", fontsize=8)
    shares.set_title("share of the samples", fontsize=9)
    sheets = [
        torch.cat([torch.cat(list(x[8 * r : 8 * r + 8, 0]), 1) for r in range(5)])
        for x in report.kept["digits"]
    ]
    blank = torch.ones(4, sheets[0].shape[1]) if sheets[0].numel() else torch.ones(4, 1)
    pictures.imshow(torch.cat([sheets[0], blank, sheets[1]]).clamp(-1, 1), cmap="gray_r", vmin=-1, vmax=1)
    pictures.set_title("Heun, 11 calls: noise above, chains below", fontsize=9)
    return drawing


PAPER = Paper(
    slug="dmcmc",
    title="Denoising MCMC for accelerating diffusion-based generative models (Kim & Ye, 2022)",
    claims=(ACCELERATES, HARMLESS, COVERS, NEAR),
    run=run,
    figure=figure,
)
