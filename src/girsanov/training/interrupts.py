"""Ctrl-C, told once, waits for the end of the step; told twice, it does not wait.

SIGTERM (schedulers) and SIGHUP (a closed terminal) count as the first. Signals that were ignored on
purpose, as by `nohup`, stay ignored. Python delivers signals to the main thread only; in any other
nothing is changed.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # SIGHUP is not known to Windows


class Interrupts:
    """While the block runs, `asked` says whether to stop after this step."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt("stopped at once; the last checkpoint is intact")
        self.asked = True
