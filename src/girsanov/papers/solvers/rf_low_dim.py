"""Low-dimensional adaptation of rectified flow (Roy, Rinaldo & Sarkar, 2026).

Idea (arXiv 2601.15500): data on a set of dimension k need a number of steps in proportion to k, not to the
dimension d around it, on time grids that are fine at the right end: U-shaped for the flow; for its stochastic
twin, which is DDPM's ancestral step in other coordinates, DDPM's noise shares carried over to the flow.
Stand-in: a ring of narrow Gaussians in the plane with its exact velocity, so that only the grid errs, and two
moons turned at random into 8, 64 and 512 dimensions with a small network, for Flux. That a grid helps where
data have a fine scale, and whether d costs, can be judged here; the rate in k and pictures cannot.
That the stochastic sampler is `ancestral` is proved in tests/solvers/test_low_dim_grids.py.
Run time at the budget `cpu`: about two minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.exact import GaussianMixture
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise
from girsanov.objectives import flow_matching
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.papers.plots import named_ticks
from girsanov.processes import RectifiedFlow
from girsanov.solvers import Plan, ancestral, ddpm_rf_grid, euler, run, u_shaped_grid
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOW, RADIUS, WIDTH, STEPS = RectifiedFlow(), 3.0, 0.05, 50
DIMENSIONS = (8, 64, 512)

FINE_50, FINE_100 = (
    Claim(
        name=f"U-shaped grid, {steps} steps",
        says=f"In {steps} Euler steps the U-shaped grid finds the width of narrow modes better than equal steps.",
        source="abstract and simulations",
        paper="pictures and distances",
        unit="|width / true width - 1|",
        bar=Bar("<=", times=0.7),
        against="equal steps",
    )
    for steps in (50, 100)
)
STOCHASTIC = Claim(
    name="stochastic grid",
    says="In 100 stochastic steps the grid of DDPM's noise shares does so better than equal steps.",
    source="abstract and simulations",
    paper="pictures and distances",
    unit="|width / true width - 1|",
    bar=Bar("<=", times=0.75),
    against="equal steps",
)
DIMENSION = Claim(
    name="dimension around",
    says="The error of a learned flow on two moons hardly grows from 8 to 512 dimensions, at 50 steps.",
    source="abstract: O(k/ε) iterations for data of dimension k",
    paper="no growth with d, up to logarithms",
    unit="sliced Wasserstein distance in the plane of the data",
    bar=Bar("<=", times=1.3),
    over="most",
    against="d = 8",
)

WHY_FLAT = (
    "Its modes are too narrow at 20 steps and slightly too wide from 50 on, so its error is least in between."
)
WHY_GROWTH = "At 64 dimensions it is no smaller than at 512: the growth is from 8 to 64."


def run_paper(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        grids(report, seed, budget.pick(smoke=100, cpu=20_000))
        dimensions(report, seed, budget)
    equal, shaped = (abs(unit_width(times) - 1) for times in (equal_steps(STEPS), u_shaped_grid(STEPS)))
    plain = f"On data N(0, 1) equal steps are better: {equal:.2g} against {shaped:.2g} in {STEPS} steps."
    report.note(FINE_50, plain)
    report.note(FINE_100, WHY_FLAT)
    return report


# On a ring, with the exact velocity.


def equal_steps(steps: int) -> tuple[float, ...]:
    """1, 1 - 1/N, …, 0, the grid that rectified flow is usually sampled on."""
    return tuple(1 - i / steps for i in range(steps + 1))


def plans(steps: int) -> dict[str, Plan]:
    """Two samplers on two grids; the paper's δ is 1/max(d, N), here 1/N."""
    return {
        "Euler, U-shaped": euler(FLOW, u_shaped_grid(steps)),
        "Euler, equal": euler(FLOW, equal_steps(steps)),
        "stochastic, DDPM": ancestral(FLOW, ddpm_rf_grid(steps)),
        "stochastic, equal": ancestral(FLOW, equal_steps(steps)),
    }


