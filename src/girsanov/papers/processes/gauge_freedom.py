"""On gauge freedom, conservativity and intrinsic dimensionality (Horvat & Pfister, 2024).

Idea (arXiv 2402.03845): a learned field may differ from the score by any r with ∇·(p r) = 0 and its flow still
carries the same laws; being a gradient is neither needed nor enough. It helps when the flow is asked for the
dimension of the data, for r turns its singular vectors into each other.
Stand-in: an exact mixture in the plane for the first two claims, so that the only error is the one put in; spheres and
the Swiss roll, isometrically embedded as in the paper, with small networks, for the dimension. The paper's rule for
counting is not known to us; ours compares the decay of singular values with that of the noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from girsanov import networks
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.exact import GaussianMixture
from girsanov.metrics import (
    add_gauge_field,
    estimate_dimension,
    flow_singular_values,
    jacobian_asymmetry,
)
from girsanov.noise import Noise, uniform
from girsanov.objectives import score_matching
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.processes import VP, Interpolant
from girsanov.solvers import heun, run
from girsanov.training import Training, fit
from girsanov.transport.points import squared_distances
from girsanov.typing import Time, Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FREE = Claim(
    name="gauge is free",
    says="The flow of the exact score plus A∇log p, |A| = 2, samples the same law.",
    source="section 3, proposition 1",
    unit="p-value of a permutation test of the MMD to fresh data",
    bar=Bar(">=", plus=0.05),
    over="most",
)
HARM = Claim(
    name="gradients do harm",
    says="An error of the same size that is a gradient, 2∇log p, does move the law.",
    source="section 3",
    unit="squared MMD to fresh data (all pairs)",
    bar=Bar(">=", times=5.0),
    against="the error A∇log p",
)
ENOUGH = Claim(
    name="conservative is not enough",
    says="That wrong field is a gradient, and the test rejects its samples.",
    source="section 3",
    unit="p-value of a permutation test of the MMD to fresh data",
    bar=Bar("<=", plus=0.05),
)
COUNTED = Claim(
    name="dimension",
    says="The flow of a conservative network has the right dimension at 90 % of the points, on every data set.",
    source="section 4",
    unit="least share of points over the data sets",
    bar=Bar(">=", plus=0.9),
    over="mean",
)
BETTER = Claim(
    name="conservative counts better",
    says="The conservative network is right at least as often as the unconstrained one.",
    source="section 4",
    unit="share of points, mean over the data sets",
    bar=Bar(">=", times=1.0),
    over="mean",
    against="unconstrained, same layers",
)

PROCESS = VP()
TURN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]])
LAW = GaussianMixture(torch.tensor([[1.6, 0.0], [-1.0, 1.2], [-0.2, -1.4]]), torch.tensor([0.05, 0.1, 0.2]))

NOISES = (0.3, 0.04)
"""γ between which the decay of singular values is measured."""


class Changed(AbstractDenoiser):
    """A denoiser whose score went through a function."""

    stored = ("score",)
    process: Interpolant

    def __init__(self, model: AbstractDenoiser, change: Callable[[Callable], Callable]) -> None:
        super().__init__()
        self.model, self.change = model, change
        self.process, self.shape = model.process, model.shape

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.change(lambda y: self.model.score(y, t))(x),)


class Shape(NamedTuple):
    """Data on a manifold: draws of it, its dimension, the coordinates around it."""

    name: str
    dimension: int
    ambient: int
    draw: Callable[[int, Noise], Tensor]


def sphere(k: int, n: int, source: Noise) -> Tensor:
    """Points on S^k of radius √(k + 1), so that each coordinate has variance one."""
    x = source.draw(torch.empty(n, k + 1), 0)
    return x * ((k + 1) ** 0.5 / x.norm(dim=1, keepdim=True))


def roll(n: int, source: Noise) -> Tensor:
    """The Swiss roll in three dimensions, each about of variance one."""
    u = source.draw(torch.empty(n, 2), 0, uniform)
    angle = 1.5 * torch.pi * (1 + 2 * u[:, 0])
    return torch.stack([angle * angle.cos() / 6.5, 3.46 * (u[:, 1] - 0.5), angle * angle.sin() / 6.5], 1)


SHAPES = (
    Shape("S² in 5", 2, 5, lambda n, source: sphere(2, n, source)),
    Shape("S³ in 10", 3, 10, lambda n, source: sphere(3, n, source)),
    Shape("Swiss roll in 5", 2, 5, roll),
)


def embedded(shape: Shape, n: int, seed: int) -> Tensor:
    """Draws in the ambient space, turned by a random isometry."""
    source = Noise(seed).child(1)
    x = shape.draw(n, source)
    axes = torch.linalg.qr(source.child(2).draw(torch.empty(shape.ambient, x.shape[1]), 0))[0]
    return x @ axes.mT


def mmd_test(x: Tensor, y: Tensor, seed: int, permutations: int = 300) -> tuple[float, float]:
    """Squared MMD over all pairs, and the share of relabellings that exceed it."""
    both = torch.cat([x, y]).double()
    squared = squared_distances(both, both)
    middle = squared[squared > 0].median()
    kernel = (
        sum(((squared / (-2 * h * h * middle)).exp() for h in (0.25, 0.5, 1.0, 2.0)), torch.zeros(())) / 4
    )
    sign = torch.cat([torch.full((len(x),), 1 / len(x)), torch.full((len(y),), -1 / len(y))]).double()
    keys = Noise(seed).child(9).draw(torch.empty(permutations, len(both), dtype=torch.float64), 0, uniform)
    signs = torch.cat([sign[None], sign[keys.argsort(1)]])
    found = ((signs @ kernel) * signs).sum(1)
    return float(found[0]), float((1 + (found[1:] >= found[0]).sum()) / (permutations + 1))


@torch.no_grad()
def freedom(report: Report, seed: int, budget: Budget) -> None:
    """The exact flow, the turned one, and one with a gradient error of the same size."""
    n, steps = budget.pick(smoke=(60, 10), cpu=(1500, 200))
    exact = LAW.denoiser(PROCESS)
    changes: dict[str, Callable[[Callable], Callable]] = {
        "exact": lambda s: s,
        "gauge": lambda s: add_gauge_field(s, TURN),
        "gradient": lambda s: lambda x: 3 * s(x),
    }
    plan = heun(PROCESS, [PROCESS.time_at(v) for v in torch.linspace(-4.9, 3.2, steps + 1).tolist()])
    fresh = LAW.marginal(PROCESS, plan.grid[-1]).sample(n, generator=Noise(seed).child(3))
    start = LAW.marginal(PROCESS, plan.grid[0]).sample(n, generator=Noise(seed).child(4))
    samples = {name: run(plan, Changed(exact, change), start) for name, change in changes.items()}
    found = {name: mmd_test(x, fresh, seed) for name, x in samples.items()}
    report.add(FREE, seed, ours=found["gauge"][1])
    report.add(HARM, seed, ours=found["gradient"][0], baseline=found["gauge"][0])
    report.add(ENOUGH, seed, ours=found["gradient"][1])
    report.kept.setdefault("samples", {"data": fresh, **samples})
    wrong = Changed(exact, changes["gradient"])
    asymmetry = jacobian_asymmetry(lambda y: wrong.score(y, 0.3), fresh[:20])
    report.note(
        ENOUGH,
        f"Its Jacobian at t = 0.3 is symmetric to {float(asymmetry.max()):.0e}. The exact score has p = "
        f"{found['exact'][1]:.2f} on the last seed.",
    )


def trained(shape: Shape, seed: int, conservative: bool, budget: Budget) -> Denoiser:
    """A small network on one data set."""
    steps = budget.pick(smoke=2, cpu=1500)
    x = embedded(shape, budget.pick(smoke=256, cpu=20_000), seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        outputs = 1 if conservative else None
        net: nn.Module = networks.MLP(shape.ambient, hidden=96, depth=2, outputs=outputs)
        net = networks.GradientOf(net) if conservative else net
    model = Denoiser(net, PROCESS, data_std=float(x.std()))
    settings = Training(batch_size=256, lr=4e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, score_matching(), x, steps=steps, config=settings)
    return model


def counted(shape: Shape, model: Denoiser, seed: int, budget: Budget) -> tuple[float, Tensor]:
    """The share of points with the right count, and the median singular values along the flow."""
    points, before, between = budget.pick(smoke=(3, 2, 2), cpu=(60, 14, 10))
    first, middle, last = (PROCESS.log_snr(1.0), *(0.5 * torch.tensor(1 / g**2 - 1).log() for g in NOISES))
    levels = [*torch.linspace(float(first), float(middle), before + 1).tolist()]
    levels += torch.linspace(float(middle), float(last), between + 1).tolist()[1:]
    times = [1.0, *(PROCESS.time_at(v) for v in levels[1:])]
    x = Noise(seed).child(5).draw(torch.empty(points, shape.ambient), 0)
    values = flow_singular_values(model.velocity, x, times)
    ratio = PROCESS.gamma(times[-1]) / PROCESS.gamma(times[before])
    count = estimate_dimension(values[:, before:], noise_ratio=ratio)
    return float((count == shape.dimension).double().mean()), values.median(0).values


def run_paper(budget: Budget) -> Report:
    """Exact fields, then two networks a data set."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        freedom(report, seed, budget)
        shares: dict[bool, list[float]] = {True: [], False: []}
        for shape in SHAPES:
            for conservative in (True, False):
                model = trained(shape, seed, conservative, budget)
                share, values = counted(shape, model, seed, budget)
                shares[conservative].append(share)
                report.kept.setdefault(f"{shape.name} {conservative}", values)
        report.add(COUNTED, seed, ours=min(shares[True]))
        means = [sum(shares[kind]) / len(SHAPES) for kind in (True, False)]
        report.add(BETTER, seed, ours=means[0], baseline=means[1])
        report.kept.setdefault("shares", []).append(shares)
    each = [
        f"{s.name} {mean_of(report, True, i):.2f} and {mean_of(report, False, i):.2f}"
        for i, s in enumerate(SHAPES)
    ]
    report.note(BETTER, "Conservative and unconstrained: " + ", ".join(each) + ".")
    return report


