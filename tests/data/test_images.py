"""Pictures survive bit by bit; every kind of picture is converted as documented, or refused by name."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from girsanov import data
from girsanov.data.images import MAX_PIXELS, ImageCodec, Picture, read_pictures
from girsanov.errors import InputError, SavedFileError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 6, 8), np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 8, 3), np.uint8)


def save(folder, name, image, **options):
    """Save an array or image; the picture to read."""
    path = folder / name
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **options)
    return Picture(str(name), lambda: path)


def one(picture, **options):
    pixels, _ = read_pictures([picture], **options)
    return pixels[0]


# The codec


@pytest.mark.parametrize("pixels, mode, shape", [(GREY, "L", (1, 6, 8)), (COLOUR, "RGB", (3, 6, 8))])
def test_round_trip(pixels, mode, shape):
    codec = ImageCodec(mode, (6, 8))
    x = codec.encode(pixels)
    assert codec.shape == shape and x.shape == (5, *shape) and x.dtype == torch.float32 and x.is_contiguous()
    assert (codec.decode(x) == pixels).all() and codec.decode(x).dtype == np.uint8
    assert data.codec_from_config(json.loads(json.dumps(codec.to_config()))) == codec


def test_all_256_values_and_the_ends():
    codec = ImageCodec("L", (16, 16))
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    x = codec.encode(every)
    assert (codec.decode(x) == every).all()
    assert x.min() == -1 and x.max() == 1
    assert (codec.decode(codec.encode(every) + 0.49 / 127.5) == every).all()
    assert (
        codec.decode(codec.encode(every[:, :, :]) + 0.51 / 127.5)[every < 255] == every[every < 255] + 1
    ).all()


def test_values_outside_are_clipped():
    codec = ImageCodec("L", (1, 3))
    assert codec.decode(torch.tensor([[[[-7.0, 0.2, 1e9]]]])).tolist() == [[[0, 153, 255]]]


def test_channels_are_where_torch_wants_them():
    x = ImageCodec("RGB", (6, 8)).encode(COLOUR)
    assert x[2, 1, 3, 4].item() == pytest.approx(COLOUR[2, 3, 4, 1] / 127.5 - 1)


@pytest.mark.parametrize(
    "pixels",
    [GREY.astype(float), GREY[:, :5], COLOUR, GREY[0], GREY[:0], np.uint8(3)],
)
def test_the_codec_refuses_other_pixels(pixels):
    with pytest.raises(InputError):
        ImageCodec("L", (6, 8)).encode(np.asarray(pixels))


@pytest.mark.parametrize("mode, size", [("CMYK", (2, 2)), ("L", (0, 2)), ("L", (2, -1)), ("L", (2,))])
def test_the_codec_refuses_other_parameters(mode, size):
    with pytest.raises(InputError):
        ImageCodec(mode, size)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"mode": "L"},
        {"mode": 1, "size": [2, 2]},
        {"mode": "L", "size": [2]},
        {"mode": "L", "size": [2, 2, 2]},
        {"mode": "L", "size": "22"},
    ],
)
def test_refuses_a_changed_config(config):
    with pytest.raises((SavedFileError, InputError)):
        data.codec_from_config({"kind": "image", **config})


# Kinds of picture


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "ppm"])
def test_formats_without_loss(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    assert (one(save(tmp_path, f"a.{ending}", COLOUR[0], **options)) == COLOUR[0]).all()


@pytest.mark.parametrize("mode, becomes", [("1", "L"), ("L", "L"), ("P", "RGB"), ("RGB", "RGB")])
def test_modes(tmp_path, mode, becomes):
    image = Image.fromarray(COLOUR[0]).convert(mode)
    pixels, codec = read_pictures([save(tmp_path, "a.png", image)])
    assert codec.mode == becomes and (pixels[0] == np.asarray(image.convert(becomes))).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    rgba = np.zeros((2, 3, 4), np.uint8)  # black
    rgba[..., 3] = [[0, 51, 255]] * 2
    image = Image.fromarray(rgba)
    if mode == "PA":
        image = image.convert("P")
        image.save(tmp_path / "a.png", transparency=bytes([0, 51, 255]))
        picture = Picture("a.png", lambda: tmp_path / "a.png")
        assert {tuple(p) for p in one(picture).reshape(-1, 3)} <= {
            (255, 255, 255),
            (204, 204, 204),
            (0, 0, 0),
        }
        return
    pixels = one(save(tmp_path, "a.png", image.convert(mode)))
    expected = np.array([[255, 204, 0]] * 2)
    assert (pixels == (expected if mode == "LA" else expected[..., None])).all()


def test_a_transparent_colour_is_white(tmp_path):
    picture = save(tmp_path, "a.png", np.array([[0, 9]], np.uint8), transparency=0)
    assert one(picture).tolist() == [[255, 9]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_rotation_of_a_camera_is_applied(tmp_path, orientation):
    flat = COLOUR[0]
    stored = {  # how a camera held that way writes the picture: the inverse of what a viewer does
        1: flat,
        2: flat[:, ::-1],
        3: flat[::-1, ::-1],
        4: flat[::-1],
        5: flat.transpose(1, 0, 2),
        6: np.rot90(flat, 1),
        7: flat[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(flat, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = save(tmp_path, "a.png", np.ascontiguousarray(stored), exif=exif)
    assert (one(picture) == flat).all()


def test_a_photo_with_its_own_preview_is_read(tmp_path):
    image = Image.fromarray(COLOUR[0])
    picture = save(tmp_path, "a.jpg", image, format="MPO", save_all=True, append_images=[image])
    assert one(picture).shape == (6, 8, 3)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width, height, depth, colour, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


BOMB = png(30_000, 30_000, 1, 0, bytes(10))
LARGE = png(10_000, MAX_PIXELS // 10_000 + 1, 1, 0, bytes(10))
DEEP_COLOUR = png(2, 1, 16, 2, bytes(13))
DEEP_GREY = png(2, 1, 16, 0, bytes(5))


@pytest.mark.parametrize(
    "content, says",
    [
        (BOMB, "50,000,000 pixels"),
        (LARGE, "50,000,000 pixels"),
        (DEEP_COLOUR, "more than 8 bits"),
        (DEEP_GREY, "more than 8 bits"),
        (b"", "could not be read as a picture"),
        (b"GIF89a", "could not be read as a picture"),
        (b"#!/bin/sh\n", "could not be read as a picture"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_refuses_by_name(content, says):
    with pytest.raises((InputError, SavedFileError), match=f"a.png.*{says}"):
        read_pictures([Picture("a.png", lambda: io.BytesIO(content))])


@pytest.mark.parametrize(
    "mode, ending", [("CMYK", "jpg"), ("LAB", "tif"), ("I", "tif"), ("F", "tif"), ("I;16", "png")]
)
def test_refuses_inks_and_deep_pixels(tmp_path, mode, ending):
    with pytest.raises(InputError, match=rf"a.{ending} .*(Convert it to RGB|\.npy)"):
        one(save(tmp_path, f"a.{ending}", Image.new(mode, (3, 2))))


@pytest.mark.parametrize("ending", ["gif", "png", "tiff", "webp"])
def test_refuses_animations(tmp_path, ending):
    frames = [Image.fromarray(pixels) for pixels in COLOUR[:3]]
    picture = save(tmp_path, f"a.{ending}", frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="has 3 frames"):
        one(picture)


@pytest.mark.parametrize("ending", ["png", "jpg", "tiff", "webp", "gif", "bmp"])
def test_refuses_truncated_pictures(tmp_path, ending):
    big = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    save(tmp_path, f"whole.{ending}", big)
    content = (tmp_path / f"whole.{ending}").read_bytes()
    for part in (0.1, 0.5, 0.9):
        cut = content[: int(len(content) * part)]
        with pytest.raises(SavedFileError, match=r"cut.*truncated"):
            read_pictures([Picture("cut", lambda cut=cut: io.BytesIO(cut))])


# Many pictures


def pictures(folder, *sizes, mode="L"):
    """One for each (width, height)."""
    return [save(folder, f"{i:04}.png", Image.new(mode, size)) for i, size in enumerate(sizes)]


def test_sizes_that_differ(tmp_path):
    given = pictures(tmp_path, *[(64, 64)] * 31, (64, 48), *[(64, 64)] * 9)
    with pytest.raises(InputError) as error:
        read_pictures(given)
    assert str(error.value) == (
        "0031.png is 64×48; the other 40 images are 64×64.\n"
        "Give images of one size, or let them be cropped: --crop 64."
    )
    pixels, codec = read_pictures(given, crop=64)
    assert pixels.shape == (41, 64, 64) and codec == ImageCodec("L", (64, 64))


def test_more_than_one_size_differs(tmp_path):
    with pytest.raises(
        InputError, match=r"0000.png is 5×6, and 1 more differ; the other 3 images are 7×4.\n.*--crop 4"
    ):
        read_pictures(pictures(tmp_path, (5, 6), (7, 4), (7, 4), (9, 9), (7, 4)))


def test_no_picture_is_decoded_before_all_have_been_looked_at(tmp_path):
    opened = []

    def watched(name, size):
        def source():
            opened.append(name)
            return io.BytesIO(png(*size, 8, 0, b"".join(b"\0" + bytes(size[0]) for _ in range(size[1]))))

        return Picture(name, source)

    with pytest.raises(InputError):
        read_pictures([watched("a", (3, 3)), watched("b", (3, 3)), watched("c", (3, 4))])
    assert opened == ["a", "b", "c"]


def test_crop_is_centred_and_keeps_the_middle(tmp_path):
    wide = np.zeros((4, 10), np.uint8)
    wide[:, 3:7] = np.arange(16).reshape(4, 4)
    assert (one(save(tmp_path, "a.png", wide), crop=4) == np.arange(16).reshape(4, 4)).all()
    flat = np.full((9, 6, 3), 77, np.uint8)
    assert (one(save(tmp_path, "b.png", flat), crop=3) == np.full((3, 3, 3), 77)).all()
    assert one(save(tmp_path, "c.png", flat), crop=12).shape == (12, 12, 3)


@pytest.mark.parametrize("crop", [0, -3, 2.5, 10**9, True])
def test_refuses_a_crop_that_is_no_size(tmp_path, crop):
    with pytest.raises(InputError, match="crop is"):
        read_pictures(pictures(tmp_path, (3, 3)), crop=crop)


def test_grey_and_colour_do_not_mix(tmp_path):
    grey, colour = save(tmp_path, "g.png", GREY[0]), save(tmp_path, "c.png", COLOUR[0])
    with pytest.raises(InputError, match=r"g.png is grey and c.png is in colour \(1 and 2 pictures\)"):
        read_pictures([colour, grey, colour])


def test_the_codec_of_a_model(tmp_path):
    grey, colour = save(tmp_path, "g.png", GREY[0]), save(tmp_path, "c.png", COLOUR[0])
    model = ImageCodec("RGB", (6, 8))
    pixels, codec = read_pictures([grey, colour], codec=model)
    assert codec is model and (pixels[0] == GREY[0][..., None]).all() and (pixels[1] == COLOUR[0]).all()
    with pytest.raises(InputError, match=r"c.png is in colour and the model makes grey pictures"):
        read_pictures([grey, colour], codec=ImageCodec("L", (6, 8)))
    with pytest.raises(InputError, match=r"g.png is 8×6; the model makes images of 5×5.\n.*--crop 5"):
        read_pictures([grey], codec=ImageCodec("L", (5, 5)))
    assert read_pictures([grey], codec=ImageCodec("L", (5, 5)), crop=5)[0].shape == (1, 5, 5)
