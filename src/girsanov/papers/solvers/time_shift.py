"""Alleviating exposure bias in diffusion models through sampling with shifted time steps (Li et al., 2023).

Idea: with few steps the states that a sampler meets are not those of training, and another time of the network
fits them better than the grid's; the variance of their pixels tells which. Nothing is trained for it.
Stand-in: digits of 8×8 pixels with U-Nets of 80,000 parameters on VP, for CIFAR-10 and CelebA; a mixture with its
exact denoiser for what the network would answer at other times. Whether the shift helps at 10 steps can be judged
here, on 64 pixels, whose variance has a relative standard deviation of 18 %, against 3 % for CIFAR-10. MNIST,
with 784 pixels, would need networks that take longer than the budget. Training is cut to 600 steps. Only the
network's time is shifted; the authors take the coefficients of DDIM and DDPM at the shifted time too.
Window and cutoff are chosen on one set of noise and judged on another.
Source: arXiv 2305.15583.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser
from girsanov.exact import GaussianMixture
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, digits
from girsanov.processes import VP
from girsanov.solvers import Plan, Sampler, TimeShift, ancestral, ddim, grid, sample
from girsanov.typing import Shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS, TRAINING, REACH = 10, 600, 100
SETTINGS = [(window, cutoff) for window in (20, 60, 120) for cutoff in (0.3, 0.6)]
PLANS = {"DDIM": ddim(VP(), grid("uniform", STEPS)), "DDPM": ancestral(VP(), grid("uniform", STEPS))}
FRECHET = "Fréchet distance to held-out digits in the logits of a classifier, 10 steps, 1,000 samples"

FASTER_DDIM = Claim(
    name="TS-DDIM",
    says="With 10 steps DDIM with the time shift is nearer to the data than DDIM.",
    source="Table 1 (FID)",
    unit=FRECHET,
    against="DDIM",
    bar=Bar("<=", times=0.95),
    over="mean",
)
FASTER_DDPM = Claim(
    name="TS-DDPM",
    says="With 10 steps DDPM with the time shift is nearer to the data than DDPM.",
    source="Table 1 (FID)",
    unit=FRECHET,
    against="DDPM",
    bar=Bar("<=", times=0.9),
    over="mean",
)
EXISTS = Claim(
    name="a better time exists",
    says="For states of the sampler the noise is predicted best at another time than theirs.",
    source="Figure 1 and section 3",
    unit="share of the steps above the cutoff 0.3 whose error has its least at a shifted time, exact mixture",
    against="states drawn exactly",
    bar=Bar(">=", plus=0.5),
)
CHEAP = Claim(
    name="it costs nothing",
    says="The shift adds less than 2 % to the time of sampling.",
    source="section 4.2",
    unit="added share of process time, DDIM on digits, batch of 256, least of 5 turns",
    bar=Bar("<=", plus=0.02),
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    reader = digits.reader(steps=budget.pick(smoke=2, cpu=400))
    for seed in budget.seeds:
        model = digits.model(VP(), seed=seed, steps=budget.pick(smoke=3, cpu=TRAINING, paper=20_000))
        for claim, name in ((FASTER_DDIM, "DDIM"), (FASTER_DDPM, "DDPM")):
            distances(report, claim, name, model, reader, seed)
        existence(report, seed)
        overhead(report, model, seed)
    explain(report)
    return report


def draw(model: AbstractDenoiser, sampler: Sampler, n: int, seed: int) -> Tensor:
    plan = sampler.recast(model.stored) if isinstance(sampler, Plan) else sampler
    return sample(model, n, plan=plan, seed=seed)


@torch.no_grad()
def logits(reader: nn.Module, x: Tensor) -> Tensor:
    return reader(x, torch.zeros(len(x)))


def pixel_variance(x: Tensor) -> float:
    """The mean over samples of the variance of their pixels."""
    return float(x.flatten(1).var(1).mean())


def distances(
    report: Report, claim: Claim, name: str, model: AbstractDenoiser, reader: nn.Module, seed: int
) -> None:
    """Choose the setting on one set of noise, measure on another; v = 0 for the claim, the data's v beside it."""
    few, many = report.budget.pick(smoke=(12, 12), cpu=(400, 1000), paper=(5000, 50_000))
    plan, data = PLANS[name], logits(reader, digits.split().fresh)

    def far(sampler: Sampler, n: int, noise: int) -> float:
        return float(frechet_distance(logits(reader, draw(model, sampler, n, noise)), data))

    found = {"plan": far(plan, many, 2000 + seed)}
    for kind, variance in (("v = 0", 0.0), ("v of the data", pixel_variance(digits.split().x))):
        settings = [TimeShift(plan, *setting, variance) for setting in report.budget.pick(smoke=SETTINGS[:1], cpu=SETTINGS)]  # fmt: skip
        tried = [far(sampler, few, 1000 + seed) for sampler in settings]
        best = settings[min(range(len(settings)), key=tried.__getitem__)]
        found[kind] = far(best, many, 2000 + seed)
        found[f"chosen, {kind}"] = (best.window, best.cutoff)  # type: ignore[assignment]
    report.add(claim, seed, ours=found["v = 0"], baseline=found["plan"])
    report.kept.setdefault(name, []).append(found)


