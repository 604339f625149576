"""BayesCap: calibrated uncertainty for a frozen restorer (Upadhyay et al., 2022).

Idea: a small network reads the answer of a frozen restorer, learns to repeat it, and states the law of the truth
around it, a generalized Gaussian in each pixel.
Stand-in: deblurring of 8×8 digits and 2× super-resolution of 16×16 crops of photographs, by a convolutional f of
10,000 parameters, for SRGAN, DeblurGAN and DeepFill on large images; a cap of two blocks instead of 16. Whether
the stated variance is right, follows the error and tells strangers can be judged here; the tables of the
large networks cannot.
Each method serves f's answer. Its variances are multiplied by one number that makes their mean right on held-out
calibration images, the same for all; the noise and the rate of the baselines are those with the least calibration
error there. Everything is measured on other held-out images; the crops come from a photograph that nothing has seen.
The heads trained from scratch on a tenth of the data go astray at the rate of the caps, and their calibration error says
little but that: at 3e-3, in a run before with a cap that began at α = 1.4, it was 0.038 against the 0.014 of the cap.
Source: arXiv 2207.06873.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, silu

from girsanov.denoiser import Denoiser
from girsanov.inverse import (
    BayesCap,
    InputPerturbation,
    MCDropout,
    TestTimeAugmentation,
    Uncertain,
    bayescap,
    generalized_gaussian_variance,
)
from girsanov.metrics import auroc, correlation, uncertainty_calibration_error
from girsanov.networks import CapNetwork
from girsanov.noise import Noise
from girsanov.papers import restoration
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.crops import crops
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = {"deblurring": 600, "super-resolution": 400}
NOISES = (0.02, 0.05, 0.1, 0.2)
RATES = (0.05, 0.1, 0.2, 0.4)
CALIBRATION = 80
"""Held-out images that the scalar, the noise and the rate are fitted on."""

BEST = "the best of augmentation, input noise and dropout"
DIGITS, CROPS = (
    Claim(
        name=f"calibrated, {task}",
        says=f"In {task} the uncertainty calibration error is at most 0.7 times that of the best baseline.",
        source="Table 1",
        unit="UCE of 100 bins",
        against=BEST,
        bar=Bar("<=", times=0.7),
    )
    for task in ("deblurring", "super-resolution")
)
SAME = Claim(
    name="performance kept",
    says="What is served with the cap is as good as the restorer.",
    source="section 3",
    unit="PSNR in deblurring, dB",
    against="the restorer alone",
    bar=Bar(">=", times=1.0),
)
IDENTITY = Claim(
    name="the cap needs few data",
    says="With a tenth of the data a cap is better calibrated than the same network trained from scratch.",
    source="Figure on fractions of the data",
    unit="UCE of 100 bins, deblurring",
    against="the heads trained from scratch on the same tenth",
    bar=Bar("<=", times=1.0),
)
TRACKS = Claim(
    name="σ tracks the error",
    says="σ and the absolute error of a pixel correlate at 0.4 or more.",
    source="Figure of error against uncertainty",
    unit="Pearson's r, the lesser of both tasks",
    bar=Bar(">=", plus=0.4),
)
ABOVE = Claim(
    name="better than all baselines",
    says="That correlation is above the best baseline's.",
    source="Table 1",
    unit="Pearson's r, deblurring",
    against=BEST,
    bar=Bar(">=", times=1.0),
)
STRANGE = Claim(
    name="tells strangers",
    says="The mean variance of an image tells photographs from digits.",
    source="section 4, out-of-distribution",
    unit="AUROC",
    bar=Bar(">=", plus=0.9),
)
PROXY = Claim(
    name="better than the residual",
    says="It does so at least as well as the residual of the answer, blurred again.",
    source="section 4, out-of-distribution",
    unit="AUROC",
    against="mean squared residual of the restorer",
    bar=Bar(">=", times=1.0),
)


class Restorer(nn.Module):
    """f: the degraded image plus what a small convolutional network finds missing; with dropout layers at rest."""

    def __init__(self, width: int = 16, layers: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.inner = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))
        self.drop = nn.ModuleList(nn.Dropout2d(0.0) for _ in range(layers))
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for inner, drop in zip(self.inner, self.drop, strict=True):
            h = h + drop(inner(silu(h)))
        return x + self.head(silu(h))


class Change(nn.Module):
    """What a restorer changes, called as the networks of denoisers are, to be trained by `restoration`."""

    def __init__(self, restorer: nn.Module) -> None:
        super().__init__()
        self.restorer = restorer

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        answer: Tensor = self.restorer(x)
        return answer - x


def coarse(x: Tensor, generator: Noise) -> Tensor:
    """Pixels averaged two by two, with noise of 0.02, each repeated to the size of x."""
    small = avg_pool2d(x, 2)
    return interpolate(small + 0.02 * generator.draw(small, 0), scale_factor=2.0)


def task(name: str, seed: int, tested: int) -> restoration.Pairs:
    """Pairs to train on, and `tested` held-out ones besides those for calibration."""
    known = worsened(name, seed)
    n = CALIBRATION + tested
    return known._replace(fresh=known.fresh[:n], fresh_worse=known.fresh_worse[:n])


def worsened(name: str, seed: int) -> restoration.Pairs:
    if name == "deblurring":
        return restoration.pairs(seed)
    train, fresh = crops(True, seed), crops(False, seed)
    source = Noise(seed).child(6)
    return restoration.Pairs(train, coarse(train, source), fresh, coarse(fresh, source.shifted(len(train))))


def settings(seed: int, lr: float) -> Training:
    return Training(batch_size=32, lr=lr, warmup=20, ema=0.99, validation=0, seed=seed, progress=False)


def restorer(known: restoration.Pairs, seed: int, steps: int) -> nn.Module:
    """f, trained on the squared error and frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Restorer()
    model = Denoiser(Change(net), VP(), data_std=None)
    fit(model, restoration.squared_error, known.x, cond=known.worse, steps=steps, config=settings(seed, 3e-3))
    return net.eval().requires_grad_(False)


