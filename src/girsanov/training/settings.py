"""The settings of a training, checked when they are made, and the learning rate of every step.

With w warm-up steps of n, step k = 0, 1, … has the rate

    lr · min(1, (k + 1)/w) · ½(1 + cos(π (k - w)₊/(n - w)))      schedule="cosine"
    lr · min(1, (k + 1)/w)                                       schedule="constant"

Source: Loshchilov & Hutter (2017), SGDR, equation 5, without restarts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from girsanov.errors import choose, require
from girsanov.training.logs import TARGETS, Log

HARMLESS = (
    "validate_every",
    "checkpoint_every",
    "device",
    "devices",
    "nodes",
    "log",
    "progress",
)
"""Settings that may change on resume, since no weight depends on them."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train; what to train, on what and for how many steps is told to `fit`.

    Args:
        batch_size: samples a step, over all processes together.
        lr: the largest learning rate of AdamW.
        warmup: steps over which the rate rises from 0.
        schedule: "cosine" falls to 0 at the last step; "constant" stays, so that `steps` may grow later.
        betas: decay of AdamW's two moments.
        weight_decay: decoupled, as in AdamW.
        clip: the largest norm of the gradient; None for no clipping.
        ema: decay of the weight average per step; 0 for none. See `training.averages` for its start.
        snapshots: how many times to save the two averages that `posthoc_ema` needs; 0 for never.
        precision: "float32", or "bf16" or "fp16" for mixed precision (weights stay float32).
        validation: the fraction of rows held out; 0 for none. See `split`.
        validate_every: steps between two looks at them; None for 20 looks in all.
        checkpoint_every: steps between two checkpoints; there is one more at the end and on Ctrl-C.
        seed: everything random follows from it.
        device: such as "cuda"; None stays where the model is.
        devices: processes to train with on this machine, by Lightning Fabric.
        nodes: machines, likewise.
        log: beside `log.jsonl`, "tensorboard", "mlflow", "wandb", or objects with `write` and `close`.
        progress: show progress and remarks on stderr.

    Raises:
        InputError: a value that makes no sense.
        UnknownName: a schedule, precision or log that does not exist.
    """

    batch_size: int = 128
    lr: float = 1e-3
    warmup: int = 100
    schedule: Literal["cosine", "constant"] = "cosine"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = 1.0
    ema: float = 0.9999
    snapshots: int = 0
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    validation: float = 0.1
    validate_every: int | None = None
    checkpoint_every: int = 500
    seed: int = 0
    device: str | None = None
    devices: int = 1
    nodes: int = 1
    log: tuple[str | Log, ...] = ()
    progress: bool = True

    def __post_init__(self) -> None:
        whole("seed", self.seed, at_least=-math.inf)
        for name in ("batch_size", "checkpoint_every", "devices", "nodes"):
            whole(name, getattr(self, name), at_least=1)
        for name in ("warmup", "snapshots"):
            whole(name, getattr(self, name), at_least=0)
        if self.validate_every is not None:
            whole("validate_every", self.validate_every, at_least=1)
        within("lr", self.lr, 0 < self.lr < math.inf, "a number above 0, such as 1e-3")
        within("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more")
        within("clip", self.clip, self.clip is None or 0 < self.clip < math.inf, "a number above 0, or None")
        for name, value in (("ema", self.ema), ("betas[0]", self.betas[0]), ("betas[1]", self.betas[1])):
            within(name, value, 0 <= value < 1, "a number from 0 to below 1")
        within("validation", self.validation, 0 <= self.validation < 1, "a fraction from 0 to below 1")
        choose(self.schedule, dict.fromkeys(("cosine", "constant")), "schedule")
        choose(self.precision, dict.fromkeys(("float32", "bf16", "fp16")), "precision")
        require(not isinstance(self.log, str), f"log is {self.log!r}; give a tuple, such as ({self.log!r},)")
        for target in self.log:
            if isinstance(target, str):
                choose(target, TARGETS, "log")
            else:
                within(
                    "log",
                    target,
                    isinstance(target, Log),
                    "names of trackers, or objects with write and close",
                )

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, counted from 0; see the head of the module."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant":
            return self.lr * rise
        past = max(0, step - self.warmup) / max(1, steps - self.warmup)
        return self.lr * rise * (1 + math.cos(math.pi * past)) / 2

    def numbers(self) -> dict[str, Any]:
        """The settings on which the trained weights depend, as JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in HARMLESS}


def whole(name: str, value: Any, *, at_least: float) -> None:
    """Refuse what is not a whole number, or too small a one."""
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= at_least
    bound = "" if at_least == -math.inf else f" of at least {at_least}"
    require(fits, f"{name} is {value!r}; give a whole number{bound}")


def within(name: str, value: Any, fits: bool, wanted: str) -> None:
    """Refuse a value with what is accepted."""
    require(fits, f"{name} is {value!r}; give {wanted}")


DEFAULTS = Training()