def mixture(seed: int, shape: Shape = (1, 8, 8)) -> GaussianMixture:
    """Eight tight modes with the variance of the digits' pixels."""
    return GaussianMixture(0.7 * Noise(seed).draw(torch.empty(8, *shape, dtype=torch.float64), 0), 0.02)


def existence(report: Report, seed: int) -> None:
    """For each step s → t of DDIM from exact x_s: the time u near t at which E(x, u) is nearest to the true noise.

    The clean sample x_0 is known, so the noise in the state x is (x - α_t x_0)/γ_t, for a state that the sampler
    made and for one that is drawn.
    """
    n, apart = report.budget.pick(smoke=(8, 50), cpu=(300, 10))
    law, process = mixture(seed), VP()
    model, x0 = law.denoiser(process), law.sample(n, generator=Noise(seed).child(1))
    shifts, curves = {"sampler": [], "exact": []}, {}  # type: ignore[var-annotated]
    steps = [(s, t) for s, t in pairwise(PLANS["DDIM"].grid) if s > 0.3 and t > process.t_min]
    for i, (s, t) in enumerate(steps):
        before, _ = process.perturb(x0, s, generator=Noise(seed).child(2 + i))
        exact, _ = process.perturb(x0, t, generator=Noise(seed).child(50 + i))
        made = ddim(process, (s, t)).recast("data")(model, before)
        for name, x in (("sampler", made), ("exact", exact)):
            noise = (x - process.alpha(t) * x0) / process.gamma(t)
            times = [t + k / 1000 for k in range(-REACH, REACH + 1, apart) if 0.001 <= t + k / 1000 <= 1]
            errors = [float((model.noise(x, u) - noise).square().mean()) for u in times]
            best = times[min(range(len(times)), key=errors.__getitem__)]
            shifts[name].append(round(1000 * (best - t)))
            curves[name, t] = ([1000 * (u - t) for u in times], errors)
    share = {name: sum(k != 0 for k in found) / len(found) for name, found in shifts.items()}
    report.add(EXISTS, seed, ours=share["sampler"], baseline=share["exact"])
    report.kept.setdefault("shifts", []).append(shifts)
    report.kept.setdefault("curves", curves)


