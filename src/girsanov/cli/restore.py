"""`girsanov restore`: fill in, colour, enlarge, sharpen or clean a picture with a trained model.

In the mask, white is filled in and black is kept, as in the common painting tools; greys count by which is
nearer. What was kept comes back as it was. The other tasks are measurements with noise: a small picture is the mean of
blocks, a blurred one a periodic Gaussian blur, and levels of noise are those of pixels in 0 … 255. With two draws or more
a second picture shows where they differ. Source of the methods: see `girsanov.inverse`.
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
    from girsanov.inverse import Measurement

REPLACED = ("inpaint", "colorize")
MEASURED = {"enlarge": 1.0, "deblur": 1.0, "denoise": 25.0}
"""The tasks by a likelihood, with the noise that is taken if none is told, in levels of 255."""


def restore(
    run: RunFolder,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to restore.")],
    out: Annotated[Path, typer.Option(help="A .png (several draws in one grid) or .npy file.")],
    task: Annotated[str, typer.Option(help="inpaint, colorize, enlarge, deblur or denoise.")] = "inpaint",
    mask: Annotated[
        str | None, typer.Option(help="A picture of the same size: white is filled in, black is kept.")
    ] = None,
    blur: Annotated[
        float | None, typer.Option(help="For deblur: the standard deviation of the blur, in pixels.")
    ] = None,
    noise: Annotated[
        float | None, typer.Option(help="The standard deviation of the noise in levels of 0 … 255.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, help="How many restorations; they differ where it is open.")
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(min=2, help="Steps of the sampler: 50, or 100 for a task with noise.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The class of the picture, if it is known.")] = None,
    crop: Crop = None,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Fill in what is missing in a picture, colour it, enlarge it, or take away blur and noise."""
    from girsanov.cli.output import prepare, write
    from girsanov.cli.runs import open_run
    from girsanov.errors import require

    task = lookup(task, {name: name for name in (*REPLACED, *MEASURED)}, "task")
    require((mask is not None) == (task == "inpaint"), "--mask goes with --task inpaint, which needs it")
    require((blur is not None) == (task == "deblur"), "--blur goes with --task deblur, which needs it")
    require(noise is None or task in MEASURED, f"--noise goes with --task {', '.join(MEASURED)}")
    opened = open_run(run, device)
    shape = opened.codec.shape
    require(len(shape) == 3, f"the model in {run} makes rows of shape {shape}, and no pictures")
    prepare(out, opened)
    if task in MEASURED:
        std = (MEASURED[task] if noise is None else noise) * 2 / 255
        x, seen = measured(
            opened, measurement(opened, image, task, blur, std, crop), draws, steps or 100, label, seed
        )
    else:
        x, seen = replaced(opened, image, mask, draws, steps or 50, label, crop, seed)
    write(out, x.cpu(), opened, None)
    wrote(out)
    if draws > 1 and out.suffix.lower() == ".png":
        wrote(spread(out, x, seen))


def replaced(
    run: Run,
    image: str,
    mask: str | None,
    draws: int,
    steps: int,
    label: str | None,
    crop: int | None,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Fillings or colourings (draws, C, H, W), and what was seen (C, H, W)."""
    from girsanov.inverse import colorize, inpaint

    given = one_picture(run, image, crop)
    cond = None if label is None else run.condition(label, draws, seed)
    if mask is None:
        note(f"colouring {image}, {draws} times")
        return colorize(run.model, given, n=draws, cond=cond, steps=steps, seed=seed), given
    known = ~white(mask, given, crop)
    note(f"filling in {int((~known).sum())} of {known.numel()} pixels, {draws} times")
    return inpaint(run.model, given, known, n=draws, cond=cond, steps=steps, seed=seed), given * known


def measured(
    run: Run, m: Measurement, draws: int, steps: int, label: str | None, seed: int
) -> tuple[Tensor, Tensor]:
    """Draws (draws, C, H, W) from the posterior, and (C, H, W) what was measured, as a picture."""
    from girsanov.inverse import Linear, PiGDM, posterior

    cond = None if label is None else run.condition(label, 1, seed)
    note(f"{draws} draws, {steps} network calls each, with a gradient")
    found = posterior(
        run.model,
        m,
        draws,
        sampler=PiGDM(steps, data_std=0.5),
        cond=None if cond is None else int(cond),
        seed=seed,
    )
    if m.y.shape[1:] == found.x.shape[2:]:
        return found.x[0], m.y[0]  # A⁺y of a blurred picture is noise
    assert isinstance(m.operator, Linear)
    return found.x[0], m.operator.pinv(m.y)[0]


def measurement(
    run: Run, image: str, task: str, blur: float | None, std: float, crop: int | None
) -> Measurement:
    """What a picture says of the one that is wanted.

    Raises:
        InputError: a size that does not fit, or negative noise.
    """
    from girsanov.data import ImageCodec, read
    from girsanov.errors import InputError, require
    from girsanov.inverse import BlockDownsampling, CircularBlur, Identity, Measurement

    if task != "enlarge":
        given = one_picture(run, image, crop)
        shape = tuple(given.shape)
        operator = Identity(shape) if blur is None else CircularBlur.gaussian(blur, shape)
        return Measurement(operator, given[None], std)
    codec = run.codec
    if not isinstance(codec, ImageCodec):
        raise InputError(f"the model in {run.folder} makes rows of shape {codec.shape}, and no pictures")
    small = read(image, crop=crop).x
    require(small.ndim == 4 and len(small) == 1, f"{image} is not one picture; give the file of one")
    (height, width), (h, w) = codec.size, tuple(small.shape[2:])
    factor = height // h
    require(
        factor >= 2 and (factor * h, factor * w) == (height, width),
        f"{image} is {w}×{h}, and the model makes {width}×{height}; give a picture smaller by a whole factor, 2 or more",
    )
    small = read(image, crop=crop, codec=ImageCodec(codec.mode, (h, w))).x
    return Measurement(BlockDownsampling(codec.shape, factor), small, std)


def spread(out: Path, x: Tensor, seen: Tensor) -> Path:
    """Write draws, their mean and where they differ beside `out`; returns where."""
    from girsanov.inverse import PosteriorSamples

    place = out.with_name(f"{out.stem}-spread.png")
    PosteriorSamples(x[None].cpu(), 0, 0.0).draw(place, measured=seen[None])
    return place


def one_picture(run: Run, source: str, crop: int | None) -> Tensor:
    """The picture of a file at the scale of the model, (C, H, W).

    Raises:
        InputError: a source of several pictures.
    """
    from girsanov.errors import require

    rows = run.read(source, crop=crop)
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
