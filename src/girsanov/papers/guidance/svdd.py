"""Derivative-free guidance in continuous and discrete diffusion models with soft value-based decoding (Li et al., 2024).

Idea: a pretrained sampler draws several candidates at every step, and the one with the best prospect of reward goes
on; so the reward may be any program, and nothing is trained or differentiated.
Stand-in: models that are exact, so that only the search is judged. Pictures are a mixture of Gaussians fitted to 8×8
digits, with the number of separate strokes as the reward, which has no derivative; strings of DNA are a hidden chain
with three motifs, under masked diffusion, with motif hits and a rule of spacing as the reward. In place of Stable
Diffusion with its compressibility, and of enhancers with a network that reads them. The order of the methods can be
judged here, and likelihoods exactly; the rewards of the paper's table cannot.
Choice: α = 0 and M = 10, as in the authors' experiments. The particles of SMC are 10 for each sample, one of which is
drawn at the end, at the temperature that had the best median on seed 100 (of 0.05 … 1 and of 0.1, 0.3, 1).
Source: arXiv 2408.08252.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.denoiser import AbstractDenoiser
from girsanov.exact import GaussianMixture
from girsanov.guidance import (
    BestOfN,
    PosteriorMeanValue,
    SoftValueDecoding,
    TwistedSMC,
    ValueModel,
    fit_value,
)
from girsanov.guidance.value import Reward
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, motifs
from girsanov.papers.plots import pictures
from girsanov.processes import VP
from girsanov.solvers import AncestralMasked, ancestral, grid, sample
from girsanov.training import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CANDIDATES, INK = 10, -0.2
SMC_ALPHA = {"digits": 0.1, "DNA": 0.3}
BUMPS, BUMP, FLOOR = ((-1.0, 0.0), (1.0, 0.0)), 0.3, 0.02
"""Where the reward of the plane is high, how wide, and what is left elsewhere."""

WHY_SMC = (
    "Particles of one sample that are resampled at a low temperature are a search too, over paths and not over single "
    "steps: a candidate that looked second best can still win, at as many calls. In the authors' experiments every "
    "particle of a cloud is a sample; here one of 10 is, which costs SMC its speed and spares it its copies."
)


def gain(kind: str, against: str, rival: str) -> Claim:
    return Claim(
        name=f"{kind}, {rival}",
        says=f"On {kind}, ten candidates have a median reward 0.3 deviations above that of {against}.",
        source="the experiments",
        unit="difference of the medians, in standard deviations of the pretrained reward",
        bar=Bar(">=", plus=0.3),
        against=against,
    )


BEST = {kind: gain(kind, "the best of N at as many calls", "best of N") for kind in SMC_ALPHA}
SMC = {kind: gain(kind, "ten particles of SMC", "SMC") for kind in SMC_ALPHA}
NATURAL = Claim(
    name="stays natural",
    says="The likelihood falls by at most half of what gradient ascent to the same ink costs.",
    source="the experiments, naturalness",
    unit="fall of the mean log-likelihood under the pretrained law, nats",
    against="gradient ascent on the reward",
    bar=Bar("<=", times=0.5),
)
REGRESSION = Claim(
    name="regression",
    says="With a reward of two bumps, a fitted value is nearer to the tilted law than the posterior mean's reward.",
    source="the two estimates, SVDD-MC and SVDD-PM",
    unit="sliced Wasserstein distance to the exact tilted law, α = 1, M = 50",
    against="the reward of the posterior mean",
    bar=Bar("<=", times=0.9),
)


def strokes(x: Tensor) -> Tensor:
    """The number of separate strokes of pictures (B, 1, H, W), a stroke being pixels above 0 that touch."""
    from scipy import ndimage

    cross = ndimage.generate_binary_structure(3, 1)
    cross[[0, 2]] = False  # no stroke reaches from one picture into the next
    found, _ = ndimage.label(x[:, 0].numpy(force=True) > 0, structure=cross)
    last = np.maximum.accumulate(found.max((1, 2)))
    return torch.from_numpy(np.diff(last, prepend=0)).float()


def ink(x: Tensor) -> Tensor:
    """How near the mean grey of pictures is to `INK`."""
    return -(x.flatten(1).mean(1) - INK).square()


def ascended(x: Tensor, target: float) -> Tensor:
    """Gradient ascent on the ink of pictures, each until its reward is `target`."""
    for _ in range(100):
        missing = ink(x) < target
        if not missing.any():
            break
        point = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(ink(point).sum(), point)
        x = torch.where(missing[:, None, None, None], x + 16 * gradient, x)
    return x.detach()


def race(report: Report, seed: int, kind: str, model: AbstractDenoiser, kernel: Any, reward: Reward) -> None:
    """The three searches on one model and reward."""
    n = report.budget.pick(smoke=5, cpu=120)
    value = PosteriorMeanValue(reward)
    decoding = SoftValueDecoding(kernel, value, CANDIDATES)
    equal = -(-decoding.calls // kernel.calls)
    ways = {
        "pretrained": kernel,
        f"best of {equal}": BestOfN(kernel, reward, equal),
        "SMC": TwistedSMC(kernel, value, CANDIDATES, SMC_ALPHA[kind]),
        "SVDD": decoding,
    }
    drawn = {name: sample(model, n, plan=way, seed=seed) for name, way in ways.items()}
    rewards = {name: reward(x).double() for name, x in drawn.items()}
    plain, best, smc, ours = rewards.values()
    spread = float(plain.std())
    medians = {name: float(found.median()) for name, found in rewards.items()}
    for claim, rival in ((BEST[kind], best), (SMC[kind], smc)):
        report.add(claim, seed, ours=float(ours.median() - rival.median()) / spread)
    told = ", ".join(f"{name} {median:g}" for name, median in medians.items())
    cost = f"{decoding.calls} calls a sample, SMC {ways['SMC'].calls}"
    report.note(BEST[kind], f"Medians on the last seed: {told}; {cost}.")
    report.note(SMC[kind], WHY_SMC)
    report.kept.setdefault(kind, (drawn, rewards))


def natural(report: Report, seed: int, law: GaussianMixture, kernel: Any) -> None:
    n, model = report.budget.pick(smoke=5, cpu=120), law.denoiser(VP())
    plain = sample(model, n, plan=kernel, seed=seed)
    guided = sample(model, n, plan=SoftValueDecoding(kernel, PosteriorMeanValue(ink), CANDIDATES), seed=seed)
    pushed = ascended(plain, float(ink(guided).median()))
    before, ours, theirs = (law.log_prob(x.double()) for x in (plain, guided, pushed))
    report.add(NATURAL, seed, ours=float((before - ours).mean()), baseline=float((before - theirs).mean()))
    report.kept.setdefault("ink", {"pretrained": plain, "gradient": pushed, "SVDD": guided})


def bumps(x: Tensor) -> Tensor:
    """log(floor + two bumps) of points (B, 2)."""
    away = (x[:, None].double() - torch.tensor(BUMPS, dtype=torch.float64)).square().sum(2) / (2 * BUMP**2)
    return (FLOOR + (-away).exp().sum(1)).log()


def plane() -> tuple[GaussianMixture, GaussianMixture]:
    """A Gaussian of the plane, and that law tilted by exp(bumps), which is a mixture of three."""
    width = torch.diag(torch.tensor([1.0, 0.25], dtype=torch.float64))
    law = GaussianMixture(torch.zeros(1, 2), width[None])
    total = width + BUMP**2 * torch.eye(2, dtype=torch.float64)
    pull = width @ torch.linalg.inv(total)
    means, covariances, weights = [torch.zeros(2, dtype=torch.float64)], [width], [FLOOR]
    for place in torch.tensor(BUMPS, dtype=torch.float64):
        density = torch.distributions.MultivariateNormal(torch.zeros_like(place), total).log_prob(place).exp()
        means.append(pull @ place)
        covariances.append(width - pull @ width)
        weights.append(float(density) * 2 * math.pi * BUMP**2)
    share = torch.tensor(weights, dtype=torch.float64)
    return law, GaussianMixture(torch.stack(means), torch.stack(covariances), share)


def regression(report: Report, seed: int) -> None:
    budget, process = report.budget, VP()
    law, tilted = plane()
    n, many = budget.pick(smoke=20, cpu=1000), budget.pick(smoke=3, cpu=50)
    model, kernel = law.denoiser(process), ancestral(process, grid("ddpm", budget.pick(smoke=4, cpu=60)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(2, hidden=64, depth=2, outputs=1)
    fitted = ValueModel(net, process, bumps, alpha=1.0, data_std=0.8)
    rolled = sample(model, budget.pick(smoke=40, cpu=10_000), plan=kernel, seed=1000 + seed)
    settings = Training(batch_size=512, lr=3e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit_value(fitted, rolled, steps=budget.pick(smoke=3, cpu=1500), config=settings)
    truth = tilted.sample(n, generator=Noise(seed))
    found = {
        name: sample(model, n, plan=SoftValueDecoding(kernel, value, many, 1.0), seed=seed)
        for name, value in (("regression", fitted), ("posterior mean", PosteriorMeanValue(bumps)))
    }
    ours, theirs = (float(sliced_wasserstein(x.double(), truth)) for x in found.values())
    report.add(REGRESSION, seed, ours=ours, baseline=theirs)
    floor = float(sliced_wasserstein(tilted.sample(n, generator=Noise(seed + 500)), truth))
    report.note(REGRESSION, f"Two exact samples are {floor:.3g} apart on the last seed.")
    report.kept.setdefault("plane", {"exact": truth, **found})


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    law = GaussianMixture(*data.digits_mixture())
    kernel = ancestral(VP(), grid("ddpm", budget.pick(smoke=3, cpu=40)))
    for seed in budget.seeds:
        race(report, seed, "digits", law.denoiser(VP()), kernel, strokes)
        steps = budget.pick(smoke=3, cpu=motifs.LENGTH)
        race(report, seed, "DNA", motifs.MotifDenoiser(), AncestralMasked(steps), motifs.reward)
        natural(report, seed, law, kernel)
        regression(report, seed)
    return report


def two_rows(drawn: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Ten pictures of each, in two rows."""
    return [row for name, x in drawn.items() for row in ((name, x[:5]), ("", x[5:10])) if len(row[1])]


