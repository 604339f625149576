"""Diffusion with forward models (Tewari, Yin, Cazenavette et al., 2023; arXiv 2306.11719).

Idea: a diffusion of observations whose denoiser is a renderer of the signal that its network answers with. Trained on
groups of observations alone, it generates signals that nobody ever observed.
Stand-in: tomography in the plane, for novel views of rooms and objects by a pixelNeRF. The signals are 1,437 digits
enlarged to 16×16 pixels, of each of which the training has three projections at random angles of 36, and no picture.
The network lays the given and the noisy projection back on the grid, as pixelNeRF lays features along rays, and is a
U-Net from there. What survives is the claim: signals that differ where the context is silent and agree with it where it
is not, from observations alone. FID and LPIPS of natural scenes do not.
Baselines, in the same run: the same network and data as a regressor, trained without x_t; the same network trained on
the true signals; a diffusion of pictures, trained on the least-norm reconstructions A⁺O of each group.
The law of signals is compared by their projections at six angles, or by their pixels, with held-out digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.inverse import ForwardModelDenoiser, LinearViews
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise, Randomness, as_source, uniform
from girsanov.objectives import IndirectMatching, score_matching
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.estimators import unet
from girsanov.papers.plots import pictures
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP
from girsanov.solvers import sample
from girsanov.training import Objective, Training, fit
from girsanov.typing import Shape, Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE, ANGLES, BINS, SEEN = 16, 36, 24, 3
STEPS, SPREAD = 20, 0.05
"""Of sampling, and the variance of a pixel that is assumed around the U-Net's answer."""

SHOWN, DRAWS = 8, 4
"""Pictures in a row, and draws for each context."""

HELD = torch.arange(0, ANGLES, 6)
"""The angles at which the laws of signals are compared."""

SHARP = Claim(
    name="signals, not averages",
    says="Projections of its signals are closer in law to those of true signals than a regressor's, which has no spread.",
    source="Section 4, figures 3 to 5",
    unit="sliced Wasserstein distance",
    against="the same network trained as a regressor",
    bar=Bar("<=", times=0.7),
)
CONSISTENT = Claim(
    name="agrees with the context",
    says="Rendered at the context's angle, its signals show the context.",
    source="Section 4.1",
    unit="mean relative error",
    bar=Bar("<=", plus=0.1),
)
INDIRECT = Claim(
    name="no direct supervision",
    says="Its signals are nearly as close to true ones as those of the same network trained on true signals.",
    source="Section 1",
    unit="sliced Wasserstein distance",
    against="the same network trained on true signals",
    bar=Bar("<=", times=1.5),
)
BACK = Claim(
    name="better than reconstructing first",
    says="Its signals are twice as close to true ones as a diffusion of reconstructions.",
    source="Section 1",
    unit="sliced Wasserstein distance",
    against="a diffusion of A⁺O",
    bar=Bar("<=", times=0.5),
)


@cache
def projector() -> LinearViews:
    """Sums along parallel rays, at angles kπ/36: each pixel shares its value between the two nearest bins."""
    line, angle = torch.arange(SIDE) - (SIDE - 1) / 2, torch.arange(ANGLES)[:, None] * (math.pi / ANGLES)
    place = line.repeat(SIDE) * angle.cos() + line.repeat_interleave(SIDE) * angle.sin()
    bins = torch.arange(BINS) - (BINS - 1) / 2
    share = (1 - (bins[:, None] - place[:, None]).abs()).clamp(min=0)
    return LinearViews(share / 6, (1, SIDE, SIDE))


class World(NamedTuple):
    """Hidden signals (N, 1, 16, 16) in [0, 1], what is observed of them, (N, 3, 24), at angles (N, 3); held-out ones."""

    hidden: Tensor
    observed: Tensor
    angles: Tensor
    fresh: Tensor


@cache
def world() -> World:
    known = digits.split()
    hidden, fresh = (
        interpolate((x + 1) / 2, scale_factor=2, mode="bilinear") for x in (known.x, known.fresh)
    )
    angles = Noise(0).draw(torch.empty(len(hidden), ANGLES), 0, uniform).argsort(1)[:, :SEEN]
    return World(hidden, shown(hidden, angles), angles, fresh)


