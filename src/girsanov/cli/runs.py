"""A run folder as the command sees it: the model, and the data it was trained on.

What `train` knows about its data is kept in the model's card (`Card.data`): the codec, the classes and how often
each occurred, where the data came from, a digest of the rows, and which of them were held out. A model that was
saved from Python has none of it; images are then taken to be in [-1, 1], other values as they are.

Oracle: what `train` writes is what `open_run` reads (tests/cli/test_train.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from girsanov.data import ArrayCodec, Codec, Dataset, ImageCodec, codec_from_config, read
from girsanov.data.checks import field, fields
from girsanov.data.scales import Scale
from girsanov.data.sources import IMAGES
from girsanov.denoiser import Denoiser
from girsanov.errors import (
    GirsanovError,
    InputError,
    SavedFileError,
    UnknownName,
    Unsuitable,
    require,
    unknown,
)
from girsanov.noise import Noise, uniform
from girsanov.processes import Masked
from girsanov.training import Card, Training, load, read_card, split
from girsanov.training.models import located
from girsanov.training.team import usable

LABELS, ROWS = 1, 2
"""Scopes of a seed: the class of each sample, and the rows that are looked at."""


@dataclass(frozen=True)
class Origin:
    """Where a model's data came from.

    Args:
        source, label, crop: as `train` was told.
        codec: how its values were scaled.
        classes, counts: the name and the number of rows of each class; empty without classes.
        digest: of the rows and their classes.
        validation, seed: how `training.split` held rows out.
    """

    source: str
    label: str | None
    crop: int | None
    codec: Codec
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    digest: str
    validation: float
    seed: int

    def __post_init__(self) -> None:
        require(
            len(self.counts) == len(self.classes)
            and (not self.counts or min(self.counts) >= 0 < max(self.counts)),
            f"the record of the data has {len(self.classes)} classes and the counts {self.counts}",
            SavedFileError,
        )

    @classmethod
    def of(cls, data: Dataset, *, label: str | None, crop: int | None, config: Training) -> Origin:
        """What is kept about a data set."""
        counts = (
            () if data.cond is None else tuple(data.cond.bincount(minlength=len(data.classes or ())).tolist())
        )
        return cls(
            data.name,
            label,
            crop,
            data.codec,
            data.classes or (),
            counts,
            digest(data),
            config.validation,
            config.seed,
        )

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        return {
            "source": self.source,
            "label": self.label or "",
            "crop": self.crop or 0,
            "codec": self.codec.to_config(),
            "classes": list(self.classes),
            "counts": list(self.counts),
            "digest": self.digest,
            "validation": self.validation,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Origin:
        """The inverse of `to_config`. Raises SavedFileError or InputError."""
        return cls(
            field(config, "source", str),
            field(config, "label", str) or None,
            field(config, "crop", int) or None,
            codec_from_config(field(config, "codec", dict)),
            fields(config, "classes", str),
            fields(config, "counts", int),
            field(config, "digest", str),
            field(config, "validation", float),
            field(config, "seed", int),
        )

    def holds(self, data: Dataset) -> bool:
        """Whether these are the rows that the model was trained on."""
        return digest(data) == self.digest

    def again(self) -> Dataset | None:
        """The training data, or None if they are no longer what they were."""
        try:
            data = read(
                self.source, crop=self.crop, label=self.label, codec=self.codec, classes=self.classes or None
            )
        except GirsanovError:
            return None
        return data if self.holds(data) else None


@dataclass(frozen=True)
class Run:
    """A trained model, with the folder or name it was asked for by; `origin` is None for one saved from Python."""

    folder: Path
    model: Denoiser
    card: Card
    origin: Origin | None

    @property
    def codec(self) -> Codec:
        """How to turn samples back into what the user has."""
        if self.origin is not None:
            return self.origin.codec
        shape = self.model.shape
        require(
            shape is not None,
            f"the model in {self.folder} does not know the shape of its samples; train it again",
        )
        assert shape is not None
        if len(shape) == 3 and shape[0] in (1, 3):
            return ImageCodec("L" if shape[0] == 1 else "RGB", (shape[1], shape[2]))
        return ArrayCodec(shape, "float32", (Scale(0.0, 1.0, -1.0, 1.0),))

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty for a model without."""
        if self.origin is not None:
            return self.origin.classes
        return tuple(str(k) for k in range(labels_of(self.model)))

    def read(self, source: str, *, crop: int | None = None, label: str | None = None) -> Dataset:
        """Read data at the scale of the model, cropped and labelled as its own were unless told otherwise.

        Args:
            source: as `data.read` takes it. A table may lack the column of classes.
            crop, label: as `data.read` takes them.
        """
        if crop is None and self.origin is not None and _holds_pictures(source):
            crop = self.origin.crop
        column = label
        if column is None and self.origin is not None and _ending(source) == _ending(self.origin.source):
            column = self.origin.label
        known = self.classes or None
        try:
            return read(source, crop=crop, label=column, codec=self.codec, classes=known)
        except UnknownName:
            if column == label:
                raise
            return read(source, crop=crop, codec=self.codec, classes=known)

    def condition(self, label: str | None, n: int, seed: int) -> Tensor | None:
        """The class of each of n samples, (n,): the one named, or as often as in the data; None without classes.

        Raises:
            InputError: a label for a model without classes.
            UnknownName: no such class.
        """
        if not self.classes:
            require(
                label is None, f"the model in {self.folder} was trained without classes; leave --label out"
            )
            return None
        if label is None:
            return self._frequent(n, seed)
        if label not in self.classes:
            raise UnknownName(unknown(label, self.classes, "class"))
        return torch.full((n,), self.classes.index(label))

    def _frequent(self, n: int, seed: int) -> Tensor:
        """Classes at their frequencies in the data; that of sample i does not depend on n."""
        counts = (1,) * len(self.classes) if self.origin is None else self.origin.counts
        edges = torch.tensor(counts, dtype=torch.float64).cumsum(0)
        draws = Noise(seed).child(LABELS).draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0]
        return torch.searchsorted(edges / edges[-1], draws, right=True).clamp(max=len(counts) - 1)


