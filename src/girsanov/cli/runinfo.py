"""`girsanov info`: what is in a run folder, and how to go on with it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from girsanov.cli.console import say, show
from girsanov.cli.options import NoSeed, RunFolder

if TYPE_CHECKING:
    from girsanov.cli.runs import Run


def info(run: RunFolder, seed: NoSeed = 0) -> None:
    """Tell what is in a run, and how to go on with it."""
    from girsanov.cli.runs import open_run

    opened = open_run(run, speech=None)
    show(("", ""), [*of_model(opened), *of_data(opened), *of_training(opened)])
    say("next:")
    for line in onward(opened):
        say(f"  {line}")


def of_model(run: Run) -> list[tuple[str, str]]:
    """The network, the process and what is predicted."""
    from girsanov.solvers import for_process

    model = run.model
    config = getattr(model.network, "config", {})
    sizes = ", ".join(
        f"{name} {value}" for name, value in config.items() if name != "network" and value is not None
    )
    count = sum(p.numel() for p in model.network.parameters())
    known = ", ".join(for_process(model.process))
    return [
        ("network", f"{type(model.network).__name__}, {count:,} parameters ({sizes})"),
        ("process", repr(model.process)),
        ("predicts", f"{', '.join(model.stored)}; data_std {model.data_std}"),
        ("samples", f"shape {model.shape}"),
        ("solvers", known or "that of its own kind"),
    ]


def of_data(run: Run) -> list[tuple[str, str]]:
    """Where the data came from, and its classes."""
    from girsanov.cli.runs import enhances

    origin = run.origin
    if enhances(run.card):
        return [("data", f"{run.card.dataset or 'speech'}, at {run.card.data['rate']} Hz")]
    if origin is None:
        return [("data", "not known; the model was not trained by this command")]
    rows = [
        (
            "data",
            f"{origin.source} ({origin.codec.kind}), {origin.validation:.0%} held out with seed {origin.seed}",
        )
    ]
    if origin.classes:
        counted = (f"{name} ({count})" for name, count in zip(origin.classes, origin.counts, strict=True))
        rows.append(("classes", ", ".join(counted)))
    return rows


def of_training(run: Run) -> list[tuple[str, str]]:
    """The record of the training, and what `evaluate` found."""
    told: dict[str, Any] = {**run.card.training, **run.card.results}
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in told.items()
    ]


def onward(run: Run) -> list[str]:
    """Commands that work with this run."""
    from girsanov.cli.runs import enhances
    from girsanov.data import TextCodec
    from girsanov.processes import Masked

    if enhances(run.card):
        return [f"girsanov enhance {shlex.quote(str(run.folder))} noisy.wav --out clean.wav"]
    name, image = shlex.quote(str(run.folder)), run.model.shape is not None and len(run.model.shape) == 3
    data = "DATA" if run.origin is None else shlex.quote(run.origin.source)
    if isinstance(run.model.process, Masked):
        if not isinstance(run.codec, TextCodec):
            return [f"girsanov sample {name} -n 64 --out samples.npy"]
        return [
            f"girsanov sample {name} -n 64 --out samples.txt",
            f"girsanov likelihood {name} NEW.txt --out scores.csv",
        ]
    lines = [
        f"girsanov sample {name} -n 64 --out samples.{'png' if image else 'csv'}",
        f"girsanov evaluate {name} {data}",
        f"girsanov likelihood {name} {data} --out scores.csv",
    ]
    if image:
        lines.append(f"girsanov restore {name} IMAGE --task inpaint --mask MASK --out restored.png")
    return lines
