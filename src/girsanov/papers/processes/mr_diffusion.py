"""Image restoration with mean-reverting stochastic differential equations: IR-SDE (Luo et al., 2023).

Idea: let the diffusion end at the degraded image and a little noise in place of pure noise, and train with
the optimum of each reverse step, which is known in closed form.
Stand-in: blurred, noisy digits of 8×8 pixels and a U-Net of 80,000 parameters, for deblurring, deraining and
the other tasks at full resolution; the Fréchet distance in the features of a digit classifier for FID and
LPIPS. The trade of PSNR for realism, and the gain of a start at the degraded image, can be judged here; the
tables of Rain100H and CelebA-HQ cannot.
The sampler is the paper's posterior step, which is `ancestral`; training is `posterior_mean_matching`.
Source: arXiv 2301.11699.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.noise import Noise
from girsanov.objectives import Objective, posterior_mean_matching, score_matching
from girsanov.papers import restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP, Interpolant, MeanReverting
from girsanov.solvers import Plan, ancestral, grid, sample
from girsanov.solvers.grids import Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STD = 20 / 255
"""λ = 10/255 for images in [0, 1], in units of [-1, 1]."""

FEW = 20

PERCEPTION = Claim(
    name="realism",
    says="Restored digits look more like digits than those of a regression network of the same size.",
    source="Experiments on deblurring (GoPro)",
    paper="FID 6.32, LPIPS 0.064",
    unit="Fréchet distance of classifier features",
    against="L2 regression",
    bar=Bar("<=", times=0.9),
)
FIDELITY = Claim(
    name="fidelity",
    says="That costs at most 2.5 dB of PSNR.",
    source="Experiments on deblurring (GoPro)",
    paper="PSNR 30.70",
    unit="PSNR, dB",
    against="L2 regression",
    bar=Bar(">=", times=1.0, plus=-2.5),
)
START = Claim(
    name="start at the degraded image",
    says="With 20 steps, starting at the degraded image beats conditional VP that starts at noise.",
    source="The construction of the mean-reverting SDE",
    unit="Fréchet distance of classifier features",
    against="conditional VP, 20 steps",
    bar=Bar("<=", times=0.9),
)
STABLE = Claim(
    name="stable training",
    says="The posterior-mean loss ends with less spread over seeds than noise matching.",
    source="Abstract",
    paper="stabilizes the training",
    unit="standard deviation over seeds of the held-out error of the noise",
    against="noise matching",
    bar=Bar("<=", times=1.0),
    seeds=1,
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    final: dict[str, list[float]] = {OURS: [], "noise matching": []}
    for seed in budget.seeds:
        models = {
            OURS: trained(report, seed, posterior_mean_matching()),
            "noise matching": trained(report, seed, SIMPLE),
        }
        compare(report, seed, models[OURS])
        for name, model in models.items():
            final[name].append(noise_error(model, seed))
    report.kept["final"] = final
    if len(budget.seeds) >= 3:
        ours, noise = (float(torch.tensor(values).std()) for values in final.values())
        report.add(STABLE, 0, ours=ours, baseline=noise)
        shown = (", ".join(f"{v:.4f}" for v in values) for values in final.values())
        report.note(STABLE, "The errors themselves are {} against {}.".format(*shown))
    return report


OURS = "posterior mean"
SIMPLE = score_matching("noise", times="uniform")


def length(report: Report) -> int:
    return report.budget.pick(smoke=2, cpu=restoration.STEPS, paper=20_000)


def trained(report: Report, seed: int, objective: Objective) -> Denoiser:
    return restoration.restorer(MeanReverting(std=STD), objective, seed=seed, steps=length(report))


def compare(report: Report, seed: int, ours: Denoiser) -> None:
    """Restored digits of the four methods."""
    known = restoration.pairs(seed)
    n = report.budget.pick(smoke=8, cpu=len(known.fresh))
    truth, worse = known.fresh[:n], known.fresh_worse[:n]
    vp = restoration.restorer(VP(), seed=seed, steps=length(report))
    flat = restoration.regressor(seed=seed, steps=length(report))

    def draw(calls: int) -> Tensor:
        return sample(ours, n, anchor=worse, solver=ancestral_uniform(calls), seed=seed)

    with torch.no_grad():
        found = {
            "regression": restoration.regress(flat, worse),
            f"VP, {FEW}": sample(vp, n, cond=worse, solver=ancestral_uniform(FEW), seed=seed),
            f"ours, {FEW}": draw(FEW),
            "ours, 100": draw(report.budget.pick(smoke=3, cpu=100)),
        }
    reading = report.budget.pick(smoke=2, cpu=400)
    far = {name: restoration.feature_distance(x, truth, reading) for name, x in found.items()}
    near = {name: restoration.psnr(x, truth) for name, x in found.items()}
    report.add(PERCEPTION, seed, ours=far["ours, 100"], baseline=far["regression"])
    report.add(FIDELITY, seed, ours=near["ours, 100"], baseline=near["regression"])
    report.add(START, seed, ours=far[f"ours, {FEW}"], baseline=far[f"VP, {FEW}"])
    report.kept.setdefault("plane", []).append((near, far))
    rows = {"degraded": worse} | found | {"truth": truth}
    report.kept.setdefault("pictures", {name: x[:9] for name, x in rows.items()})


def ancestral_uniform(calls: int) -> Callable[[Interpolant, Times], Plan]:
    """The posterior step on the paper's grid, uniform in t, whatever grid is recommended."""
    return lambda process, _: ancestral(process, grid("uniform", calls))


def noise_error(model: Denoiser, seed: int) -> float:
    """The root mean squared error of the noise on held-out pairs, over times uniform in [0, 1]."""
    known = restoration.pairs(seed)
    x, end = known.fresh.repeat(8, 1, 1, 1), known.fresh_worse.repeat(8, 1, 1, 1)
    with torch.no_grad():
        return float(SIMPLE(model, x, end=end, generator=Noise(0)).mean().sqrt())


def figure(report: Report) -> Figure:
    drawn, (pictures, plane, spread) = canvas(report, panels=3, equal=(0,))
    restoration.show(pictures, report.kept["pictures"])
    names = list(report.kept["plane"][0][0])
    for name, colour in zip(names, (PALETTE[1], PALETTE[4], PALETTE[2], PALETTE[0]), strict=True):
        near = [one[0][name] for one in report.kept["plane"]]
        far = [one[1][name] for one in report.kept["plane"]]
        plane.plot(near, far, "o", ms=5, color=colour, label=name)
    plane.set_yscale("log")
    plane.set_xlabel("PSNR, dB: closer to the truth →", fontsize=8)
    plane.set_title("Fréchet distance: less like digits ↑", fontsize=9)
    plane.legend(fontsize=7, frameon=False, title="method, steps", title_fontsize=7)
    for i, values in enumerate(report.kept["final"].values()):
        spread.plot([i] * len(values), values, "o", ms=6, color=PALETTE[i])
        spread.plot([i - 0.2, i + 0.2], [sum(values) / len(values)] * 2, color=PALETTE[i])
    spread.set_xticks([0, 1], list(report.kept["final"]))
    spread.set_xlim(-0.6, 1.6)
    spread.set_title("held-out error of the noise, by training loss", fontsize=9)
    return drawn


PAPER = Paper(
    slug="mr-diffusion",
    title="Image restoration with mean-reverting SDEs: IR-SDE (Luo et al., 2023)",
    claims=(PERCEPTION, FIDELITY, START, STABLE),
    run=run,
    figure=figure,
)