def shown(signal: Tensor, angles: Tensor) -> Tensor:
    """Projections (N, M, 24) of signals at angles (N, M)."""
    return torch.stack([projector()(signal, k) for k in angles.T], 1)


class Tomographer(nn.Module):
    """All that is known, laid back on the grid, to a signal (B, 1, 16, 16); `blind` to x_t as a regressor.

    The U-Net answers between 0 and 1. The noisy projection then moves the answer as far as its noise allows, which is
    what the skip of a preconditioned denoiser does for pictures: at little noise the signal shows what is drawn.
    """

    def __init__(self, seed: int, *, blind: bool = False) -> None:
        super().__init__()
        self.net, self.blind = unet(3, seed), blind

    def forward(self, x: Tensor, t: Tensor, cond: dict[str, Tensor]) -> Tensor:
        given = projector().adjoint(cond["context"], cond["context_setting"])[:, 0]
        drawn = projector().adjoint(x, cond["setting"])[:, 0]
        known = cond["known"][:, :, None, None].expand_as(given)
        if self.blind:
            drawn, t = torch.zeros_like(drawn), torch.zeros_like(t)
        guess = torch.sigmoid(2 * self.net(torch.cat([given, drawn, known], 1), t) - 1)
        if self.blind:
            return guess
        alpha, _, gamma = VP().values(t)
        noise = (gamma / alpha) ** 2
        return projector().prox(guess, x[:, 0] / alpha[:, None], cond["setting"][:, 0], noise / SPREAD)


