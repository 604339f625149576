"""`girsanov train`: learn a generative model of one's own data.

The network follows from the shape of the data: an MLP for vectors (tables, points), a U-Net for images. The
data's standard deviation goes into the preconditioning, so a process needs no settings. With classes the model
learns them, and with a tenth of the labels hidden it learns to do without, for guidance. A text is learned letter by
letter, by masking, with convolutions over windows of the text. A folder of wav files is clean speech, and makes a
model for `enhance` (see `speech`).
"""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from girsanov.cli import speech
from girsanov.cli.console import note, say, wrote
from girsanov.cli.options import Crop, Device, Label, Seed, Source, hyphenated, lookup

if TYPE_CHECKING:
    from torch import nn

    from girsanov.data import Codec, Dataset
    from girsanov.denoiser import Denoiser
    from girsanov.processes import Interpolant, Masked
    from girsanov.typing import Shape

LABEL_DROPOUT = 0.1
COARSEST = 8
"""A U-Net halves the sides of an image until they are at most this."""


class Usual(NamedTuple):
    """What is taken where nothing is said."""

    process: str
    steps: int
    batch: int
    lr: float


ROWS = Usual("edm", 4000, 128, 1e-3)
TEXT = Usual("masked", 1800, 32, 3e-3)
"""About two minutes of one core."""
SPEECH = Usual("ouve", 4000, speech.BATCH, 1e-3)


def train(
    data: Source,
    out: Annotated[Path, typer.Option(help="The run folder to make, or to go on with (--resume).")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of training; 4,000 if left out, 1,800 for text.")
    ] = None,
    process: Annotated[
        str | None,
        typer.Option(help="Such as vp, rectified-flow; edm if left out, masked for text, ouve for speech."),
    ] = None,
    network: Annotated[str, typer.Option(help="mlp, unet or dit; auto goes by the data.")] = "auto",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Samples a step; 128 if left out, 32 for text, 8 for speech.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="The largest learning rate; 0.001 if left out, 0.003 for text.")
    ] = None,
    label: Label = None,
    crop: Crop = None,
    log: Annotated[list[str], typer.Option(help="Also log to tensorboard, mlflow or wandb.")] = [],  # noqa: B006
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    seed: Seed = 0,
) -> None:
    """Learn a generative model of your data; Ctrl-C saves, and --resume goes on."""
    from girsanov.cli.runs import Origin
    from girsanov.data import read
    from girsanov.objectives import masked_nelbo, score_matching
    from girsanov.training import Card, Training, fit

    spoken, wordy = speech.holds_wavs(data), data.lower().endswith(".txt")
    usual = SPEECH if spoken else TEXT if wordy else ROWS
    steps, size = steps or usual.steps, batch_size or usual.batch
    config = Training(
        batch_size=size, lr=usual.lr if lr is None else lr, seed=seed, device=device, log=tuple(log)
    )
    if spoken:
        speech.refuse_options(data, network, label, crop)
        with resumable():
            speech.train_speech(data, out, process=process, steps=steps, resume=resume, config=config)
        return
    process = process or usual.process
    made = maker(process)
    rows = read(data, crop=crop, label=label)
    law = process_for(made, rows.codec)
    classes = None if rows.classes is None else len(rows.classes)
    model = build(rows.codec.shape, law, classes=classes, network=network, std=spread(rows), seed=seed)
    tell(rows, model, hyphenated(process))
    loss = masked_nelbo() if wordy else score_matching(label_dropout=LABEL_DROPOUT if classes else 0.0)
    origin = Origin.of(rows, label=label, crop=crop, config=config)
    card = Card(dataset=data, data=origin.to_config())
    with resumable():
        fit(
            model, loss, rows.x, cond=rows.cond, steps=steps, out=out, resume=resume, config=config, card=card
        )
    wrote(out)
    name = shlex.quote(str(out))
    say(f"next: girsanov sample {name} -n 64 --out samples{ending(rows.codec)}")


def tell(rows: Dataset, model: Denoiser, process: str) -> None:
    """What is learned, and by what."""
    known = "" if rows.classes is None else f" in {len(rows.classes)} classes"
    note(f"{rows.name}: {len(rows):,} samples of shape {rows.codec.shape}{known}")
    count = sum(p.numel() for p in model.network.parameters())
    note(f"{type(model.network).__name__} with {count:,} parameters, process {process}")


def ending(codec: Codec) -> str:
    """Of a file that holds samples."""
    from girsanov.data import TextCodec

    return ".txt" if isinstance(codec, TextCodec) else ".png" if len(codec.shape) == 3 else ".csv"


