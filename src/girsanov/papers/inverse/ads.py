"""Active diffusion subsampling (Nolan, Stevens, van Nierop & van Sloun, 2024).

Idea: the particles of one reverse diffusion disagree where a measurement would tell most; measure there next, and go on.
Stand-in: 4,000 digits of MNIST at their 28×28 pixels to train on, for 60,000 at 32×32, and 16 others a seed to restore. For
knees of fastMRI at 128×128, slices of a brain template at 48×48, turned, zoomed, in other contrasts and with a smooth phase;
the six slices a seed that are restored lie in a band that was not trained on. U-Nets of 330,000 parameters that see 4×4 pixels
as one. Whether choosing beats fixed masks can be judged here; the tables on fastMRI cannot.
Particles, schedule, σ, the shares of the steps in which measurements are taken, the centre line and the data consistency of
slices are the paper's. It takes 1,000 and 10,000 steps, and here are 64, so ω had to be chosen again: 2 for digits, the best
for random masks among 1, 2 and 3 on other digits; for slices the best for masks of variable density, on slices of those
trained on. One network for all seeds; a seed is one of images, masks and particles.
A mask ranked by variance is the same for every digit: the pixels that vary most over the training digits. The reference code
draws masks with these variances as weights; their errors are told beside the verdict. Fixed masks of k-space hold its four
centre lines.
Source: arXiv 2406.14388; settings as in active-diffusion-subsampling/ads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.denoiser import Denoiser
from girsanov.inverse import (
    DPS,
    Acquired,
    ActiveSubsampling,
    Fourier,
    Identity,
    MeasurementOperator,
    columns,
    pixels,
)
from girsanov.noise import Noise, uniform
from girsanov.objectives import score_matching
from girsanov.papers import brains
from girsanov.papers.base import Bar, Budget, Claim, Paper, mean
from girsanov.papers.estimators import Patched
from girsanov.papers.plots import band, heat, ink, named_ticks, tiled
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import CosineVP
from girsanov.solvers import grid
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIGIT, BRAIN = (1, 28, 28), (2, brains.SIDE, brains.SIDE)
PIXELS, MIDDLE, LINES = (10, 25, 50), 25, brains.SIDE // 4
STEPS, N, POWER = 64, 16, 2.0
SCALES = (1.0, 2.0, 4.0, 8.0)
"""ω of slices."""
START, LAST = 0.987, 1.11
"""Between shares of the signal of 0.02 and 0.95, equal steps of the angle."""

RANDOM, RANKED = (
    Claim(
        name=f"25 pixels, {name}",
        says=f"With 25 of 784 pixels, chosen ones leave less error than {against}.",
        source="Experiments on MNIST, pixels",
        unit="mean absolute error",
        against=against,
        bar=Bar("<=", times=times),
        over="mean",
    )
    for name, against, times in (
        ("random", "random ones", 0.85),
        ("data variance", "those that vary most in the data", 0.95),
    )
)
OTHERS = {
    m: Claim(
        name=f"{m} pixels",
        says=f"With {m} they are not worse than the better of both.",
        source="Experiments on MNIST, pixels",
        unit="mean absolute error",
        against="the better fixed mask",
        bar=Bar("<=", times=1.02),
        over="mean",
    )
    for m in PIXELS
    if m != MIDDLE
}
SCAN = Claim(
    name="a quarter of k-space",
    says="With a quarter of the columns of k-space, chosen ones restore slices better.",
    source="Experiments on fastMRI, 4× acceleration",
    unit="structural similarity of magnitudes",
    against="the better of centre with equispaced and with random lines of variable density",
    bar=Bar(">=", times=1.0, plus=0.01),
    over="mean",
)
FALLS = Claim(
    name="uncertainty falls",
    says="From one measurement to the next the variance of the particles falls.",
    source="Abstract: progressively decreasing its uncertainty",
    unit="Kendall's τ of variance and number of pixels, up to 25",
    bar=Bar("<=", plus=-0.9),
)


FIXED = ("random", "data variance", "drawn by variance")


class Setting(NamedTuple):
    """What is measured of what, and how; the numbers but ω, `scale`, are the paper's."""

    operator: MeasurementOperator
    candidates: Tensor
    scale: float
    sigma: float
    window: tuple[float, float]
    consistent: bool


