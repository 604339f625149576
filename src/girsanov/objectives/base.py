"""What every objective shares: the contract, the draw of a training example, the model's answer.

An objective is a frozen dataclass, called with a denoiser and clean data, that answers with one loss for
each sample. `fit` averages them; validation calls it with the same keyed noise every time, so its curve has
no sampling error of its own. A loss is a mean over the coordinates of a sample, so its size does not
depend on the resolution. Only the model's forward call is used, so wrapped models (data parallel,
compiled, averaged) work as they are.

Each draw has a key: NOISE the normal z, TIME the times, DROP the labels that are left out, and the scope
COUPLING is for couplings that draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from girsanov.classifier import NoisyClassifier
from girsanov.denoiser import AbstractDenoiser, combine
from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.noise import Randomness, Source, uniform
from girsanov.processes import GaussianConditional, need
from girsanov.processes.base import like_batch
from girsanov.transport import Coupling
from girsanov.typing import Scalar, Tree

NOISE, TIME, DROP, COUPLING = 0, 1, 2, 0
NO_LABEL = -1

T = TypeVar("T")


class Objective(Protocol):
    """One loss for each sample; see the head of the module."""

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,), differentiable in the model's parameters.

        Args:
            model: the denoiser that learns.
            x0: (B, *shape), clean data.
            cond: what is known beside x, batch first.
            end: (B, *shape), x_1, for processes that have one.
            generator: source of the noise and the times.
        """


def process_of(model: AbstractDenoiser, capability: type = GaussianConditional) -> Any:
    """The process that the model reverses, which has to have the capability; a bare network is refused."""
    require(
        hasattr(model, "process"),
        f"the model is {type(model).__name__}, which has no process; wrap it: Denoiser(network, process)",
        Unsuitable,
    )
    if isinstance(model, NoisyClassifier):
        raise Unsuitable("this objective trains a denoiser; train a NoisyClassifier with classification()")
    return need(model.process, capability, "this objective")


def check_batch(x0: Tensor) -> None:
    """Refuse clean data that are no batch of floats."""
    # Plain conditions: this runs at every step, and a message is for the step that fails.
    if not isinstance(x0, Tensor) or x0.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"x0 is {getattr(x0, 'dtype', type(x0).__name__)}; give float32 or float64, and leave half "
            "precision to autocast: 8 or 11 bits do not hold the times near 0 and 1"
        )
    if x0.ndim < 2:
        raise InputError(f"x0 has shape {tuple(x0.shape)}; give (B, *shape), with x0[:, None] for numbers")


def check_end(process: GaussianConditional, x0: Tensor, end: Tensor | None) -> None:
    """Refuse an x_1 that is missing, unwanted or of another shape."""
    # Plain conditions: this runs at every step, and the text of a process may hold a thousand numbers.
    if end is None and process.end != "noise":
        raise InputError(f"{process!r} needs x_1; give end=, shaped like x0")
    if end is not None and process.end == "noise":
        raise InputError(f"end was given, and {process!r} has no x_1; leave end out")
    if end is not None and end.shape != x0.shape:
        raise InputError(f"end is {tuple(end.shape)} and x0 {tuple(x0.shape)}; they must agree")


def check_options(coupling: Coupling | None, share: float) -> None:
    """Refuse a coupling that cannot be called, and a `label_dropout` that is not a share."""
    require(
        coupling is None or callable(coupling),
        f"coupling is {coupling!r}; give a function such as transport.MinibatchOT(), or None",
    )
    require(0 <= share <= 1, f"label_dropout is {share}; give a share between 0 and 1, such as 0.1")


def paired(coupling: Coupling | None, x0: Tensor, far: Tensor, cond: Tree, source: Source) -> Tensor:
    """The partners (B, *shape) of x0 among `far`, as they come if there is no coupling."""
    if coupling is None:
        return far
    found = coupling(x0, far, cond=cond, generator=source.child(COUPLING))
    require(
        isinstance(found, Tensor) and found.shape == far.shape,
        f"the coupling answered with {tuple(found.shape) if isinstance(found, Tensor) else type(found)}; "
        f"it returns the partners of x0 only, a tensor {tuple(far.shape)}",
    )
    return found


def named(value: str | T, options: Mapping[str, T], kind: str) -> T:
    """Look a name up, or pass a function of the user's through."""
    if isinstance(value, str):
        return choose(value, options, kind)
    require(callable(value), f"{kind} is {value!r}; give a function, or one of {', '.join(sorted(options))}")
    return value


def drop_labels(cond: Tree, share: float, source: Source) -> Tree:
    """Replace each label with -1, "no label", with probability `share`.

    This trains the unconditional half of classifier-free guidance (Ho & Salimans 2022, algorithm 1).

    Raises:
        InputError: `share` > 0 and cond is not a batch of integer labels.
    """
    if share == 0:
        return cond
    if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.is_complex() or cond.ndim == 0:
        what = f"a {cond.dtype} tensor" if isinstance(cond, Tensor) else f"{type(cond).__name__}"
        raise InputError(
            f"label_dropout is {share} and cond is {what}; give integer labels (B,), or label_dropout=0"
        )
    draws = source.draw(torch.empty(cond.shape[0], 1), DROP, uniform)
    dropped = (draws < share).to(cond.device).reshape(-1, *[1] * (cond.ndim - 1))
    return cond.long().masked_fill(dropped, NO_LABEL)


def mix(row: Sequence[Scalar], x0: Tensor, end: Tensor | None, z: Tensor) -> Tensor:
    """a x_0 + b x_1 + c z for a row (a, b, c) of numbers or (B,), without x_1 where there is none.

    The row `process.values(t)` gives x_t, and `process.row(word, t)` what the prediction of a word is the
    mean of.
    """
    a, b, c = (like_batch(weight, x0) for weight in row)
    return combine((a, c), (x0, z)) if end is None else combine((a, b, c), (x0, end, z))


def answers(
    model: AbstractDenoiser,
    words: Sequence[str],
    x: Tensor,
    t: Tensor,
    *,
    cond: Tree = None,
    anchor: Tensor | None = None,
) -> list[Tensor]:
    """The model's predictions of several words from one call, each (B, *shape)."""
    stored = model(x, t, cond=cond, anchor=anchor)
    results = []
    for word in words:
        found = model.process.coefficients(word, model.stored, like_batch(t, x))
        known = [x, *stored] if anchor is None else [x, *stored, anchor]
        results.append(combine((found.state, *found.words, found.anchor), known))
    return results


def anchor_of(process: GaussianConditional, end: Tensor | None) -> Tensor | None:
    """What of x_1 the denoiser may see: all of it where it is an anchor, nothing of a second marginal."""
    return end if process.end == "anchor" else None


def per_sample(values: Tensor) -> Tensor:
    """The mean over the coordinates of each sample, (B,)."""
    return values.flatten(1).mean(1)
