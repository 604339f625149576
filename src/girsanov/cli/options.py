"""Arguments that several commands share, and names as people type them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

T = TypeVar("T")

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, as `train` writes it.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A built-in set (digits, mnist5k, wine, moons, …), a .csv, .parquet, .npy, .npz, .txt or image file, "
        "a folder of images or of .wav files, or a Hugging Face name (owner/name).",
    ),
]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.")]
NoSeed = Annotated[int, typer.Option(help="Accepted by every command; nothing is random in this one.")]
Device = Annotated[str | None, typer.Option(help="Where to compute, such as cpu or cuda.")]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Samples per network call; changes speed and memory only.")
]
Crop = Annotated[
    int | None, typer.Option(min=1, help="Cut images to their largest centred square, of this side.")
]
Label = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the class.")]


def lookup(name: str, options: Mapping[str, T], kind: str) -> T:
    """Find a name whatever its capitals, hyphens and underscores, or offer the nearest.

    Args:
        name: as typed: rectified-flow, RectifiedFlow, rectified_flow.
        options: by their names in Python.
        kind: what is looked for, for the message.

    Raises:
        UnknownName: no such name.
    """
    from girsanov.errors import UnknownName, unknown

    known = {_plain(option): value for option, value in options.items()}
    if _plain(name) not in known:
        raise UnknownName(unknown(name.lower(), map(hyphenated, options), kind))
    return known[_plain(name)]


def hyphenated(name: str) -> str:
    """A name of Python as it is typed: RectifiedFlow is rectified-flow, and UNet unet."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).replace("_", "-").lower()


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]", "", name).lower()
