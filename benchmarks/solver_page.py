"""The page and the figure of the solver benchmark, written from what solvers.py measured."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

import leaderboard
import torch
from leaderboard import Scores
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from girsanov import __version__, solvers

Errors = dict[str, dict[int, float]]

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = {
    "ddim": "#9aa0a6", "heun": "#c2a83e", "deis-tab3": "#d1713b", "deis-ipndm4": "#8e4fa8", "dpm-multistep-2m": "#3b8f68",
    "unipc-3-bh2": "#2a5caa", "recommended": "#000000", "diffusers, best": "#c0392b", "k-diffusion, best": "#e67e9b", "searched": "#12b5cb",
    "best affine plan": "#000000",
}  # fmt: skip
BOUND = "best affine plan"

TEXT = """# The solver benchmark

How well each solver samples for the same number of network calls, on three problems of the size of a CPU: exact
Gaussian data, an exact mixture, and a trained network. Lower is better; the best of each column is bold. On P1 and P2
every solver takes the grid that was best on other photographs or noises than it is judged on, and so does the best of
100-odd configurations of diffusers, and of the samplers and grids of k-diffusion; they run on the DDPM chain (1,000 βs from
1e-4 to 2e-2) down to 0. Written by `python benchmarks/solvers.py --docs`, girsanov {version}, {date}.

![Error against network calls](figures/solver-benchmark.png)

## P1: Gaussian data with the spectrum of photographs

Relative Wasserstein error, closed form. A plan of N calls acts on each eigenvalue as a rational function of degree N
over N whose poles are the noise levels it calls at. The *best affine plan* is the best such function with poles at noise
levels that the process has, and it is a plan: N calls on the initial sample and one last row. The *rational bound*
lets the poles lie anywhere. *searched* is what `solvers.search` finds on the other photographs, see
[Solvers](solvers.md).

{p1}

The same as a gap: how many times the error of the best affine plan.

{gaps}

## P2: a mixture of 64 Gaussians fitted to Fashion-MNIST

Mean distance to the end of the exact flow from the same noise, in standard deviations of a coordinate; 32 dimensions.

{p2}

## P3: pictures of a small U-Net

