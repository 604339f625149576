"""What a person sees while a model trains: one line that moves, or plain lines where nothing can move.

All of it goes to stderr, and a stream that was closed in the meantime is not worth a training.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

PLAIN_SECONDS = 10.0
MOVING_SECONDS = 0.2
NARROW = 70


class Progress:
    """Shows the steps of one training.

    Args:
        steps: how many there are.
        shown: False for silence; remarks are then only collected.
    """

    def __init__(self, steps: int, *, shown: bool) -> None:
        self.steps, self.start, self.shown = steps, 0, shown
        self.remarks: list[str] = []
        self._began = self._last = time.monotonic()
        self._bar: Any = None

    def open(self, start: int) -> None:
        """Show the moving line, if stderr is a terminal; `start` steps are done."""
        self.start = start
        self._began = self._last = time.monotonic()
        if self.shown and sys.stderr is not None and _is_terminal():
            with suppress(OSError, ValueError):
                self._bar = _moving_line(self.steps, self.start)
                self._bar.start()

    def say(self, remark: str) -> None:
        """A line of its own."""
        self.remarks.append(remark)
        if self.shown:
            self._print(remark)

    def update(self, step: int, loss: float | None, held_out: float | None) -> None:
        """Show where the training is; most calls cost nothing."""
        now = time.monotonic()
        pause = PLAIN_SECONDS if self._bar is None else MOVING_SECONDS
        if not self.shown or (now - self._last < pause and step < self.steps):
            return
        self._last = now
        speed = (step - self.start) / max(now - self._began, 1e-9)
        told = {"loss": loss, "held-out": held_out}
        text = " · ".join(f"{name} {value:.4g}" for name, value in told.items() if value is not None)
        rest = f"{pace(speed)} · {clock((self.steps - step) / speed)} left"
        if self._bar is None:
            self._print(f"step {step}/{self.steps} · {text} · {rest}")
            return
        with suppress(OSError, ValueError):
            self._bar.update(self._bar.task_ids[0], completed=step, text=text, rest=rest, refresh=True)

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._bar is not None:
            with suppress(OSError, ValueError):
                self._bar.stop()
            self._bar = None

    def _print(self, line: str) -> None:
        with suppress(OSError, ValueError, AttributeError):  # closed, or None under pythonw
            if self._bar is not None:
                self._bar.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=sys.stderr, flush=True)


def pace(speed: float) -> str:
    """Steps a second, or seconds a step."""
    return f"{speed:.3g} steps/s" if speed >= 1 else f"{1 / max(speed, 1e-9):.3g} s/step"


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{s:02d}"


def _is_terminal() -> bool:
    with suppress(OSError, ValueError):
        return sys.stderr.isatty()
    return False


def _moving_line(steps: int, start: int) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.table import Column

    class Screen(Console):
        def on_broken_pipe(self) -> None:  # rich would end the process
            self.quiet = True

    screen = Screen(stderr=True)
    count = MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=len(f"{steps}/{steps}")))
    text, rest = (TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("text", "rest"))
    columns = (count, BarColumn(bar_width=None), text, rest) if screen.width >= NARROW else (count, text)
    bar = Progress(*columns, console=screen, auto_refresh=False, expand=screen.width >= NARROW)
    bar.add_task("fit", total=steps, completed=start, text="", rest="")
    return bar