DIGITS = Setting(Identity(DIGIT), pixels(DIGIT), 2.0, 10.0, (0.0, 0.8), False)
SCANS = Setting(Fourier(BRAIN), columns(BRAIN), 0.85, 50.0, (0.005, 0.25), True)


class Size(NamedTuple):
    """Training steps, digits and slices a seed, particles, sampling steps; pixels and columns that are measured."""

    training: int
    n: int
    slices: int
    particles: int
    steps: int
    pixels: tuple[int, ...] = PIXELS
    lines: int = LINES


def digits(n: int, *, seed: int | None = None) -> Tensor:
    """The digits to train on, or n that only this seed has to restore, (N, 1, 28, 28)."""
    x, _ = data.mnist5k()
    x = x[Noise(0).draw(torch.empty(len(x), 1, dtype=torch.float64), 0, uniform)[:, 0].argsort()]
    return x[:n] if seed is None else x[4000 + 50 * seed :][:n]


def trained(x: Tensor, steps: int, batch_size: int) -> Denoiser:
    """A denoiser of images (N, C, H, W) whose sides four divides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Patched(networks.UNet(16 * x.shape[1], width=32, levels=(1, 2), blocks=1), 4)
    model = Denoiser(net, CosineVP(), predicts="data", data_std=float(x.std()), shape=tuple(x.shape[1:]))
    settings = Training(batch_size=batch_size, lr=2e-3, ema=0.995, validation=0, seed=0, progress=False)
    fit(model, score_matching(), x, steps=steps, config=settings)
    return model.eval()


def measured(
    setting: Setting,
    model: Denoiser,
    truth: Tensor,
    size: Size,
    *,
    budget: int = 0,
    first: Tensor | None = None,
    seed: int,
) -> Acquired:
    """Particles of every image of `truth`, from measurements that are chosen (`budget`) or fixed (`first`)."""
    operator, candidates, scale, sigma, window, consistent = setting
    guidance = DPS(scale=scale, eta=0.0, grid=grid("uniform", size.steps, start=START, last=LAST))
    sampler = ActiveSubsampling(budget, size.particles, guidance, window, sigma=sigma, consistent=consistent)
    y = operator(truth)
    return sampler(model, operator, candidates, lambda _: y, len(truth), first=first, generator=Noise(seed))


def masks(n: int, m: int, variance: Tensor, source: Noise) -> dict[str, Tensor]:
    """Fixed pixels by name: one mask for each of n digits, (n, m), or for all, (m,)."""
    u = source.draw(torch.empty(n, len(variance), dtype=torch.float64), 0, uniform).clamp(min=1e-12)
    return {
        "random": u.argsort(1)[:, :m],
        "data variance": variance.argsort(descending=True)[:m],
        "drawn by variance": (-u.log() / variance).argsort(1)[:, :m],
    }


def error(found: Acquired, truth: Tensor) -> float:
    """The mean absolute error of the particles' mean."""
    return float((found.x.mean(1) - truth).abs().mean())


def kendall(values: Tensor) -> float:
    """Kendall's τ of values (T,) with their index: rising pairs less falling ones, as a share."""
    from scipy.stats import kendalltau  # takes a second

    return float(kendalltau(range(len(values)), values.numpy()).statistic)


def on_digits(report: Report, model: Denoiser, variance: Tensor, size: Size, seed: int) -> None:
    """Chosen against fixed pixels."""
    truth = digits(size.n, seed=seed)
    errors: dict[int, dict[str, float]] = {}
    for m, count in zip(PIXELS, size.pixels, strict=True):
        found = {
            name: measured(DIGITS, model, truth, size, first=mask, seed=seed)
            for name, mask in masks(size.n, count, variance, Noise(seed).child(m)).items()
        }
        found["chosen"] = measured(DIGITS, model, truth, size, budget=count, seed=seed)
        errors[m] = {name: error(one, truth) for name, one in found.items()}
        report.kept.setdefault(f"spread {m}", []).append(float(found["chosen"].x.var(1).mean()))
        if m == MIDDLE:
            falling = found["chosen"].variance.mean(0)
            report.add(FALLS, seed, ours=kendall(falling))
            report.kept.setdefault("variance", []).append(falling.tolist())
            report.kept.setdefault("digits", (truth, found))
    report.kept.setdefault("errors", []).append(errors)
    fixed = {m: min(errors[m]["random"], errors[m]["data variance"]) for m in PIXELS}
    report.add(RANDOM, seed, ours=errors[MIDDLE]["chosen"], baseline=errors[MIDDLE]["random"])
    report.add(RANKED, seed, ours=errors[MIDDLE]["chosen"], baseline=errors[MIDDLE]["data variance"])
    for m, claim in OTHERS.items():
        report.add(claim, seed, ours=errors[m]["chosen"], baseline=fixed[m])


