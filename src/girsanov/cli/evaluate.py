"""`girsanov evaluate`: how good are the samples of a run?

Fresh samples are held against rows that the model has not seen: of its training data the validation split, of
other data all. Beside each number stands what real rows get in place of the samples (as many training rows, where
the training data are still there), since two real samples are not at distance zero either.

    distances          sliced Wasserstein, energy, Fréchet (of the values themselves, not of features)
    1-NN test          0.5 if samples and data cannot be told apart, 1 if they can
    precision, recall  the share of samples that look like data; the share of the data that is covered
    nearest neighbour  distance to the training rows, over that of held-out rows: far below 1 means copies
    log-likelihood     nats of held-out rows, beside those of training rows: a gap means memory
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, show, wrote
from girsanov.cli.options import BatchSize, Crop, Device, Label, RunFolder, Seed, Source

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.cli.runs import Run
    from girsanov.data import Dataset

MOST, SCORED = 2000, 256
SHOWN, SHOWN_ACROSS = 64, 8
PICTURE, NUMBERS = "evaluation.png", "evaluation.json"

Pair = tuple[float, float | None]
"""A number, and what real rows get."""


def evaluate(
    run: RunFolder,
    data: Source,
    n: Annotated[int, typer.Option("-n", min=2, help="Rows and samples to compare, at most.")] = MOST,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="The folder for the picture and the numbers. [default: RUN]")
    ] = None,
    label: Label = None,
    crop: Crop = None,
    batch_size: BatchSize = 256,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Compare fresh samples with rows that the model has not seen."""
    from girsanov.cli.runs import held_out, open_run, some
    from girsanov.cli.sample import chosen_plan, draw
    from girsanov.errors import Unsuitable, require
    from girsanov.files import write_bytes, write_text
    from girsanov.processes import Masked

    opened = open_run(run, device)
    require(
        not isinstance(opened.model.process, Masked),
        f"{run} draws letters or classes, and the distances of `evaluate` are between numbers. Use: girsanov likelihood {run} "
        "NEW",
        Unsuitable,
    )
    known, fresh = held_out(opened, opened.read(data, crop=crop, label=label))
    fresh = some(fresh, n, seed)
    require(len(fresh) > 1, f"{data} leaves {len(fresh)} row to compare with; give data with more")
    require(out is not None or run.is_dir(), f"{run} is no folder here; say where to write: --out FOLDER")
    folder = out or run
    folder.mkdir(parents=True, exist_ok=True)
    note(f"{len(fresh):,} samples against {len(fresh):,} rows that the model has not seen")
    if known is None:
        note("the training data are not known or have changed, so there is nothing to compare memory with")
    cond = fresh.cond if fresh.cond is not None else opened.condition(None, len(fresh), seed)
    x = draw(
        opened.model,
        len(fresh),
        chosen_plan(opened, None, steps, None),
        cond=cond,
        seed=seed,
        batch_size=batch_size,
    )
    found = distances(x, fresh, known, seed)
    found |= likelihoods(opened, fresh, known, seed=seed, batch_size=batch_size)
    show(
        ("", "samples", "real rows"),
        [(name, shown(ours), shown(real)) for name, (ours, real) in found.items()],
    )
    write_text(folder / NUMBERS, json.dumps(as_json(found, len(fresh), steps, seed), indent=2) + "\n")
    write_bytes(folder / PICTURE, picture(opened, x, fresh, known))
    remember(opened, found)
    wrote(folder / NUMBERS, folder / PICTURE)