@dataclass(frozen=True)
class Supervised:
    """Where signals are known: the squared error of S, with contexts, targets and noise drawn as ever."""

    indirect: IndirectMatching

    def event(self, x: Tensor) -> Shape:
        return self.indirect.event(x)

    def __call__(
        self,
        model: ForwardModelDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); cond holds the angles and the signals."""
        assert isinstance(cond, Mapping)
        signal, _, _ = self.indirect.ask(model, x0, cond["angles"], as_source(generator))
        return (signal - cond["signal"]).square().flatten(1).mean(1)


class Models(NamedTuple):
    """Ours and the baselines."""

    ours: ForwardModelDenoiser
    regressor: ForwardModelDenoiser
    supervised: ForwardModelDenoiser
    pictures: Denoiser


def settings(seed: int) -> Training:
    """How all of them are trained."""
    return Training(batch_size=32, lr=3e-3, ema=0.99, validation=0, seed=seed, progress=False)


def tomograph(
    objective: Objective, cond: Tree, *, seed: int, steps: int, blind: bool = False
) -> ForwardModelDenoiser:
    """A denoiser of projections, trained on the groups; cond holds the angles."""
    model = ForwardModelDenoiser(Tomographer(seed, blind=blind), projector(), VP())
    fit(model, objective, world().observed, cond=cond, steps=steps, config=settings(seed))  # type: ignore[arg-type]
    return model


def trained(seed: int, steps: int) -> Models:
    """All of them on the same groups, with the same number of steps."""
    known, indirect = world(), IndirectMatching()
    both = {"angles": known.angles, "signal": known.hidden}
    drawing = Denoiser(networks.Beside(unet(2, seed)), VP(), predicts="data", data_std=None)
    laid = projector().adjoint(known.observed, known.angles)[:, 0]
    fit(drawing, score_matching(), reconstructed(), cond=laid, steps=steps, config=settings(seed))
    return Models(
        ours=tomograph(indirect, known.angles, seed=seed, steps=steps),
        regressor=tomograph(
            IndirectMatching(context_dropout=0.0), known.angles, seed=seed, steps=steps, blind=True
        ),
        supervised=tomograph(Supervised(indirect), both, seed=seed, steps=steps),
        pictures=drawing,
    )


@cache
def reconstructed(views: int = SEEN) -> Tensor:
    """A⁺O: of all pictures with the first projections of a group the one of least norm, (N, 1, 16, 16)."""
    known = world()
    rays = projector().matrices[known.angles[:, :views]].flatten(1, 2).double()
    gram = rays @ rays.mT + 1e-6 * torch.eye(rays.shape[1])  # singular: each projection has the same sum
    weights = torch.linalg.solve(gram, known.observed[:, :views].flatten(1)[..., None].double())
    return (rays.mT @ weights).float().reshape(known.hidden.shape)


class Context(NamedTuple):
    """What is known of held-out signals: one projection (N, 1, 24) at an angle (N, 1), and the angle to draw (N, 1)."""

    truth: Tensor
    observed: Tensor
    angles: Tensor
    drawn: Tensor

    @classmethod
    def of(cls, truth: Tensor, seed: int) -> Context:
        """At random angles; what is drawn is the projection across."""
        u = Noise(seed).child(1).draw(torch.empty(len(truth), 1, dtype=torch.float64), 0, uniform)
        angles = (u * ANGLES).long()
        return cls(truth, shown(truth, angles), angles, (angles + ANGLES // 2) % ANGLES)

    def times(self, draws: int) -> Context:
        """Each context several times in a row."""
        return Context(*(part.repeat_interleave(draws, 0) for part in self))

    @property
    def cond(self) -> dict[str, Tensor]:
        return {"setting": self.drawn, "context": self.observed, "context_setting": self.angles}


@torch.no_grad()
def generated(model: ForwardModelDenoiser, known: Context, seed: int) -> Tensor:
    """A signal for each context."""
    x = sample(model, len(known.truth), cond=known.cond, steps=STEPS, seed=seed)
    return model.signal(x, cond=known.cond)


def answered(models: Models, known: Context, seed: int) -> dict[str, Tensor]:
    """What each method makes of the contexts: several draws a context, and one answer of the regressor."""
    blank, many = torch.zeros(len(known.truth), 1, BINS), known.times(DRAWS)
    with torch.no_grad():
        regressed = models.regressor.signal(blank, cond={**known.cond, "setting": known.angles})
    laid = projector().adjoint(many.observed, many.angles)[:, 0]
    return {
        "ours": generated(models.ours, many, seed),
        "regressor": regressed,
        "supervised": generated(models.supervised, many, seed),
        "reconstructions": sample(models.pictures, len(laid), cond=laid, steps=STEPS, seed=seed),
    }


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    steps, n = budget.pick(smoke=1, cpu=1300, paper=20_000), budget.pick(smoke=SHOWN, cpu=360)
    for seed in budget.seeds:
        models, known = trained(seed, steps), Context.of(world().fresh[:n], seed)
        found = answered(models, known, seed)
        judged(report, seed, found, known)
        report.kept.setdefault("shown", (known, found["ours"].unflatten(0, (-1, DRAWS)), found["regressor"]))
    remark(report)
    return report


def apart(x: Tensor, y: Tensor) -> float:
    """The distance of the claims, along the same directions every time."""
    return float(sliced_wasserstein(x, y, generator=Noise(0)))


def judged(report: Report, seed: int, found: dict[str, Tensor], known: Context) -> None:
    """The claims, from the answers of each method."""

    def views(x: Tensor) -> Tensor:
        return shown(x, HELD.expand(len(x), -1))

    # W is not 0 between equal laws: what digits that were not held out make of it is the floor.
    found = found | {"other digits": world().hidden}
    by_views = {name: apart(views(x), views(known.truth)) for name, x in found.items()}
    by_pixels = {name: apart(x, known.truth) for name, x in found.items()}
    many = known.times(DRAWS)
    error = (shown(found["ours"], many.angles) - many.observed).flatten(1).norm(dim=1)
    report.add(SHARP, seed, ours=by_views["ours"], baseline=by_views["regressor"])
    report.add(CONSISTENT, seed, ours=float((error / many.observed.flatten(1).norm(dim=1)).mean()))
    report.add(INDIRECT, seed, ours=by_pixels["ours"], baseline=by_pixels["supervised"])
    report.add(BACK, seed, ours=by_pixels["ours"], baseline=by_pixels["reconstructions"])
    true = shown(known.truth, known.drawn)
    across = {
        "ours": apart(shown(found["ours"], many.drawn), true),
        "regressor": apart(shown(found["regressor"], known.drawn), true),
        "spread": float(found["ours"].unflatten(0, (-1, DRAWS)).std(1).square().mean().sqrt()),
    }
    for name, values in (("by pixels", by_pixels), ("by views", by_views), ("across", across)):
        report.kept.setdefault(name, []).append(values)


def remark(report: Report) -> None:
    """What the verdicts do not say: how near a distance can be to 0, and where the draws differ."""

    def average(kind: str, name: str) -> float:
        return sum(found[name] for found in report.kept[kind]) / len(report.budget.seeds)

    report.note(
        SHARP,
        f"At the angle that is drawn, ours are at {average('across', 'ours'):.4f} and the regressor's at "
        f"{average('across', 'regressor'):.4f}; at the others a signal is the mean of what two projections leave open. The "
        f"network trained on true signals is at {average('by views', 'supervised'):.4f}, and true signals that were not "
        f"held out at {average('by views', 'other digits'):.4f}. Draws for one context have a standard deviation of "
        f"{average('across', 'spread'):.3f} a pixel, the regressor of 0.",
    )
    three, one = (apart(reconstructed(k), world().fresh) for k in (SEEN, 1))
    report.note(
        BACK,
        f"The reconstructions themselves, from all three projections of a group, are at {three:.4f}, and from one "
        f"projection each at {one:.4f}; true signals that were not held out are at "
        f"{average('by pixels', 'other digits'):.4f}.",
    )


def figure(report: Report) -> Figure:
    drawn, (left, middle, right) = canvas(report, panels=3, height=3.6, equal=(0,))
    known, draws, regressed = report.kept["shown"]
    laid = projector().adjoint(known.observed, known.angles)[:, 0]
    rows = [("context", laid / laid.amax((1, 2, 3), keepdim=True))]
    rows += [(f"draw {i + 1}", draws[:, i]) for i in range(DRAWS)]
    rows += [("their mean", draws.mean(1)), ("regressor", regressed), ("truth", known.truth)]
    pictures(left, [(name, 2 * x - 1) for name, x in rows], columns=SHOWN)
    left.set_title("one projection, laid back, and what it may come from", fontsize=9)
    _profiles(middle, known, draws[0])
    names = ("ours", "supervised", "regressor", "reconstructions", "other digits")
    for i, (kind, colour) in enumerate(zip(("by views", "by pixels"), PALETTE, strict=False)):
        values = torch.tensor([[found[name] for name in names] for found in report.kept[kind]])
        places = torch.arange(len(names)) + 0.4 * i - 0.2
        right.bar(places, values.mean(0), 0.36, color=colour, label=kind.replace("views", "projections"))
        for row in values:
            right.plot(places, row, ".", color="#222", markersize=4)
    right.set_xticks(
        range(len(names)),
        ["ours", "on true\nsignals", "regressor", "diffusion\nof A⁺O", "other\ndigits"],
        fontsize=8,
    )
    right.set_title("sliced Wasserstein distance to true signals", fontsize=9)
    right.legend(fontsize=7.5, frameon=False)
    return drawn


def _profiles(ax: Axes, known: Context, draws: Tensor) -> None:
    """Projections of the first digit and of the signals drawn for it: at the angle that is given, and across it."""
    every = torch.cat([draws, known.truth[:1]])
    for i, (turn, where) in enumerate(
        ((0, "at the angle that is given"), (ANGLES // 2, "at right angles to it"))
    ):
        angle = (known.angles[:1] + turn) % ANGLES
        lift = 3.0 * (1 - i)
        for k, curve in enumerate(shown(every, angle.expand(len(every), 1))[:, 0] + lift):
            last = k == DRAWS
            label = None if i else "truth" if last else "draws" if k == 0 else None
            ax.plot(curve, color="#222" if last else PALETTE[i], lw=1.6 if last else 1, label=label)
        ax.text(0, lift + 1.3, where, fontsize=8, color=PALETTE[i])
    ax.set_yticks([])
    ax.set_title("projections of the first column", fontsize=9)
    ax.legend(fontsize=7.5, frameon=False, loc="upper right")


PAPER = Paper(
    slug="dfm",
    title="Diffusion with forward models (Tewari, Yin, Cazenavette et al., 2023)",
    claims=(SHARP, CONSISTENT, INDIRECT, BACK),
    run=run,
    figure=figure,
)
