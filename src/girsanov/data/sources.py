"""What a source is and holds: a built-in set by name, a file by its ending, a folder of images, a hub name.

A built-in name that is also a file or folder here is refused rather than guessed. Files whose formats run
code when loaded (pickles, under any of their endings) are never opened.

Oracle: files written by other libraries, with known content (tests/data/test_reading.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from girsanov.data import sets
from girsanov.data.arrays import read_array
from girsanov.data.dataset import Raw
from girsanov.data.frames import read_csv, read_parquet
from girsanov.data.hub import is_hub_name, read_hub
from girsanov.data.images import Picture
from girsanov.data.texts import read_text
from girsanov.data.toys import TOYS, Toy
from girsanov.errors import SavedFileError, UnknownName, require, unknown
from girsanov.noise import Noise

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
ENDINGS = (".npy", ".npz", ".csv", ".parquet", ".txt", *IMAGES)
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".ckpt")
TOY_POINTS = 10_000


def open_source(source: str | Path, label: str | None) -> Raw:
    """Find out what the source is, and open it."""
    text = os.fspath(source)
    require(text != "", "the name of the data is empty; give a file, a folder or the name of a data set")
    require("\0" not in text, f"{text!r} contains a NUL byte; give a file name or the name of a data set")
    path, ending = Path(text), Path(text).suffix.lower()
    if isinstance(source, str) and text in BUILTIN:
        require(
            not _there(path),
            f"{text!r} is a built-in data set and also a {'folder' if path.is_dir() else 'file'} here. Write "
            f"./{text} for what is here, or rename it to use the built-in set.",
        )
        raw = BUILTIN[text]()
    elif _there(path) and path.is_dir():
        raw = _folder(path)
    elif ending in ENDINGS or _there(path):
        return _file(path, ending, label)
    elif is_hub_name(text):
        return read_hub(text, label)
    else:
        raise UnknownName(f"{unknown(text, BUILTIN, 'data set')} No file or folder has that name either.")
    require(
        label is None or (raw.labels is None and not isinstance(raw.content, list | Tensor | np.ndarray)),
        f"label={label!r} was given, and {text} has no columns. Labels are the column of a table, an array "
        "of an .npz file, or the names of the folders in a folder of images.",
    )
    return raw


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text too long for a file name is no file
        return False


def _file(path: Path, ending: str, label: str | None) -> Raw:
    require(
        _there(path) and path.is_file(),
        f"there is no file {path}. Check the name and the folder.",
        SavedFileError,
    )
    require(
        ending not in PICKLES,
        f"{path} would have to be unpickled, which runs the code in it, so it is refused. Save the numbers "
        "with numpy.save (.npy) or as .csv.",
        SavedFileError,
    )
    if ending in (".npy", ".npz"):
        values, labels = read_array(path, label)
        return Raw(values, None if labels is None else labels.tolist())
    if ending == ".csv":
        return Raw(read_csv(path))
    if ending == ".parquet":
        return Raw(read_parquet(path))
    if ending == ".txt":
        require(label is None, f"label={label!r} was given, and a text has no columns. Leave it out.")
        return Raw(read_text(path))
    if ending in IMAGES:
        require(label is None, f"label={label!r} was given, and a picture has no columns. Leave it out.")
        return Raw([Picture(str(path), lambda: path)])
    raise UnknownName(unknown(ending or str(path), ENDINGS, "file ending"))


def _folder(path: Path) -> Raw:
    """A folder of pictures, or of one folder of pictures for each class."""
    own = _pictures(path)
    folders = sorted((d for d in path.iterdir() if d.is_dir() and d.name[0] != "."), key=_natural)
    classes = {d.name: _pictures(d) for d in folders}
    if own or not any(classes.values()):
        require(
            len(own) > 0,
            f"the folder {path} holds no images. Give a folder with {', '.join(IMAGES)} files, or with one "
            "folder of such files for each class.",
        )
        require(
            not any(classes.values()),
            f"{path} holds images and also folders of images. Put every image in the folder of its class, "
            "or all of them in one folder.",
        )
        return Raw(own)
    empty = [name for name, pictures in classes.items() if not pictures]
    require(
        not empty, f"the class folder {path / (empty or [''])[0]} holds no images. Fill it or take it away."
    )
    labels = [name for name, pictures in classes.items() for _ in pictures]
    return Raw([p for pictures in classes.values() for p in pictures], labels, tuple(classes))


def _pictures(folder: Path) -> list[Picture]:
    files = sorted(
        f for f in folder.iterdir() if f.suffix.lower() in IMAGES and f.name[0] != "." and f.is_file()
    )
    return [Picture(str(f), lambda f=f: f) for f in files]  # type: ignore[misc]


def _natural(folder: Path) -> tuple[bool, int, str]:
    """Folders named by numbers come in the order of the numbers: 2 before 10."""
    number = folder.name.isdecimal()
    return not number, int(folder.name) if number else 0, folder.name


def _labelled(x: Tensor, label: Tensor, classes: Sequence[str] = tuple("0123456789")) -> Raw:
    return Raw(x, [classes[k] for k in label.tolist()], tuple(classes))


def _toy(toy: Toy) -> Raw:
    return Raw(toy(TOY_POINTS, generator=Noise(0)).numpy())


BUILTIN: dict[str, Callable[[], Raw]] = {
    "digits": lambda: _labelled(*sets.digits()),
    "mnist5k": lambda: _labelled(*sets.mnist5k()),
    "fashion-mnist": lambda: _labelled(*sets.fashion_mnist("train"), sets.GARMENTS),
    "fashion-mnist-test": lambda: _labelled(*sets.fashion_mnist("test"), sets.GARMENTS),
    "faces": lambda: Raw(sets.faces()),
    "patches": lambda: Raw(sets.patches(generator=Noise(0))),
    **{name: lambda frame=frame: Raw(frame()) for name, frame in sets.TABLES.items()},  # type: ignore[misc]
    **{name.replace("_", "-"): lambda toy=toy: _toy(toy) for name, toy in TOYS.items()},  # type: ignore[misc]
}
"""The sets that `read` knows by name; toys are 10,000 points, patches 10,000 squares, always the same."""
