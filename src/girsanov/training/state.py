"""What a training has reached: all that a checkpoint holds, and the update of a step.

The state is the weights, their averages, AdamW's moments, the scale of mixed precision, the losses so far and
the number of steps done. Data order and noise are functions of (seed, step), so no generator is part of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from girsanov.errors import SavedFileError, require
from girsanov.noise import Randomness
from girsanov.training.averages import LENGTHS, Average, power, ramped
from girsanov.training.batches import Batch, mapped
from girsanov.training.models import Model
from girsanov.training.settings import Training
from girsanov.training.strict import field
from girsanov.training.team import Team
from girsanov.training.tensorfile import differences, listed
from girsanov.typing import Tree

FUSED_FROM = 100_000
"""The number of weights from which AdamW is fused on the CPU; a constant, so that it never changes a run."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Objective(Protocol):
    """What is minimized: one loss for each sample; it says which models it trains."""

    def __call__(
        self,
        model: Any,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """The losses (B,) of samples x0 (B, *shape)."""


class State:
    """The state of a training of `steps` steps.

    Args:
        model: its parameters are changed in place; those without gradient are left alone.
        steps: the steps to reach.
        config: the settings.

    Raises:
        InputError: nothing to train, or weights that are not float32 or float64.
    """

    def __init__(self, model: Model, steps: int, config: Training) -> None:
        self.model, self.steps, self.config = model, steps, config
        self.named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.parameters = list(self.named.values())
        require(
            bool(self.parameters), "no parameter of the model requires a gradient; there is nothing to train"
        )
        kinds = {p.dtype for p in self.parameters}
        require(
            len(kinds) == 1 and kinds <= {torch.float32, torch.float64},
            f"the weights are {', '.join(sorted(map(str, kinds)))}; give float32, and for less "
            "precision='bf16' or 'fp16'",
        )
        self.device, self.dtype = self.parameters[0].device, kinds.pop()
        self.averages = {"ema": Average(self.parameters, ramped(config.ema))} if config.ema else {}
        if config.snapshots:
            self.averages |= {f"{s:g}": Average(self.parameters, power(s)) for s in LENGTHS}
        # The fused kernel wakes all threads even for ten numbers, which on a busy machine takes milliseconds.
        size = sum(p.numel() for p in self.parameters)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay,
            fused=self.device.type != "cpu" or size > FUSED_FROM,
        )  # fmt: skip
        for p in self.parameters:  # before the first step, so that a checkpoint always holds them
            count = torch.zeros((), dtype=torch.float32, device=p.device)
            moments = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
            self.optimizer.state[p] = {"step": count, **moments}
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.losses = torch.full((steps,), math.nan, device=self.device)
        self.norm = torch.zeros((), device=self.device)
        self.validation: list[tuple[int, float]] = []
        self.step, self.seconds, self._tick = 0, 0.0, time.monotonic()

    def ask(self, objective: Objective, batch: Batch) -> Tensor:
        """The losses (B,) of a batch."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

        kind = DTYPES.get(self.config.precision)
        with torch.autocast(self.device.type, dtype=kind) if kind else nullcontext():
            return objective(
                self.model,
                moved(batch.x),
                cond=mapped(moved, batch.cond),
                end=None if batch.end is None else moved(batch.end),
                generator=batch.noise,
            )

    def clip(self, loss: Tensor) -> Tensor:
        """Limit the norm of the gradient; the loss, made NaN if the gradient is not finite.

        In "fp16" a gradient that is not finite is no fault: the loss is scaled down and the step left out.
        """
        self.scaler.unscale_(self.optimizer)
        self.norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.config.clip or math.inf)
        return loss if self.scaler.is_enabled() else loss + 0 * self.norm

    def update(self, loss: Tensor) -> None:
        """Take a step along the gradients, and count it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.rate(self.step, self.steps)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.losses[self.step] = loss
        self.step += 1
        for average in self.averages.values():
            average.update(self.step)
        before, self._tick = self._tick, time.monotonic()
        self.seconds += self._tick - before

    def averaged(self, kind: str) -> dict[str, Tensor]:
        """One of the averages, by name of the parameter."""
        return dict(zip(self.named, self.averages[kind].values))

    def share(self, team: Team) -> None:
        """Let all processes start from the state of rank 0."""
        scale = self.scaler.state_dict()
        numbers = torch.tensor(
            [self.step, scale.get("scale", 0), scale.get("_growth_tracker", 0)],
            dtype=torch.float32,  # exact, since they are whole numbers and powers of two
            device=self.device,
        )
        averages = [value for average in self.averages.values() for value in average.values]
        moments = [value for p in self.parameters for value in self.optimizer.state[p].values()]
        team.share([*self.model.state_dict().values(), *averages, *moments, self.losses, numbers])
        self.step = int(numbers[0])
        if scale:
            scale |= {"scale": numbers[1].item(), "_growth_tracker": int(numbers[2])}
            self.scaler.load_state_dict(scale)

    # What a checkpoint holds.

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state by name."""
        found = {f"weights/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for kind in self.averages:
            found |= {f"{kind}/{name}": value for name, value in self.averaged(kind).items()}
        for key in ("exp_avg", "exp_avg_sq"):
            found |= {f"{key}/{name}": self.optimizer.state[p][key] for name, p in self.named.items()}
        counts = torch.stack([self.optimizer.state[p]["step"] for p in self.parameters])
        looks = torch.tensor(self.validation, dtype=torch.float64).reshape(-1, 2)
        return {**found, "counts": counts, "losses": self.losses[: self.step], "validation": looks}

    def record(self) -> dict[str, Any]:
        """The rest of the state, as JSON."""
        return {"step": self.step, "seconds": self.seconds, "scaler": self.scaler.state_dict()}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any], where: str) -> None:
        """Take over what `tensors` and `record` gave; all of it, or nothing and an error.

        Raises:
            SavedFileError: it is the state of another model; the message names the differences.
        """
        step, seconds = field(record, "step", int, where), field(record, "seconds", float, where)
        scale = field(record, "scaler", dict, where)
        looks = tensors.get("validation", torch.zeros(0, 2))
        wanted = {**self.tensors(), "losses": self.losses[:step], "validation": looks.double().reshape(-1, 2)}
        found = differences(tensors, wanted)
        require(
            not found and step <= self.steps,
            f"{where} holds the state of another model: {listed(found)}. Build the model as it was, or train "
            "this one in another folder.",
            SavedFileError,
        )
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(scale)
        with torch.no_grad():
            for name, tensor in wanted.items():
                tensor.copy_(tensors[name])
            for p, count in zip(self.parameters, tensors["counts"]):
                self.optimizer.state[p]["step"].copy_(count)
        self.step, self.seconds = step, seconds
        self.validation = [(int(at), loss) for at, loss in looks.tolist()]
