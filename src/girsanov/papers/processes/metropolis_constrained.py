"""Metropolis sampling for constrained diffusion models (Fishman et al., 2023).

Idea: noise data inside a set by a walk that asks only whether its next point is inside. That is cheaper than
tracing reflections, needs no facets, and so works in a country's border as well as in a simplex.
Stand-in: mixtures in a box and a simplex of 2 and 10 dimensions, learned by small networks in a few hundred steps, for
the polytopes of the paper with a million; airports inside the United States for wildfires inside California. The
time of the walks, who leaves the country, and what a border does to a model without one can be judged here; so short
a training decides between walks only where they differ much.
Each walk forgets its start by `Walk.reach`; all have the same network, steps and draws of data. The time is that of
this library's own reflected and barrier walks, of which the reflected one drops the rows that are done.
Source: arXiv 2307.05439.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from girsanov import data, networks
from girsanov.denoiser import Denoiser
from girsanov.metrics import mmd
from girsanov.metrics.two_sample import median_distance
from girsanov.noise import Noise
from girsanov.objectives import Objective, path_score_matching, score_matching
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import VP, BarrierWalk, Box, Constrained, ConstraintSet, MetropolisWalk, ReflectedWalk
from girsanov.processes import Simplex as Probabilities
from girsanov.processes.uniform import size, uniform_points
from girsanov.processes.walks import Walk
from girsanov.solvers import ReverseWalk, sample
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PATHS = 5
"""Walks that are drawn."""

PATIENCE = 20
"""Steps between two looks at how near a walk is."""

NOISE_OF_MMD = 1e-3
"""Some three standard deviations of MMD² between two samples of 2,000 points of one law."""

CHEAPER = Claim(
    name="cheaper than reflection",
    says="In a simplex of 10 dimensions the walk is 5 times as fast as tracing reflections.",
    source="Section 5, run time of the forward process",
    paper="orders of magnitude",
    unit="processor time of 200 steps of 2,000 chains; the baseline's over ours",
    bar=Bar(">=", plus=5.0),
)
THAN_BARRIER = Claim(
    name="cheaper than the barrier",
    says="It is 3 times as fast as the walk in the metric of the logarithmic barrier.",
    source="Section 5, run time of the forward process",
    unit="processor time of 200 steps of 2,000 chains; the baseline's over ours",
    bar=Bar(">=", plus=3.0),
)
EQUAL = Claim(
    name="at equal MMD",
    says="It is 5 times as fast still when it goes on until it is as near to the uniform law as the reflected walk.",
    source="Theorem 7: convergence to reflected Brownian motion",
    unit="processor time to the MMD² that reflection has after 200 steps; the baseline's over ours",
    bar=Bar(">=", plus=5.0),
)
BETTER = Claim(
    name="samples",
    says="Samples in boxes and simplices are at least as good as the better one of reflection and barrier.",
    source="Table 1",
    paper="lowest MMD throughout",
    unit="of 4 sets (box, simplex; 2 and 10 dimensions), in how many MMD² is not larger",
    bar=Bar(">=", plus=3.0),
)
INSIDE = Claim(
    name="inside",
    says="Every airport drawn lies inside the country, whose border is not convex.",
    source="Section 5.3, wildfires in California",
    unit="share outside",
    bar=Bar("<=", plus=0.0),
)
LEARNS = Claim(
    name="airports",
    says="They are nearer to held-out airports than uniform points of the country.",
    source="Section 5.3",
    unit="MMD²",
    against="uniform in the country",
    bar=Bar("<=", times=0.5),
)
UNCONSTRAINED = Claim(
    name="airports against VP",
    says="And not farther than those of an unconstrained VP model, some of which lie abroad or at sea.",
    source="Section 5.3",
    unit="MMD²",
    against="VP, the same network and steps, 256 pairs a step",
    bar=Bar("<=", times=1.0),
)

METROPOLIS, REFLECTED, BARRIER = WALKS = (MetropolisWalk(), ReflectedWalk(), BarrierWalk())
SPACES: dict[str, ConstraintSet] = {
    "box 2": Box([-1.0] * 2, [1.0] * 2),
    "box 10": Box([-1.0] * 10, [1.0] * 10),
    "simplex 2": Probabilities(2),
    "simplex 10": Probabilities(10),
}


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        race(report, seed)
        compare(report, seed)
        country(report, seed)
    return report


def race(report: Report, seed: int) -> None:
    """The three walks in the simplex, timed in turns; what is compared is the least time of each."""
    inside = SPACES["simplex 10"]
    n, steps = report.budget.pick(smoke=(50, 4), cpu=(2000, 200))
    start, uniform = mixture(inside, n, seed), points(inside, n, seed)
    seconds: dict[Walk, float] = {}
    ends: dict[Walk, Tensor] = {}
    for _ in range(report.budget.pick(smoke=1, cpu=3)):
        for walk in WALKS:
            generator, x = torch.Generator().manual_seed(seed), start
            variance = walk.reach(inside) / steps
            began = time.process_time()
            for _ in range(steps):
                x = walk.step(inside, x, variance, torch.randn(x.shape, generator=generator))
            seconds[walk] = min(seconds.get(walk, torch.inf), time.process_time() - began)
            ends[walk] = x
    report.add(CHEAPER, seed, ours=seconds[REFLECTED] / seconds[METROPOLIS])
    report.add(THAN_BARRIER, seed, ours=seconds[BARRIER] / seconds[METROPOLIS])
    far = {walk: distance(ends[walk], uniform) for walk in (METROPOLIS, REFLECTED)}
    goal, needed, x = far[REFLECTED] + NOISE_OF_MMD, steps, ends[METROPOLIS]
    generator = torch.Generator().manual_seed(seed + 1)
    while distance(x, uniform) > goal and needed < 10 * steps:
        for _ in range(PATIENCE):
            z = torch.randn(x.shape, generator=generator)
            x = METROPOLIS.step(inside, x, METROPOLIS.reach(inside) / steps, z)
        needed += PATIENCE
    report.add(EQUAL, seed, ours=seconds[REFLECTED] / (seconds[METROPOLIS] * needed / steps))
    told = report.kept.setdefault("needed", [])
    told.append((needed, far))
    report.note(
        EQUAL,
        "A proposal that is turned down is time lost on the clock of the walk. After 200 steps MMD² is "
        f"{', '.join(f'{each[METROPOLIS]:.4f} against {each[REFLECTED]:.4f}' for _, each in told)}; it takes "
        f"{', '.join(str(count) for count, _ in told)} steps of the same length to come as near, to {NOISE_OF_MMD}.",
    )


def compare(report: Report, seed: int) -> None:
    """A model for each walk and set, judged by fresh data."""
    won, n = 0, report.budget.pick(smoke=30, cpu=2000)
    told = report.kept.setdefault("sets", {})
    for name in report.budget.pick(smoke=("simplex 2",), cpu=tuple(SPACES)):
        inside = SPACES[name]
        train, fresh = mixture(inside, n, seed), mixture(inside, n, seed + 100)
        far = {}
        for walk in WALKS:
            process = Constrained(inside, steps=50, walk=walk)
            net = Shifted(inside, network(inside.features, 48, seed))
            model = Denoiser(net, process, predicts="score", data_std=None)
            learn(
                model,
                path_score_matching(4),
                train,
                seed,
                steps=report.budget.pick(smoke=2, cpu=200),
                rows=32,
            )
            drawn = sample(
                model, n, plan=ReverseWalk(report.budget.pick(smoke=3, cpu=50)), batch_size=n, seed=seed
            )
            far[type(walk).__name__] = distance(drawn, fresh)
        ours, *others = far.values()
        won += ours <= min(others)
        told.setdefault(name, []).append(far)
    report.add(BETTER, seed, ours=won)
    shown = (
        f"{name}: {', '.join(f'{sum(each[walk] for each in found) / len(found):.4f}' for walk in found[0])}"
        for name, found in told.items()
    )
    report.note(
        BETTER, f"MMD² of Metropolis, reflected, barrier in the mean of the seeds: {'; '.join(shown)}."
    )


def country(report: Report, seed: int) -> None:
    """Airports: two models, and uniform points of the country."""
    x, border = data.airports()
    order = Noise(seed).draw(x[:, :1], 0)[:, 0].argsort()
    train, fresh = x[order[500:]], x[order[:500]]
    n, steps = report.budget.pick(smoke=(30, 2), cpu=(2000, 1200))
    process = Constrained(border)
    ours = Denoiser(network(2, 64, seed), process, predicts="score", data_std=None)
    learn(ours, path_score_matching(8), train, seed, steps=steps, rows=64)
    plain = Denoiser(network(2, 64, seed), VP(), data_std=float(train.std()))
    learn(plain, score_matching(), train, seed, steps=steps, rows=256)
    calls = report.budget.pick(smoke=4, cpu=100)
    drawn = sample(ours, n, plan=ReverseWalk(calls), batch_size=n, seed=seed)
    vp = sample(plain, n, steps=20, batch_size=n, seed=seed)
    far = {
        name: distance(y, fresh) for name, y in (("ours", drawn), ("vp", vp), ("u", points(border, n, seed)))
    }
    outside = {
        name: float((~border.contains(y)).double().mean()) for name, y in (("ours", drawn), ("vp", vp))
    }
    report.add(INSIDE, seed, ours=outside["ours"])
    report.add(LEARNS, seed, ours=far["ours"], baseline=far["u"])
    report.add(UNCONSTRAINED, seed, ours=far["ours"], baseline=far["vp"])
    told = report.kept.setdefault("abroad", [])
    told.append(outside["vp"])
    report.note(
        INSIDE, f"Of the VP model's, {', '.join(f'{100 * share:.1f} %' for share in told)} lie outside."
    )
    if "map" not in report.kept:
        ahead = process.simulate(train[:PATHS], torch.linspace(0, 0.3, 31), generator=Noise(seed))
        begin = process.reference(train[:PATHS], generator=Noise(seed + 7))
        with torch.no_grad():
            back = torch.stack(ReverseWalk(100).path(ours, begin, generator=Noise(seed + 7)), 1)
        report.kept["map"] = border, train, drawn, vp, ahead, back[:, -31:]


class Shifted(nn.Module):
    """A network that sees the set with mean 0 and the variance 1 along its longest direction."""

    def __init__(self, inside: ConstraintSet, net: nn.Module) -> None:
        super().__init__()
        self.net, self.scale = net, size(inside).most
        self.centre = points(inside, 4000, 0).mean(0)

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        found: Tensor = self.net((x - self.centre) / self.scale, t, cond)
        return found


def network(features: int, hidden: int, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.MLP(features, hidden=hidden, depth=2)


def learn(model: Denoiser, objective: Objective, x: Tensor, seed: int, *, steps: int, rows: int) -> None:
    settings = Training(
        batch_size=min(rows, len(x)), lr=4e-3, warmup=20, ema=0.98, validation=0, seed=seed, progress=False
    )
    fit(model, objective, x, steps=steps, config=settings)
    model.eval()


def mixture(inside: ConstraintSet, n: int, seed: int) -> Tensor:
    """Three Gaussians around points of the set, cut off at its boundary; (n, features) float32."""
    centres, spread = points(inside, 3, 11), size(inside).most / 3
    x = torch.empty(0, inside.features)
    for k in range(1000):
        z = Noise(seed + 1000).draw(torch.empty(n, inside.features), k)
        y = centres.repeat(-(-n // 3), 1)[:n] + spread * z
        x = torch.cat([x, y[inside.contains(y)]])
        if len(x) >= n:
            break
    return x[:n]


def points(inside: ConstraintSet, n: int, seed: int) -> Tensor:
    return uniform_points(inside, torch.empty(n, inside.features), Noise(seed + 50))


def distance(x: Tensor, fresh: Tensor) -> float:
    """MMD² with the median distance within the fresh data as bandwidth."""
    return float(mmd(x, fresh, bandwidth=median_distance(fresh[::2], fresh[1::2])))


def figure(report: Report) -> Figure:
    border, train, drawn, vp, ahead, back = report.kept["map"]
    drawing, axes = canvas(report, panels=3, height=2.05, equal=(0, 1, 2))
    share = float((~border.contains(vp)).double().mean())
    titles = (
        f"{len(train):,} airports, and {PATHS} walks away from them",
        f"{len(drawn):,} drawn, and {PATHS} walks towards them",
        f"VP, without a border: {share:.0%} abroad or at sea",
    )
    (west, south), (east, north) = border.bounds
    for ax, x, paths, title in zip(axes, (train, drawn, vp), (ahead, back, None), titles, strict=True):
        ax.fill(*zip(*border.vertices, strict=True), facecolor="#eef1f5", edgecolor="#5b6470", linewidth=0.7)
        good = border.contains(x)
        ax.plot(*x[good].T, ".", ms=2.2, color=PALETTE[0], alpha=0.45, mew=0)
        ax.plot(*x[~good].T, ".", ms=4.5, color="#c62828", mew=0)
        for path in () if paths is None else paths:
            trace(ax, path)
        ax.set(xlim=(west - 0.25, east + 0.25), ylim=(south - 0.25, north + 0.25))
        ax.set_title(title, fontsize=9)
    return drawing


def trace(ax: Axes, path: Tensor) -> None:
    """A path (T, 2), from a dot to a ring."""
    ax.plot(*path.T, color=PALETTE[1], linewidth=0.9)
    ax.plot(*path[0], "o", ms=4, color=PALETTE[1], zorder=3)
    ax.plot(*path[-1], "o", ms=5, mfc="white", mec=PALETTE[1], mew=1.3, zorder=3)


PAPER = Paper(
    slug="metropolis-constrained",
    title="Metropolis sampling for constrained diffusion models (Fishman et al., 2023)",
    claims=(CHEAPER, THAN_BARRIER, EQUAL, BETTER, INSIDE, LEARNS, UNCONSTRAINED),
    run=run,
    figure=figure,
)
