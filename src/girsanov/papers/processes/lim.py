"""Score-based generative models with Lévy processes (Yoon, Park, Kim & Lim, 2023; NeurIPS).

Idea: noise that jumps, α-stable with α below 2, carries samples between modes that Gaussian noise keeps apart,
so rare modes are kept and fewer steps suffice. The network learns the fractional score, a multiple of E[z | x].
Stand-in: eight modes on a circle with weights from 100 to 1, and digits of which class k keeps 178 · 0.6^k, for
CIFAR10-LT and CelebA. LIM and VP have the same network, steps of training and of sampling, and times, and are
sampled as the authors do: LIM by their update with their drift, its noise clamped at A = 20 in training and in
sampling; VP by ancestral sampling. Whether rare modes are kept can be judged here; FID of CIFAR-10 cannot.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.metrics import precision_recall, sliced_wasserstein
from girsanov.noise import Noise, Stable
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.imbalanced import ring, shares, trained
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP, Levy
from girsanov.solvers import ancestral, grid, levy, sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIM = replace(Levy(1.8), law=Stable(1.8, largest=20.0))
START, STEPS, FEW = 0.9946, 100, 50

HISTOGRAM = Claim(
    name="mode histogram",
    says="On modes with weights from 100 to 1, the shares of LIM(1.8) are nearer to the truth than those of VP.",
    source="abstract, mode collapse on imbalanced data",
    unit="sum of |share of samples - weight| over modes, 100 steps",
    against="VP",
    bar=Bar("<=", times=0.9),
)
RAREST = Claim(
    name="rarest mode",
    says="LIM finds the rarest mode, which has one sample in 206, with at least half of its mass.",
    source="abstract, mode collapse on imbalanced data",
    unit="share of samples there / its weight",
    against="VP",
    bar=Bar(">=", plus=0.5),
    over="most",
)
FASTER = Claim(
    name="fewer steps",
    says="50 steps of LIM are as near to the data as 100 of VP.",
    source="abstract, number of function evaluations",
    unit="sliced Wasserstein distance",
    against="VP, 100 steps",
    bar=Bar("<=", times=1.0),
)
DIVERSE = Claim(
    name="recall",
    says="On long-tailed digits LIM covers at least as much of the data as VP.",
    source="abstract, more diverse on CIFAR10-LT",
    paper="0.7006 against 0.6437 of DDPM (CelebA)",
    unit="recall (3 neighbours) in the features of a classifier",
    against="VP",
    bar=Bar(">=", times=1.0),
)

WHY_HISTOGRAM = (
    "Trainings differ as much as the noises do. With exact answers, by quadrature over the scale A, LIM's update has "
    "0.028 and ancestral sampling of VP 0.024 on 12,000 samples of seed 0, of which 0.015 is chance: neither noise "
    "moves mass between modes by itself. Without the clamp exact LIM has 0.079, and 1.65 times the rarest mode."
)
WHY_FASTER = (
    "The steps do not decide it: on seed 0, in a trial, LIM had 0.082 with 100 steps too, and VP 0.054 with 50. The "
    "distance is one of shares and of points between modes."
)


def drawn(model: Denoiser, n: int, steps: int, seed: int) -> Tensor:
    """n samples by the method of the process."""
    times = grid("uniform", steps, start=START)
    make = partial(levy, drift="lim", form="score") if model.process == LIM else ancestral
    return sample(model, n, plan=make(model.process, times), batch_size=4096, seed=seed)


def run(budget: Budget) -> Report:
    """The ring and the digits, each with both processes."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        on_ring(
            report,
            seed,
            *budget.pick(smoke=(2, 100, 3), cpu=(2000, 20_000, STEPS), paper=(20_000, 50_000, STEPS)),
        )
        on_digits(report, seed, *budget.pick(smoke=(2, 3), cpu=(800, STEPS), paper=(20_000, STEPS)))
    report.note(HISTOGRAM, WHY_HISTOGRAM)
    report.note(FASTER, WHY_FASTER)
    ours, theirs = (sum(found) / len(found) for found in zip(*report.kept["precision"], strict=True))
    report.note(DIVERSE, f"Its precision is {ours:.3f} against {theirs:.3f}.")
    return report


