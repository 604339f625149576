"""Understanding hallucinations in diffusion models through mode interpolation (Aithal, Maini, Lipton & Kolter, 2024).

Idea (arXiv 2406.09358): between neighbouring modes the exact denoiser is nearly a step, and a smooth network makes a
ramp of it; paths that end on the ramp are samples that the data do not have. Along them the denoised answer keeps
moving, so its variance over the last steps finds them, and dropping them keeps training on one's own samples stable.
Stand-in: the paper's own 5×5 grid of Gaussians, with a network of 20,000 parameters; recursion on the three modes of
the line. A hallucination is a sample more than 6σ from every mode, which is our definition. Shapes, MNIST and hands
are left out, so nothing is said here of pictures. The window is one of time, as 100 steps of ours are not the paper's
1,000 equal ones, and is chosen on other samples than those judged.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.errors import extra
from girsanov.exact import GaussianMixture
from girsanov.guidance import reject_high_variance
from girsanov.noise import Noise
from girsanov.objectives import score_matching
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.papers.plots import band, slope
from girsanov.processes import VP
from girsanov.solvers import TrajectoryVariance, ancestral, grid
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAREST = Claim(
    name="between nearest modes",
    says="Hallucinations of the grid lie on the segments between nearest modes.",
    source="section 4, figure 3",
    unit="share within 0.15 spacings of such a segment",
    bar=Bar(">=", plus=0.9),
)
SIZE = Claim(
    name="more data, fewer",
    says="The rate falls with the size of the training set.",
    source="section 4, figure 2",
    unit="slope of log rate against log size",
    bar=Bar("<=", plus=0.0),
    over="mean",
)
STEPS = Claim(
    name="more steps, fewer",
    says="The rate falls with the number of sampling steps T.",
    source="section 4, figure 2",
    unit="slope of log rate against log T",
    bar=Bar("<=", plus=0.0),
    over="mean",
)
REMOVED = Claim(
    name="the filter works",
    says="At a loss of 5 % of the good samples, the filter removes most hallucinations.",
    source="section 5",
    paper="over 95 % removed, 96 % kept",
    unit="share removed",
    bar=Bar(">=", plus=0.8),
)
RANKED = Claim(
    name="the variance tells them apart",
    says="The variance of the denoised answer ranks hallucinations above good samples.",
    source="section 5",
    unit="area under the ROC curve",
    bar=Bar(">=", plus=0.9),
)
RECURSION = Claim(
    name="stable recursion",
    says="After five generations trained on their own samples, filtered ones have half the hallucinations.",
    source="section 6",
    unit="share of hallucinations",
    bar=Bar("<=", times=0.5),
    over="mean",
    against="as many dropped at random",
)

WHY_REMOVED = (
    "This network leaves a third of its samples between modes, whole columns of the grid, so there is little to tell "
    "them from. On the line, where they are rare (3 of 30,000 in a trial with 100 steps), the window t ≤ 0.05 removes "
    "all 3 at the same loss and ranks them with an area of 0.998; t ≤ 0.2 has 0.848, t ≤ 0.0025 0.948."
)
FLAT = "On {} of {} seeds the rate is the same at all sizes: too rare among these samples for a slope."
WHY_RECURSION = (
    "0.0001 is half a sample of 5,000: of the filtered ones none is a hallucination, in any generation."
)

PROCESS = VP()
WINDOWS = (0.01, 0.05, 0.2)
"""The times from which on windows are tried: the last 10, 50 and 200 of DDPM's 1,000 equal steps."""
GENERATIONS = 5
KEPT = 0.9
"""Of every generation's samples, what the next one trains on."""


class Modes(NamedTuple):
    """Equal Gaussians, in units of their standard deviation together; σ and the spacing in those units."""

    law: GaussianMixture
    std: float
    spacing: float

    def outside(self, x: Tensor) -> Tensor:
        """Which samples are more than 6σ from every mode."""
        return torch.cdist(x, self.law.means.to(x)).amin(1) > 6 * self.std


