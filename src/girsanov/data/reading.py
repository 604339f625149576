"""One reader for everything the command line can be given: open the source, then scale what it holds.

The scale is learned from the data, or is that of a trained model, so that new data can be held against it.

Oracle: files written by other libraries, with known content (tests/data/test_reading.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import Tensor

from girsanov.data.arrays import ArrayCodec
from girsanov.data.dataset import Codec, Dataset, encode_labels
from girsanov.data.frames import split_label
from girsanov.data.images import COLOUR, GREY, ImageCodec, read_pictures
from girsanov.data.sources import open_source
from girsanov.data.tables import TableCodec
from girsanov.data.texts import TextCodec
from girsanov.errors import InputError, require

C = TypeVar("C", ImageCodec, ArrayCodec, TableCodec, TextCodec)


def read(
    source: str | Path,
    *,
    crop: int | None = None,
    label: str | None = None,
    codec: Codec | None = None,
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Read a data set.

    Args:
        source: the name of a built-in set (`BUILTIN`: digits, mnist5k, moons, wine, …); a file: `.csv`,
            `.parquet`, `.npy`, `.npz` (its array `x`, or the only one), `.txt` (windows of 64 letters) or an image; a
            folder of images, or of one folder of images for each class; a Hugging Face data set, owner/name. uint8 arrays (N, H, W),
            (N, H, W, 3) and (N, 3, H, W) are taken as pictures.
        crop: for pictures in files: cut out the largest centred square and resize it to this side.
        label: the column of a table, array of an `.npz` or feature of a Hugging Face set that holds the
            class.
        codec: of a trained model, to scale new data as the model's were; None learns a new one.
        classes: of a trained model, to number the classes as the model's were.

    Returns:
        The data set, in memory.

    Raises:
        UnknownName: no such set or file ending; the nearest are offered.
        SavedFileError: a file that is missing, truncated, or would run code when loaded.
        InputError: NaN, missing cells, pictures that differ in size or mode, data that do not fit `codec`.
    """
    raw = open_source(source, label)
    content, name = raw.content, os.fspath(source)
    require(
        crop is None or isinstance(content, list),
        f"crop={crop} was given, and {name} does not hold pictures in files. Leave crop out.",
    )
    labels = raw.labels
    x: Tensor
    if isinstance(content, list):
        pixels, codec = read_pictures(content, crop=crop, codec=_expect(codec, ImageCodec, name))
        x = codec.encode(pixels)
    elif isinstance(content, Tensor):
        x, codec = _scaled(content, _expect(codec, ImageCodec, name), name)
    elif isinstance(content, np.ndarray):
        x, codec = _array(content, codec, name)
    elif isinstance(content, str):
        codec = _expect(codec, TextCodec, name) or TextCodec.learn(content)
        x = codec.encode(content, name)
    else:
        frame, labels = (content, None) if label is None else split_label(content, label)
        codec = _expect(codec, TableCodec, name) or TableCodec.learn(frame)
        x = codec.encode(frame)
    if labels is None:
        return Dataset(x, None, codec, None, name)
    cond, known = encode_labels(labels, classes or raw.classes)
    return Dataset(x, cond, codec, known, name)


def _expect(codec: Codec | None, kind: type[C], name: str) -> C | None:
    """The codec, refused if it is for another kind of data."""
    if codec is None or isinstance(codec, kind):
        return codec
    raise InputError(
        f"{name} is read as {kind.kind} data, and the model was trained on {codec.kind} data. "
        f"Give the model {codec.kind} data."
    )


def _scaled(x: Tensor, codec: ImageCodec | None, name: str) -> tuple[Tensor, ImageCodec]:
    """A built-in set of images, which is at its scale already."""
    own = ImageCodec(GREY if x.shape[1] == 1 else COLOUR, (x.shape[2], x.shape[3]))
    require(
        codec in (None, own),
        f"the images of {name} are {own.shape} and the model's {codec.shape if codec else ''}. Give the "
        "model images like those it was trained on.",
    )
    return x, own


def _array(values: np.ndarray, codec: Codec | None, name: str) -> tuple[Tensor, Codec]:
    pixels = _as_pixels(values)
    if pixels is not None and not isinstance(codec, ArrayCodec):
        mode = GREY if pixels.ndim == 3 else COLOUR
        images = _expect(codec, ImageCodec, name) or ImageCodec(mode, (pixels.shape[1], pixels.shape[2]))
        return images.encode(pixels), images
    arrays = _expect(codec, ArrayCodec, name) or ArrayCodec.learn(values, name)
    return arrays.encode(values), arrays


def _as_pixels(values: np.ndarray) -> np.ndarray | None:
    """Bytes in the shape of pictures as (N, H, W) or (N, H, W, 3), else None."""
    if values.dtype != np.uint8 or values.ndim not in (3, 4) or values.size == 0:
        return None
    if values.ndim == 3:
        return values
    if values.shape[-1] not in (1, 3) and values.shape[1] in (1, 3):
        values = np.moveaxis(values, 1, -1)
    if values.shape[-1] == 1:
        return values[..., 0]
    return values if values.shape[-1] == 3 else None
