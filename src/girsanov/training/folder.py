"""The folder of a run: held by one process, never shared with another run, found again after a crash.

    model.safetensors  config.json  README.md     the model, once training ends or is interrupted
    log.jsonl                                     one line for each look at the loss
    checkpoint/step-00001000.safetensors          all that is needed to go on; the last two
    snapshots/step-00001000.safetensors           averages for `posthoc_ema`, if asked for

A checkpoint is one sealed safetensors file with the rest of the state as JSON in its header: it is whole or
it is refused, and then the one before it is used.

Oracle: killed runs end with the same bits as uninterrupted ones (tests/training/test_kill.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from girsanov.errors import InputError, SavedFileError, require
from girsanov.training.logs import NAME as LOG
from girsanov.training.strict import field, parse
from girsanov.training.tensorfile import read_tensors, write_tensors

FORMAT = 1
"""The version of the checkpoints written here; newer ones are refused."""

KEPT = 2
OURS = ("model.safetensors", "config.json", "README.md", LOG, "checkpoint", "snapshots")
STEP = re.compile(r"step-(\d{8,})\.safetensors")


class Checkpoint(NamedTuple):
    """What a checkpoint file holds."""

    tensors: dict[str, Tensor]
    record: dict[str, Any]


@contextmanager
def run_folder(out: str | Path, *, resume: bool) -> Iterator[Path]:
    """Create or enter a run folder and hold it until the block ends.

    Raises:
        InputError: it holds another run, or files of ours from elsewhere, and `resume` is False.
        SavedFileError: it cannot be written to, or another process is training in it.
    """
    folder = made(out)
    with _lock(folder):
        found = [name for name in OURS if (folder / name).exists()]
        require(
            resume or not found,
            f"{folder} already holds {', '.join(found)}. Give another, or go on with that run: resume=True.",
        )
        for place in (folder, folder / "checkpoint", folder / "snapshots"):
            for left in place.glob(".girsanov-*.tmp"):  # by a process that was killed while writing
                with suppress(OSError):
                    left.unlink()
        yield folder


def made(out: str | Path) -> Path:
    """Create a folder and its parents.

    Raises:
        SavedFileError: that cannot be done; the message says why.
    """
    folder = Path(out)
    try:
        require(
            bool(str(out)) and "\0" not in str(out),
            f"{str(out)!r} is no folder name; give another",
            SavedFileError,
        )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, SavedFileError):
            raise
        raise SavedFileError(
            f"the folder {folder} cannot be made: {error.strerror}. Give a name that is not taken by a file, "
            "in a place that you may write to."
        ) from error
    return folder


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no such lock, and goes without
        yield
        return
    path = folder / ".lock"
    try:
        handle = path.open("a")
    except OSError as error:
        raise SavedFileError(
            f"{folder} cannot be written to: {error.strerror}. Give a folder that you may write to."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SavedFileError(
                f"another process is training in {folder}. Wait for it, stop it, or give another folder."
            ) from error
        yield


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, and drop all but it and the one before (later ones were found damaged)."""
    place = made(folder / "checkpoint")
    path = place / f"step-{checkpoint.record['step']:08d}.safetensors"
    record = json.dumps({"format": FORMAT, **checkpoint.record})
    write_tensors(path, checkpoint.tensors, {"girsanov.checkpoint": record}, seal=True)
    found = checkpoints(folder)
    last = found.index(path)
    for other in (*found[:last], *found[last + KEPT :]):
        with suppress(OSError):
            other.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    found = [(int(m[1]), p) for p in (folder / "checkpoint").glob("step-*") if (m := STEP.fullmatch(p.name))]
    return [path for _, path in sorted(found, reverse=True)]


def last_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, None if there is none, and remarks on damaged newer ones.

    Raises:
        SavedFileError: there are checkpoints and none is whole, or one is of a newer version.
    """
    remarks: list[str] = []
    for path in checkpoints(folder):
        try:
            found = read_checkpoint(path)
        except SavedFileError as error:
            remarks.append(str(error))
            continue
        if remarks:
            remarks.append(f"Going on from the one before, of step {found.record['step']}.")
        return found, remarks
    require(
        not remarks,
        f"no checkpoint in {folder / 'checkpoint'} is whole. {' '.join(remarks)} To start anew, "
        "delete that folder or give another.",
        SavedFileError,
    )
    return None, []


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, whole or not at all.

    Raises:
        SavedFileError: cut short, altered, foreign.
        InputError: of a newer version.
    """
    tensors, metadata = read_tensors(path, sealed=True)
    require("girsanov.checkpoint" in metadata, f"{path} is no checkpoint of girsanov", SavedFileError)
    record = parse(metadata["girsanov.checkpoint"], str(path))
    version = field(record, "format", int, str(path))
    del record["format"]
    if version > FORMAT:  # not a SavedFileError: the one before would be as new
        raise InputError(
            f"{path} has format {version}, and this girsanov reads up to {FORMAT}. Update girsanov to go on."
        )
    step = field(record, "step", int, str(path))
    require(step >= 0, f"{path} is of step {step}, which cannot be", SavedFileError)
    return Checkpoint(tensors, record)