def modes(means: Tensor, spacing: float, std: float = 0.05) -> Modes:
    """The modes at means, standardized."""
    scale = float((means - means.mean(0)).square().mean().add(std**2).sqrt())
    means = (means - means.mean(0)) / scale
    return Modes(GaussianMixture(means, (std / scale) ** 2), std / scale, spacing / scale)


def square() -> Modes:
    """The 5×5 grid, 2 apart."""
    side = torch.arange(5, dtype=torch.float64) * 2
    return modes(torch.cartesian_prod(side, side), 2.0)


def line() -> Modes:
    """Modes at 1, 2 and 3."""
    return modes(torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64), 1.0)


def trained(x: Tensor, seed: int, steps: int) -> Denoiser:
    """A small network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(x.shape[1], hidden=64, depth=2)
    model = Denoiser(net, PROCESS, data_std=1.0)
    settings = Training(batch_size=256, lr=3e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, score_matching(), x.float(), steps=steps, config=settings)
    return model


def drawn(model: Denoiser, n: int, steps: int, seed: int, window: float = 0.05) -> tuple[Tensor, Tensor]:
    """Samples and their variance over the steps from the time `window` on, two at least."""
    recipe = grid("ddpm", steps)
    plan, before = ancestral(PROCESS, recipe), sum(t > window for t in recipe.times(PROCESS))
    watch = TrajectoryVariance(plan, (min(before, plan.calls - 2), plan.calls))
    like = torch.empty(n, *model.shape or ())
    found = watch(model, PROCESS.reference(like, generator=Noise(seed)), generator=Noise(seed).child(1))
    return found.x, found.variance


def area(variance: Tensor, bad: Tensor) -> float:
    """The area under the ROC curve."""
    return float(extra("sklearn.metrics", "data").roc_auc_score(bad.numpy(), variance.numpy()))


def on_segments(x: Tensor, law: Modes) -> float:
    """The share of points within 0.15 spacings of a segment between nearest modes."""
    means = law.law.means.to(x)
    near = [(a, b) for a, b in itertools.combinations(means, 2) if float((a - b).norm()) < 1.01 * law.spacing]
    a, b = (torch.stack(ends) for ends in zip(*near))
    along = (((x[:, None] - a) * (b - a)).sum(2) / law.spacing**2).clamp(0, 1)
    off = (x[:, None] - a - along[..., None] * (b - a)).norm(dim=2).amin(1)
    return float((off < 0.15 * law.spacing).float().mean())


def interpolation(report: Report, seed: int, budget: Budget) -> None:
    """One model of the grid: where its hallucinations are, and the filter."""
    law = square()
    n, steps, calls = budget.pick(smoke=(300, 2, 20), cpu=(20_000, 3000, 100))
    model = trained(law.law.sample(20_000, generator=Noise(seed)), seed, steps)
    tried = {window: drawn(model, n // 4, calls, seed + 100, window) for window in WINDOWS}
    best = max(WINDOWS, key=lambda window: _area(tried[window][1], law.outside(tried[window][0])))
    x, variance = drawn(model, n, calls, seed, best)
    bad = law.outside(x)
    if not 0 < int(bad.sum()) < len(bad):
        return
    good = variance[~bad]
    keep = reject_high_variance(variance, threshold=float(good.quantile(0.95)))
    report.add(NEAREST, seed, ours=on_segments(x[bad], law))
    report.add(REMOVED, seed, ours=float((~keep[bad]).float().mean()))
    report.add(RANKED, seed, ours=area(variance, bad))
    found = report.kept.setdefault("found", [])
    found.append(f"{int(bad.sum())} (t ≤ {best:g})")
    report.note(RANKED, f"Hallucinations among {n:,} samples, and the window chosen: {', '.join(found)}.")
    report.kept.setdefault("grid", (x, bad, variance))


def _area(variance: Tensor, bad: Tensor) -> float:
    return area(variance, bad) if 0 < int(bad.sum()) < len(bad) else 0.0


def rates(report: Report, seed: int, budget: Budget) -> None:
    """The rate against the size of the training set, and against the number of steps."""
    law = line()
    n, steps = budget.pick(smoke=(200, 2), cpu=(10_000, 1000))
    sizes, counts = budget.pick(smoke=((10, 20), (5, 10)), cpu=((100, 1000, 10_000), (25, 50, 100, 200)))
    by_size, by_steps = [], []
    for size in sizes:
        model = trained(law.law.sample(size, generator=Noise(seed)), seed, steps)
        by_size.append(_rate(law, drawn(model, n, counts[-2], seed)[0]))
    for count in counts:
        by_steps.append(_rate(law, drawn(model, n, count, seed)[0]))
    report.add(SIZE, seed, ours=-slope(sizes, by_size))
    report.kept.setdefault("sizes", []).append(by_size)
    report.add(STEPS, seed, ours=-slope(counts, by_steps))
    report.kept.setdefault("steps", []).append(by_steps)
    report.kept["counts"] = counts


def _rate(law: Modes, x: Tensor) -> float:
    """The share outside, of which half a sample is the least."""
    return max(float(law.outside(x).double().sum()), 0.5) / len(x)


def recursion(report: Report, seed: int, budget: Budget) -> None:
    """Generations that train on the samples of the last one, filtered or dropped at random."""
    law = line()
    n, steps, calls = budget.pick(smoke=(100, 2, 20), cpu=(5000, 600, 50))
    histories = []
    for filtered in (True, False):
        x, history = law.law.sample(n, generator=Noise(seed)).float(), []
        for generation in range(GENERATIONS):
            model = trained(x, seed + generation, steps)
            y, variance = drawn(model, round(n / KEPT), calls, seed + generation)
            # keyed draws are independent, so the first n of them are n at random
            x = y[reject_high_variance(variance, keep=KEPT)] if filtered else y[:n]
            history.append(_rate(law, x))
        histories.append(history)
    report.add(RECURSION, seed, ours=histories[0][-1], baseline=histories[1][-1])
    report.kept.setdefault("recursion", []).append(histories)


def run_paper(budget: Budget) -> Report:
    """Every claim on every seed."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        interpolation(report, seed, budget)
        rates(report, seed, budget)
        recursion(report, seed, budget)
    report.note(REMOVED, WHY_REMOVED)
    report.note(RECURSION, WHY_RECURSION)
    flat = sum(len(set(found)) == 1 for found in report.kept["sizes"])
    if flat and budget.judged:
        report.leave(SIZE, FLAT.format(flat, len(budget.seeds)))
    return report


