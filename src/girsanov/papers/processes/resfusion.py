"""Resfusion: restoration by prior residual noise (Shi et al., 2023/24).

Idea: fade in the residual R = degraded - clean together with the noise; the state is then free of the clean
image before the noise is complete, and five of DDPM's steps from there restore it.
Stand-in: grey crops of 16×16 pixels, photographs of scikit-image at a quarter of their size, under a smooth
synthetic shadow or in low light (a gamma curve, a third of the light, photon noise in its normal limit), for
ISTD and LOL; digits for CIFAR-10; a U-Net of 80,000 parameters. What five steps cost against fifty, and that
they restore, can be judged here; the tables of ISTD and LOL cannot.
Both methods get the same network, which answers what differs from the degraded image. It stores the data and
trains its preconditioned residual at the chain's own times; ε̃ of the paper is an affine map of that, so the
step is the paper's (`solvers.resfusion`) and the weights of the loss over the five times are ours.
Source: arXiv 2311.14900.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.noise import Noise
from girsanov.objectives import score_matching
from girsanov.papers import digits, restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.crops import Worsening, crops, low_light, shadow
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP, GaussianConditional, Interpolant, Residual
from girsanov.solvers import ancestral, grid, resfusion, sample
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA_STD = 0.5

MANY = Claim(
    name="five steps suffice",
    says="Five steps lose at most 0.3 dB to conditional DDPM with 50.",
    source="Tables of ISTD and LOL",
    unit="PSNR on shadows, dB",
    against="conditional DDPM, 50 steps",
    bar=Bar(">=", times=1.0, plus=-0.3),
)
FEW = Claim(
    name="better at five steps",
    says="At five steps it beats conditional DDPM by 1.5 dB.",
    source="Tables of ISTD and LOL",
    unit="PSNR on shadows, dB",
    against="conditional DDPM, 5 steps",
    bar=Bar(">=", times=1.0, plus=1.5),
)
SHADOW = Claim(
    name="removes shadows",
    says="The PSNR rises by at least 5 dB over the shaded crops.",
    source="Table of ISTD",
    unit="PSNR on shadows, dB",
    against="the shaded crop",
    bar=Bar(">=", times=1.0, plus=5.0),
)
DARK = Claim(
    name="lightens",
    says="The PSNR rises by at least 6 dB over the dark crops.",
    source="Table of LOL",
    unit="PSNR in low light, dB",
    against="the dark crop",
    bar=Bar(">=", times=1.0, plus=6.0),
)
MAKES = Claim(
    name="generates",
    says="With x_1 = 0, five steps make digits nearer to real ones than five of DDPM's.",
    source="Experiments on CIFAR-10",
    unit="Fréchet distance of classifier features",
    against="DDPM, 5 steps",
    bar=Bar("<=", times=1.0),
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        restore(report, seed)
        generate(report, seed)
    return report


def restore(report: Report, seed: int) -> None:
    """Shadows by both methods, low light by ours."""
    steps = report.budget.pick(smoke=2, cpu=450, paper=10_000)
    n = report.budget.pick(smoke=4, cpu=200)
    truth, shaded = crops(False, seed), shadow(crops(False, seed), Noise(seed).child(3))
    truth, shaded = truth[:n], shaded[:n]
    vp = restorer(VP(), shadow, seed, steps)
    found = {"Resfusion, 5": five(restorer(Residual(), shadow, seed, steps), shaded, seed)}
    for calls in (5, report.budget.pick(smoke=6, cpu=50)):
        plan = ancestral(VP(), grid("uniform", calls))
        found[f"DDPM, {calls}"] = sample(vp, n, cond=shaded, plan=plan, seed=seed, shape=truth.shape[1:])
    ours, low, high = (restoration.psnr(x, truth) for x in found.values())
    before = restoration.psnr(shaded, truth)
    report.add(MANY, seed, ours=ours, baseline=high)
    report.add(FEW, seed, ours=ours, baseline=low)
    report.add(SHADOW, seed, ours=ours, baseline=before)
    dark = low_light(crops(False, seed), Noise(seed).child(3))[:n]
    light = five(restorer(Residual(), low_light, seed, steps), dark, seed)
    report.add(DARK, seed, ours=restoration.psnr(light, truth), baseline=restoration.psnr(dark, truth))
    rows = {"shadow": shaded} | found | {"truth": truth, "low light": dark, "Resfusion, 5 ": light}
    report.kept.setdefault("pictures", {name: x[:8] for name, x in rows.items()})
    names = ("shadow", *found)
    report.kept.setdefault("psnr", []).append(dict(zip(names, (before, ours, low, high), strict=True)))


def generate(report: Report, seed: int) -> None:
    """Digits from nothing."""
    steps, n = report.budget.pick(smoke=2, cpu=450, paper=5_000), report.budget.pick(smoke=8, cpu=360)
    known, process = digits.split(), Residual()
    zero = torch.zeros_like(known.x)
    ours = Denoiser(Calm(unet(2, seed)), process, data_std=digits.DATA_STD)
    fit(ours, score_matching(times=own_times), known.x, end=zero, steps=steps, config=settings(seed))
    ddpm = Denoiser(unet(1, seed), VP(), data_std=digits.DATA_STD)
    fit(ddpm, score_matching(), known.x, steps=steps, config=settings(seed))
    plan = ancestral(VP(), grid("uniform", 5))
    found = {"Resfusion, 5": five(ours, zero[:n], seed), "DDPM, 5": sample(ddpm, n, plan=plan, seed=seed)}
    reading = report.budget.pick(smoke=2, cpu=400)
    far = [restoration.feature_distance(x, known.fresh, reading) for x in found.values()]
    report.add(MAKES, seed, ours=far[0], baseline=far[1])
    report.kept.setdefault("digits", {name: x[:8] for name, x in found.items()} | {"real": known.fresh[:8]})


def five(model: Denoiser, worse: Tensor, seed: int) -> Tensor:
    """The paper's five steps from ½ x_1 + √¾ z."""
    plan = resfusion(Residual(), grid("uniform", 5))
    return sample(model, len(worse), anchor=worse, plan=plan, seed=seed, shape=worse.shape[1:])