def alike(found: Acquired, truth: Tensor) -> float:
    """The structural similarity of the mean magnitude of particles to the true one."""
    return brains.ssim(brains.magnitude(found.x).mean(1), brains.magnitude(truth))


def tuned(model: Denoiser, size: Size) -> Setting:
    """With the ω that is best for the random mask on slices of those that were trained on."""
    truth = brains.images(size.slices, Noise(100))
    mask = brains.variable(len(truth), size.lines, size.lines // 3, POWER, Noise(101))
    some = [SCANS._replace(scale=scale) for scale in SCALES]
    scores = [alike(measured(one, model, truth, size, first=mask, seed=100), truth) for one in some]
    return some[scores.index(max(scores))]


def on_scans(report: Report, model: Denoiser, setting: Setting, size: Size, seed: int) -> None:
    """Chosen columns of k-space, after the centre line, against fixed ones."""
    n, lines = size.slices, size.lines
    truth = brains.images(n, Noise(seed).child(1), fresh=True)
    fixed = {
        "equispaced": brains.equispaced(lines, lines // 3),
        "variable density": brains.variable(n, lines, lines // 3, POWER, Noise(seed).child(2)),
    }
    found = {
        name: measured(setting, model, truth, size, first=mask, seed=seed) for name, mask in fixed.items()
    }
    centre = torch.tensor([0])
    found["chosen"] = measured(setting, model, truth, size, budget=lines - 1, first=centre, seed=seed)
    likeness = {name: alike(one, truth) for name, one in found.items()}
    low = measured(setting, model, truth, size, first=brains.centre(lines), seed=seed)
    likeness["the centre alone"] = alike(low, truth)
    report.add(SCAN, seed, ours=likeness["chosen"], baseline=max(likeness[name] for name in fixed))
    report.kept.setdefault("alike", []).append(likeness)
    report.kept.setdefault("scans", (truth, found))


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    size = budget.pick(smoke=Size(2, 2, 2, 2, 8, (1, 2, 5), 3), cpu=Size(1500, N, 6, 16, STEPS))
    x = digits(4000)
    model, variance = trained(x, size.training, 64), x.flatten(1).double().var(0)
    for seed in budget.seeds:
        on_digits(report, model, variance, size, seed)
    model = trained(brains.images(3000, Noise(0)), size.training * 2 // 3, 32)
    setting = tuned(model, size)
    for seed in budget.seeds:
        on_scans(report, model, setting, size, seed)
    remark(report, setting.scale)
    return report


def remark(report: Report, scale: float) -> None:
    """What the verdicts do not say."""
    errors, alike = report.kept["errors"], report.kept["alike"]
    for m, claim in ((MIDDLE, RANKED), *OTHERS.items()):
        drawn = mean([e[m]["drawn by variance"] for e in errors])
        report.note(claim, f"Of masks drawn with the variances as weights it is {drawn:.4f}.")
    both = ", ".join(f"{name} {mean([a[name] for a in alike]):.4f}" for name in alike[0] if name != "chosen")
    report.note(
        SCAN,
        f"Fixed: {both}. ω = {scale:g} was chosen by the module. With ω = 17, fixed beforehand, a run missed the bar "
        "(0.3648 against 0.3623).",
    )
    spread = ", ".join(f"{v:.4f}" for v in finished(report))
    report.note(
        FALLS,
        "At high noise all particles have the same denoised image, the mean of the data, so that their variance "
        "starts near 0 and rises with the signal until measurements outweigh it. That of finished particles, given "
        f"{', '.join(map(str, PIXELS))} pixels, is {spread}.",
    )


def finished(report: Report) -> list[float]:
    """The variance of finished particles by the number of pixels."""
    return [float(torch.tensor(report.kept[f"spread {m}"]).mean()) for m in PIXELS]


def figure(report: Report) -> Figure:
    drawn, (left, middle, right) = canvas(report, panels=3, height=4.4, equal=(0, 1))
    low, high = right.get_position().y0, right.get_position().y1
    left.set_position((0.03, low, 0.46, high - low))
    middle.set_position((0.515, low, 0.255, high - low))
    right.set_position((0.82, low + 0.56 * (high - low), 0.165, 0.44 * (high - low)))
    below = drawn.add_axes((0.82, low, 0.165, 0.36 * (high - low)))
    digit_sheet(left, report)
    scan_sheet(middle, report)
    for name, colour in zip(("chosen", *FIXED), PALETTE, strict=False):
        band(
            right,
            PIXELS,
            [[e[m][name] for m in PIXELS] for e in report.kept["errors"]],
            label=name,
            color=colour,
        )
    right.set_title("error by pixels measured", fontsize=9)
    named_ticks(right, PIXELS)
    right.set_ylim(bottom=0)
    right.legend(fontsize=7, frameon=False)
    for i, falling in enumerate(report.kept["variance"]):
        below.plot(falling, color=PALETTE[0], lw=1.2, label="" if i else "while 25 are measured")
    below.plot(PIXELS, finished(report), "o", ms=5, color=PALETTE[1], label="finished")
    below.spines[["top", "right"]].set_visible(False)
    below.tick_params(labelsize=8)
    below.legend(fontsize=7, frameon=False)
    below.set_title("variance of particles", fontsize=9)
    below.set_xlabel("pixels measured", fontsize=8.5)
    return drawn


def digit_sheet(ax: Axes, report: Report) -> None:
    """The truth; where was measured, and mean and spread of the particles, for chosen pixels and for random ones."""
    truth, found = report.kept["digits"]
    most = max(float(found[name].x.std(1).max()) for name in ("chosen", "random"))
    rows = []
    for i in range(min(6, len(truth))):
        row = [ink(truth[i, 0])]
        for name in ("chosen", "random"):
            x, order, known, _ = (v[i] for v in found[name])
            row.append(places(ink(truth[i, 0]), known[0], order))
            row += [ink(x.mean(0)[0]), heat(x.std(0)[0] / most)]
        rows.append(row)
    tiled(ax, rows, ("truth", "chosen", "mean", "spread", "random", "mean", "spread"))
    ax.set_xlabel(f"{MIDDLE} pixels, chosen (dark first) or random, and the particles", fontsize=8.5)


def scan_sheet(ax: Axes, report: Report) -> None:
    """The columns that were measured, over the power of k-space; the particles' mean, and its error."""
    truth, found = report.kept["scans"]
    size = brains.magnitude(truth[0]) / brains.BRIGHT
    means = {name: brains.magnitude(one.x[0]).mean(0) / brains.BRIGHT for name, one in found.items()}
    most = max(float((x - size).abs().max()) for x in means.values())
    power = brains.magnitude(SCANS.operator(truth[:1]))[0].clamp(min=1e-2).log()
    power = 2 * (power - power.min()) / (power.max() - power.min()) - 1
    rows = [[centred(ink(power)), ink(1 - 2 * size), torch.ones(*size.shape, 3)]]
    for name, x in means.items():
        where = places(ink(power), found[name].known[0, 0], None)
        rows.append([centred(where), ink(1 - 2 * x), heat((x - size).abs() / most)])
    tiled(ax, rows, ("k-space", "image", "error"))
    side = brains.SIDE + 2
    ax.set_yticks([side * (k + 0.5) for k in range(len(rows))], ["truth", *means], rotation=90, va="center")
    ax.set_xlabel("a quarter of the columns of k-space", fontsize=8.5)


def centred(picture: Tensor) -> Tensor:
    """A picture of k-space (H, W, 3) with the centre in the middle."""
    return torch.fft.fftshift(picture, dim=(0, 1))


def places(picture: Tensor, known: Tensor, order: Tensor | None) -> Tensor:
    """A faded picture (H, W, 3) with what is known (H, W) in colour; chosen pixels from early, dark, to late, light."""
    drawn = 1 - 0.35 * (1 - picture)
    drawn[known] = torch.tensor([0.82, 0.45, 0.18])
    if order is not None and len(order):
        drawn.flatten(0, 1)[order] = heat(torch.linspace(0.1, 0.9, len(order)), "viridis")
    return drawn


PAPER = Paper(
    slug="ads",
    title="Active diffusion subsampling (Nolan, Stevens, van Nierop & van Sloun, 2024)",
    claims=(RANDOM, RANKED, *OTHERS.values(), SCAN, FALLS),
    run=run,
    figure=figure,
)
