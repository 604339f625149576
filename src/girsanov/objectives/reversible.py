"""Regression for processes with a draw and a step back of their own: E |answer(x_t, t) - target|².

`perturb` draws x_t with the target whose mean given x_t is what the model stores, so its regression is denoising
score matching for a process that is no interpolant. Times are uniform: the process has its own clock for the noise.

Oracle: the gradient vanishes at the exact answer (tests/processes/test_every_process.py).
Source: Vincent (2011), A connection between score matching and denoising autoencoders.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.noise import Source
from girsanov.objectives.base import check_batch, drop_labels, per_sample
from girsanov.objectives.times import uniforms
from girsanov.typing import Tree


def regress_answer(
    model: AbstractDenoiser,
    x0: Tensor,
    *,
    cond: Tree,
    end: Tensor | None,
    source: Source,
    stratified: bool,
    label_dropout: float,
) -> Tensor:
    """Losses (B,) of a model of a `Reversible` process; see `objectives.Objective`."""
    process: Any = model.process
    check_batch(x0)
    first = process.t_min
    t = (first + (1 - first) * uniforms(len(x0), source, stratified)).to(x0.device, x0.dtype)
    x, target = process.perturb(x0, t, end=end, generator=source)
    (answer,) = model(x, t, cond=drop_labels(cond, label_dropout, source))
    return per_sample((answer - target).square())
