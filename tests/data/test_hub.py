"""Hugging Face data sets built in memory; offline, and names that are none."""

import io
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from girsanov import data
from girsanov.data.hub import is_hub_name
from girsanov.errors import InputError, SavedFileError, UnknownName

datasets = pytest.importorskip("datasets")

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)


@pytest.fixture
def hub(monkeypatch):
    """Publish a data set under the name owner/set."""

    def publish(columns, features):
        rows = datasets.Dataset.from_dict(columns, datasets.Features(features))

        def load_dataset(name, split):
            assert (name, split) == ("owner/set", "train")
            return rows

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    return publish


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


CLASS = datasets.ClassLabel(names=["zebra", "ant"])


def test_pictures_with_their_class(hub):
    columns = {"image": [png(p) for p in PIXELS], "label": [1, 0, 0, 1]}
    hub(columns, {"image": datasets.Image(), "label": CLASS})
    read = data.read("owner/set")
    assert (read.codec.decode(read.x) == PIXELS).all() and read.name == "owner/set"
    assert read.classes == ("zebra", "ant") and read.cond.tolist() == [1, 0, 0, 1]
    assert data.read("owner/set", crop=3).x.shape == (4, 3, 3, 3)


def test_pictures_in_files_without_class(hub, tmp_path):
    Image.fromarray(PIXELS[0]).save(tmp_path / "a.png")
    hub({"picture": [str(tmp_path / "a.png")]}, {"picture": datasets.Image()})
    read = data.read("owner/set")
    assert (read.codec.decode(read.x)[0] == PIXELS[0]).all() and read.cond is None


def test_a_label_by_name(hub):
    features = {"image": datasets.Image(), "a": CLASS, "b": CLASS, "age": datasets.Value("int64")}
    hub({"image": [png(p) for p in PIXELS], "a": [0] * 4, "b": [1] * 4, "age": [7, 5, 7, 9]}, features)
    assert data.read("owner/set").cond is None  # two classes: which one is meant must be said
    assert data.read("owner/set", label="b").cond.tolist() == [1] * 4
    read = data.read("owner/set", label="age")
    assert read.classes == ("5", "7", "9") and read.cond.tolist() == [1, 0, 1, 2]
    with pytest.raises(InputError, match=r"no feature 'c' .* image, a, b, age"):
        data.read("owner/set", label="c")


def test_a_table(hub):
    features = {"x": datasets.Value("float64"), "kind": CLASS, "text": datasets.Value("string")}
    hub({"x": [1.0, 2.0, 4.0], "kind": [1, 0, 1], "text": ["a", "b", "a"]}, features)
    read = data.read("owner/set")
    frame = read.codec.decode(read.x)
    assert frame["x"].tolist() == pytest.approx([1, 2, 4])
    assert frame[["kind", "text"]].to_numpy().tolist() == [["ant", "a"], ["zebra", "b"], ["ant", "a"]]
    labelled = data.read("owner/set", label="kind")
    assert labelled.classes == ("ant", "zebra") and labelled.cond.tolist() == [0, 1, 0]
    assert [c.name for c in labelled.codec.columns] == ["x", "text"]


def test_refusals(hub):
    one = [png(PIXELS[0])]
    hub({"image": one, "other": one}, {"image": datasets.Image(), "other": datasets.Image()})
    with pytest.raises(InputError, match="several image features: image, other"):
        data.read("owner/set")
    hub({"image": [png(PIXELS[0])], "label": [-1]}, {"image": datasets.Image(), "label": CLASS})
    with pytest.raises(InputError, match="label of row 0 is None"):
        data.read("owner/set")
    cut = png(PIXELS[0])
    hub({"image": [{**cut, "bytes": cut["bytes"][:60]}]}, {"image": datasets.Image()})
    with pytest.raises(SavedFileError, match="owner/set, row 0, could not be read"):
        data.read("owner/set")


def test_what_the_loader_raises_becomes_one_message(monkeypatch):
    def load_dataset(name, split):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    says = "no file or folder owner/set here.*no route to host.*connection"
    with pytest.raises(SavedFileError, match=says):
        data.read("owner/set")


def test_offline_the_real_loader_asks_nobody(tmp_path):
    program = textwrap.dedent(
        """
        import girsanov.data, girsanov.errors
        try:
            girsanov.data.read("owner/set")
        except girsanov.errors.SavedFileError as error:
            print(error)
        """
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert "HF_HUB_OFFLINE is set" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "../etc",
        "a/../b",
        "a/..",
        "/etc/x",
        "a/b/c",
        "~/x",
        "a\\b",
        "C:/x",
        "a/b..c",
        "-a/b",
        "a/-b",
        "a/ b",
        "",
    ],
)
def test_names_that_are_none(name):
    assert not is_hub_name(name)
    with pytest.raises(InputError):
        data.read(name)
    assert is_hub_name("owner/set-1.0_x")


def test_a_plain_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean digits"):
        data.read("digit")
