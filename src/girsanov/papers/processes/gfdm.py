"""Generative fractional diffusion models (Nobis et al., 2024).

Idea (arXiv 2310.17638): drive the forward process by noise whose increments remember, a Markov approximation of
fractional Brownian motion with Hurst exponent H; the paths of H > ½ are smoother, and samples more diverse at the
same cost. Only the data coordinate needs a network.
Stand-in: the digits and eight modes with weights from 100 to 1, for CIFAR-10 and MNIST; networks of 80,000 and 20,000
parameters. All drivers have the same network, trained on the noise at uniform times as in the paper. Whether H orders
diversity can be judged here; FID of CIFAR-10 cannot.
Samplers: given its memories the data coordinate is an interpolant, so the flow is run by the library's recommended
plan; Euler steps of the flow with its memories, the paper's, leave data of standard deviation 0.1 two to thirteen
times too wide after 50 steps, whatever the grid. The reverse equation with memories is sound there on the grid of
equal steps in √t (1.02 to 1.04 times), and is what the modes are sampled with.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from girsanov import networks
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise
from girsanov.papers import digits
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.imbalanced import effective, ring, shares, trained
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP, Fractional, Interpolant
from girsanov.processes.fractional import geometric_rates, markov_weights
from girsanov.processes.remembering import Remembering
from girsanov.solvers import ancestral, augmented, grid, sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HURSTS, MEMORIES, CODE = (0.5, 0.7, 0.9), 2, 0.9
"""The Hurst exponents, of which ½ is VP itself; the number of memories; the exponent of the authors' code."""
FLOW, REVERSE = 50, 100
"""Steps on the digits, and on the modes."""

COST = Claim(
    name="three memories suffice",
    says="With three memories at most 1 % of the variance of fractional noise is lost, at H = 0.3, 0.7 and 0.9.",
    source="section 3, figure of the approximation error",
    unit="share of the integrated variance, the largest over H",
    bar=Bar("<=", plus=0.01),
    seeds=1,
)
CONVERGES = Claim(
    name="more memories are better",
    says="Three memories lose at most 0.3 times as much as one, at H = 0.3, 0.7 and 0.9.",
    source="section 3, figure of the approximation error",
    unit="loss with three over that with one, the largest over H",
    bar=Bar("<=", plus=0.3),
    seeds=1,
)
BROWNIAN = Claim(
    name="H = ½ is Brownian",
    says="At H = ½ three memories lose next to nothing.",
    source="section 3",
    unit="share of the integrated variance",
    bar=Bar("<=", plus=1e-4),
    seeds=1,
)
CLOSER = Claim(
    name="as close at H > ½",
    says="After 50 steps of the flow, digits of the better of H = 0.7 and 0.9 are as close to the data as those of H = ½.",
    source="section 5, FID on CIFAR-10",
    unit="Fréchet distance in the features of a classifier",
    against="H = ½ without memories",
    bar=Bar("<=", times=1.0),
)
DIVERSE = Claim(
    name="more diverse at H > ½",
    says="These digits are at least 2 % more diverse than those of H = ½.",
    source="section 5, Vendi score",
    unit="Vendi score in the features of a classifier",
    against="H = ½ without memories",
    bar=Bar(">=", times=1.02),
)
MODES = Claim(
    name="imbalanced modes",
    says="On eight modes with weights from 100 to 1, samples of H = 0.9 are at least as diverse as those of H = ½.",
    source="abstract, more diverse",
    unit="modes of equal shares with the same entropy",
    against="H = ½ without memories",
    bar=Bar(">=", times=1.0),
    over="mean",
)
CHEAP = Claim(
    name="memories cost little",
    says="A step of the reverse equation with two memories takes at most 1.15 times as long as one without.",
    source="section 4, only the data coordinate is learned",
    unit="processor time of 10 steps on 64 digits, milliseconds",
    against="H = ½ without memories",
    bar=Bar("<=", times=1.15),
)

WHY_CLOSER = (
    "Given its memories less noise is left, so uniform times train more on little of it: |log(α/γ)| is below 2 at 59 % "
    "of them for H = ½, at 51 % for 0.7 and at 49 % for 0.9. At equal α/γ all networks learn the same function, up to "
    "the scale of its input, so this is what the flow can see of H; after 600 steps of training it shows."
)
WHY_DIVERSE = (
    "Over all drivers, seeds and samplers diversity falls as distance grows, and no driver leaves that line."
)


@cache
def process(hurst: float) -> Interpolant:
    """The forward process."""
    return VP() if hurst == 0.5 else Fractional(hurst, MEMORIES)


def reverse(model: AbstractDenoiser, n: int, steps: int, seed: int) -> Tensor:
    """Samples by the reverse equation, with the memories where there are any."""
    times, law = grid("quadratic", steps), model.process
    plan = augmented(law, times, stochastic=True) if isinstance(law, Remembering) else ancestral(law, times)
    return sample(model, n, plan=plan, batch_size=4096, seed=seed)