def _ending(source: str) -> str:
    return Path(source).suffix.lower()


def _holds_pictures(source: str) -> bool:
    return _ending(source) in IMAGES or os.path.isdir(source)  # noqa: PTH112 (it takes any text)


def enhances(card: Card) -> bool:
    """Whether the run is one that `enhance` opens."""
    return card.data.get("kind") == "speech"


def open_run(folder: Path, device: str | None = None, *, speech: bool | None = False) -> Run:
    """Load a run.

    Args:
        folder: written by `train`, `fit` or `save`, or a name on the Hugging Face hub.
        device: where to compute; the CPU if None.
        speech: whether it has to be one that enhances speech; None takes any.

    Raises:
        SavedFileError: there is no whole model in it.
        InputError: the device cannot be used.
        Unsuitable: a run for speech where another is needed, or the reverse.
    """
    place = located(str(folder), None)
    model = load(place)
    if device is not None:
        model = model.to(usable(device))
    card = read_card(place)
    spoken = enhances(card)
    require(
        not spoken or speech is not False,
        f"{folder} enhances speech and nothing else. Use: girsanov enhance {folder} noisy.wav --out clean.wav",
        Unsuitable,
    )
    require(
        spoken or not speech,
        f"{folder} was not trained to enhance speech. Make such a run with: girsanov train FOLDER-OF-WAVS --out RUN",
        Unsuitable,
    )
    origin = Origin.from_config(card.data) if card.data and not spoken else None
    require(
        origin is None or (len(origin.classes) == labels_of(model) and origin.codec.shape == model.shape),
        f"the model in {folder} and the record of its data do not belong together. Restore it from a copy.",
        SavedFileError,
    )
    return Run(folder, model, card, origin)


def labels_of(model: Denoiser) -> int:
    """How many labels a model takes; the `classes` of a network of tokens are what it writes, and no labels."""
    if isinstance(model.process, Masked):
        return 0
    return getattr(model.network, "config", {}).get("classes") or 0


def held_out(run: Run, data: Dataset) -> tuple[Dataset | None, Dataset]:
    """The rows a model was trained on, as far as they are known, and those of `data` that it has not seen.

    Args:
        run: the model's run.
        data: its training data, of which the validation split is taken, or other data.

    Raises:
        InputError: its training data, of which nothing was held out.
    """
    origin = run.origin
    if origin is None:
        return None, data
    if not origin.holds(data):
        known = origin.again()
        return (
            None if known is None else rows(known, split(len(known), origin.validation, origin.seed)[0])
        ), data
    train, fresh = split(len(data), origin.validation, origin.seed)
    if len(fresh) == 0:
        raise InputError(
            f"{data.name} is what the model was trained on, and no rows were held out. Give data it has not seen."
        )
    return rows(data, train), rows(data, fresh)


def rows(data: Dataset, index: Tensor) -> Dataset:
    """Some rows of a data set."""
    cond = None if data.cond is None else data.cond[index]
    return Dataset(data.x[index], cond, data.codec, data.classes, data.name)


def some(data: Dataset, n: int, seed: int) -> Dataset:
    """At most n rows, drawn at random and kept in order."""
    if n >= len(data):
        return data
    keys = Noise(seed).child(ROWS).draw(torch.empty(1, len(data), dtype=torch.float64), 0, uniform)[0]
    return rows(data, keys.argsort()[:n].sort().values)


def digest(data: Dataset) -> str:
    """A fingerprint of the rows and their classes, in order."""
    made = hashlib.blake2b(repr((tuple(data.x.shape), data.classes)).encode(), digest_size=16)
    made.update(data.x.contiguous().numpy().tobytes())
    if data.cond is not None:
        made.update(data.cond.contiguous().numpy().tobytes())
    return made.hexdigest()
