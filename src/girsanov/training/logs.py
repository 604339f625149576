"""Where the numbers of a run go: a file of JSON lines always, other trackers when asked.

A log is anything with `write(step, values)` and `close()`; the trackers are optional packages, imported
when their log is opened. However long the run, `READS` bounds the number of lines.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from girsanov.errors import SavedFileError, extra
from girsanov.files import write_text

READS = 20_000
"""At most this many entries a run: about 2 MB of JSON lines."""

NAME = "log.jsonl"

SECONDS = 1.0
"""Entries wait this long before others can read them."""


@runtime_checkable
class Log(Protocol):
    """A place for numbers."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of a step, counted from 1."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class JsonLines:
    """`log.jsonl` in the run folder: one object a line, with `step` and the values.

    Entries after `step`, which a killed run may have left, are dropped: they will be written again.

    Raises:
        SavedFileError: the disk does not take it, here or later.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / NAME
        with self._failing():
            if self._path.exists():
                write_text(self._path, "".join(f"{line}\n" for line in kept(self._path, step)))
            self._file = self._path.open("a", encoding="utf-8")
        self._flushed = time.monotonic()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        with self._failing():
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            if time.monotonic() - self._flushed > SECONDS:
                self._file.flush()
                self._flushed = time.monotonic()

    def sync(self) -> None:
        """Force all entries to the disk, so that no checkpoint is newer than its log."""
        with self._failing():
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been reported
            self._file.close()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except SavedFileError:
            raise
        except OSError as error:
            raise SavedFileError(
                f"{self._path} could not be written: {error.strerror or error}. Make room or choose another "
                "folder; the last checkpoint is intact."
            ) from error


def kept(path: Path, step: int) -> list[str]:
    """The lines of a log up to a step, without a torn last one."""
    lines = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), int) and entry["step"] <= step:
            lines.append(line)
    return lines


class TensorBoard:
    """Event files in the run folder."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]) -> None:
        extra("tensorboard", "logs")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """One MLflow run; a resumed training goes on in a new one, at its step."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]) -> None:
        client = extra("mlflow", "logs").MlflowClient()
        known = client.get_experiment_by_name("girsanov")
        experiment = known.experiment_id if known else client.create_experiment("girsanov")
        self._client, self._run = client, client.create_run(experiment, run_name=folder.name).info.run_id
        for name, value in settings.items():
            client.log_param(self._run, name, value)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class WandB:
    """One run of Weights & Biases; a resumed training goes on in the same one."""

    def __init__(self, folder: Path, step: int, settings: Mapping[str, Any]) -> None:
        name = str(folder.resolve())
        self._run = extra("wandb", "logs").init(
            project="girsanov", name=folder.name, dir=str(folder), config=dict(settings),
            id=blake2b(name.encode(), digest_size=8).hexdigest(), resume="allow",
        )  # fmt: skip

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


TARGETS: dict[str, Callable[[Path, int, Mapping[str, Any]], Log]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}
"""Trackers by name; opened with the run folder, the step reached and the settings."""