@torch.no_grad()
def drawn(plan: Plan, model: AbstractDenoiser, n: int, dim: int, seed: int) -> Tensor:
    """Samples from √(α² + γ²) · noise at the first time of the grid, which is noise of size 1 at t = 1."""
    start = plan.grid[0]
    x = math.hypot(1 - start, start) * Noise(seed).draw(torch.empty(n, dim), 0)
    return run(plan.recast(model.stored), model, x, generator=Noise(seed).child(1))


def ring() -> GaussianMixture:
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    return GaussianMixture(RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1), WIDTH**2)


def width_error(x: Tensor, law: GaussianMixture) -> float:
    """|rms distance to the nearest mode, per coordinate, over the true one - 1|."""
    apart = torch.cdist(x.double(), law.means).min(1).values
    return abs(float(apart.square().mean().sqrt()) / math.sqrt(2) / WIDTH - 1)


def grids(report: Report, seed: int, n: int) -> None:
    law, curve = ring(), {}
    model = law.denoiser(FLOW)
    for steps in (20, 50, 100):
        x = {name: drawn(plan, model, n, 2, seed) for name, plan in plans(steps).items()}
        curve[steps] = {name: width_error(y, law) for name, y in x.items()}
        if seed == 0 and steps == STEPS:
            report.kept["ring"] = x
    for claim, steps in ((FINE_50, 50), (FINE_100, 100)):
        report.add(claim, seed, ours=curve[steps]["Euler, U-shaped"], baseline=curve[steps]["Euler, equal"])
    report.add(
        STOCHASTIC, seed, ours=curve[100]["stochastic, DDPM"], baseline=curve[100]["stochastic, equal"]
    )
    found = report.kept.setdefault("curve", [])
    found.append(curve)
    ours, base = (
        sum(one[STEPS][f"stochastic, {grid}"] for one in found) / len(found) for grid in ("DDPM", "equal")
    )
    report.note(STOCHASTIC, f"In {STEPS} steps it is {ours:.3f} against {base:.3f}.")


def unit_width(times: Sequence[float]) -> float:
    """The standard deviation that Euler makes of data N(0, 1), whose velocity is (2t - 1) x/((1 - t)² + t²)."""
    return math.prod(1 + (t - s) * (2 * s - 1) / ((1 - s) ** 2 + s**2) for s, t in pairwise(times))


# On two moons in many dimensions, learned.


def dimensions(report: Report, seed: int, budget: Budget) -> None:
    """One network for each dimension: the same points, the same training, the same starting noise in number."""
    n, steps = budget.pick(smoke=100, cpu=4000), budget.pick(smoke=2, cpu=600)
    x, fresh, again = (data.toys.moons(n, generator=Noise(seed).child(i)) for i in (2, 3, 4))
    center, found = torch.tensor([0.5, 0.25]), {}
    for dim in budget.pick(smoke=DIMENSIONS[:2], cpu=DIMENSIONS):
        frame = torch.linalg.qr(Noise(seed).child(5).draw(torch.empty(dim, 2), 0))[0]
        model = learned((x - center) @ frame.T, seed, steps)
        times = u_shaped_grid(STEPS, delta=1 / max(dim, STEPS))
        y = drawn(euler(FLOW, times), model, n, dim, seed) @ frame + center
        found[dim] = distance(y, fresh)
        if seed == 0:
            report.kept.setdefault("moons", {})[dim] = y
    report.add(DIMENSION, seed, ours=found[max(found)], baseline=found[min(found)])
    report.kept.setdefault("by dimension", []).append(found)
    floors = report.kept.setdefault("floor", [])
    floors.append(distance(again, fresh))
    floor = sum(floors) / len(floors)
    report.note(DIMENSION, f"Two samples of the data are {floor:.3f} apart. {WHY_GROWTH}")