The CPU-sized CIFAR: a U-Net of 496,297 parameters on Fashion-MNIST (EDM, 3,000 steps of batch 64, seed 0, 20 minutes
on one core), and the Fréchet distance of {samples:,} of its pictures, in 8 bits, to the 10,000 test pictures in the 64 features
before the last layer of a classifier of our own (two passes over the training pictures, seed 0). All solvers start
from the same noises (seed {seed}). As in the CIFAR-10 table of
[diff-sampler](https://github.com/zju-pi/diff-sampler) they run on EDM's grid, ρ = 7, down to σ = 0.002, save
*recommended*, which has its own grid, and the plans of `search`: *searched* is what it found, from {noises} other noises
and without the judge, and *where the search started* is the named plan that came nearest to the model's own flow, of
all named plans on all grids.

{p3}

After ± is half of a 95 % interval by the delete-a-group jackknife over {groups} groups of pictures, with model, judge and
test pictures fixed. (Pictures drawn with repetition raise the distance, so a percentile bootstrap would not cover it.)
For comparison: {limits}.

![The same noises by four samplers](figures/solver-benchmark-pictures.png)

The same noises in 6 calls by DDIM, by the best named solver and by the searched plan, and in {fine} by the recommended
rule. To be near the model's own flow, the last row, and to please the judge are two things.

Does it rank solvers as CIFAR-10 does? Each row is a statement of that table, and the ratio of the distances of the
solver it is about and of its best rival on the same noises, with its interval; the statement holds below 1.

| statement | | ratio | rival |
|---|---|---|---|
{ranking}

The searches took {seconds} s of one core at 4, 6 and 8 calls, and came to {gains} of the distance to the model's own flow
that their start had, on noises held out. That flow is what they seek, and its distance is about that of {fine} calls
above: this loss cannot bring a plan to 10 % below a named one that is there already.

To join: `python benchmarks/leaderboard.py my-plan.json` scores plans saved by `Plan.save` beside the others. Any
callable `(model, x, cond=..., anchor=..., generator=...) -> pictures` is scored by
`leaderboard.judged(girsanov.solvers.sample(fashion.model(), {samples}, plan=sampler, seed={seed}))`. Model and judge are
trained on first use by `python benchmarks/fashion.py`, and Fashion-MNIST comes with the Debian package dataset-fashion-mnist.
"""


def columns(errors: dict[str, dict[int, float]], last: Sequence[str] = ()) -> str:
    """A table of solvers by calls, sorted by the error at the most calls that all have; `last` are set apart."""
    calls = sorted({n for row in errors.values() for n in row})
    names = sorted((name for name in errors if name not in last), key=lambda name: errors[name].get(10, 9e9))
    best = {n: min(errors[name].get(n, 9e9) for name in names) for n in calls}
    lines = ["| | " + " | ".join(map(str, calls)) + " |", "|---" * (len(calls) + 1) + "|"]
    for name in [*names, *(name for name in last if name in errors)]:
        cells = []
        for n in calls:
            value = errors[name].get(n)
            text = "" if value is None else f"{value:.2g}"
            cells.append(f"**{text}**" if name in names and value == best[n] else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def intervals(scores: Scores) -> str:
    """A table of distances with their intervals, best at 6 calls first."""
    calls = leaderboard.CALLS
    best = {n: min(row[n].value for row in scores.values() if n in row) for n in calls}
    lines = ["| | " + " | ".join(map(str, calls)) + " |", "|---" * (len(calls) + 1) + "|"]
    for name, row in sorted(scores.items(), key=lambda item: item[1][6].value):
        shown = {n: f"{row[n].value:.3f} ± {row[n].half_width:.3f}" if n in row else "" for n in calls}
        cells = [f"**{shown[n]}**" if n in row and row[n].value == best[n] else shown[n] for n in calls]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pictures(scores: Scores) -> dict[str, object]:
    """What the page says of P3."""
    found = [leaderboard.found(n) for n in leaderboard.SEARCH_BARS]
    limits = [f"{name} {s.value:.3f} ± {s.half_width:.3f}" for name, s in leaderboard.limits().items()]
    verdicts = [f"| {v.says} | {v.word} | {v.ratio} | {v.rival} |" for v in leaderboard.ranking(scores)]
    return {
        "samples": leaderboard.SAMPLES, "fine": leaderboard.FINE, "seed": leaderboard.SEED, "noises": leaderboard.SEARCH["noises"],
        "groups": leaderboard.GROUPS, "p3": intervals(scores), "limits": "; ".join(limits),
        "ranking": "\n".join(verdicts), "seconds": ", ".join(f"{f['seconds']:.0f}" for f in found),
        "gains": ", ".join(f"{f['error'] / f['start_error']:.2f}" for f in found),
    }  # fmt: skip


def decorate(axes: Axes, title: str, calls: Sequence[int]) -> None:
    """The frame of a panel; its axes are logarithmic."""
    axes.set(xscale="log", yscale="log", xlabel="network calls", title=title)
    axes.set_xticks(calls, [str(n) for n in calls])
    axes.xaxis.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7.5, frameon=False)


def draw(p1: Errors, p2: Errors, p3: Scores) -> Figure:
    """Error against network calls, a panel for each problem."""
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, errors, title in zip(
        (left, middle), (p1, p2), ("P1: photographs", "P2: Fashion-MNIST mixture")
    ):
        for name, colour in SHOWN.items():
            row = errors.get(name, {})
            style = "--" if name == BOUND else "-"
            if row:
                axes.plot(list(row), list(row.values()), style, marker="o", ms=3.5, color=colour, label=name)
        decorate(axes, title, sorted({n for row in errors.values() for n in row}))
        axes.set_ylabel("error")
    for name, colour in SHOWN.items():
        if name in p3:
            values, widths = zip(*((s.value, s.half_width) for s in p3[name].values()))
            right.errorbar(
                list(p3[name]), values, widths, marker="o", ms=3.5, capsize=2, color=colour, label=name
            )
    for (name, score), style in zip(leaderboard.limits().items(), (":", "-.")):
        right.axhline(score.value, ls=style, lw=1, color="#9aa0a6", label=name)
    decorate(right, "P3: a U-Net on Fashion-MNIST", leaderboard.CALLS)
    right.legend(fontsize=7.5, frameon=False, ncols=2, loc=(0.02, 0.12))
    right.set_ylabel("Fréchet distance")
    return figure


def strip(scores: Scores, calls: int = 6, n: int = 16) -> Figure:
    """The same noises by DDIM, the best named solver, the searched plan, and the recommended rule in many calls."""
    model, plans = leaderboard.fashion.model(), leaderboard.entries(calls)
    shown = {
        f"{name}, {calls}": plans[name]
        for name in ("ddim", leaderboard.best_named(scores, calls), "searched")
    }
    shown[f"recommended, {leaderboard.FINE}"] = solvers.recommended(model.process, leaderboard.FINE)
    figure = Figure(figsize=(n * 0.7, len(shown) * 0.8), layout="constrained")
    for axes, (name, plan) in zip(figure.subplots(len(shown), 1), shown.items()):
        x = solvers.sample(model, n, plan=plan, seed=leaderboard.SEED).clamp(-1, 1)
        axes.imshow(torch.cat(list(x[:, 0]), 1), cmap="gray", vmin=-1, vmax=1)
        axes.set_title(f"{name} calls", fontsize=8, loc="left", pad=2)
        axes.axis("off")
    return figure


def write(p1: Errors, p2: Errors) -> None:
    """docs/solver-benchmark.md and its figures."""
    p3 = leaderboard.board()
    draw(p1, p2, p3).savefig(DOCS / "figures" / "solver-benchmark.png", dpi=120)
    strip(p3).savefig(DOCS / "figures" / "solver-benchmark-pictures.png", dpi=120)
    last = ("diffusers, best", "k-diffusion, best", "searched", BOUND, "rational bound")
    gaps = {name: {n: v / p1[BOUND][n] for n, v in row.items()} for name, row in p1.items()}
    tables = {"p1": columns(p1, last), "gaps": columns(gaps, last), "p2": columns(p2, last)}
    told = {"version": __version__, "date": datetime.date.today().isoformat()}
    text = TEXT.format(**told, **tables, **pictures(p3))
    (DOCS / "solver-benchmark.md").write_text(text, encoding="utf-8")
    print("wrote docs/solver-benchmark.md and its figures", file=sys.stderr)
