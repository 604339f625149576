"""Score priors guided deep variational inference for real-world single image denoising (Cheng et al., 2023).

Idea: to one noisy photograph fit a mixture of Gaussians at each pixel, for the image and for the noise, with blind
denoisers of white Gaussian noise as the prior.
Stand-in: crops of 32×32 pixels of photographs of scikit-learn and scikit-image seen by a simulated camera
(`papers.camera`: photon noise, Bayer's mosaic, bilinear interpolation, gamma), for CC, PolyU, SIDD and FMDD; three
bias-free DnCNN of 8 layers and 16 channels, trained once for half a minute on other photographs at noise of
0 to 15, 10 to 30 and 20 to 55 of 255, for ones of 20 layers; 150 steps, one draw each and 16 channels for the
variational networks, which start at y and have settled by then. The prior of the noise is the authors' for SIDD,
the nearest of theirs in noise. An ordering against single-image methods and against the denoisers alone can be
judged here, the tables cannot. Rivals have their best parameter for each crop, the deep image prior its best step;
the wavelets of scikit-image need a package that is not among our extras and are left out.
Source: arXiv 2308.04682.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.errors import extra
from girsanov.inverse import ScoreDVI
from girsanov.networks import DnCNN, UNet
from girsanov.noise import Noise, Randomness, as_source, uniform
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.camera import camera, patches
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import EDM
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, PHOTONS, WHITE = 32, 100.0, 25 / 255
RANGES = ((0, 15), (10, 30), (20, 55))

BEATS = Claim(
    name="beats single-image methods",
    says="On camera noise it beats total variation, non-local means and the deep image prior by 0.4 dB.",
    source="Tables 1 and 2",
    unit="PSNR, dB",
    against="the best of the three in the mean",
    bar=Bar(">=", times=1.0, plus=0.4),
    over="mean",
)
USES = Claim(
    name="beats its denoisers",
    says="On camera noise it beats the best of its own denoisers by 0.3 dB.",
    source="Ablation tables",
    unit="PSNR, dB",
    against="the best denoiser used directly",
    bar=Bar(">=", times=1.0, plus=0.3),
    over="mean",
)
PLAIN = Claim(
    name="white noise",
    says="On white Gaussian noise it loses at most 0.3 dB to the best of its denoisers.",
    source="Section on synthetic noise",
    unit="PSNR, dB",
    against="the best denoiser used directly",
    bar=Bar(">=", times=1.0, plus=-0.3),
    over="mean",
)
MIXED = Claim(
    name="three components",
    says="Three components are no worse than one, of the middle denoiser.",
    source="Ablation on K",
    unit="PSNR, dB",
    against="K = 1",
    bar=Bar(">=", times=1.0),
    over="mean",
)
RULED = Claim(
    name="λ by the noise",
    says="λ by the estimated noise is no worse than λ = 1.",
    source="Ablation on λ",
    unit="PSNR, dB",
    against="λ = 1",
    bar=Bar(">=", times=1.0),
    over="mean",
)
MATTERS = Claim(
    name="one of the two helps",
    says="The mixture or the rule for λ gains 0.1 dB.",
    source="Ablations",
    unit="larger gain in PSNR, dB",
    bar=Bar(">=", plus=0.1),
    over="mean",
)


def run(budget: Budget) -> Report:
    report, shares = Report(PAPER, budget), list[Tensor]()
    steps = budget.pick(smoke=2, cpu=150, paper=400)
    nets = denoisers(budget.pick(smoke=2, cpu=400, paper=50_000))
    ours = ScoreDVI(nets, steps=steps, draws=budget.pick(smoke=1, cpu=1, paper=5), width=16)
    for seed in budget.seeds:
        x = patches(False, budget.pick(smoke=1, cpu=3, paper=8), SIDE, seed)
        source = Noise(seed).child(8)
        clean = camera(x, source, photons=math.inf, reading=0.0)
        y = camera(x, source, photons=PHOTONS)
        found = {name: psnr(image, clean) for name, image in singles(y, clean, steps, seed).items()}
        found |= {f"denoiser {low}–{high}": psnr(net(y), clean) for net, (low, high) in zip(nets, RANGES)}
        details = [ours(image, generator=Noise(seed).child(i)) for i, image in enumerate(y)]
        images = torch.stack([one.mean for one in details])
        shares.append(torch.stack([one.shares.mean((1, 2, 3)) for one in details]).mean(0))
        found["ours"] = psnr(images, clean)
        found["one component"] = psnr(denoised(replace(ours, denoisers=nets[1:2]), y, seed), clean)
        found["λ = 1"] = psnr(denoised(replace(ours, weight=1.0), y, seed), clean)
        report.add(BEATS, seed, ours=found["ours"], baseline=max(list(found.values())[:3]))
        own = max(psnr(net(y), clean) for net in nets)
        report.add(USES, seed, ours=found["ours"], baseline=own)
        noisy = x + WHITE * source.draw(x, 1)
        best = max(psnr(net(noisy), x) for net in nets)
        report.add(PLAIN, seed, ours=psnr(denoised(ours, noisy, seed), x), baseline=best)
        gains = [found["ours"] - found[name] for name in ("one component", "λ = 1")]
        report.add(MIXED, seed, ours=found["ours"], baseline=found["one component"])
        report.add(RULED, seed, ours=found["ours"], baseline=found["λ = 1"])
        report.add(MATTERS, seed, ours=max(gains))
        report.kept.setdefault("psnr", []).append({"noisy": psnr(y, clean)} | found)
        best_net = max(nets, key=lambda net: psnr(net(y), clean))
        rows = {"camera": y, "denoiser": best_net(y), "ours": images, "truth": clean}
        report.kept.setdefault("pictures", {name: image[:3] for name, image in rows.items()})
    low, middle, high = (100 * torch.stack(shares).mean(0)).tolist()
    report.note(
        BEATS,
        f"Of the mixture {low:.0f} % goes to the denoiser of least noise, {middle:.0f} and {high:.0f} % to the others. "
        "Interpolation correlates the noise of neighbours; all three have learned white noise only, and the rivals "
        "are set with the truth at hand.",
    )
    return report


def denoised(model: ScoreDVI, y: Tensor, seed: int) -> Tensor:
    """Every image by itself."""
    return torch.stack([model(image, generator=Noise(seed).child(i)).mean for i, image in enumerate(y)])


@dataclass(frozen=True)
class BlindDenoising:
    """The objective |(D(x + σ z) - x)/σ|², σ even between `low` and `high`; a σ below 2/255 counts as that."""

    low: float
    high: float

    def __call__(
        self,
        model: Denoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        source = as_source(generator)
        u = source.draw(x0[:, :1, :1, :1], 0, uniform)
        sigma = self.low + (self.high - self.low) * u
        error = model.network(x0 + sigma * source.draw(x0, 1)) - x0
        return (error / sigma.clamp(min=2 / 255)).square().flatten(1).mean(1)


@cache
def denoisers(steps: int) -> tuple[DnCNN, ...]:
    """Off the shelf: trained once, on other photographs than the test's."""
    found, x = [], patches(True, 4000, 24)
    for i, (low, high) in enumerate(RANGES):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(i)
            net = DnCNN(3, width=16, depth=8, bias_free=True)
        settings = Training(batch_size=16, lr=2e-3, ema=0.99, validation=0, seed=i, progress=False)
        fit(
            Denoiser(net, EDM(), data_std=None),
            BlindDenoising(low / 255, high / 255),
            x,
            steps=steps,
            config=settings,
        )
        found.append(net.eval().requires_grad_(False))
    return tuple(found)


