"""Deep optimal transport for photo-realistic image restoration (Adrai, Ohayon, Elad & Michaeli, 2023).

Idea: move what any restorer makes towards real images in closed form, by Gaussian optimal transport of the patches
of an autoencoder's latent images, fitted on a dozen images of each kind that are not pairs.
Stand-in: Fashion-MNIST of 28×28 pixels and an autoencoder of 30,000 weights with latent images of 14×14×4, trained
for seconds with noise in the latent as a variational one has it, for ImageNet and the autoencoder of Stable
Diffusion. Restorers: a small U-Net trained on the squared error, for means of 4×4 pixels (SwinIR), and total
variation that smooths noise of 0.2 of [0, 1] too little. Fréchet distances are of the responses of a convolutional
network with random weights, to those to 500 other pictures, for Inception's. Twelve of these images hold 1,728
patches; twelve of ImageNet's hold twenty times as many. The trade-off and its direction can be judged here; the
tables on ImageNet cannot.
What was seen: fitted on 12 such pictures the map goes too far on others, so that on two seeds of three α = 0.2 or 0.4
is nearer to real pictures than 0; fitted on 200 the distance rises all along. Just before α = 1 the error is a little
below the restorer's, which is not quite the posterior mean. On noise the autoencoder alone, there and back, has less
error than any α: the gain is its own more than the transport's.
Source: arXiv 2306.02342.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from girsanov import data
from girsanov.errors import extra
from girsanov.inverse import LatentTransport
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise, uniform
from girsanov.papers import coders
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.estimators import estimator
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SIGMA = 0.4
"""Of the noise, for values in [-1, 1]."""

REAL = Claim(
    name="a dozen images",
    says="Transport fitted on 12 images brings others closer to real ones than their restorer does.",
    source="Section 5, table 1",
    unit="Fréchet distance of random features, 4×4 means",
    against="the restorer alone",
    bar=Bar("<=", times=0.8),
)
LINE = Claim(
    name="trade-off",
    says="From α = 0 to 1 the error falls and the distance to real images rises.",
    source="Section 5, figures",
    unit="the lesser of two rank correlations",
    bar=Bar(">=", plus=0.9),
)
BOTH = Claim(
    name="both at once",
    says="Where the restorer leaves noise in, some α < 1 lowers its error and its distance to real images.",
    source="Section 5, restorers not of least error",
    unit="mean squared error, noise",
    against="total variation alone",
    bar=Bar("<=", times=0.97),
)
FEW = Claim(
    name="few suffice",
    says="12 images are as good as 200.",
    source="Section 5, number of images",
    unit="Fréchet distance of random features, 4×4 means",
    against="200 images",
    bar=Bar("<=", times=1.1),
)


class Pictures(NamedTuple):
    """Pictures (N, 1, 28, 28) in [-1, 1], no one twice: for training, for the fits, to restore, to compare with."""

    train: Tensor
    source: Tensor
    target: Tensor
    truth: Tensor
    fresh: Tensor


@cache
def shuffled(split: str) -> Tensor:
    """The garments in an order of their own."""
    x, _ = data.fashion_mnist(split)
    return x[Noise(0).draw(torch.empty(len(x), 1, dtype=torch.float64), 0, uniform)[:, 0].argsort()]


def known(seed: int) -> Pictures:
    """8,000, 200, 200 and 500, 500; other ones for every seed."""
    x, fresh = shuffled("train")[10_000 * seed :], shuffled("test")[1000 * seed :]
    return Pictures(x[:8000], x[8000:8200], x[8200:8400], fresh[:500], fresh[500:1000])


def autoencoder(x: Tensor, *, seed: int, steps: int) -> tuple[nn.Module, nn.Module]:
    """Frozen encoder, (B, 1, 28, 28) to (B, 4, 14, 14), and decoder, trained with noise of 0.1 in between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.SiLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.SiLU(), nn.Conv2d(32, 4, 3, padding=1),
        )  # fmt: skip
        decoder = nn.Sequential(
            nn.Conv2d(4, 32, 3, padding=1), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1), nn.SiLU(),
            nn.Conv2d(32, 4, 3, padding=1), nn.PixelShuffle(2),
        )  # fmt: skip
    return coders.trained(encoder, decoder, x, seed=seed, steps=steps)