def capped(
    f: nn.Module, known: restoration.Pairs, seed: int, steps: int, *, scratch: bool = False
) -> BayesCap:
    """A cap on f with the published weights; from scratch, the likelihood alone of heads that read the input."""
    below = nn.Identity() if scratch else f
    with torch.no_grad():
        scale = float((2 * (below(known.worse) - known.x).square().mean()).sqrt())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        cap = BayesCap(below, CapNetwork(1, blocks=2, scale=scale))
    loss = bayescap(identity=0.0, likelihood=1.0) if scratch else bayescap()
    fit(cap, loss, known.x, cond=known.worse, steps=steps, config=settings(seed, 1e-2))  # type: ignore[arg-type]
    return cap.requires_grad_(False)


class Held(NamedTuple):
    """Errors of f on test images and the variances stated for them, (N, 1, H, W)."""

    error: Tensor
    variance: Tensor

    @property
    def uce(self) -> float:
        return float(uncertainty_calibration_error(self.error, self.variance))

    @property
    def r(self) -> float:
        return float(correlation(self.variance.sqrt(), self.error.abs()))


def held(method: Uncertain, known: restoration.Pairs, seed: int) -> Held:
    found = method.estimate(known.fresh_worse, generator=Noise(seed).child(7))
    return scaled(found.prediction - known.fresh, found.variance)


def scaled(error: Tensor, variance: Tensor) -> Held:
    """One number for all variances, from the first images; the rest is for the test."""
    factor = error[:CALIBRATION].square().mean() / variance[:CALIBRATION].mean()
    return Held(error[CALIBRATION:], factor * variance[CALIBRATION:])


def best(methods: Sequence[Uncertain], known: restoration.Pairs, seed: int) -> Uncertain:
    """The one with the least calibration error on the first images, scaled there."""

    def off(method: Uncertain) -> float:
        found = method.estimate(known.fresh_worse[:CALIBRATION], generator=Noise(seed).child(9))
        error = found.prediction - known.fresh[:CALIBRATION]
        variance = found.variance * (error.square().mean() / found.variance.mean())
        return float(uncertainty_calibration_error(error, variance))

    return min(methods, key=off)


def compared(f: nn.Module, cap: BayesCap, known: restoration.Pairs, seed: int, draws: int) -> dict[str, Held]:
    """Every method, the baselines at their best."""
    methods: dict[str, Uncertain] = {
        "BayesCap": cap,
        "augmentation": TestTimeAugmentation(f),
        "input noise": best([InputPerturbation(f, std, n=draws) for std in NOISES], known, seed),
        "dropout": best([MCDropout(f, rate, n=draws) for rate in RATES], known, seed),
    }
    return {name: held(method, known, seed) for name, method in methods.items()}


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        lesser = []
        for name, claim in (("deblurring", DIGITS), ("super-resolution", CROPS)):
            steps = budget.pick(smoke=2, cpu=STEPS[name], paper=20_000)
            known = task(name, seed, budget.pick(smoke=9, cpu=280))
            f = restorer(known, seed, steps)
            cap = capped(f, known, seed, steps)
            found = compared(f, cap, known, seed, budget.pick(smoke=2, cpu=8))
            ours, *others = found.values()
            report.add(claim, seed, ours=ours.uce, baseline=min(one.uce for one in others))
            report.kept.setdefault(name, []).append({key: (one.uce, one.r) for key, one in found.items()})
            lesser.append(ours.r)
            if name == "deblurring":
                report.add(ABOVE, seed, ours=ours.r, baseline=max(one.r for one in others))
                digits(report, f, cap, known, seed)
                report.kept.setdefault("held", ours)
        report.add(TRACKS, seed, ours=min(lesser))
    remark(report)
    return report