def maker(process: str) -> Callable[..., Interpolant | Masked]:
    """The constructor of that name. Raises UnknownName."""
    from girsanov.processes import PROCESSES, Masked

    kinds: dict[str, Callable[..., Interpolant | Masked]] = {**PROCESSES, "Masked": Masked}
    return lookup(process, kinds, "process")


def process_for(made: Callable[..., Interpolant | Masked], codec: Codec) -> Interpolant | Masked:
    """The process for data of that kind.

    Raises:
        Unsuitable: masking of what are no letters, another process of letters, or one that the command's scaling of
            the data does not suit.
    """
    from girsanov.data import TextCodec
    from girsanov.errors import Unsuitable, require
    from girsanov.processes import Interpolant, Masked

    if isinstance(codec, TextCodec):
        require(
            made is Masked,
            "letters are masked, and have no noise added to them. Leave --process out, or give masked.",
            Unsuitable,
        )
        return Masked(len(codec.letters))
    require(
        made is not Masked,
        f"masking is for letters, and these are {codec.kind} data. Give a .txt file, or another --process.",
        Unsuitable,
    )
    process = made()
    require(
        not isinstance(process, Interpolant) or process.chart == "identity",
        "that process is for values in a range, such as above 0, and the command moves data to mean 0. Give another "
        "--process, or train on your own scaling from Python: girsanov.fit.",
        Unsuitable,
    )
    return process


def spread(rows: Dataset) -> float | None:
    """The standard deviation of the values; None for letters, which have none."""
    return float(rows.x.std()) if rows.x.is_floating_point() else None


def build(
    shape: Shape,
    process: Interpolant | Masked,
    *,
    classes: int | None,
    network: str,
    std: float | None,
    seed: int,
) -> Denoiser:
    """An untrained model for samples of a shape.

    Raises:
        InputError: data without spread, a shape or process that the command cannot train on.
        UnknownName: no such network.
    """
    import torch

    from girsanov.denoiser import Denoiser
    from girsanov.errors import Unsuitable, require
    from girsanov.processes import Masked

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        if isinstance(process, Masked):
            return Denoiser(reader(process.classes, network), process, shape=shape)
        require(
            process.end == "noise",
            f"{process!r} joins two sets of data, and the command has one. Use it from Python: girsanov.fit(..., end=).",
            Unsuitable,
        )
        require(
            std != 0, "all values of the data are the same, so there is nothing to learn. Give other data."
        )
        return Denoiser(chosen(shape, classes, network), process, data_std=std, shape=shape)


def reader(letters: int, network: str) -> nn.Module:
    """The network of a text. Raises Unsuitable where another was asked for."""
    from girsanov import networks
    from girsanov.errors import Unsuitable, require

    require(
        network == "auto", "a text is learned by convolutions over letters. Leave --network out.", Unsuitable
    )
    return networks.TokenConv(letters)


def chosen(shape: Shape, classes: int | None, network: str) -> nn.Module:
    """The network of that name, or for that shape, in a size for it."""
    from girsanov import networks
    from girsanov.errors import InputError, Unsuitable, require

    kinds = {"auto": "auto", "mlp": "MLP", "unet": "UNet", "dit": "DiT"}
    kind = lookup(network, kinds, "network")
    if kind == "auto":
        if len(shape) not in (1, 3):
            raise InputError(
                f"the samples have shape {shape}; the command learns vectors (features,) and images (channels, "
                "height, width). Reshape them, or bring a network of your own from Python."
            )
        kind = "MLP" if len(shape) == 1 else "UNet"
    wanted = 1 if kind == "MLP" else 3
    require(
        len(shape) == wanted,
        f"{kind} is for {'vectors' if wanted == 1 else 'images'}, and the samples have shape {shape}. "
        "Leave --network out.",
        Unsuitable,
    )
    if kind == "MLP":
        return networks.MLP(shape[0], classes=classes)
    if kind == "DiT":
        return networks.DiT((shape[0], shape[1], shape[2]), classes=classes)
    return sized_unet(shape, classes)


def sized_unet(shape: Shape, classes: int | None) -> nn.Module:
    """A U-Net with as many levels as the image needs, narrow where it is large."""
    from girsanov import networks

    side = max(shape[1:])
    count = max(2, math.ceil(math.log2(max(side / COARSEST, 1))) + 1)
    wide = count // 2  # the coarser half of the levels is twice as wide
    levels = (1,) * (count - wide) + (2,) * wide
    return networks.UNet(shape[0], classes=classes, width=48 if side <= 2 * COARSEST else 32, levels=levels)


@contextmanager
def resumable() -> Iterator[None]:
    """Say after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with:\n  {resumption()}") from None


def resumption() -> str:
    """The command line that goes on with this one."""
    told = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["girsanov", *told, "--resume"])
