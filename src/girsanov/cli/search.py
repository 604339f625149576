"""`girsanov search`: a better sampler for a trained model, of as many calls as one wants to pay.

The plan is saved as JSON for `sample --plan`, with a picture of its gain beside it: how far samples end from those of
a fine plan, against the calls of the recommended rule, and how the search came there. Ctrl-C saves the best so far.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, progress, say, wrote
from girsanov.cli.options import Device, RunFolder, Seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from girsanov.cli.console import Tick
    from girsanov.solvers.search import Progress, Search

PAUSE = 10.0
"""Seconds between two lines where nothing can move."""

MORE = (1.0, 1.5, 2.0, 3.0, 4.0)
"""How many times the calls the recommended rule is given in the picture."""


def search(
    run: RunFolder,
    calls: Annotated[
        int, typer.Option(min=1, help="Network calls a sample; twice as many under guidance.")
    ] = 8,
    out: Annotated[
        Path | None, typer.Option(help="A .json file for `sample --plan`. [default: RUN/plan-CALLS.json]")
    ] = None,
    label: Annotated[str | None, typer.Option(help="For one class; for all if left out.")] = None,
    guidance: Annotated[
        float, typer.Option(help="Classifier-free guidance, as `sample` will be told.")
    ] = 1.0,
    noises: Annotated[int, typer.Option(min=1, help="How many noises to fit.")] = 192,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the optimizer.")] = 300,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Search a better sampler for this very model, and save it."""
    from girsanov.cli.runs import open_run
    from girsanov.cli.sample import guided
    from girsanov.errors import require
    from girsanov.solvers.search import search as search_plan
    from girsanov.solvers.search import total_steps

    path = out or run / f"plan-{calls}.json"
    require(path.suffix.lower() == ".json", f"{path} does not end in .json; give such a name, or none")
    opened = open_run(run, device)
    model = guided(opened, guidance)
    cond = opened.condition(label, noises, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    note(f"searching a plan of {calls} calls; Ctrl-C keeps the best so far")
    with progress("searching", total_steps(steps)) as tick:
        found = search_plan(
            model, calls, cond=cond, noises=noises, steps=steps, seed=seed, watch=Teller(tick)
        )
    found.plan.save(path)
    picture(found, path.with_suffix(".png"))
    report(found)
    wrote(path, path.with_suffix(".png"))
    chosen = "" if guidance == 1 else f" --guidance {guidance:g}"
    say(f"use it: girsanov sample {run} --plan {path}{chosen} --out new{ending(opened.codec)}")
    if not found.complete:
        raise KeyboardInterrupt("stopped early; the best so far is saved")


class Teller:
    """Moves the bar, or says a line now and then where there is none."""

    def __init__(self, tick: Tick) -> None:
        self.tick, self.began = tick, time.monotonic()
        self.last = self.began

    def __call__(self, at: Progress) -> None:
        self.tick(1)
        now = time.monotonic()
        if sys.stderr.isatty() or now - self.last < PAUSE:
            return
        self.last = now
        left = (at.steps - at.step) * (now - self.began) / at.step
        note(f"step {at.step}/{at.steps} · error {at.error:.4g}, from {at.start:.4g} · {left:.0f} s left")


def report(found: Search) -> None:
    """What was gained, in words."""
    say(
        f"{found.plan.calls} calls: error {found.error:.4g}, {found.gain:.2f} times that of the best named plan, "
        f"{found.start.name} ({found.start_error:.4g})"
    )


def ending(codec: object) -> str:
    """The kind of file that samples of this data are usually written to."""
    from girsanov.data import ImageCodec, TableCodec

    if isinstance(codec, ImageCodec):
        return ".png"
    return ".csv" if isinstance(codec, TableCodec) else ".npy"


def picture(found: Search, path: Path) -> None:
    """Draw the gain against the recommended rule, and the way of the search."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from girsanov.cli.figures import STYLE
    from girsanov.files import write_bytes

    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        against_calls(left, found)
        against_steps(right, found)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def against_calls(axes: Axes, found: Search) -> None:
    """Errors of the recommended rule with more and more calls, and of the two plans of these calls."""
    from girsanov.cli.figures import BLUE, GREY, RED

    calls = found.plan.calls
    rule = recommended_errors(found, sorted({round(calls * more) for more in MORE}))
    axes.plot(*zip(*rule, strict=True), "o-", color=GREY, markersize=4, label="recommended rule")
    axes.plot([calls], [found.start_error], "o", color=BLUE, label=f"best named: {found.start.name}")
    axes.plot([calls], [found.error], "*", color=RED, markersize=14, label="searched")
    axes.axhline(found.error, color=RED, linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_xticks([n for n, _ in rule])
    axes.set(xlabel="network calls a sample", ylabel="distance to the fine solution", title="What it gains")
    axes.legend(loc="best", fontsize=8)


def recommended_errors(found: Search, calls: list[int]) -> list[tuple[int, float]]:
    """(calls, mean distance to the teacher) of the recommended rule, on the held-out noises."""
    import torch

    from girsanov.solvers import recommended

    held = found.held
    with torch.no_grad():
        plans = [recommended(found.plan.process, n) for n in calls]
        return [(plan.calls, float(held.distances(plan.recast("data")).mean())) for plan in plans]


def against_steps(axes: Axes, found: Search) -> None:
    """The error on held-out noises while the winning start was improved."""
    from girsanov.cli.figures import BLUE, RED

    axes.plot(*zip(*found.history, strict=True), color=RED)
    axes.axhline(found.start_error, color=BLUE, linewidth=0.8, linestyle=":", label="best named")
    axes.set_yscale("log")
    axes.set(xlabel="step", ylabel="distance, held-out noises", title="The search")
    axes.legend(loc="upper right", fontsize=8)
