"""What is written is read back; the wrong format for the data is refused, and nothing is left behind."""

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal
from PIL import Image

from girsanov import data
from girsanov.errors import InputError, SavedFileError, UnknownName

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": [31, 45], "city": ["=1+1", "Wien"], "h": [0.5, 1.25], 3: [1, 2]})
VECTORS = RNG.normal(size=(4, 3))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("shape", [(5, 6, 8), (5, 6, 8, 3)])
def test_pictures(shape):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    codec = data.ImageCodec("L" if len(shape) == 3 else "RGB", (6, 8))
    x = codec.encode(pixels)
    data.write("one.png", x[:1], codec)
    assert (np.asarray(Image.open("one.png")) == pixels[0]).all()
    data.write("all.npy", x, codec)
    assert (np.load("all.npy") == pixels).all() and torch.equal(data.read("all.npy").x, x)
    data.write("all.PNG", x, codec)
    sheet = np.asarray(Image.open("all.PNG"))
    assert sheet.shape == (2 * 8 - 2, 3 * 10 - 2, *shape[3:])
    assert (sheet[8:14, 10:18] == pixels[4]).all() and (sheet[:6, 20:] == pixels[2]).all()
    assert (sheet[6:8] == 255).all() and (sheet[8:, 18:] == 255).all()


@pytest.mark.parametrize(
    "n, across, down", [(2, 2, 1), (3, 2, 2), (4, 2, 2), (7, 3, 3), (12, 4, 3), (64, 8, 8)]
)
def test_a_grid_is_as_square_as_it_can_be(n, across, down):
    assert data.grid(np.zeros((n, 3, 4), np.uint8)).shape == (down * 5 - 2, across * 6 - 2)


def test_an_array_of_pictures_is_stretched_over_its_range():
    array = np.linspace(-3, 5, 2 * 1 * 4 * 4).reshape(2, 1, 4, 4)
    codec = data.ArrayCodec.learn(array)
    data.write("a.png", codec.encode(array)[:1], codec)
    expected = np.rint((array[0, 0] + 3) / 8 * 255)
    assert np.abs(np.asarray(Image.open("a.png")) - expected).max() <= 1


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_tables(ending):
    codec = data.TableCodec.learn(TABLE)
    data.write(f"a{ending}", codec.encode(TABLE), codec)
    read = data.read(f"a{ending}")
    assert_frame_equal(read.codec.decode(read.x), TABLE.rename(columns=str), rtol=1e-6)
    codec = data.ArrayCodec.learn(VECTORS)
    data.write(f"b{ending}", codec.encode(VECTORS), codec)
    read = data.read(f"b{ending}")
    assert_frame_equal(
        read.codec.decode(read.x), pd.DataFrame(VECTORS, columns=["x0", "x1", "x2"]), rtol=1e-5
    )


def test_arrays():
    for array in (VECTORS, VECTORS.astype("float32").reshape(4, 3, 1), (VECTORS * 10).astype("int16")):
        codec = data.ArrayCodec.learn(array)
        data.write("a.npy", codec.encode(array), codec)
        back = np.load("a.npy", allow_pickle=False)
        assert back.dtype == array.dtype
        np.testing.assert_allclose(back, array, atol=1e-6)


IMAGE = data.ImageCodec("L", (2, 2))
VECTOR = data.ArrayCodec.learn(VECTORS)
FIELD = data.ArrayCodec.learn(np.arange(16.0).reshape(2, 2, 2, 2))
TABLED = data.TableCodec.learn(TABLE)


@pytest.mark.parametrize(
    "name, codec, error, says",
    [
        ("a.csv", IMAGE, InputError, "images of shape .* Write .npy"),
        ("a.parquet", FIELD, InputError, "arrays of shape .* Write .npy"),
        ("a.png", VECTOR, InputError, "arrays of shape"),
        ("a.png", FIELD, InputError, "arrays of shape"),
        ("a.png", TABLED, InputError, "rows of a table. Write .csv or .parquet"),
        ("a.npy", TABLED, InputError, "rows of a table"),
        ("a.pngg", IMAGE, UnknownName, "Did you mean .png"),
        ("a", IMAGE, UnknownName, "known are .csv, .npy, .parquet, .png"),
        ("missing/a.npy", IMAGE, SavedFileError, "there is no folder"),
    ],
)
def test_refuses_what_a_format_cannot_hold(tmp_path, name, codec, error, says):
    with pytest.raises(error, match=says):
        data.write(name, torch.zeros(2, *codec.shape), codec)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "x, says",
    [
        (torch.zeros(0, 1, 2, 2), "no rows"),
        (torch.zeros(()), "no rows"),
        (torch.zeros(2, 1, 2, 3), "codec decodes"),
        (torch.full((1, 1, 2, 2), torch.nan), r"index \(0, 0, 0, 0\)"),
    ],
)
@pytest.mark.parametrize("ending", [".png", ".npy"])
def test_refuses_rows(tmp_path, ending, x, says):
    with pytest.raises(InputError, match=says):
        data.write(f"a{ending}", x, IMAGE)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    data.write("a.npy", torch.zeros(2, 1, 2, 2), IMAGE)
    before = (tmp_path / "a.npy").read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        SavedFileError, match=r"a.npy could not be written: No space left.*bytes are needed and .* are free"
    ):
        data.write("a.npy", torch.ones(2, 1, 2, 2), IMAGE)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npy"] and (tmp_path / "a.npy").read_bytes() == before
