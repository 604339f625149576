"""`girsanov likelihood`: which rows does a model find strange?

The log-density of every row, in nats, by the probability flow. Its divergence is exact for vectors of up to 64
numbers and Hutchinson's unbiased estimate, with one probe a row, for the rest; `--exact` asks for the exact one,
which costs a derivative for every number. Rows with classes that the model knows are scored given their class.

The density is that of the values as the model saw them: images in [-1, 1], tables standardized. Bits per
dimension are that density in base two, negated, so they may be below zero; compare rows, and models of the
same data. The rows of a text are its windows, and their numbers a lower bound of the log-probability, in bits a letter.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from girsanov.cli.console import note, progress, say, show, wrote
from girsanov.cli.options import BatchSize, Crop, Device, Label, RunFolder, Seed, Source

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.data import Dataset
    from girsanov.denoiser import AbstractDenoiser

STRANGEST = 5
MASKINGS = 16
"""States looked at for each row of a text."""


def likelihood(
    run: RunFolder,
    data: Source,
    out: Annotated[Path | None, typer.Option(help="A .csv file with one line a row.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="The exact divergence, slow for images.")] = False,
    tolerance: Annotated[float, typer.Option(help="Of the integration, a step; smaller is slower.")] = 1e-3,
    label: Label = None,
    crop: Crop = None,
    batch_size: BatchSize = 256,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Score data with a trained model, and name the rows it finds strangest."""
    from girsanov.cli.runs import open_run
    from girsanov.errors import require
    from girsanov.metrics import bits_per_dim

    require(
        out is None or out.suffix.lower() == ".csv", f"{out} does not end in .csv; give such a name, or none"
    )
    opened = open_run(run, device)
    rows = opened.read(data, crop=crop, label=label)
    if opened.classes:
        note("scored given the class of each row" if rows.cond is not None else "scored without classes")
    nats = score(
        opened.model, rows.x, rows.cond, exact=exact, tolerance=tolerance, batch_size=batch_size, seed=seed
    )
    bits = bits_per_dim(nats, rows.x[0].numel())
    report(rows, nats, bits)
    if out is not None:
        save(out, rows, nats, bits)
        wrote(out)


def score(
    model: AbstractDenoiser,
    x: Tensor,
    cond: Tensor | None,
    *,
    exact: bool = False,
    tolerance: float = 1e-3,
    batch_size: int = 256,
    seed: int = 0,
) -> Tensor:
    """Log-densities of x (N, *shape) in nats, (N,), on the CPU; the probe of row i is the same in any batch."""
    import torch

    from girsanov.noise import Noise
    from girsanov.processes import Masked
    from girsanov.solvers import log_likelihood, masked_bound

    device = next(model.parameters()).device
    how: Literal["exact", "auto", "hutchinson"] = (
        "exact" if exact else "auto" if x.ndim == 2 else "hutchinson"
    )
    parts = []
    with progress("scoring", len(x)) as tick:
        for first in range(0, len(x), batch_size):
            part = slice(first, first + batch_size)
            given, probe = None if cond is None else cond[part].to(device), Noise(seed, first)
            if isinstance(model.process, Masked):
                found = masked_bound(model, x[part].to(device), MASKINGS, cond=given, generator=probe)
            else:
                found = log_likelihood(
                    model,
                    x[part].to(device),
                    cond=given,
                    divergence=how,
                    tolerance=tolerance,
                    generator=probe,
                )
            parts.append(found.cpu())
            tick(len(found))
    return torch.cat(parts)


def report(rows: Dataset, nats: Tensor, bits: Tensor) -> None:
    """Print the summary, and the strangest rows."""
    say(f"{rows.name}: {len(rows):,} rows of {rows.x[0].numel()} numbers")
    say(f"log-likelihood {spread(nats)} nats a row; {float(bits.mean()):.4g} bits a dimension")
    order = nats.argsort()[:STRANGEST].tolist()
    columns = ["strangest row", "nats", "bits/dim"]
    lines = [[str(i), f"{float(nats[i]):.2f}", f"{float(bits[i]):.3f}"] for i in order]
    if rows.cond is not None and rows.classes is not None:
        columns.append("class")
        for line, i in zip(lines, order):
            line.append(rows.classes[int(rows.cond[i])])
    show(columns, lines)


def spread(values: Tensor) -> str:
    """Mean and standard deviation, as "1.23 ± 0.45"."""
    deviation = float(values.std()) if len(values) > 1 else 0.0
    return f"{float(values.mean()):.4g} ± {deviation:.3g}"


def save(path: Path, rows: Dataset, nats: Tensor, bits: Tensor) -> None:
    """One line a row: its number, nats, bits per dimension, and class."""
    from girsanov.data.frames import write_csv
    from girsanov.errors import extra
    from girsanov.files import write_bytes

    columns = {"row": range(len(nats)), "nats": nats.tolist(), "bits_per_dim": bits.tolist()}
    frame = extra("pandas", "data").DataFrame(columns)
    if rows.cond is not None and rows.classes is not None:
        frame["class"] = [rows.classes[k] for k in rows.cond.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, write_csv(frame))
