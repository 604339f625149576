"""What restorers that begin with a guess share: checks, guesses in batches, samples drawn from there.

Oracle: the restorers themselves, `Regenerator` and `PosteriorMeanFlow` (tests/inverse).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require, require_finite
from girsanov.noise import Noise, Source, as_source
from girsanov.solvers import sample
from girsanov.solvers.sampling import Sampler
from girsanov.typing import Tree

START = 1
"""The scope of the noise in a guess; that of the sampler has none."""


def check_steps(steps: int) -> None:
    """Refuse what is no number of steps."""
    require(isinstance(steps, int) and steps >= 1, f"steps is {steps!r}; give a whole number of at least 1")


def restored(
    model: AbstractDenoiser,
    y: Tensor,
    guess: Callable[[Tensor, Source], Tensor],
    plan: Sampler,
    *,
    cond: Tree = None,
    batch_size: int = 256,
    seed: int | None = None,
) -> Tensor:
    """Samples (n, *shape) of the model whose x_1 is what is guessed from y.

    Args:
        model: a denoiser of a process with an x_1, an anchor or a second marginal.
        y: (n, *shape), what is to be restored.
        guess: a part of y (B, *shape) and the source of its noise to guesses (B, *shape).
        plan: a sampler of the process.
        cond: what the model is given beside x.
        batch_size: samples per network call.
        seed: an integer for the same draws again.

    Raises:
        InputError: y is no batch, or holds NaN; a batch_size below 1.
    """
    require(y.ndim >= 2, f"y is {tuple(y.shape)}; give (n, *shape)")
    require_finite(y, "y")
    require(batch_size >= 1, f"batch_size is {batch_size}; give at least 1")
    source = as_source(None if seed is None else Noise(seed)).child(START)
    place, firsts = next(model.parameters(), y).device, range(0, len(y), batch_size)
    with torch.no_grad():
        parts = [guess(y[i : i + batch_size].to(place), source.shifted(i)) for i in firsts]
    shape = tuple(y.shape[1:])
    return sample(
        model,
        len(y),
        cond=cond,
        anchor=torch.cat(parts) if parts else y,
        plan=plan,
        batch_size=batch_size,
        seed=seed,
        shape=shape,
    )