def own_times(u: Tensor, process: GaussianConditional, data_std: float) -> Tensor:
    """Evenly drawn from the steps of the chain, 1/N, 2/N, …, 1."""
    return ((u / process.t_min).floor() + 1) * process.t_min


class Calm(nn.Module):
    """A network that hears of no log-SNR below -12: training stops just short of t = 1, where it is -∞."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        answer: Tensor = self.network(x, t.clamp(max=3.0), cond)
        return answer


class Differing(nn.Module):
    """A network that answers what differs from the picture in the last channel.

    Its target is (γ x_0/s - α s z)/v; the picture in place of x_0 is given, γ/(s v) = (s² (1 + s² α²/γ²))^-½.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = Calm(network)

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        share = (1 + DATA_STD**2 * (-8 * t).exp()).rsqrt() / DATA_STD  # t is ¼ log(γ/α)
        answer: Tensor = self.network(x, t) + share[:, None, None, None] * x[:, -1:]
        return answer


def restorer(process: Interpolant, worsen: Worsening, seed: int, steps: int) -> Denoiser:
    """Trained on pairs; the degraded crop is the anchor if the process has one, else beside x_t."""
    x = crops(True, seed)
    worse, net = worsen(x, Noise(seed).child(2)), Differing(unet(2, seed))
    if process.end == "anchor":
        model = Denoiser(net, process, data_std=DATA_STD)
        fit(model, score_matching(times=own_times), x, end=worse, steps=steps, config=settings(seed))
    else:
        model = Denoiser(networks.Beside(net), process, data_std=DATA_STD)
        fit(model, score_matching(), x, cond=worse, steps=steps, config=settings(seed))
    return model


def unet(channels: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.UNet(channels, outputs=1, width=16, levels=(1, 2), blocks=1)


def settings(seed: int) -> Training:
    return Training(batch_size=32, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)


def figure(report: Report) -> Figure:
    drawn, (pictures, gains, made) = canvas(report, panels=3, equal=(0, 2))
    restoration.show(pictures, report.kept["pictures"])
    pictures.set_xticks([])
    kept = report.kept["psnr"]
    for i, (name, colour) in enumerate(
        zip(kept[0], (PALETTE[4], PALETTE[0], PALETTE[1], PALETTE[2]), strict=True)
    ):
        values = [one[name] for one in kept]
        gains.bar(i, sum(values) / len(values), color=colour, alpha=0.35)
        gains.plot([i] * len(values), values, "o", ms=5, color=colour)
    gains.set_xticks(range(len(kept[0])), [name.replace(", ", "\n") for name in kept[0]], fontsize=8)
    gains.set_title("PSNR on shadows, dB, by method and steps", fontsize=9)
    restoration.show(made, report.kept["digits"])
    made.set_xticks([])
    made.set_title("digits from x₁ = 0", fontsize=9)
    return drawn


PAPER = Paper(
    slug="resfusion",
    title="Resfusion: restoration based on prior residual noise (Shi et al., 2024)",
    claims=(MANY, FEW, SHADOW, DARK, MAKES),
    run=run,
    figure=figure,
)