def overhead(report: Report, model: AbstractDenoiser, seed: int) -> None:
    """Process time of the shifted sampler over that of its plan, in turns."""
    n, turns = report.budget.pick(smoke=(4, 1), cpu=(256, 5))
    plan = PLANS["DDIM"].recast(model.stored)
    samplers: list[Sampler] = [plan, TimeShift(plan, 40, 0.3)]
    least = [float("inf")] * 2
    for _ in range(turns):
        for i, work in enumerate(partial(draw, model, sampler, n, seed) for sampler in samplers):
            start = time.process_time()
            work()
            least[i] = min(least[i], time.process_time() - start)
    report.add(CHEAP, seed, ours=least[1] / least[0] - 1)


def explain(report: Report) -> None:
    for claim, name in ((FASTER_DDIM, "DDIM"), (FASTER_DDPM, "DDPM")):
        found = report.kept[name]
        known = sum(one["v of the data"] for one in found) / len(found)
        chosen = ", ".join(str(one["chosen, v = 0"]) for one in found)
        report.note(
            claim,
            f"(Window, cutoff) chosen: {chosen}. With the variance of the data's pixels in the table of "
            f"variances: {known:.4g}.",
        )
    shifts = [k for one in report.kept["shifts"] for k in one["sampler"]]
    report.note(
        EXISTS,
        f"In thousandths of time the best shifts run from {min(shifts)} to {max(shifts)}; 0 is the grid's.",
    )


def figure(report: Report) -> Figure:
    drawn, (bars, curves, shifts) = canvas(report, panels=3, height=3.4)
    kinds = ("plan", "v = 0", "v of the data")
    for j, (colour, kind) in enumerate(zip((PALETTE[1], PALETTE[0], PALETTE[2]), kinds, strict=True)):
        for i, name in enumerate(PLANS):
            values = [one[kind] for one in report.kept[name]]
            label = {"plan": "as it is"}.get(kind, f"shifted, {kind}") if i == 0 else None
            bars.bar(
                i + 0.27 * (j - 1), sum(values) / len(values), 0.25, color=colour, label=label, alpha=0.8
            )
            bars.plot([i + 0.27 * (j - 1)] * len(values), values, ".", color="#333333", ms=4)
    bars.set_xticks(range(len(PLANS)), list(PLANS))
    bars.set_title("Fréchet distance to held-out digits", fontsize=9)
    bars.legend(fontsize=7, frameon=False)
    times = sorted({t for _, t in report.kept["curves"]}, reverse=True)[1::2]
    for colour, t in zip(PALETTE, times, strict=False):
        for name, style in (("sampler", "-"), ("exact", ":")):
            offsets, errors = report.kept["curves"][name, t]
            low = min(errors)
            label = f"t = {t:.2f}" if name == "sampler" else None
            curves.plot(offsets, [e / low for e in errors], style, color=colour, label=label)
    curves.axvline(0, color="#c0c0c0", lw=0.8, zorder=0)
    curves.set(xlabel="shift of the time, thousandths", ylim=(0.98, 2))
    curves.set_title("relative error of the noise (dotted: exact states)", fontsize=9)
    curves.legend(fontsize=7, frameon=False)
    grid_times = [t for s, t in pairwise(PLANS["DDIM"].grid) if s > 0.3 and t > VP().t_min]
    for colour, name in zip(PALETTE, ("sampler", "exact"), strict=False):
        for i, one in enumerate(report.kept["shifts"]):
            label = {"sampler": "DDIM's states", "exact": "exact states"}[name] if i == 0 else None
            shifts.plot(grid_times, one[name], "o", color=colour, ms=4, alpha=0.7, label=label)
    shifts.axhline(0, color="#c0c0c0", lw=0.8, zorder=0)
    shifts.set(xlabel="time t of the state")
    shifts.set_title("best shift, thousandths", fontsize=9)
    shifts.legend(fontsize=7, frameon=False)
    return drawn


PAPER = Paper(
    slug="time-shift",
    title="Alleviating exposure bias in diffusion models by sampling with shifted time steps (Li et al., 2023)",
    claims=(FASTER_DDIM, FASTER_DDPM, EXISTS, CHEAP),
    run=run,
    figure=figure,
)