def singles(y: Tensor, clean: Tensor, steps: int, seed: int) -> dict[str, Tensor]:
    """What can be done with the image alone, each at its best."""
    tools = extra("skimage.restoration", "data")

    def smooth(name: str, sizes: tuple[float, ...], **kinds: int) -> Tensor:
        tool: Callable[..., object] = getattr(tools, name)
        word = "weight" if name == "denoise_tv_chambolle" else "h"
        best = []
        for image, truth in zip(y, clean, strict=True):
            tried = [
                torch.as_tensor(tool(image.numpy(), **{word: s}, channel_axis=0, **kinds)).float()
                for s in sizes
            ]
            best.append(nearest(tried, truth))
        return torch.stack(best)

    return {
        "total variation": smooth("denoise_tv_chambolle", (0.02, 0.04, 0.06, 0.09, 0.13)),
        "non-local means": smooth(
            "denoise_nl_means", (0.02, 0.03, 0.05, 0.07, 0.1), patch_size=5, patch_distance=6
        ),
        "deep image prior": torch.stack(
            [image_prior(image, truth, 2 * steps, seed) for image, truth in zip(y, clean, strict=True)]
        ),
    }


def image_prior(y: Tensor, truth: Tensor, steps: int, seed: int) -> Tensor:
    """The U-Net of ours, fitted to y from noise; the best running mean on its way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet(8, outputs=3, width=16, levels=(1, 2), attention=0)
    given, t = 0.3 * Noise(seed).child(9).draw(torch.empty(1, 8, *y.shape[1:]), 0), torch.zeros(1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    mean = best = torch.full_like(y, float(y.mean()))
    for _ in range(steps):
        answer = net(given, t)[0]
        optimizer.zero_grad()
        (answer - y).square().mean().backward()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * answer.detach()
        best = nearest([best, mean], truth)
    return best


def nearest(images: list[Tensor], truth: Tensor) -> Tensor:
    """The image with the best PSNR."""
    return max(images, key=lambda x: psnr(x[None], truth[None]))


def psnr(x: Tensor, truth: Tensor) -> float:
    """The mean over images in [0, 1], in dB."""
    return float(-10 * (x.clamp(0, 1) - truth).square().flatten(1).mean(1).log10().mean())


def figure(report: Report) -> Figure:
    drawn, (pictures, bars) = canvas(report, panels=2, equal=(0,))
    rows = [torch.cat(list(image.clamp(0, 1)), 2) for image in report.kept["pictures"].values()]
    pictures.imshow(torch.cat(rows, 1).movedim(0, -1).numpy())
    pictures.set_yticks(
        [SIDE * (i + 0.5) for i in range(len(rows))], list(report.kept["pictures"]), fontsize=8
    )
    pictures.tick_params(length=0)
    kept = report.kept["psnr"]
    for i, name in enumerate(kept[0]):
        values = [one[name] - one["noisy"] for one in kept]
        colour = PALETTE[0] if name == "ours" else PALETTE[1] if name.startswith("denoiser") else PALETTE[4]
        bars.barh(-i, sum(values) / len(values), color=colour, alpha=0.4)
        bars.plot(values, [-i] * len(values), "o", ms=4, color=colour)
    bars.set_yticks([-i for i in range(len(kept[0]))], list(kept[0]), fontsize=8)
    bars.set_title("gain in PSNR over the camera's image, dB, a dot a seed", fontsize=9)
    return drawn


PAPER = Paper(
    slug="score-dvi",
    title="Score priors guided deep variational inference for real image denoising (Cheng et al., 2023)",
    claims=(BEATS, USES, PLAIN, MIXED, RULED, MATTERS),
    run=run,
    figure=figure,
)