def distances(x: Tensor, fresh: Dataset, known: Dataset | None, seed: int) -> dict[str, Pair]:
    """The measures that need samples only."""
    import girsanov.metrics as metrics
    from girsanov.cli.runs import some
    from girsanov.errors import InputError
    from girsanov.noise import Noise

    k = min(3, len(x) - 1)
    measures: dict[str, Callable[[Tensor, Tensor], Tensor | float]] = {
        "sliced Wasserstein distance": lambda a, b: metrics.sliced_wasserstein(a, b, generator=Noise(seed)),
        "energy distance": metrics.energy_distance,
        "Fréchet distance of the values": metrics.frechet_distance,
        "1-NN two-sample test": metrics.nearest_neighbour_test,
        "precision": lambda a, b: metrics.precision_recall(a, b, k).precision,
        "recall": lambda a, b: metrics.precision_recall(a, b, k).recall,
    }
    real = None if known is None else some(known, len(fresh), seed).x
    found: dict[str, Pair] = {
        name: (float(measure(x, fresh.x)), None if real is None else float(measure(real, fresh.x)))
        for name, measure in measures.items()
    }
    if known is None:
        return found
    try:
        found["nearest training row, over held-out"] = metrics.nearest_train_ratio(x, known.x, fresh.x), 1.0
    except InputError as error:  # half of the held-out rows are also training rows
        note(str(error))
    return found


def likelihoods(
    run: Run, fresh: Dataset, known: Dataset | None, *, seed: int, batch_size: int
) -> dict[str, Pair]:
    """Mean log-density of held-out rows and of training rows, on some of them."""
    from girsanov.cli.likelihood import score
    from girsanov.cli.runs import some
    from girsanov.metrics import bits_per_dim

    def mean(rows: Dataset | None) -> Tensor | None:
        if rows is None:
            return None
        few = some(rows, min(SCORED, len(fresh)), seed)
        return score(run.model, few.x, few.cond, seed=seed, batch_size=batch_size).double().mean()

    ours, real = mean(fresh), mean(known)
    assert ours is not None
    dims = fresh.x[0].numel()
    return {
        "log-likelihood of held-out rows, nats": (float(ours), None if real is None else float(real)),
        "bits/dim of held-out rows": (
            float(bits_per_dim(ours, dims)),
            None if real is None else float(bits_per_dim(real, dims)),
        ),
    }


def picture(run: Run, x: Tensor, fresh: Dataset, known: Dataset | None) -> bytes:
    """Samples beside data; for images, each of some samples above the training image nearest to it."""
    from girsanov.cli import figures

    if fresh.x.ndim == 2:
        return figures.clouds(in_the_plane({"data": fresh.x, "samples": x}, fresh.x), title=str(run.folder))
    sheets = {"data": fresh.x[:SHOWN], "samples": x[:SHOWN]}
    if known is not None:
        sheets["samples, and the nearest training images"] = with_neighbours(x[: SHOWN // 2], known.x)
    return figures.sheets(sheets, SHOWN_ACROSS)


def in_the_plane(sets: dict[str, Tensor], data: Tensor) -> dict[str, Tensor]:
    """Vectors (N, D) as points of the plane (N, 2): the two main directions of the data, if there are more."""
    import torch

    width = data.shape[1]
    if width == 1:
        return {name: torch.stack([x[:, 0], torch.linspace(0, 1, len(x))], 1) for name, x in sets.items()}
    if width == 2:
        return sets
    centre = data.mean(0)
    axes = torch.linalg.svd(data - centre, full_matrices=False).Vh[:2].T
    return {name: (x - centre) @ axes for name, x in sets.items()}


def with_neighbours(x: Tensor, known: Tensor) -> Tensor:
    """Rows of samples, each followed by the row of the training images nearest to them."""
    import torch

    nearest = known[torch.cdist(x.flatten(1), known.flatten(1)).argmin(1)]
    pairs = zip(x.split(SHOWN_ACROSS), nearest.split(SHOWN_ACROSS), strict=True)
    return torch.cat([part for pair in pairs for part in pair])


def remember(run: Run, found: dict[str, Pair]) -> None:
    """Put what was measured into the model card."""
    from girsanov.training import save

    if run.folder.is_dir():
        results = {name: round(ours, 6) for name, (ours, _) in found.items()}
        save(run.model.cpu(), run.folder, card=replace(run.card, results=results))


def as_json(found: dict[str, Pair], n: int, steps: int, seed: int) -> dict[str, object]:
    """What is written beside the picture."""
    measures = {name: {"samples": ours, "real_rows": real} for name, (ours, real) in found.items()}
    return {"n": n, "steps": steps, "seed": seed, "measures": measures}


def shown(value: float | None) -> str:
    """A number for the table."""
    return "" if value is None else f"{value:.4g}"
