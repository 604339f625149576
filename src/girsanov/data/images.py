"""Images as tensors: the codec [0, 255] ↔ [−1, 1], and pictures brought to 8-bit grey or colour.

    x = pixel / 127.5 − 1

What is done with the kinds of picture that exist:

- grey ("L", and black and white) and colour ("RGB") are taken as they are; a palette becomes colour;
- transparency is laid over white; the rotation in a camera's EXIF data is applied;
- refused: CMYK and other ink or measurement spaces (there is no one way to RGB), 16-bit and floating-point
  pixels (save them as `.npy`), animations, more than 50 million pixels, a truncated file.

Oracle: every 8-bit picture survives encode and decode bit by bit (tests/data/test_images.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from girsanov.data.checks import batch, field, fields, rows
from girsanov.errors import GirsanovError, InputError, SavedFileError, extra, require
from girsanov.typing import Shape

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

MAX_PIXELS = 50_000_000
GREY, COLOUR = "L", "RGB"
STILL = {"1": GREY, "L": GREY, "LA": GREY, "P": COLOUR, "PA": COLOUR, "RGB": COLOUR, "RGBA": COLOUR}
"""The modes of Pillow that are accepted, and what becomes of them."""
ORIENTATION = 0x0112  # the EXIF tag

T = TypeVar("T")
Seen = tuple[str, str, tuple[int, int]]
"""Name, mode and (height, width) of a picture."""


@dataclass(frozen=True)
class ImageCodec:
    """8-bit pictures of one mode, "L" or "RGB", and one size (height, width)."""

    kind: ClassVar[str] = "image"
    mode: str
    size: tuple[int, int]

    def __post_init__(self) -> None:
        require(self.mode in (GREY, COLOUR), f"mode is {self.mode!r}; give 'L' for grey or 'RGB' for colour")
        require(
            len(self.size) == 2 and min(self.size) > 0,
            f"size is {self.size}; give (height, width), both above 0",
        )

    @property
    def shape(self) -> Shape:
        """(channels, height, width)."""
        return (1 if self.mode == GREY else 3, *self.size)

    def encode(self, pixels: np.ndarray) -> Tensor:
        """uint8 pixels, (N, H, W) for grey or (N, H, W, 3) for colour, to float32 (N, C, H, W) in [−1, 1].

        Raises:
            InputError: another dtype or shape, or no picture.
        """
        expected = self.size if self.mode == GREY else (*self.size, 3)
        require(
            pixels.dtype == np.uint8 and pixels.shape[1:] == expected and pixels.ndim > 0,
            f"the pixels are {pixels.dtype} {pixels.shape}; this codec encodes uint8 {batch(expected)}",
        )
        require(len(pixels) > 0, "there are no pictures: the first dimension is 0; give at least one")
        x = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch.float32).div_(127.5).sub_(1)
        return x[:, None] if self.mode == GREY else x.movedim(-1, 1).contiguous()

    def decode(self, x: Tensor) -> np.ndarray:
        """(N, C, H, W) to uint8 pixels as `encode` takes them; values outside [−1, 1] are clipped."""
        pixels = np.clip(np.rint((rows(x, self.shape) + 1) * 127.5), 0, 255).astype(np.uint8)
        return pixels[:, 0] if self.mode == GREY else np.ascontiguousarray(np.moveaxis(pixels, 1, -1))

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        return {"kind": self.kind, "mode": self.mode, "size": list(self.size)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageCodec:
        """The inverse of `to_config`. Raises SavedFileError or InputError."""
        size = fields(config, "size", int)  # its length is checked by the constructor
        return cls(field(config, "mode", str), size)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Picture:
    """One picture to read: what the user calls it, and where its bytes are."""

    name: str
    open: Callable[[], Path | BinaryIO]


def read_pictures(
    pictures: Sequence[Picture], *, crop: int | None = None, codec: ImageCodec | None = None
) -> tuple[np.ndarray, ImageCodec]:
    """Read pictures of one mode and one size; all are looked at before the first is decoded.

    Args:
        pictures: at least one.
        crop: cut the largest centred square out of each and resize it to this many pixels a side.
        codec: of a trained model; the pictures must have its size, and grey becomes colour if it asks for
            that.

    Returns:
        uint8 pixels (N, H, W) or (N, H, W, 3), and the codec that encodes them.

    Raises:
        SavedFileError: a file that is missing or truncated.
        InputError: modes or sizes that differ, or a kind of picture that is refused (see the module).
    """
    require(
        crop is None or (type(crop) is int and 0 < crop <= 4096),
        f"crop is {crop}; give the side of the square in pixels, 1 to 4096",
    )
    seen = [_look(p) for p in pictures]
    mode = _one_mode(seen, codec)
    size = _one_size(seen, crop, codec)
    pixels = np.empty((len(pictures), *size, *([3] if mode == COLOUR else [])), np.uint8)
    for i, picture in enumerate(pictures):
        pixels[i] = _load(picture, partial(_pixels, mode=mode, crop=crop))
    return pixels, codec or ImageCodec(mode, size)


def _load(picture: Picture, use: Callable[[Image], T]) -> T:
    """Open a picture, refuse what is not a still 8-bit one, and use it."""
    image_module = extra("PIL.Image", "data")
    try:
        with image_module.open(picture.open()) as image:
            _refuse(image, picture.name)
            return use(image)
    except GirsanovError:
        raise
    except image_module.DecompressionBombError as error:
        raise InputError(_too_large(picture.name)) from error
    except Exception as error:  # decoders raise whatever a broken file makes them stumble over
        raise SavedFileError(
            f"{picture.name} could not be read as a picture: {error or type(error).__name__}. It is missing, "
            "truncated or not a picture; replace it or take it away."
        ) from error


def _refuse(image: Image, name: str) -> None:
    require(image.width * image.height <= MAX_PIXELS, _too_large(name))
    frames = (
        1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    )  # MPO: a photo and its own previews
    require(
        frames == 1, f"{name} has {frames} frames; give still pictures: save each frame as a file of its own."
    )
    deep = image.mode[0] in "IF" or any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    require(
        not deep, f"{name} has more than 8 bits a channel; save it with 8 bits, or give the numbers as .npy."
    )
    require(
        image.mode in STILL,
        f"{name} is in {image.mode}; grey and RGB pictures are accepted. Convert it to RGB.",
    )


def _too_large(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS:,} pixels; make it smaller first."


def _look(picture: Picture) -> Seen:
    """Name, mode and upright (height, width) of a picture, from its header."""

    def header(image: Image) -> Seen:
        sideways = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        size = (image.width, image.height) if sideways else (image.height, image.width)
        return picture.name, STILL[image.mode], size

    return _load(picture, header)


def _pixels(image: Image, mode: str, crop: int | None) -> np.ndarray:
    """Upright, on white, cropped, in the mode asked for."""
    image_module, ops = extra("PIL.Image", "data"), extra("PIL.ImageOps", "data")
    upright = ops.exif_transpose(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        white = image_module.new("RGBA", upright.size, "white")
        upright = image_module.alpha_composite(white, upright.convert("RGBA"))
    flat = upright.convert(STILL[image.mode]).convert(mode)
    return np.asarray(flat if crop is None else ops.fit(flat, (crop, crop), image_module.Resampling.LANCZOS))


def _one_mode(seen: Sequence[Seen], codec: ImageCodec | None) -> str:
    grey = [name for name, mode, _ in seen if mode == GREY]
    colour = [name for name, mode, _ in seen if mode == COLOUR]
    if codec is None:
        require(
            not (grey and colour),
            f"{(grey or ['?'])[0]} is grey and {(colour or ['?'])[0]} is in colour ({len(grey)} and "
            f"{len(colour)} pictures). Give pictures of one kind: convert the others first.",
        )
        return GREY if grey else COLOUR
    require(
        codec.mode == COLOUR or not colour,
        f"{(colour or ['?'])[0]} is in colour and the model makes grey pictures. Convert it to grey first.",
    )
    return codec.mode


def _one_size(seen: Sequence[Seen], crop: int | None, codec: ImageCodec | None) -> tuple[int, int]:
    """The common (height, width), after cropping if that was asked for."""
    found = [(name, (crop, crop) if crop else size) for name, _, size in seen]
    sizes = Counter(size for _, size in found)
    usual = codec.size if codec else sizes.most_common(1)[0][0]
    odd = [(name, size) for name, size in found if size != usual]
    if odd:
        name, size = odd[0]
        more = f", and {len(odd) - 1} more differ" if len(odd) > 1 else ""
        others = f"the other {sizes[usual]} images are" if codec is None else "the model makes images of"
        raise InputError(
            f"{name} is {_by(size)}{more}; {others} {_by(usual)}.\n"
            f"Give images of one size, or let them be cropped: --crop {min(usual)}."
        )
    return usual


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"
