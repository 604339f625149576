"""Two processes train one model; a script for test_team.py, since Lightning runs it again for the second.

python team_driver.py FOLDER
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from training_tools import cloud, noise_loss, tiny

from girsanov.training import Training, fit

CONFIG = Training(
    batch_size=16, lr=1e-2, warmup=5, checkpoint_every=4, device="cpu", devices=2, progress=False
)


def stopping(model, x0, **rest):
    """The same loss; during step 7 one process, and only that one, is told to stop."""
    if model.training and rest["generator"].scope[1] == 6 and os.environ["LOCAL_RANK"] == "1":
        signal.raise_signal(signal.SIGTERM)
    return noise_loss(model, x0, **rest)


stopping.__qualname__ = noise_loss.__qualname__


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    model = tiny()
    if os.environ.get("LOCAL_RANK") == "1":
        with torch.no_grad():
            model.network.first.weight.zero_()  # rank 0 decides
    fit(model, noise_loss, cloud(), steps=20, out=folder / "straight", config=CONFIG)
    told = [total(model)]
    try:
        fit(tiny(), stopping, cloud(), steps=20, out=folder / "stopped", config=CONFIG)
    except KeyboardInterrupt:
        told.append("stopped")
    rank = os.environ["LOCAL_RANK"]
    if rank == "0":
        shutil.copytree(folder / "stopped", folder / "stopped for one")
    model = tiny()
    fit(model, noise_loss, cloud(), steps=20, out=folder / "stopped", resume=True, config=CONFIG)
    (folder / f"rank-{rank}").write_text(json.dumps([*told, total(model)]))


def total(model: nn.Module) -> float:
    """A number that any difference in the weights changes."""
    return sum(
        (p.double() * torch.arange(1.0, p.numel() + 1).view_as(p)).sum().item() for p in model.parameters()
    )


if __name__ == "__main__":
    main()
