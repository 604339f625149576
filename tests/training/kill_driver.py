"""Trains in child processes and kills them; a script for test_kill.py, since forking needs a young process.

    python kill_driver.py FOLDER

Leaves in FOLDER one run that was never stopped and others that were killed again and again, and prints how
many kills each took.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from training_tools import cloud, noise_loss, tiny

from girsanov.training import Training, fit, tensorfile

CONFIG = Training(
    batch_size=16, warmup=5, checkpoint_every=6, snapshots=3, validate_every=15, ema=0.99, progress=False
)
STEPS = 60


def train(folder: Path) -> None:
    fit(tiny(dropout=0.3), noise_loss, cloud(), steps=STEPS, out=folder, resume=True, config=CONFIG)


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> bool:
    """Wait for a child; whether it ended by itself."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def at_random_moments(folder: Path, moments: random.Random, kills: int, seconds: float) -> int:
    """Killed again and again, each time within a seventh of what the run needs in all."""
    for killed in range(kills):
        pid = child(lambda: train(folder))
        time.sleep(moments.uniform(0.02, 0.15) * seconds)
        os.kill(pid, signal.SIGKILL)
        if ended(pid):
            return killed
    assert ended(child(lambda: train(folder)))
    return kills


def at_call(folder: Path, module: object, name: str, counts: list[int]) -> int:
    """Killed at the n-th call of a function, for each n; such as inside a write."""

    def work(count: int) -> None:
        real, left = getattr(module, name), [count]

        def deadly(*args: object) -> object:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        setattr(module, name, deadly)
        train(folder)

    killed = sum(not ended(child(lambda n=n: work(n))) for n in counts)
    assert ended(child(lambda: train(folder)))
    return killed


def main() -> None:
    folder = Path(sys.argv[1])
    warm = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # imports what each child would import
    warm.zero_grad()
    warm.step()
    began = time.monotonic()
    assert ended(child(lambda: train(folder / "straight")))
    seconds = time.monotonic() - began
    counts = {
        "moments": at_random_moments(folder / "moments", random.Random(0), 20, seconds),
        "writing": at_call(folder / "writing", tensorfile, "_bytes", [10, 40, 75, 95, 110]),
        "syncing": at_call(folder / "syncing", os, "fsync", [3, 4, 5, 8]),
        "renaming": at_call(folder / "renaming", Path, "replace", [1, 2, 4]),
    }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
