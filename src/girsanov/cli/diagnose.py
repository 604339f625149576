"""`girsanov diagnose`: what has a model learned?

Whether its score is a gradient, how much of it no potential explains, how many dimensions its data have, and which of
its samples it was unsure of. See docs/diagnosis.md for how to read the numbers.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, say, show, wrote
from girsanov.cli.options import Device, RunFolder, Seed

if TYPE_CHECKING:
    from girsanov.data import Dataset
    from girsanov.solvers import Diagnosis

ROWS = 512
"""Rows of the data that are looked at."""


def diagnose(
    run: RunFolder,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Data to look at; by default those of the training.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A .png file for the picture.")] = None,
    projections: Annotated[
        int | None,
        typer.Option(help="Random directions in place of exact Jacobians; needed beyond 64 numbers a row."),
    ] = None,
    points: Annotated[int, typer.Option(min=1, help="Points at which the score is differentiated.")] = 8,
    samples: Annotated[int, typer.Option(min=2, help="Fresh samples for the filter.")] = 64,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Is the score a gradient, how many dimensions have the data, which samples are doubtful?"""
    from girsanov.cli.runs import open_run, some
    from girsanov.errors import require
    from girsanov.noise import Noise
    from girsanov.solvers import diagnose as look

    require(
        out is None or out.suffix.lower() == ".png", f"{out} does not end in .png; give such a name, or none"
    )
    opened = open_run(run, device)
    rows: Dataset | None
    if data is not None:
        rows = opened.read(data)
    else:
        rows = None if opened.origin is None else opened.origin.again()
        require(
            rows is not None,
            f"the data of {run} are not there as they were; name data: girsanov diagnose {run} DATA",
        )
    assert rows is not None
    rows = some(rows, ROWS, seed)
    place = next(opened.model.parameters()).device
    cond = rows.cond.to(place) if rows.cond is not None and opened.classes else None
    note(f"looking at {len(rows):,} rows of {rows.x[0].numel()} numbers")
    found = look(
        opened.model,
        rows.x.to(place),
        cond=cond,
        points=points,
        projections=projections,
        samples=samples,
        generator=Noise(seed),
    )
    report(found)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        draw(found, out)
        wrote(out)


def report(found: Diagnosis) -> None:
    """The numbers, as a table and two lines."""
    lines = [
        [f"{t:g}", f"{float(a.mean()):.3g}", f"{float(c.mean()):.3g}", f"{float(r):.3g}"]
        for t, a, c, r in zip(found.times, found.asymmetry, found.circulation, found.rotation)
    ]
    show(["time", "asymmetry", "circulation", "unexplained by a potential"], lines)
    if found.dimension is None:
        say("dimension: not estimated beyond 64 numbers a row, where it needs exact Jacobians")
    else:
        assert found.singular_values is not None
        every = found.singular_values.shape[2]
        say(
            f"dimension: {float(found.dimension.double().median()):.0f} of {every} "
            f"(from {int(found.dimension.min())} to {int(found.dimension.max())} over {len(found.dimension)} points)"
        )
    middle, top = found.variance.median(), found.variance.max()
    doubtful = found.variance.argsort(descending=True)[:5].tolist()
    say(f"variance of the answer in the last steps: median {float(middle):.3g}, largest {float(top):.3g}")
    say(f"most doubtful samples of seed: {', '.join(map(str, doubtful))}")


def draw(found: Diagnosis, out: Path) -> None:
    """Conservativity over time, singular values along the flow, and the filter."""
    from matplotlib.figure import Figure

    from girsanov.files import write_bytes

    figure = Figure(figsize=(11, 3.4), facecolor="white", layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for values, name, colour in (
        (found.asymmetry.mean(1), "asymmetry of the Jacobian", "#2a5caa"),
        (found.circulation.mean(1), "circulation", "#d1742f"),
        (found.rotation, "unexplained by a potential", "#3b8f6b"),
    ):
        left.semilogy(found.times, values.cpu().clamp(min=1e-9), "o-", color=colour, label=name, markersize=4)
    left.set(title="is the score a gradient?", xlabel="time")
    left.legend(fontsize=8, frameon=False)
    if found.singular_values is None:
        middle.text(0.5, 0.5, "not estimated\nbeyond 64 numbers", ha="center", va="center")
    else:
        curves = found.singular_values.median(0).values.cpu()
        middle.semilogy(curves / curves[0, 0], color="#2a5caa", lw=0.8, alpha=0.7)
    middle.set(title="singular values of the flow", xlabel="step, noise to data")
    right.hist(found.variance.cpu().clamp(min=1e-12).log10(), bins=24, color="#d1742f")
    right.set(title="doubt: variance of the answer", xlabel="log10")
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_fontsize(10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    write_bytes(out, buffer.getvalue())