def blocks(x: Tensor, source: Noise) -> Tensor:
    """4×4 means, at the size of x."""
    return avg_pool2d(x, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)


def noise(x: Tensor, source: Noise) -> Tensor:
    """Normal noise on every pixel."""
    return x + SIGMA * source.draw(x, 0)


def total_variation(y: Tensor) -> Tensor:
    """Each picture by itself, with a weight of half of what would suit the noise; no training."""
    smooth = extra("skimage.restoration", "data").denoise_tv_chambolle
    found = [smooth((v + 1) / 2, weight=0.05) for v in y[:, 0].double().numpy()]
    return torch.from_numpy(np.stack(found))[:, None].to(y) * 2 - 1


@cache
def responses() -> nn.Module:
    """Three convolutions with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 16, 5), nn.Conv2d(16, 32, 3, stride=2), nn.Conv2d(32, 32, 3, stride=2)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).requires_grad_(False)


def distance(x: Tensor, real: Tensor) -> float:
    """The Fréchet distance of the responses at all places."""
    a, b = (responses()(v.clamp(-1, 1)).permute(0, 2, 3, 1).flatten(0, 2) for v in (x, real))
    return float(frechet_distance(a, b))


class Scores(NamedTuple):
    """Error and distance to real pictures along the line, by α."""

    error: list[float]
    far: list[float]


def scores(made: list[Tensor], known: Pictures) -> Scores:
    truth, fresh = known.truth[: len(made[0])], known.fresh
    return Scores([float((x - truth).square().mean()) for x in made], [distance(x, fresh) for x in made])


class Setting(NamedTuple):
    """What one seed works with."""

    known: Pictures
    coders: tuple[nn.Module, nn.Module]
    seed: int
    n: int


def moved(
    setting: Setting,
    restorer: Callable[[Tensor], Tensor],
    worsen: Callable[[Tensor, Noise], Tensor],
    fitted: int,
) -> list[Tensor]:
    """What the restorer makes of the pictures, moved by each α; fitted on so many pictures of each kind."""
    x, source = setting.known, Noise(setting.seed)
    mover = LatentTransport(*setting.coders, patch=3)
    mover.update(restorer(worsen(x.source[:fitted], source.child(2))), "source")
    mover.update(x.target[:fitted], "target")
    made = restorer(worsen(x.truth[: setting.n], source.child(3)))
    return [mover.transport(made, alpha, seed=setting.seed) for alpha in ALPHAS]


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    steps, n = budget.pick(smoke=2, cpu=400, paper=5_000), budget.pick(smoke=8, cpu=500)
    few, many = budget.pick(smoke=(2, 4), cpu=(12, 200))
    for seed in budget.seeds:
        x = known(seed)
        coders = autoencoder(x.train, seed=seed, steps=steps)
        setting = Setting(x, coders, seed, n)
        restorer = estimator(x.train, blocks(x.train, Noise(seed)), seed=seed, steps=steps)
        sharp = moved(setting, restorer, blocks, few)
        ours, plenty = scores(sharp, x), scores(moved(setting, restorer, blocks, many), x)
        report.add(REAL, seed, ours=ours.far[0], baseline=ours.far[-1])
        report.add(LINE, seed, ours=min(-rank_correlation(ours.error), rank_correlation(ours.far)))
        report.add(FEW, seed, ours=ours.far[0], baseline=plenty.far[0])
        clear = moved(setting, total_variation, noise, few)
        theirs = scores(clear, x)
        report.add(BOTH, seed, ours=best_of(theirs), baseline=theirs.error[-1])
        report.kept.setdefault("plenty", []).append(plenty)
        keep(report, {"4×4 means": (sharp, ours), "noise": (clear, theirs)}, setting)
    remark(report, few, many)
    return report


def remark(report: Report, few: int, many: int) -> None:
    """What the verdicts do not say."""

    def average(values: Iterable[float]) -> float:
        return float(torch.tensor(list(values)).mean())

    plenty, lines = report.kept["plenty"], [found["4×4 means"] for found in report.kept["lines"]]
    both = (
        f"{average(rank_correlation(v.error) for v in found):.2f} and "
        f"{average(rank_correlation(v.far) for v in found):.2f}, fitted on {n}"
        for n, found in ((few, lines), (many, plenty))
    )
    report.note(LINE, f"Rank correlations of error and distance with α: {'; '.join(both)}.")
    errors = (average(v.error[0] for v in found) for found in (lines, plenty))
    report.note(FEW, "The errors are {:.4f} and {:.4f}.".format(*errors))
    there = average(found["noise"].error[0] for found in report.kept["through"])
    report.note(BOTH, f"The autoencoder alone, there and back, has {there:.4f}.")


def keep(report: Report, found: dict[str, tuple[list[Tensor], Scores]], setting: Setting) -> None:
    """The curves, the restorers' pictures through the autoencoder alone, and a few pictures."""
    x, (encoder, decoder), source = setting.known, setting.coders, Noise(setting.seed).child(3)
    report.kept.setdefault("lines", []).append({task: line for task, (_, line) in found.items()})
    through = {task: scores([decoder(encoder(made[-1]))], x) for task, (made, _) in found.items()}
    report.kept.setdefault("through", []).append(through)
    for task, worsen in (("4×4 means", blocks), ("noise", noise)):
        made = found[task][0]
        rows = {"given": worsen(x.truth[: setting.n], source), "restorer": made[-1], "α = 0.4": made[2]}
        rows |= {"α = 0": made[0], "truth": x.truth}
        pictures_of = report.kept.setdefault("pictures", {})
        pictures_of.setdefault(task, {name: v[:5] for name, v in rows.items()})


