"""The page and the figure of the solver benchmark, written from what solvers.py measured."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from girsanov import __version__

DOCS = Path(__file__).parent.parent / "docs"
SHOWN = {
    "ddim": "#9aa0a6", "heun": "#c2a83e", "deis-tab3": "#d1713b", "deis-ipndm4": "#8e4fa8", "dpm-multistep-2m": "#3b8f68",
    "unipc-3-bh2": "#2a5caa", "recommended": "#000000", "diffusers, best": "#c0392b", "searched": "#12b5cb",
    "best affine plan": "#000000",
}  # fmt: skip
BOUND = "best affine plan"

TEXT = """# The solver benchmark

How far each solver ends from the exact flow, for the same number of network calls. Every solver takes the grid that was
best on other photographs or noises than it is judged on, and so does the best of 100-odd configurations of diffusers.
All run on the DDPM chain (1,000 βs from 1e-4 to 2e-2) down to 0. Lower is better; the best of each column is bold.
Written by `python benchmarks/solvers.py --docs`, girsanov {version}, {date}.

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


def write(p1: dict[str, dict[int, float]], p2: dict[str, dict[int, float]]) -> None:
    """docs/solver-benchmark.md and docs/figures/solver-benchmark.png."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, errors, title in zip(
        figure.subplots(1, 2), (p1, p2), ("P1: photographs", "P2: Fashion-MNIST mixture")
    ):
        for name, colour in SHOWN.items():
            row = errors.get(name, {})
            style = "--" if name == BOUND else "-"
            if row:
                axes.plot(list(row), list(row.values()), style, marker="o", ms=3.5, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel="network calls", title=title)
        ticks = sorted({n for row in errors.values() for n in row})
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.xaxis.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7.5, frameon=False)
    figure.supylabel("error", fontsize=10)
    figure.savefig(DOCS / "figures" / "solver-benchmark.png", dpi=120)
    last = ("diffusers, best", "searched", BOUND, "rational bound")
    gaps = {name: {n: v / p1[BOUND][n] for n, v in row.items()} for name, row in p1.items()}
    tables = {"p1": columns(p1, last), "gaps": columns(gaps, last), "p2": columns(p2, last)}
    text = TEXT.format(version=__version__, date=datetime.date.today().isoformat(), **tables)
    (DOCS / "solver-benchmark.md").write_text(text, encoding="utf-8")
    print("wrote docs/solver-benchmark.md and docs/figures/solver-benchmark.png")
