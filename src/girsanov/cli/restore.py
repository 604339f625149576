"""`girsanov restore`: fill in or colour a picture with a trained model.

In the mask, white is filled in and black is kept, as in the common painting tools; greys count by which is
nearer. What was kept comes back as it was. Source of the method: see `girsanov.inverse`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, wrote
from girsanov.cli.options import Crop, Device, RunFolder, Seed, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.cli.runs import Run

TASKS = ("inpaint", "colorize")


def restore(
    run: RunFolder,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to restore.")],
    out: Annotated[Path, typer.Option(help="A .png (several draws in one grid) or .npy file.")],
    task: Annotated[str, typer.Option(help="inpaint or colorize.")] = "inpaint",
    mask: Annotated[
        str | None, typer.Option(help="A picture of the same size: white is filled in, black is kept.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="How many restorations; they differ where it is open.")
    ] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler, five network calls each.")] = 50,
    label: Annotated[str | None, typer.Option(help="The class of the picture, if it is known.")] = None,
    crop: Crop = None,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Fill in what is missing in a picture, or give it colour."""
    from girsanov.cli.output import prepare, write
    from girsanov.cli.runs import open_run
    from girsanov.errors import require
    from girsanov.inverse import colorize, inpaint

    task = lookup(task, {name: name for name in TASKS}, "task")
    require((mask is None) == (task == "colorize"), "--mask goes with --task inpaint, which needs it")
    opened = open_run(run, device)
    given = one_picture(opened, image, crop)
    cond = None if label is None else opened.condition(label, draws, seed)
    prepare(out, opened)
    if mask is None:
        note(f"colouring {image}, {draws} times")
        x = colorize(opened.model, given, n=draws, cond=cond, steps=steps, seed=seed)
    else:
        known = ~white(mask, given, crop)
        note(f"filling in {int((~known).sum())} of {known.numel()} pixels, {draws} times")
        x = inpaint(opened.model, given, known, n=draws, cond=cond, steps=steps, seed=seed)
    write(out, x.cpu(), opened, None)
    wrote(out)


def one_picture(run: Run, source: str, crop: int | None) -> Tensor:
    """The picture of a file at the scale of the model, (C, H, W).

    Raises:
        InputError: a model of something else, or a source of several pictures.
    """
    from girsanov.errors import require

    rows = run.read(source, crop=crop)
    require(
        rows.x.ndim == 4, f"the model in {run.folder} makes rows of shape {rows.codec.shape}, and no pictures"
    )
    require(len(rows) == 1, f"{source} holds {len(rows):,} pictures; give the file of one")
    return rows.x[0]


def white(source: str, given: Tensor, crop: int | None) -> Tensor:
    """Where a mask is white, (H, W).

    Raises:
        InputError: several pictures, another size than the picture's, or nothing to fill in or to keep.
    """
    from girsanov.data import read
    from girsanov.errors import require

    rows = read(source, crop=crop)
    require(
        rows.x.ndim == 4 and len(rows) == 1, f"the mask {source} is not one picture; give the file of one"
    )
    size, wanted = tuple(rows.x.shape[2:]), tuple(given.shape[1:])
    require(
        size == wanted,
        f"the mask {source} is {size[1]}×{size[0]}, and the picture {wanted[1]}×{wanted[0]}. Give a mask of that size.",
    )
    found = rows.x[0].mean(0) > 0
    require(
        0 < int(found.sum()) < found.numel(),
        f"the mask {source} is all {'white' if found.any() else 'black'}. Paint white what is to be filled in, and "
        "leave black what is to be kept.",
    )
    return found