def learned(x: Tensor, seed: int, steps: int) -> Denoiser:
    """A small network, of the same hidden width whatever the dimension."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(x.shape[1], hidden=128, depth=2)
    model = Denoiser(net, FLOW, predicts="velocity", data_std=float(x.std()), shape=x.shape[1:])
    settings = Training(batch_size=256, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, flow_matching(), x, steps=steps, config=settings)
    return model.eval()


def distance(x: Tensor, y: Tensor) -> float:
    return float(sliced_wasserstein(x, y, projections=64, generator=Noise(0)))


def figure(report: Report) -> Figure:
    drawing, (steps, mode, error, plane) = canvas(report, panels=4, equal=(1,))
    for name, plan in plans(STEPS).items():
        if name != "stochastic, equal":
            grid = plan.grid
            middle = [(s + t) / 2 for s, t in pairwise(grid)]
            label = {"Euler, equal": "equal", "Euler, U-shaped": "U-shaped", "stochastic, DDPM": "DDPM"}[name]
            sizes = [s - t for s, t in pairwise(grid)]
            steps.plot(middle, sizes, ".-", ms=4, lw=1, color=COLOURS[name], label=label)
    steps.set(yscale="log", xlabel="t: data at 0, noise at 1")
    steps.set_title(f"size of each of {STEPS} steps", fontsize=9)
    turn = torch.linspace(0, 2 * math.pi, 200)
    for name, down in (("Euler, equal", 0.0), ("Euler, U-shaped", 0.48)):
        near = report.kept["ring"][name] - torch.tensor([RADIUS, 0.0])
        near = near[near.norm(dim=1) < 6 * WIDTH][:2500]
        mode.plot(near[:, 0], near[:, 1] - down, ".", ms=1.5, alpha=0.5, color=COLOURS[name])
        mode.plot(2 * WIDTH * turn.cos(), 2 * WIDTH * turn.sin() - down, color="black", lw=1)
        mode.text(0, -0.25 - down, name.split(", ")[1], ha="center", fontsize=8, color=COLOURS[name])
    mode.set_title("one mode and its two-sigma circle", fontsize=9)
    for name, colour in COLOURS.items():
        counts = list(report.kept["curve"][0])
        found = torch.tensor([[one[k][name] for k in counts] for one in report.kept["curve"]])
        style = "--" if name.endswith("equal") else "-"
        error.plot(counts, found.mean(0), style, marker="o", ms=3, color=colour, label=name)
    error.set(xscale="log", yscale="log", xlabel="network calls")
    error.set_yticks(LEVELS, [f"{level:g}" for level in LEVELS])
    error.yaxis.minorticks_off()
    named_ticks(error, counts)
    error.set_title("error of the modes' width", fontsize=9)
    for k, found in enumerate(report.kept["by dimension"]):
        plane.plot(list(found), list(found.values()), "o-", ms=4, color=PALETTE[k], label=f"seed {k}")
    floor = sum(report.kept["floor"]) / len(report.kept["floor"])
    plane.axhline(floor, color=PALETTE[4], ls=":", label="data against data")
    plane.set(xscale="log", xlabel="dimension around the moons", ylim=(0, None))
    named_ticks(plane, list(found))
    plane.set_title("distance in the plane of the data", fontsize=9)
    for ax in (steps, error, plane):
        ax.legend(fontsize=7, frameon=False)
    return drawing


COLOURS = {
    "Euler, U-shaped": PALETTE[0],
    "Euler, equal": PALETTE[1],
    "stochastic, DDPM": PALETTE[2],
    "stochastic, equal": PALETTE[3],
}

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

PAPER = Paper(
    slug="rf-low-dim",
    title="Low-dimensional adaptation of rectified flow (Roy, Rinaldo & Sarkar, 2026)",
    claims=(FINE_50, FINE_100, STOCHASTIC, DIMENSION),
    run=run_paper,
    figure=figure,
)
