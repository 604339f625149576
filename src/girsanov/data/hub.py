"""Data sets from the Hugging Face hub, by name (extra `hub`), or from its cache when offline.

`owner/name` is given to `datasets.load_dataset`, split "train". A set with one image feature becomes
pictures, with its class feature as labels; any other becomes a table. HF_HUB_OFFLINE=1 is obeyed: then only
what was downloaded before is found. No code of a data set is run: `datasets` stopped doing that unless told
to, and it is not told to.

Oracle: sets built in memory with known content (tests/data/test_hub.py).
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

from girsanov.data.dataset import Raw
from girsanov.data.images import Picture
from girsanov.errors import SavedFileError, extra, require

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*")


def is_hub_name(source: str) -> bool:
    """Whether the text has the form owner/name; a name with `..` has not."""
    return NAME.fullmatch(source) is not None and ".." not in source


def read_hub(name: str, label: str | None) -> Raw:
    """Load the training split of a data set.

    Args:
        name: owner/name.
        label: for a set of pictures, the feature that holds the labels; if not given, the only class feature.
            The labels of a table are among its columns.

    Raises:
        MissingExtra: `datasets` is not installed.
        SavedFileError: the set could not be loaded; offline, it was not downloaded before.
        InputError: several image features; no feature of the label's name.
    """
    datasets = extra("datasets", "hub")
    rows = _load(datasets, name)
    classes = [f for f, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)]
    images = [f for f, kind in rows.features.items() if isinstance(kind, datasets.Image)]
    if not images:
        return Raw(rows.to_pandas().assign(**{c: _labels(rows, c) for c in classes}))
    require(
        len(images) == 1,
        f"{name} has several image features: {', '.join(images)}. Save the wanted one as files.",
    )
    require(
        label is None or label in rows.features,
        f"{name} has no feature {label!r} for the labels; it has {', '.join(rows.features)}.",
    )
    if label is None and len(classes) == 1:
        label = classes[0]
    pictures = _pictures(rows.cast_column(images[0], datasets.Image(decode=False)), images[0], name)
    if label is None:
        return Raw(pictures)
    return Raw(
        pictures, _labels(rows, label), tuple(rows.features[label].names) if label in classes else None
    )


def _load(datasets: Any, name: str) -> Any:
    try:
        return datasets.load_dataset(name, split="train")
    except Exception as error:  # the loader passes on whatever its file systems and servers raise
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
        cure = (
            "HF_HUB_OFFLINE is set, so only sets that were downloaded before are found. Unset it to download"
            if offline
            else "Check the name and the connection; to work offline, download it once before"
        )
        raise SavedFileError(
            f"there is no file or folder {name} here, and the Hugging Face data set of that name could not "
            f"be loaded: {error}. {cure}."
        ) from error


def _labels(rows: Any, column: str) -> list[Any]:
    """The values of a column, classes by their names."""
    names = getattr(rows.features[column], "names", None)
    if names is None:
        return list(rows[column])
    return [
        None if v is None or v < 0 else names[v] for v in rows[column]
    ]  # -1 is how the hub says "no label"


def _pictures(rows: Any, column: str, name: str) -> list[Picture]:
    def picture(row: int) -> Picture:
        def content() -> io.BytesIO:
            cell = rows[row][column]
            return io.BytesIO(Path(cell["path"]).read_bytes() if cell["bytes"] is None else cell["bytes"])

        return Picture(f"{name}, row {row},", content)

    return [picture(row) for row in range(len(rows))]