def rank_correlation(values: list[float]) -> float:
    """Spearman's, of values along the line with α."""
    ranks = torch.tensor(values, dtype=torch.float64).argsort().argsort().double()
    return float(torch.corrcoef(torch.stack([ranks, torch.arange(len(values)).double()]))[0, 1])


def best_of(found: Scores) -> float:
    """The least error at α < 1 among those nearer to real pictures than the restorer; the restorer's if there is none."""
    nearer = [e for e, far in zip(found.error[:-1], found.far[:-1], strict=True) if far < found.far[-1]]
    return min(nearer, default=found.error[-1])


def figure(report: Report) -> Figure:
    drawn, (*sheets, right) = canvas(report, panels=3, height=3.4, equal=(0, 1))
    for i, (ax, (task, rows)) in enumerate(zip(sheets, report.kept["pictures"].items(), strict=True)):
        pictures(ax, rows.items(), columns=5)
        ax.set_title(task, fontsize=9)
        if i:
            ax.set_yticks([])
    for task, colour in zip(report.kept["pictures"], PALETTE, strict=False):
        for i, (lines, through) in enumerate(zip(report.kept["lines"], report.kept["through"], strict=True)):
            error, far = lines[task]
            right.plot(error, far, "-", color=colour, lw=1, label=None if i else f"{task}, α = 0 to 1")
            right.scatter(error, far, s=[8 + 22 * alpha for alpha in ALPHAS], color=colour, alpha=0.7)
            right.plot(*through[task].error, *through[task].far, "x", color=colour, ms=6)
    right.plot([], [], "x", color="#444", label="autoencoder alone")
    right.plot([], [], "o", color="#444", ms=5.5, label="restorer (α = 1)")
    right.set_xlabel("mean squared error", fontsize=8.5)
    right.set_ylim(bottom=0)
    right.set_title("Fréchet distance to real pictures", fontsize=9)
    right.legend(fontsize=7, frameon=False)
    return drawn


PAPER = Paper(
    slug="deep-ot-restoration",
    title="Deep optimal transport for photo-realistic restoration (Adrai, Ohayon, Elad & Michaeli, 2023)",
    claims=(REAL, LINE, BOTH, FEW),
    run=run,
    figure=figure,
)
