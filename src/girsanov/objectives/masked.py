"""Masked modelling as maximum likelihood: the bound of masked diffusion without a time.

A masking process undone one coordinate at a time bounds the log-likelihood of x_0 with L coordinates by

    -log p(x_0) ≤ Σ_{n=1}^{L} (1/n) E Σ_{masked l} -log p_θ(x_0^l | x),   x with n masks at random places,

and one n ~ U{1, …, L}, taken L times, estimates the sum. The loss is that over L, nats a coordinate, as the size
of losses here does not depend on the resolution. A network with a time input is given the time of the n-th mask,
with 1 - α(t) ~ Beta(n, L - n + 1): integrated over it the bound is the usual one over times.

Source: Zheng et al. (2024), arXiv 2409.02908, section 3 and proposition 3.1.
Oracle: on independent coordinates the bound is tight; with exact conditionals it is the mean over orders of an
exact chain rule (tests/objectives/test_masked_nelbo.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.objectives.base import TIME, process_of
from girsanov.processes import Masked
from girsanov.processes.base import refuse_end
from girsanov.typing import Tree


@dataclass(frozen=True)
class MaskedNELBO:
    """The loss; see the head of the module and `masked_nelbo`."""

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,), nats a coordinate; x0 (B, *shape) integers from 0 to classes - 1. See `Objective`."""
        process = masking_of(model)
        refuse_end(process, end)
        source = as_source(generator)
        draws = source.draw(torch.empty(len(x0), 1, dtype=torch.float64, device=x0.device), TIME, uniform)
        n = 1 + (draws[:, 0] * x0[0].numel()).long() if len(x0) else torch.ones(0, dtype=torch.int64)
        state = process.stopped(x0, n, generator=source)
        (logits,) = model(state.x, state.t, cond=cond)
        logs = torch.log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
        # Known coordinates have log p = 0 exactly, so the sum is over the masked ones.
        surprise = -logs.gather(-1, x0.long()[..., None])[..., 0]
        return surprise.flatten(1).sum(1) / n


def masked_nelbo() -> MaskedNELBO:
    """The negative likelihood bound of a masking process, nats a coordinate, without a time.

    Raises:
        Unsuitable: in the call: a model of another process, or one that does not store logits.
        InputError: in the call: data that are no integers from 0 to classes - 1.
    """
    return MaskedNELBO()


def masking_of(model: AbstractDenoiser) -> Masked:
    """The masking process that the model reverses; others are refused."""
    process: Masked = process_of(model, Masked)
    require(
        model.stored == ("logits",),
        f"masked_nelbo needs a model that stores logits, and this one stores {', '.join(model.stored)}",
        Unsuitable,
    )
    return process
