"""What a training leaves behind while it runs, and when: log, progress, snapshots, checkpoints.

Only rank 0 writes, and files only where there is a folder; the calls are the same everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from girsanov.errors import GirsanovError, InputError, require
from girsanov.training.averages import LENGTHS
from girsanov.training.folder import Checkpoint, last_checkpoint, write_checkpoint
from girsanov.training.identity import changes
from girsanov.training.logs import READS, TARGETS, JsonLines, Log
from girsanov.training.progress import Progress
from girsanov.training.snapshots import write_snapshot
from girsanov.training.state import State
from girsanov.training.strict import field
from girsanov.training.team import Team
from girsanov.training.tensorfile import listed

LOOKS = 20
"""Looks at the held-out rows, unless told."""


class Recorder:
    """The records of one training.

    Args:
        state: what is recorded.
        team: this process among others.
        folder: where, or None; only rank 0 has one.
        identity: what must be equal for a run to go on.
    """

    def __init__(self, state: State, team: Team, folder: Path | None, identity: Mapping[str, str]) -> None:
        self.state, self.team, self.folder, self.identity = state, team, folder, identity
        config, steps = state.config, state.steps
        self.leads = team.rank == 0
        self.progress = Progress(steps, shown=config.progress and self.leads)
        self.validate_every = (config.validate_every or every(steps, LOOKS)) if config.validation else steps
        self.snapshot_every = every(steps, config.snapshots) if config.snapshots else None
        self.periods = (max(10, every(steps, READS)), self.validate_every, config.checkpoint_every)
        self._logs: list[Log] = []
        self._lines: JsonLines | None = None
        self._saved: tuple[Path, int] | None = None

    @contextmanager
    def opened(self, *, resume: bool) -> Iterator[None]:
        """Go on from the last checkpoint if asked to, and keep logs and progress open."""
        state = self.state
        if resume and self.folder:
            self._restore(self.folder)
        state.share(self.team)
        with ExitStack() as stack:
            self._open_logs(stack)
            self.progress.open(state.step)
            stack.callback(self.progress.close)
            yield

    def _restore(self, folder: Path) -> None:
        found, remarks = last_checkpoint(folder)
        for remark in remarks:
            self.progress.say(remark)
        if found is None:
            self.progress.say(f"Nothing was saved in {folder}; training starts anew.")
            return
        path = folder / "checkpoint"
        changed = changes(field(found.record, "identity", dict, str(path)), self.identity)
        require(
            not changed,
            f"{folder} holds another run: {listed(changed)}. Give what it was trained with, or another.",
        )
        done = found.record["step"]
        require(
            done <= self.state.steps,
            f"the run in {folder} has done {done} steps; steps is {self.state.steps}, give at least {done}",
        )
        self.state.restore(found.tensors, found.record, str(path))
        self.progress.say(f"Going on in {folder} after step {self.state.step} of {self.state.steps}.")

    def _open_logs(self, stack: ExitStack) -> None:
        if not self.leads:
            return
        if self.folder:
            self._lines = stack.enter_context(closing(JsonLines(self.folder, self.state.step)))
        for target in self.state.config.log:
            log = self._tracker(target) if isinstance(target, str) else target
            self._logs.append(log)
            stack.callback(self._close, log)

    def _close(self, log: Log) -> None:
        try:
            log.close()
        except Exception as error:  # all is trained and saved by now
            self.progress.say(f"{type(log).__name__} could not be closed: {error}")

    def _tracker(self, name: str) -> Log:
        if self.folder is None:
            raise InputError(f"the log {name!r} needs a folder: give out=")
        try:
            return TARGETS[name](self.folder, self.state.step, self.identity)
        except GirsanovError:
            raise
        except Exception as error:  # whatever a tracker may raise
            raise InputError(
                f"the log {name!r} could not be opened: {error}. Leave it out, or set it up."
            ) from error

    # When.

    def validates(self) -> bool:
        """Whether the held-out rows are looked at after this step."""
        return self._due(self.validate_every)

    def reads(self) -> bool:
        """Whether the loss is looked at after this step: at least whenever something else is done."""
        return any(map(self._due, self.periods))

    def saves(self) -> bool:
        """Whether there is a checkpoint after this step."""
        return self._due(self.state.config.checkpoint_every)

    def snapshots(self) -> bool:
        """Whether there is a snapshot of the averages after this step."""
        return self.snapshot_every is not None and self._due(self.snapshot_every)

    @property
    def since(self) -> int:
        """How many steps had been done when the loss was looked at before."""
        return max((self.state.step - 1) // period * period for period in self.periods)

    def _due(self, period: int) -> bool:
        return self.state.step % period == 0 or self.state.step == self.state.steps

    # What.

    def write(self) -> None:
        """Log the mean loss since the last look, and show it."""
        state = self.state
        if not self.leads:
            return
        values = {
            "loss": state.losses[self.since : state.step].mean().item(),
            "gradient": state.norm.item(),
            "rate": state.config.rate(state.step - 1, state.steps),
            "seconds": round(state.seconds, 3),
        }
        held_out = state.validation[-1] if state.validation else None
        if held_out and held_out[0] == state.step:
            values["held_out"] = held_out[1]
        values = {name: value for name, value in values.items() if math.isfinite(value)}  # JSON has no NaN
        if self._lines:
            self._lines.write(state.step, values)
        for log in list(self._logs):
            try:
                log.write(state.step, values)
            except Exception as error:  # a server that is away is not worth a training
                self._logs.remove(log)
                self.progress.say(f"{type(log).__name__} failed, and training goes on without it: {error}")
        self.progress.update(state.step, values.get("loss"), held_out[1] if held_out else None)

    def save_snapshot(self) -> None:
        """Save the averages that `posthoc_ema` needs."""
        if self.folder:
            write_snapshot(self.folder, self.state.step, {s: self.state.averaged(f"{s:g}") for s in LENGTHS})

    def save_checkpoint(self) -> None:
        """Save the state, unless it is saved; when this returns it is, for all processes."""
        state = self.state
        if self.folder and (self._saved is None or self._saved[1] != state.step):
            if self._lines:
                self._lines.sync()  # no checkpoint may be ahead of its log
            record = {**state.record(), "identity": dict(self.identity)}
            self._saved = write_checkpoint(self.folder, Checkpoint(state.tensors(), record)), state.step
        self.team.wait()

    def whereabouts(self) -> str:
        """Where the last checkpoint is."""
        if self._saved:
            return f"The state after step {self._saved[1]} is saved in {self._saved[0]}."
        if self.folder and self.state.step:
            return f"What was saved in {self.folder / 'checkpoint'} is intact."
        return "Nothing had been saved yet."

    def farewell(self) -> str:
        """What to tell a person who stopped the training."""
        state = self.state
        told = f"Stopped after step {state.step} of {state.steps}"
        if self.folder is None:
            told += "; nothing was saved, since no folder was given (out=)."
        else:
            told += f"; saved in {self.folder}. To go on, run the same again with resume=True (or --resume)."
        self.progress.close()
        self.progress.say(told)
        return told


def every(steps: int, times: int) -> int:
    """The period that gives about `times` events in `steps` steps."""
    return -(-steps // times)