def figure(report: Report) -> Figure:
    drawing, (sheet, tones, strings, points) = canvas(report, panels=4, height=3.4, equal=(0, 1, 3))
    drawn, _ = report.kept["digits"]
    pictures(sheet, two_rows(drawn), columns=5)
    sheet.set_title("many strokes", fontsize=9)
    pictures(tones, two_rows(report.kept["ink"]), columns=5)
    tones.set_title(f"mean grey {INK:g}", fontsize=9)
    _, rewards = report.kept["DNA"]
    order = ("SVDD", "pretrained", "SMC")
    order = (*order, *(name for name in rewards if name not in order))
    for colour, name in zip(PALETTE, order, strict=False):
        level = rewards[name].sort().values
        strings.plot(level, torch.linspace(1, 0, len(level)), color=colour, label=name, drawstyle="steps")
    strings.set_xlabel("reward of DNA: motif hits, spaced", fontsize=8)
    strings.set_title("share of strings above", fontsize=9)
    strings.legend(fontsize=7, frameon=False)
    for i, (name, x) in enumerate(report.kept["plane"].items()):
        points.scatter(x[:700, 0], x[:700, 1] - 2.2 * i, s=1.5, linewidths=0, color=PALETTE[(4, 0, 1)[i]])
        points.text(-5.2, -2.2 * i, name, fontsize=7.5, va="center")
    points.set_xlim(-5.2, 3)
    points.set_title("law tilted by two bumps", fontsize=9)
    return drawing


PAPER = Paper(
    slug="svdd",
    title="Derivative-free guidance with soft value-based decoding (Li, Zhao, Wang et al., 2024)",
    claims=(*BEST.values(), *SMC.values(), NATURAL, REGRESSION),
    run=run,
    figure=figure,
)
