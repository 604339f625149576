"""`posterior`: draw from p(x | y) with one learned prior and any posterior sampler.

A posterior sampler is an object with

    calls      denoiser calls for a draw
    joint      whether the draws of one measurement are made together (particles, diversity)
    __call__(model, x, measurement, *, cond, generator)

x (R, *shape) is a draw of the reference law, and the measurement has R rows, one for each; a joint sampler finds
the draws of one measurement in runs of `measurement.draws` rows. The prior is seen through the denoiser alone.
Oracle: the exact posterior of a mixture, `GaussianMixture.posterior` (tests/inverse).
"""

from __future__ import annotations

import time
from typing import Protocol

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.samples import PosteriorSamples
from girsanov.noise import Noise, Randomness, as_source
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.typing import Tree


class PosteriorSampler(Protocol):
    """See the head of the module."""

    @property
    def joint(self) -> bool: ...

    @property
    def calls(self) -> int: ...

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        measurement: Measurement,
        *,
        cond: Tree = None,
        generator: Randomness = None,
    ) -> Tensor: ...


def posterior(
    model: AbstractDenoiser,
    measurement: Measurement,
    n: int = 1,
    *,
    sampler: PosteriorSampler,
    cond: int | None = None,
    batch_size: int = 256,
    seed: int | None = None,
) -> PosteriorSamples:
    """Draw n signals for every measurement.

    Args:
        model: any denoiser of a one-sided process with normal noise: learned, exact or guided.
        measurement: B of them.
        n: draws for each.
        sampler: such as `DPS()`; docs/inverse.md leads from a measurement to one.
        cond: one class number for all.
        batch_size: rows per network call, changing speed and memory only; a joint sampler takes all draws
            of a measurement together.
        seed: an integer for the same draws again, whatever the batch.

    Raises:
        InputError: numbers out of range, or an operator for signals of another shape.
        Unsuitable: a process without one random end, or a sampler that needs more of the operator.
        NotFinite: the network answered with NaN or infinity.
    """
    process: Interpolant = need(model.process, GaussianConditional, "posterior")
    require(
        process.end == "noise",
        f"posterior needs a one-sided process, and {process!r} is not. Train the model on VP or EDM.",
        Unsuitable,
    )
    require(isinstance(n, int) and n >= 1, f"n is {n!r}; give a whole number of at least 1")
    require(batch_size >= 1, f"batch_size is {batch_size}; give at least 1")
    shape = measurement.operator.shape
    require(
        model.shape is None or tuple(model.shape) == shape,
        f"the operator measures signals {shape}, and the model's are {model.shape}",
    )
    rows, source = measurement.repeat(n), as_source(None if seed is None else Noise(seed))
    size = max(1, batch_size // n) * n if sampler.joint else batch_size
    like = next(model.parameters(), torch.empty(0))
    was_training, parts, began = model.training, [], time.process_time()
    model.eval()
    try:
        with torch.no_grad():  # gradients are asked for inside; inference mode would forbid them
            for first in range(0, len(rows), size):
                part, noise = rows[slice(first, first + size)].to(like), source.shifted(first)
                x = process.reference(like.new_empty(len(part), *shape), generator=noise)
                labels = None if cond is None else torch.full((len(part),), cond, device=like.device)
                parts.append(sampler(model, x, part, cond=labels, generator=noise))
    finally:
        model.train(was_training)
    x = torch.cat(parts).reshape(len(measurement), n, *shape)
    per_call = model.calls_per_call
    return PosteriorSamples(x, sampler.calls * per_call, time.process_time() - began)
