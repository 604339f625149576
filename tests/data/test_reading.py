"""Every kind of source, by files that other libraries wrote; and sources that are none."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal
from PIL import Image

from girsanov import data
from girsanov.data.dataset import Dataset, encode_labels
from girsanov.errors import InputError, SavedFileError, UnknownName

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": [31, 45, 12], "height": [1.7, 1.82, 1.4], "city": ["Bern", "Wien", "Bern"]})
PIXELS = RNG.integers(0, 256, (6, 5, 7, 3), np.uint8)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", [n for n in data.BUILTIN if not n.startswith("fashion")])
def test_built_in_sets(name):
    read = data.read(name)
    assert read.name == name and len(read) == len(read.x) > 90
    assert torch.isfinite(read.x).all() and read.codec.decode(read.x[:2]) is not None
    again = data.read(name, codec=read.codec, classes=read.classes)
    assert torch.equal(again.x, read.x) and (read.cond is None or torch.equal(again.cond, read.cond))


def test_digits_and_toys_are_the_functions_own():
    x, label = data.digits()
    read = data.read("digits")
    assert torch.equal(read.x, x) and torch.equal(read.cond, label) and read.classes == tuple("0123456789")
    moons = data.read("moons")
    points = data.moons(10_000, generator=data.sources.Noise(0))
    np.testing.assert_allclose(moons.codec.decode(moons.x), points, atol=1e-6)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".CSV"])
@pytest.mark.parametrize("stem", ["a", "with space", "ünï—日本", "-x"])
def test_tables(tmp_path, stem, ending):
    path = tmp_path / f"{stem}{ending}"
    TABLE.to_parquet(path) if ending == ".parquet" else TABLE.to_csv(path, index=False)
    for source in (path, str(path)):
        read = data.read(source)
        assert_frame_equal(read.codec.decode(read.x), TABLE, rtol=1e-6)
    labelled = data.read(path, label="city")
    assert labelled.classes == ("Bern", "Wien") and labelled.cond.tolist() == [0, 1, 0]
    assert [c.name for c in labelled.codec.columns] == ["age", "height"]
    with pytest.raises(UnknownName, match="Did you mean city"):
        data.read(path, label="cities")


def test_new_data_are_read_as_the_model_was_trained(tmp_path):
    TABLE.to_csv("train.csv", index=False)
    train = data.read("train.csv", label="city")
    TABLE[1:2].assign(age=99).to_csv("new.csv", index=False)
    new = data.read("new.csv", label="city", codec=train.codec, classes=train.classes)
    assert new.cond.tolist() == [1]
    assert new.x[0, 0].item() == pytest.approx((99 - TABLE["age"].mean()) / TABLE["age"].std(ddof=0))
    np.save("new.npy", np.zeros((3, 3)))
    with pytest.raises(
        InputError, match=r"new.npy is read as array data, and the model was trained on table data"
    ):
        data.read("new.npy", codec=train.codec)
    with pytest.raises(InputError, match="digits is read as image data"):
        data.read("digits", codec=train.codec)
    with pytest.raises(InputError, match=r"faces are \(1, 25, 25\) and the model's \(1, 8, 8\)"):
        data.read("faces", codec=data.read("digits").codec)


def test_arrays():
    values = RNG.normal(size=(9, 3))
    np.save("a.npy", values)
    np.savez("b.npz", x=values, y=np.array(list("bacabcabb")))
    read = data.read("a.npy")
    np.testing.assert_allclose(read.codec.decode(read.x), values, atol=1e-6)
    labelled = data.read("b.npz", label="y")
    assert labelled.classes == ("a", "b", "c") and labelled.cond.tolist() == [1, 0, 2, 0, 1, 2, 0, 1, 1]
    assert torch.equal(labelled.x, read.x)
    np.savez("c.npz", x=values, y=np.zeros(4))
    with pytest.raises(InputError, match=r"give int64 \(9,\)"):
        data.read("c.npz", label="y")


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "NHW", "NHW1", "N1HW"])
def test_bytes_in_the_shape_of_pictures_are_pictures(layout):
    grey = PIXELS[..., 0]
    array, decoded = {
        "NHWC": (PIXELS, PIXELS),
        "NCHW": (PIXELS.transpose(0, 3, 1, 2), PIXELS),
        "NHW": (grey, grey),
        "NHW1": (grey[..., None], grey),
        "N1HW": (grey[:, None], grey),
    }[layout]
    np.save("a.npy", array)
    read = data.read("a.npy")
    assert isinstance(read.codec, data.ImageCodec) and (read.codec.decode(read.x) == decoded).all()


def test_other_bytes_are_arrays():
    for shape in ((6, 4), (6, 5, 4, 4), (6, 1, 2, 3, 4)):
        np.save("a.npy", np.zeros(shape, np.uint8))
        assert isinstance(data.read("a.npy").codec, data.ArrayCodec)


def write_pictures(folder, count=3, mode="RGB"):
    folder.mkdir(parents=True)
    for i, pixels in enumerate(PIXELS[:count]):
        Image.fromarray(pixels).convert(mode).save(folder / f"{i:03}.png")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("ignored")


def test_a_folder_of_images(tmp_path):
    write_pictures(tmp_path / "my faces")
    for source in ("my faces", "my faces/", tmp_path / "my faces"):
        read = data.read(source)
        assert (read.codec.decode(read.x) == PIXELS[:3]).all() and read.cond is None
    with pytest.raises(InputError, match="my faces has no columns"):
        data.read("my faces", label="x")


def test_one_image(tmp_path):
    write_pictures(tmp_path / "a")
    read = data.read("a/001.png")
    assert (read.codec.decode(read.x) == PIXELS[1:2]).all()


def test_one_folder_for_each_class(tmp_path):
    for name, count in (("10", 1), ("9", 3), ("dog", 2)):
        write_pictures(tmp_path / "pets" / name, count)
    read = data.read("pets")
    assert read.classes == ("9", "10", "dog") and read.cond.tolist() == [0, 0, 0, 1, 2, 2]
    (tmp_path / "pets" / "empty").mkdir()
    with pytest.raises(InputError, match="pets/empty holds no images"):
        data.read("pets")
    (tmp_path / "pets" / "empty").rmdir()
    Image.fromarray(PIXELS[0]).save("pets/top.png")
    with pytest.raises(InputError, match="images and also folders of images"):
        data.read("pets")


def test_the_message_of_the_manual(tmp_path):
    (tmp_path / "faces").mkdir()
    for i in range(20):
        Image.new("L", (64, 48 if i == 7 else 64)).save(f"faces/{i:04}.png")
    with pytest.raises(InputError) as error:
        data.read("faces/")
    assert str(error.value) == (
        "faces/0007.png is 64×48; the other 19 images are 64×64.\n"
        "Give images of one size, or let them be cropped: --crop 64."
    )
    assert data.read("faces/", crop=64).x.shape == (20, 1, 64, 64)


def test_a_built_in_name_that_is_also_here_is_refused(tmp_path):
    write_pictures(tmp_path / "faces")
    with pytest.raises(
        InputError, match=r"'faces' is a built-in data set and also a folder here. Write ./faces"
    ):
        data.read("faces")
    assert len(data.read("./faces")) == 3 and len(data.read(tmp_path / "faces")) == 3


@pytest.mark.parametrize(
    "source, error, says",
    [
        ("missing.csv", SavedFileError, "there is no file missing.csv"),
        ("missing/a.png", SavedFileError, "there is no file"),
        ("swissroll", UnknownName, "Did you mean swiss-roll"),
        ("", InputError, "empty"),
        ("a\0b", InputError, "NUL"),
        ("n" * 300, UnknownName, "No file or folder"),
        ("n" * 300 + ".csv", SavedFileError, "there is no file"),
        ("empty", InputError, "holds no images"),
        ("strange.xyz", UnknownName, "unknown file ending '.xyz'"),
        ("table.cvs", UnknownName, "Did you mean .csv"),
        ("noending", UnknownName, "unknown file ending"),
    ],
)
def test_sources_that_are_none(tmp_path, source, error, says):
    (tmp_path / "empty").mkdir()
    for name in ("strange.xyz", "table.cvs", "noending"):
        (tmp_path / name).write_text("x")
    with pytest.raises(error, match=says):
        data.read(source)


class Touch:
    def __reduce__(self):
        return open, ("touched", "w")


@pytest.mark.parametrize(
    "ending", [".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".ckpt", ".npy", ".npz"]
)
def test_pickles_are_refused_under_any_ending(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(SavedFileError, match="runs the code"):
        data.read(f"a{ending}")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "name, write, says",
    [
        ("a.npy", lambda p: np.save(p, np.array([[1.0, 2], [np.nan, 4]])), r"\(nan\) at index \(1, 0\)"),
        ("a.npy", lambda p: np.save(p, np.zeros((0, 2))), "empty"),
        ("a.csv", lambda p: p.write_text("a,b\n1,2\n3,\n"), "row 1 of column 'b' is missing"),
        ("a.csv", lambda p: p.write_text("a,b\n1,2\n3,inf\n"), "row 1 of column 'b' is inf"),
        ("a.csv", lambda p: p.write_text("a,b\n"), "0 rows and 2 columns"),
        ("a.parquet", lambda p: TABLE[:0].to_parquet(p), "0 rows"),
    ],
)
def test_bad_values_are_refused_where_they_are(tmp_path, name, write, says):
    write(tmp_path / name)
    with pytest.raises(InputError, match=says):
        data.read(name)


def test_options_that_do_not_fit(tmp_path):
    write_pictures(tmp_path / "faces")
    for source in ("digits", "moons", "wine"):
        with pytest.raises(InputError, match="crop=8 was given"):
            data.read(source, crop=8)
    for source in ("digits", "moons", "./faces/000.png", "./faces"):
        with pytest.raises(InputError, match="label='x' was given"):
            data.read(source, label="x")
    assert data.read("wine", label="cultivar").classes == ("class_0", "class_1", "class_2")


# Labels


@pytest.mark.parametrize(
    "labels, classes, cond",
    [
        ([3, 1, 10], ("1", "3", "10"), [1, 0, 2]),
        ([3.0, 1.0], ("1", "3"), [1, 0]),
        (["b", "a"], ("a", "b"), [1, 0]),
        ([True, False], ("False", "True"), [1, 0]),
        (np.array([2, 2], "int8"), ("2",), [0, 0]),
        (torch.tensor([5, 4]), ("4", "5"), [1, 0]),
    ],
)
def test_labels(labels, classes, cond):
    encoded, names = encode_labels(labels)
    assert names == classes and encoded.tolist() == cond and encoded.dtype == torch.int64
    assert encode_labels(labels, classes[::-1])[0].tolist() == [len(classes) - 1 - k for k in cond]


@pytest.mark.parametrize(
    "labels, classes, says",
    [
        ([1.5], None, "row 0 is 1.5"),
        ([1, None], None, "row 1 is None"),
        ([float("nan")], None, "row 0 is nan"),
        (["a", "z"], ("a", "b"), "row 1 has the label 'z'; the model knows a, b"),
        (range(1001), None, "1001 different labels"),
    ],
)
def test_refuses_labels(labels, classes, says):
    with pytest.raises(InputError, match=says):
        encode_labels(labels, classes)


CODEC = data.ImageCodec("L", (2, 2))
X = torch.zeros(3, 1, 2, 2)


@pytest.mark.parametrize(
    "x, cond, classes, says",
    [
        (X[:0], None, None, "no rows"),
        (X.double(), None, None, "float64"),
        (X[..., :1], None, None, r"\(N, 1, 2, 2\)"),
        (X.clone().index_fill_(0, torch.tensor(1), torch.nan), None, None, r"index \(1, 0, 0, 0\)"),
        (X, torch.tensor([0, 1, 0]), None, "both"),
        (X, torch.tensor([0, 1]), ("a", "b"), r"int64 \(3,\)"),
        (X, torch.tensor([0.0, 1.0, 0.0]), ("a", "b"), "float32"),
        (X, torch.tensor([0, 2, 0]), ("a", "b"), "0 to 2; there are 2 classes"),
    ],
)
def test_a_data_set_checks_its_parts(x, cond, classes, says):
    with pytest.raises(InputError, match=says):
        Dataset(x, cond, CODEC, classes, "a")