def mean_of(report: Report, conservative: bool, i: int) -> float:
    """The share of one data set, mean over seeds."""
    found = [shares[conservative][i] for shares in report.kept["shares"]]
    return sum(found) / len(found)


def figure(report: Report) -> Figure:
    """Samples of the turned and of the wrong flow, and singular values dying along the flow."""
    drawing, (left, middle, right) = canvas(report, panels=3, equal=(0, 1))
    samples = report.kept["samples"]
    for ax, name, title in (
        (left, "gauge", "exact score + gauge field"),
        (middle, "gradient", "a wrong gradient"),
    ):
        ax.scatter(
            samples["data"][:, 0], samples["data"][:, 1], s=2, color=PALETTE[4], alpha=0.35, linewidths=0
        )
        ax.scatter(
            samples[name][:, 0],
            samples[name][:, 1],
            s=2,
            color=PALETTE[0 if name == "gauge" else 1],
            alpha=0.6,
            linewidths=0,
        )
        ax.set(title=title, xlim=(-2.8, 2.8), ylim=(-2.8, 2.8))
    shape = SHAPES[1]
    for conservative, style in ((True, "-"), (False, ":")):
        values = report.kept[f"{shape.name} {conservative}"]
        for k in range(values.shape[1]):
            colour = PALETTE[0] if k < shape.dimension else PALETTE[1]
            right.semilogy(range(len(values)), values[:, k].clamp(min=1e-4), style, color=colour, lw=1.2)
    right.set(xlabel="step of the flow, noise to data", title=f"singular values, {shape.name}")
    right.plot([], [], "-", color=PALETTE[0], label="along, conservative")
    right.plot([], [], ":", color=PALETTE[1], label="across, unconstrained")
    right.legend(fontsize=8, frameon=False)
    return drawing


PAPER = Paper(
    slug="gauge-freedom",
    title="On gauge freedom, conservativity and intrinsic dimensionality (Horvat & Pfister, 2024)",
    claims=(FREE, HARM, ENOUGH, COUNTED, BETTER),
    run=run_paper,
    figure=figure,
)