def on_ring(report: Report, seed: int, steps: int, n: int, fine: int) -> None:
    """Shares of the modes, and the distance to the data with half the steps."""
    law, found = ring(), {}
    x = law.sample(20_000, generator=Noise(seed).child(9)).float()
    fresh = law.sample(min(n, 5000), generator=Noise(seed).child(3))
    few = max(fine // 2, 2)
    for name, process in (("LIM", LIM), ("VP", VP())):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = networks.MLP(2, hidden=64, depth=2)
        model = trained(process, net, x, steps=steps, batch=256, seed=seed)
        samples = {k: drawn(model, n, k, seed).double() for k in (few, fine)}
        share = shares(samples[fine], law)
        apart = {
            k: float(sliced_wasserstein(y[:5000], fresh, generator=Noise(0))) for k, y in samples.items()
        }
        found[name] = share, apart
        report.kept.setdefault(f"{name} share", []).append(share)
        report.kept.setdefault(f"{name} points", samples[fine][:10_000])
    (ours, near), (theirs, baseline) = found["LIM"], found["VP"]
    errors = [float((share - law.weights).abs().sum()) for share in (ours, theirs)]
    report.add(HISTOGRAM, seed, ours=errors[0], baseline=errors[1])
    report.add(
        RAREST, seed, ours=float(ours[-1] / law.weights[-1]), baseline=float(theirs[-1] / law.weights[-1])
    )
    report.add(FASTER, seed, ours=near[few], baseline=baseline[fine])


@cache
def long_tailed() -> Tensor:
    """Training digits of which class k keeps the first 178 · 0.6^k."""
    known = digits.split()
    return torch.cat([known.x[known.label == k][: max(1, int(178 * 0.6**k))] for k in range(10)])


def on_digits(report: Report, seed: int, steps: int, fine: int) -> None:
    """Recall of the long-tailed digits by as many samples."""
    x, reader = long_tailed(), digits.reader(steps=report.budget.pick(smoke=2, cpu=400))
    known, found = digits.features(reader, x), {}
    for name, process in (("LIM", LIM), ("VP", VP())):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = networks.UNet(1, width=16, levels=(1, 2), blocks=1)
        model = trained(process, net, x, steps=steps, batch=64, seed=seed)
        y = drawn(model, len(x), fine, seed).clamp(-1, 1)
        found[name] = precision_recall(digits.features(reader, y), known)
        report.kept.setdefault(f"{name} digits", y[:24])
    report.add(DIVERSE, seed, ours=found["LIM"].recall, baseline=found["VP"].recall)
    report.kept.setdefault("precision", []).append([found["LIM"].precision, found["VP"].precision])


def figure(report: Report) -> Figure:
    """Samples of the ring, shares of its modes, and digits."""
    drawing, (left, middle, bars, last) = canvas(report, panels=4, height=2.8, equal=(0, 1, 3))
    law = ring()
    for ax, name in ((left, "LIM"), (middle, "VP")):
        points = report.kept[f"{name} points"]
        ax.scatter(points[:, 0], points[:, 1], s=1.2, alpha=0.4, linewidths=0, color=PALETTE[name == "VP"])
        for k, (a, b) in enumerate(law.means * 1.55):
            ax.text(a, b, f"{100 * law.weights[k]:.1f} %", fontsize=7, ha="center", va="center", color="#555")
        ax.set(xlim=(-2.8, 2.8), ylim=(-2.8, 2.8))
        ax.set_title(f"{name}, {STEPS} steps", fontsize=9)
    place = torch.arange(8.0)
    bars.hlines(law.weights, place - 0.45, place + 0.45, color=PALETTE[4], label="data")
    for i, name in enumerate(("LIM", "VP")):
        shares = torch.stack(report.kept[f"{name} share"]).clamp(min=1e-4)
        low, middle_, high = shares.amin(0), shares.mean(0), shares.amax(0)
        bars.errorbar(
            place + 0.2 * (2 * i - 1), middle_, yerr=torch.stack([middle_ - low, high - middle_]).numpy(),
            fmt="o", markersize=4, capsize=2, color=PALETTE[i], label=name,
        )  # fmt: skip
    bars.set(yscale="log", xlabel="mode, common to rare")
    bars.set_title("share of samples, range of seeds", fontsize=9)
    bars.legend(fontsize=7.5, frameon=False)
    rows = [
        (name * (i == 0), report.kept[f"{name} digits"][8 * i : 8 * i + 8])
        for name in ("LIM", "VP")
        for i in range(3)
    ]
    pictures(last, rows)
    last.set_title("long-tailed digits", fontsize=9)
    return drawing


PAPER = Paper(
    slug="lim",
    title="Score-based generative models with Lévy processes (Yoon, Park, Kim & Lim, 2023)",
    claims=(HISTOGRAM, RAREST, FASTER, DIVERSE),
    run=run,
    figure=figure,
)
