"""What makes a run this run: resuming with anything else is refused, and the difference is named.

Large data is known by its shape and by 1,024 rows spread over it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from girsanov.training.batches import Data, leaves
from girsanov.training.models import Model, registered
from girsanov.training.settings import Training
from girsanov.training.state import State
from girsanov.training.tensorfile import describe

HASHED_BYTES = 2**26
HASHED_ROWS = 1024


def identity(model: Model, objective: Any, data: Data, steps: int, config: Training) -> dict[str, str]:
    """The parts of a run by name, as short texts that are equal if the parts are."""
    tensors = {"x": data.x, **leaves(data.cond, "cond"), **leaves(data.end, "end")}
    found = {name: f"{describe(tensor)} [{digest(tensor)}]" for name, tensor in tensors.items()}
    found |= {
        "process": repr(model.process),
        "predicts": ", ".join(model.stored),
        "data_std": repr(model.data_std),
        "network": str(registered(model.network) or type(model.network).__name__),
        "objective": named(objective),
    }
    if config.schedule != "constant":  # otherwise a longer run begins as the shorter one did
        found["steps"] = str(steps)
    return found | {name: repr(value) for name, value in config.numbers().items()}


def facts(objective: Any, data: Data, state: State) -> dict[str, Any]:
    """The record of a training, as JSON, for the model card and `config.json`."""
    config, done = state.config.numbers(), state.losses[: state.step]
    return {
        "objective": named(objective),
        "rows": len(data.x),
        "held_out_rows": len(data.held_out),
        "steps": state.step,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in config.items()},
        "loss": done[-100:].mean().item(),
        "held_out_loss": state.validation[-1][1] if state.validation else None,
        "seconds": round(state.seconds, 1),
    }


def changes(before: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """How two identities differ."""
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} was {before.get(name, 'absent')} and is {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def digest(tensor: Tensor) -> str:
    """A short checksum of the values."""
    rows = tensor.detach()
    if rows.nbytes > HASHED_BYTES and len(rows) > HASHED_ROWS:
        rows = rows[torch.linspace(0, len(rows) - 1, HASHED_ROWS, dtype=torch.float64).long()]
    content = rows.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.blake2b(content.data, digest_size=6).hexdigest()


def named(objective: Any) -> str:
    """The objective with its settings where it shows them, else its name."""
    text = repr(objective)
    if re.search(r" at 0x[0-9a-f]+", text) is None:
        return text
    return str(getattr(objective, "__qualname__", type(objective).__qualname__))