def run(budget: Budget) -> Report:
    """The approximation, the digits and the modes."""
    report = Report(PAPER, budget)
    approximation(report)
    for seed in budget.seeds:
        on_modes(report, seed, *budget.pick(smoke=(2, 100, 3), cpu=(2000, 20_000, REVERSE)))
        on_digits(report, seed, *budget.pick(smoke=(2, 70, 3), cpu=(600, 1000, FLOW)))
    best(report)
    return report


def approximation(report: Report) -> None:
    """What memories do not represent."""
    lost = {
        (h, k): markov_weights(h, geometric_rates(k))[1]
        for h, k in [(0.5, 3), (0.1, 3), (0.1, 8), *((h, k) for h in (0.3, 0.7, 0.9) for k in (1, 3))]
    }
    hard = markov_weights(0.1, geometric_rates(8, 1e4))[1]
    report.add(COST, 0, ours=max(lost[h, 3] for h in (0.3, 0.7, 0.9)))
    report.add(CONVERGES, 0, ours=max(lost[h, 3] / lost[h, 1] for h in (0.3, 0.7, 0.9)))
    report.add(BROWNIAN, 0, ours=lost[0.5, 3])
    report.note(
        COST,
        f"Rough noise is hard: at H = 0.1 three memories lose {lost[0.1, 3]:.2f}, eight {lost[0.1, 8]:.2f}, and "
        f"eight up to the rate 10,000 still {hard:.2f}.",
    )


def on_modes(report: Report, seed: int, steps: int, n: int, calls: int) -> None:
    """Shares of the modes by driver; with exact answers too on the first seed."""
    law, found = ring(), {}
    x = law.sample(20_000, generator=Noise(seed).child(9)).float()
    for hurst in HURSTS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = networks.MLP(2, hidden=64, depth=2)
        model = trained(process(hurst), net, x, steps=steps, batch=256, seed=seed)
        y = reverse(model, n, calls, seed)
        found[hurst] = shares(y, law)
        report.kept.setdefault(f"points {hurst}", y[:8000])
        report.kept.setdefault(f"shares {hurst}", []).append(found[hurst])
    report.add(MODES, seed, ours=effective(found[CODE]), baseline=effective(found[0.5]))
    if MODES.name not in report.notes:
        exact = [
            effective(shares(reverse(law.denoiser(process(h)), n, calls, seed), law)) for h in (CODE, 0.5)
        ]
        report.note(
            MODES,
            f"The data have {effective(law.weights):.2f}. With exact answers in place of a network H = {CODE} "
            f"has {exact[0]:.2f} and H = ½ {exact[1]:.2f} on seed {seed}.",
        )


def on_digits(report: Report, seed: int, steps: int, n: int, calls: int) -> None:
    """Distance and diversity of digits by driver, for the flow and for the reverse equation."""
    reader = digits.reader(steps=report.budget.pick(smoke=2, cpu=400))
    known = digits.features(reader, digits.split().x)
    models = dict[float, Denoiser]()
    for hurst in HURSTS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = networks.UNet(1, width=16, levels=(1, 2), blocks=1)
        model = trained(process(hurst), net, digits.split().x, steps=steps, batch=64, seed=seed)
        models[hurst] = model
        for name, x in (
            ("flow", sample(model, n, steps=calls, seed=seed)),
            ("reverse", reverse(model, n, calls, seed)),
        ):
            seen = digits.features(reader, x.clamp(-1, 1))
            found = float(frechet_distance(seen, known)), vendi(seen)
            report.kept.setdefault(f"{name} {hurst}", []).append(found)
    report.kept["data"] = vendi(known)
    ours, plain = seconds(models[CODE], models[0.5], 3 if report.budget.judged else 1)
    report.add(CHEAP, seed, ours=1000 * ours, baseline=1000 * plain)


def vendi(features: Tensor) -> float:
    """The exponential of the entropy of the eigenvalues of the kernel cos(x_i, x_j)/n (Friedman & Dieng 2023)."""
    unit = normalize(features.double())
    return effective(torch.linalg.eigvalsh(unit.mT @ unit / len(unit)).clamp(min=0))


