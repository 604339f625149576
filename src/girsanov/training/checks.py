"""What is refused before training, and what stops it: shapes, NaN, memory."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from girsanov.errors import GirsanovError, InputError, NotFinite, Unsuitable, require
from girsanov.training.batches import TRIAL, Batch, Data, leaves
from girsanov.training.models import Model
from girsanov.training.record import Recorder
from girsanov.training.state import Objective, State
from girsanov.training.tensorfile import describe
from girsanov.typing import Shape


@runtime_checkable
class Grouped(Protocol):
    """An objective for which a row of x holds several samples; it says what shape one of them has."""

    def event(self, x: Tensor) -> Shape: ...


def fill_shape(model: Model, objective: Objective, data: Data) -> None:
    """Note the shape of the samples in the model, or refuse another one than it has."""
    shape = objective.event(data.x) if isinstance(objective, Grouped) else tuple(data.x.shape[1:])
    require(
        model.shape in (None, shape),
        f"model.shape is {model.shape}, and x holds samples of shape {shape}. Give data of that shape, or "
        "set model.shape = None to train the model on another one.",
    )
    model.shape = shape


def try_once(state: State, objective: Objective, data: Data) -> None:
    """Ask once about two samples, so that what does not fit is found before anything is written."""
    batch = data.probe(TRIAL, 0, 2)
    state.model.eval()
    try:
        losses = state.ask(objective, batch)
    except GirsanovError:
        raise
    except Exception as error:  # whatever a module may raise
        given = {"x": data.x, **leaves(data.cond, "cond"), **leaves(data.end, "end")}
        told = ", ".join(f"{name} {describe(tensor)}" for name, tensor in given.items())
        raise InputError(
            f"the model cannot be asked about this data. {type(state.model.network).__name__} raised "
            f"{type(error).__name__}: {error}. Given were {told}. "
            "Check that channels, classes and shapes agree."
        ) from error
    require(
        isinstance(losses, Tensor) and losses.shape == batch.x.shape[:1] and losses.requires_grad,
        f"the objective gave {describe(losses) if isinstance(losses, Tensor) else type(losses).__name__} for "
        f"{len(batch.x)} samples; it must give one loss for each, differentiable in the weights",
        Unsuitable,
    )


def refuse_bad_step(state: State, loss: Tensor, losses: Tensor, batch: Batch, recorder: Recorder) -> None:
    """On the CPU, where looking costs nothing, every step is checked before it changes the weights."""
    if state.device.type != "cpu" or math.isfinite(loss.item()):
        return
    bad = ~torch.isfinite(losses)
    what = "the loss" if bad.any() else "the gradient"
    rows = batch.rows[bad.cpu()] if bad.any() else batch.rows
    recorder.save_checkpoint()
    raise NotFinite(_bad_step(what, state.step + 1, rows, recorder))


def refuse_bad_steps(state: State, data: Data, recorder: Recorder) -> None:
    """Elsewhere looking waits for the device, so it is done when the log is written, and before saving."""
    since = recorder.since
    bad = (~torch.isfinite(state.losses[since : state.step])).nonzero().flatten().tolist()
    if bad:
        step = since + bad[0]
        raise NotFinite(_bad_step("the loss or its gradient", step + 1, data.batch(step).rows, recorder))


def _bad_step(what: str, step: int, rows: Tensor, recorder: Recorder) -> str:
    listed = ", ".join(map(str, rows.tolist()[:128]))
    return (
        f"{what} of step {step} is NaN or infinite, on rows {listed} of x. Look at those rows, or train with "
        f"a lower learning rate in a new folder. {recorder.whereabouts()}"
    )


def refuse_memory(state: State, error: BaseException, recorder: Recorder) -> None:
    """If memory ran out, say with which batch size and what to try."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "allocate memory" in str(error):
        size = state.config.batch_size
        raise InputError(
            f"step {state.step + 1} did not fit into memory with batch_size={size}. Give "
            f"batch_size={max(1, size // 2)}. {recorder.whereabouts()}"
        ) from error