def remark(report: Report) -> None:
    """What stands beside the verdicts."""
    told = []
    for name in STEPS:
        kept = report.kept[name]
        means = {key: sum(seed[key][1] for seed in kept) / len(kept) for key in kept[0]}
        told.append(f"{name}: " + ", ".join(f"{key} {r:.2f}" for key, r in means.items()))
    report.note(TRACKS, f"Mean r by method, {'; '.join(told)}.")
    report.note(
        CROPS,
        "A variance that is the same everywhere would have next to no such error, once it is scaled to the mean; "
        "the measure tells nothing of who follows the error. See the correlations.",
    )
    report.note(PROXY, "The residual compares the answer with the input; the cap sees the answer alone.")


@torch.no_grad()
def digits(report: Report, f: nn.Module, cap: BayesCap, known: restoration.Pairs, seed: int) -> None:
    """What is asked of the digits alone: what is served, few data, strangers."""
    answer = f(known.fresh_worse)
    served = cap.estimate(known.fresh_worse)
    ours, alone = (restoration.psnr(x, known.fresh) for x in (served.prediction, answer))
    report.add(SAME, seed, ours=ours, baseline=alone)
    tenth = known._replace(x=known.x[::10].clone(), worse=known.worse[::10].clone())
    steps = report.budget.pick(smoke=2, cpu=STEPS["deblurring"], paper=20_000)
    with torch.enable_grad():
        few, scratch = (capped(f, tenth, seed, steps, scratch=alone) for alone in (False, True))
    mean, scale, shape = scratch(known.fresh_worse)
    variance = generalized_gaussian_variance(scale, shape)
    report.add(
        IDENTITY,
        seed,
        ours=held(few, known, seed).uce,
        baseline=scaled(mean - known.fresh, variance).uce,
    )
    strange = restoration.degraded(avg_pool2d(crops(False, seed), 2), Noise(seed).child(8))
    variances = [cap.estimate(x).variance for x in (known.fresh_worse, strange)]
    residuals = [(restoration.blurred(f(x)) - x).square() for x in (known.fresh_worse, strange)]
    ours, proxy = (auroc(*(v.flatten(1).mean(1) for v in pair)) for pair in (variances, residuals))
    report.add(STRANGE, seed, ours=ours)
    report.add(PROXY, seed, ours=ours, baseline=proxy)
    report.kept.setdefault("strange", [v.flatten(1).mean(1).sqrt() for v in variances])
    rows = {"blurred": known.fresh_worse, "restored": answer, "truth": known.fresh}
    error, std = (answer - known.fresh).abs(), served.std
    rows |= {"|error|": error / error.max() * 2 - 1, "σ": std / std.max() * 2 - 1}
    report.kept.setdefault("pictures", {key: x[-5:] for key, x in rows.items()})


def figure(report: Report) -> Figure:
    drawn, (pictures, curve, bars, strangers) = canvas(report, panels=4)
    restoration.show(pictures, report.kept["pictures"])
    pictures.set_xticks([])
    pictures.set_title("deblurring", fontsize=9)
    one: Held = report.kept["held"]
    order = one.variance.flatten().argsort()
    parts = list(
        zip(one.variance.flatten()[order].chunk(20), one.error.flatten()[order].chunk(20), strict=True)
    )
    stated = [float(v.mean().sqrt()) for v, _ in parts]
    curve.plot([0, max(stated)], [0, max(stated)], color=PALETTE[4], lw=1, ls="--")
    curve.plot(stated, [float(e.square().mean().sqrt()) for _, e in parts], "o-", ms=4, color=PALETTE[0])
    curve.set(xlabel="σ stated", ylabel="error made (root mean square)")
    curve.set_title("20 groups of pixels, digits", fontsize=9)
    for k, name in enumerate(("deblurring", "super-resolution")):
        kept = report.kept[name]
        for i, key in enumerate(kept[0]):
            values = [seed[key][0] / seed["BayesCap"][0] for seed in kept]
            place = i + 0.38 * k
            bars.bar(place, sum(values) / len(values), 0.34, color=PALETTE[k], alpha=0.4)
            bars.plot([place] * len(values), values, "o", ms=4, color=PALETTE[k])
    bars.axhline(1, color=PALETTE[4], lw=1, ls="--")
    bars.set_xticks([i + 0.19 for i in range(4)], list(kept[0]), fontsize=8, rotation=25)
    bars.set_title("calibration error over BayesCap's\nblue digits, orange crops", fontsize=9)
    usual, strange = report.kept["strange"]
    for values, colour, label in ((usual, PALETTE[0], "digits"), (strange, PALETTE[1], "photographs")):
        strangers.hist(values.numpy(), bins=25, color=colour, alpha=0.6, label=label, density=True)
    strangers.legend(frameon=False, fontsize=8)
    strangers.set(xlabel="σ of an image", yticks=[])
    strangers.set_title("strangers", fontsize=9)
    return drawn


PAPER = Paper(
    slug="bayescap",
    title="BayesCap: calibrated uncertainty in frozen neural networks (Upadhyay et al., 2022)",
    claims=(DIGITS, CROPS, SAME, IDENTITY, TRACKS, ABOVE, STRANGE, PROXY),
    run=run,
    figure=figure,
)
