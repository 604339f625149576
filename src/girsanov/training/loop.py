"""Training: one loop, readable from top to bottom, whose step k is a function of (seed, k) and of the state.

    gradients of the mean loss over the rows of step k   (`Data.batch`, keyed noise)
    averaged over processes, clipped, checked to be finite
    AdamW, weight averages
    now and then: held-out loss, log, snapshot, checkpoint

Since nothing random is remembered, a killed run goes on from its checkpoint to the very bits of a run that
was never stopped.

Oracle: exactly that (tests/training/test_kill.py); the loop written out by hand (tests/training/test_fit.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.training.batches import VALIDATION, Batch, Data
from girsanov.training.card import Card
from girsanov.training.checks import fill_shape, refuse_bad_step, refuse_bad_steps, refuse_memory, try_once
from girsanov.training.folder import run_folder
from girsanov.training.identity import facts, identity
from girsanov.training.interrupts import Interrupts
from girsanov.training.models import Model, config_of, save
from girsanov.training.record import Recorder
from girsanov.training.settings import DEFAULTS, Training, whole
from girsanov.training.state import Objective, State
from girsanov.training.team import Team, join
from girsanov.typing import Tree

LOOKED_AT = 1024
"""At most this many held-out rows are looked at each time, so that validation stays cheap."""


@dataclass(frozen=True)
class History:
    """What a training did.

    Args:
        losses: (steps,), the loss of every step.
        validation: (step, loss) for each look at the held-out rows, with the averaged weights.
        seconds: the time it took, over all its parts if it was resumed.
        folder: where it was saved, or None.
        remarks: what was said on the way.
    """

    losses: Tensor
    validation: tuple[tuple[int, float], ...]
    seconds: float
    folder: Path | None
    remarks: tuple[str, ...]

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.losses)


def fit(
    model: Model,
    objective: Objective,
    x: Tensor,
    *,
    cond: Tree = None,
    end: Tensor | None = None,
    steps: int = 4000,
    out: str | Path | None = None,
    resume: bool = False,
    config: Training = DEFAULTS,
    card: Card | None = None,
) -> History:
    """Train a denoiser or a classifier of noisy samples; afterwards it holds the averaged weights and is in evaluation mode.

    Ctrl-C ends the step, saves, and raises KeyboardInterrupt; a second one does not wait.

    Args:
        model: trained in place; its `shape` is filled in from x.
        objective: such as `objectives.score_matching()`, or `objectives.classification()` for a classifier.
        x: (N, *shape), float, finite; int64 for processes on discrete data.
        cond: a tree of tensors with N rows, what is known beside x.
        end: (N, *shape), x_1 of each row; or (M, *shape) with M ≠ N, a second population, paired at random.
        steps: of the optimizer.
        out: a folder for the model, the log and checkpoints; None saves nothing.
        resume: go on with the run in `out`, to the same bits as if it had not stopped; anew if there is none.
        config: everything else.
        card: what the model card should say.

    Raises:
        InputError: data, model and settings that do not fit; a folder that holds another run; a batch that
            does not fit into memory.
        NotFinite: NaN or infinity in a loss or gradient; the state before it is saved.
        SavedFileError: a folder that cannot be written, a full disk, damaged checkpoints.
    """
    whole("steps", steps, at_least=1)
    require(isinstance(config, Training), f"config is {type(config).__name__}; give Training(...)")
    require(out is not None or not resume, "resume needs the folder of the run: give out=")
    data = Data.checked(
        x, cond, end, batch_size=config.batch_size, validation=config.validation, seed=config.seed
    )
    fill_shape(model, objective, data)
    card = card or Card()
    if out is not None:
        config_of(model, card)  # refuse now what could not be saved later
    team = join(config, next(model.parameters(), torch.empty(0)).device)
    state = State(model.to(team.device), steps, config)
    with _own_randomness(team.device):
        try_once(state, objective, data)
        with run_folder(out, resume=resume) if out and team.rank == 0 else nullcontext() as folder:
            recorder = Recorder(state, team, folder, identity(model, objective, data, steps, config))
            with Interrupts() as stop, recorder.opened(resume=resume):
                stopped = _run(state, objective, data, team, recorder, stop)
                if folder:
                    save(model, folder, card=replace(card, training=facts(objective, data, state)))
                team.wait()
    if stopped or stop.asked:
        raise KeyboardInterrupt(stopped or "the training had just ended; nothing is lost")
    history = state.losses[: state.step].cpu(), tuple(state.validation), state.seconds
    return History(*history, folder, tuple(recorder.progress.remarks))


def _run(
    state: State, objective: Objective, data: Data, team: Team, recorder: Recorder, stop: Interrupts
) -> str | None:
    """The loop, and the averaged weights after it, however it ends. Why it stopped early, or None."""
    try:
        return _loop(state, objective, data, team, recorder, stop)
    finally:
        if "ema" in state.averages:
            state.averages["ema"].keep()
        state.model.eval()


def _loop(
    state: State, objective: Objective, data: Data, team: Team, recorder: Recorder, stop: Interrupts
) -> str | None:
    """The loop. Why it stopped early, or None."""
    state.model.train()
    while state.step < state.steps:
        batch = data.batch(state.step, team.rank, team.size)
        losses, mean = _gradients(state, objective, batch, recorder)
        mean, asked = team.average(state.parameters, mean, stop.asked)
        loss = state.clip(mean)
        refuse_bad_step(state, loss, losses, batch, recorder)
        state.update(loss)
        if recorder.validates() and len(data.held_out) and team.rank == 0:
            state.validation.append((state.step, _held_out(state, objective, data, team)))
        reads = recorder.reads()
        if reads or asked:
            refuse_bad_steps(state, data, recorder)
        if reads:
            recorder.write()
        if recorder.snapshots():
            recorder.save_snapshot()
        if recorder.saves() or asked:
            recorder.save_checkpoint()
        if asked:
            return recorder.farewell()
    return None


def _gradients(state: State, objective: Objective, batch: Batch, recorder: Recorder) -> tuple[Tensor, Tensor]:
    """Leave the gradients of the mean loss with the parameters; the losses (B,) and their mean."""
    state.optimizer.zero_grad()
    _seed(state.device, state.config.seed, state.step, batch.noise.first)
    try:
        losses = state.ask(objective, batch)
        mean = losses.mean()
        state.scaler.scale(mean).backward()
    except (MemoryError, RuntimeError) as error:
        refuse_memory(state, error, recorder)
        raise
    return losses.detach(), mean.detach()


def _held_out(state: State, objective: Objective, data: Data, team: Team) -> float:
    """The mean loss of held-out rows under the averaged weights, with the same noise at every look."""
    count, share = min(len(data.held_out), LOOKED_AT), state.config.batch_size // team.size
    total = 0.0
    state.model.eval()
    with state.averages["ema"].applied() if "ema" in state.averages else nullcontext():
        for start in range(0, count, share):
            batch = data.probe(VALIDATION, start, min(start + share, count))
            total += state.ask(objective, batch).detach().cpu().double().sum().item()
    state.model.train()
    return total / count


# Randomness.


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Dropout draws from torch's global generators; give them back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _seed(device: torch.device, *key: int) -> None:
    """Make dropout a function of the key."""
    seed = int.from_bytes(blake2b(repr(key).encode(), digest_size=7).digest(), "little")
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # torch.manual_seed asks every kind of device: 80 µs
    else:
        torch.manual_seed(seed)