def seconds(model: Denoiser, plain: Denoiser, rounds: int) -> tuple[float, float]:
    """The least processor time of 10 steps on 64 samples, taken in turns; the first of each is not counted."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for kept, one in zip(taken, (model, plain)):
            start = time.process_time()
            reverse(one, 64, 10, 0)
            kept.append(time.process_time() - start)
    return min(taken[0][1:]), min(taken[1][1:])


def best(report: Report) -> None:
    """Judge the digits by the exponent that is closer to the data in the mean of seeds."""

    def mean(name: str, hurst: float) -> tuple[float, ...]:
        return tuple(torch.tensor(report.kept[f"{name} {hurst}"]).mean(0).tolist())

    chosen = min(HURSTS[1:], key=lambda h: mean("flow", h)[0])
    for seed, ours, plain in zip(
        report.budget.seeds, report.kept[f"flow {chosen}"], report.kept["flow 0.5"], strict=True
    ):
        report.add(CLOSER, seed, ours=ours[0], baseline=plain[0])
        report.add(DIVERSE, seed, ours=ours[1], baseline=plain[1])
    report.kept["chosen"] = chosen
    told = {name: [mean(name, h) for h in HURSTS] for name in ("flow", "reverse")}
    for k, claim, digits_, why in ((0, CLOSER, 2, WHY_CLOSER), (1, DIVERSE, 3, WHY_DIVERSE)):
        flow, back = (
            ", ".join(f"{found[k]:.{digits_}f}" for found in told[name]) for name in ("flow", "reverse")
        )
        data = f" The data have {report.kept['data']:.3f}." if k else f" Judged: H = {chosen}."
        report.note(
            claim,
            f"H = ½, 0.7, 0.9: {flow} by the flow, {back} by the reverse equation, means of seeds.{data} {why}",
        )


def figure(report: Report) -> Figure:
    """Paths of the noise, samples of the modes, their shares, and the digits' distance and diversity."""
    drawing, (noise, points, bars, scores) = canvas(report, panels=4, height=2.9, equal=(1,))
    paths(noise)
    law, seen = ring(), report.kept[f"points {CODE}"]
    points.scatter(seen[:, 0], seen[:, 1], s=1.2, alpha=0.4, linewidths=0, color=colour(CODE))
    for k, (a, b) in enumerate(law.means * 1.7):
        points.text(a, b, f"{100 * law.weights[k]:.1f} %", fontsize=7, ha="center", va="center", color="#555")
    points.set(xlim=(-3, 3), ylim=(-3, 3))
    points.set_title(f"H = {CODE}, {REVERSE} steps", fontsize=9)
    place = torch.arange(8.0)
    bars.hlines(law.weights, place - 0.45, place + 0.45, color=PALETTE[4], label="data")
    for i, hurst in enumerate(HURSTS):
        found = torch.stack(report.kept[f"shares {hurst}"]).clamp(min=1e-4)
        low, middle, high = found.amin(0), found.mean(0), found.amax(0)
        bars.errorbar(
            place + 0.25 * (i - 1), middle, yerr=torch.stack([middle - low, high - middle]).numpy(),
            fmt="o", markersize=3.5, capsize=2, color=colour(hurst), label=named(hurst),
        )  # fmt: skip
    bars.set(yscale="log")
    bars.set_xlabel("mode, common to rare", fontsize=8)
    bars.set_title("share of samples, range of seeds", fontsize=9)
    bars.legend(fontsize=7, frameon=False)
    for name, marker, filled in (("flow", "o", True), ("reverse", "s", False)):
        for hurst in HURSTS:
            x, y = zip(*report.kept[f"{name} {hurst}"], strict=True)
            face = colour(hurst) if filled else "none"
            scores.scatter(x, y, s=26, marker=marker, facecolors=face, edgecolors=colour(hurst))
    scores.axhline(report.kept["data"], color=PALETTE[4], ls=":", lw=1)
    scores.text(0.98, report.kept["data"], "data", transform=scores.get_yaxis_transform(), fontsize=7,
                ha="right", va="bottom", color="#555")  # fmt: skip
    scores.set_xlabel("Fréchet distance (● flow, □ reverse)", fontsize=8)
    scores.set_title("digits: Vendi score", fontsize=9)
    return drawing


def paths(axes: Axes) -> None:
    """Three forward paths of a coordinate at 0, for each of two drivers."""
    times = torch.linspace(0, 1, 161, dtype=torch.float64)
    for i, hurst in enumerate((0.5, CODE)):
        drawn = process(hurst).simulate(torch.zeros(3, 1), times, generator=Noise(7 + i))
        for k, path in enumerate(drawn[..., 0]):
            axes.plot(times, path, lw=0.8, color=colour(hurst), label=named(hurst) if k == 0 else None)
    axes.set_xlabel("t", fontsize=8)
    axes.set_title("forward paths", fontsize=9)
    axes.legend(fontsize=7, frameon=False)


def colour(hurst: float) -> str:
    """Fractional drivers first, VP the baseline."""
    return PALETTE[{0.9: 0, 0.5: 1, 0.7: 2}[hurst]]


def named(hurst: float) -> str:
    """As written in legends."""
    return "H = ½" if hurst == 0.5 else f"H = {hurst}"


PAPER = Paper(
    slug="gfdm",
    title="Generative fractional diffusion models (Nobis et al., 2024)",
    claims=(COST, CONVERGES, BROWNIAN, CLOSER, DIVERSE, MODES, CHEAP),
    run=run,
    figure=figure,
)