def figure(report: Report) -> Figure:
    """Hallucinations on the grid, the variance that tells them apart, and recursion."""
    drawing, (left, middle, right) = canvas(report, panels=3, equal=(0,))
    if "grid" in report.kept:
        x, bad, variance = report.kept["grid"]
        left.scatter(x[~bad][:, 0], x[~bad][:, 1], s=1, color=PALETTE[4], alpha=0.3, linewidths=0)
        left.scatter(x[bad][:, 0], x[bad][:, 1], s=5, color=PALETTE[1], linewidths=0)
        logs = variance.clamp(min=1e-12).log10()
        for mask, name, colour in ((~bad, "good", PALETTE[4]), (bad, "hallucinated", PALETTE[1])):
            middle.hist(logs[mask], bins=50, density=True, color=colour, alpha=0.7, label=name)
        middle.legend(fontsize=8, frameon=False)
    left.set_title("samples of the grid, hallucinations in colour", fontsize=9)
    middle.set(yticks=[])
    middle.set_xlabel("log10", fontsize=8)
    middle.set_title("variance of the denoised answer", fontsize=9)
    for k, name in ((0, "filtered"), (1, "dropped at random")):
        lines = [histories[k] for histories in report.kept["recursion"]]
        band(right, range(1, GENERATIONS + 1), lines, label=name, color=PALETTE[k])
    right.set(yscale="log", xticks=range(1, GENERATIONS + 1))
    right.set_xlabel("generation", fontsize=8)
    right.set_title("share hallucinated, range of seeds", fontsize=9)
    right.legend(fontsize=8, frameon=False)
    return drawing


PAPER = Paper(
    slug="hallucinations",
    title="Understanding hallucinations in diffusion models (Aithal et al., 2024)",
    claims=(NEAREST, SIZE, STEPS, REMOVED, RANKED, RECURSION),
    run=run_paper,
    figure=figure,
)
