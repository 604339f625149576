"""Generated rows as files, in the format that the ending tells, written whole or not at all.

    .png      pictures; several become one grid, row by row
    .npy      pictures as bytes (N, H, W) or (N, H, W, 3), arrays in the dtype that was learned
    .csv      tables; vectors, as columns x0, x1, …
    .parquet  the same
    .txt      texts, with an empty line between two

Oracle: `read` gives back what was written (tests/data/test_writing.py).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from girsanov.data.arrays import ArrayCodec
from girsanov.data.dataset import Codec
from girsanov.data.frames import write_csv
from girsanov.data.images import ImageCodec
from girsanov.data.tables import TableCodec
from girsanov.data.texts import TextCodec
from girsanov.errors import InputError, choose, extra, require
from girsanov.files import write_bytes

if TYPE_CHECKING:
    from pandas import DataFrame

GAP = 2
"""White pixels between the pictures of a grid."""


def write(path: str | Path, x: Tensor, codec: Codec) -> None:
    """Decode rows and write them to a file.

    Args:
        path: ends in .png, .npy, .csv, .parquet or .txt; an existing file is replaced, in one step.
        x: (N, *codec.shape), at least one row, finite.
        codec: what the model's data were scaled by.

    Raises:
        UnknownName: another ending.
        InputError: no rows, NaN, another shape, or a format that cannot hold such data.
        SavedFileError: the file could not be written; what was there before is unchanged.
    """
    encode = choose(Path(path).suffix.lower(), FORMATS, "file ending")
    require(x.ndim > 0 and len(x) > 0, "there are no rows to write; give at least one")
    write_bytes(path, encode(x, codec))


def grid(pixels: np.ndarray) -> np.ndarray:
    """Pictures side by side on white, as near to a square as their number allows.

    Args:
        pixels: (N, H, W) or (N, H, W, 3), uint8.

    Returns:
        One picture, (H', W') or (H', W', 3); the only one as it is.
    """
    n, height, width = pixels.shape[:3]
    if n == 1:
        return pixels[0]
    across = math.ceil(math.sqrt(n))
    down = math.ceil(n / across)
    shape = (down * (height + GAP) - GAP, across * (width + GAP) - GAP, *pixels.shape[3:])
    sheet = np.full(shape, 255, np.uint8)
    for i, picture in enumerate(pixels):
        top, left = i // across * (height + GAP), i % across * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def _png(x: Tensor, codec: Codec) -> bytes:
    image = extra("PIL.Image", "data")
    buffer = io.BytesIO()
    image.fromarray(grid(_pixels(x, codec))).save(buffer, format="PNG")
    return buffer.getvalue()


def _pixels(x: Tensor, codec: Codec) -> np.ndarray:
    """Pictures as bytes; an array that has the shape of pictures is stretched over its learned range."""
    if isinstance(codec, ImageCodec):
        return codec.decode(x)
    if isinstance(codec, ArrayCodec) and len(codec.shape) == 3 and codec.shape[0] in (1, 3):
        low, high = codec.scales[0].low, codec.scales[0].high
        values = (codec.decode(x).astype(np.float64) - low) / ((high - low) or 1.0)
        pixels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
        return pixels[:, 0] if codec.shape[0] == 1 else np.moveaxis(pixels, 1, -1)
    raise InputError(f"a .png holds pictures, and these are {_what(codec)}. Write {_home(codec)}.")


def _npy(x: Tensor, codec: Codec) -> bytes:
    if isinstance(codec, TableCodec | TextCodec):
        raise InputError(f"a .npy holds one array, and these are {_what(codec)}. Write {_home(codec)}.")
    buffer = io.BytesIO()
    np.save(buffer, codec.decode(x), allow_pickle=False)
    return buffer.getvalue()


def _csv(x: Tensor, codec: Codec) -> bytes:
    return write_csv(_frame(x, codec))


def _parquet(x: Tensor, codec: Codec) -> bytes:
    extra("pyarrow", "data")
    frame = _frame(x, codec)
    buffer = io.BytesIO()
    frame.rename(columns=str).to_parquet(buffer, index=False)
    return buffer.getvalue()


def _txt(x: Tensor, codec: Codec) -> bytes:
    if isinstance(codec, TextCodec):
        return ("\n\n".join(codec.decode(x)) + "\n").encode()
    raise InputError(f"a .txt holds text, and these are {_what(codec)}. Write {_home(codec)}.")


def _frame(x: Tensor, codec: Codec) -> DataFrame:
    if isinstance(codec, TableCodec):
        return codec.decode(x)
    if isinstance(codec, ArrayCodec) and len(codec.shape) == 1:
        frame: DataFrame = extra("pandas", "data").DataFrame(codec.decode(x)).add_prefix("x")
        return frame
    raise InputError(f"a table holds rows of columns, and these are {_what(codec)}. Write {_home(codec)}.")


def _what(codec: Codec) -> str:
    if isinstance(codec, TextCodec):
        return "texts"
    return "rows of a table" if isinstance(codec, TableCodec) else f"{codec.kind}s of shape {codec.shape}"


def _home(codec: Codec) -> str:
    if isinstance(codec, TextCodec):
        return ".txt"
    return ".csv or .parquet" if isinstance(codec, TableCodec) else ".npy"


FORMATS: dict[str, Callable[[Tensor, Codec], bytes]] = {
    ".png": _png,
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
    ".txt": _txt,
}
