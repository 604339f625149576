"""Minority guidance: what is rare according to the denoiser itself, as a class to be guided to.

A denoiser pulls a noisy sample to where most of the data are, so what is rare comes back far away. The minority score

    l(x_0) = E_z[d(x_0, x̂_0(α x_0 + γ z, t*))]

is that distance. Its quantile classes are labels, as any: train a `NoisyClassifier` on them, and guide by it with
`classifier`. For N(0, s²) with the squared distance, and σ = γ,

    l(x) = (σ²/(α² s² + σ²))² x² + (s² α σ/(α² s² + σ²))².

The score grows with a component's own width as well as with its rarity; t* late enough, that is, with enough noise,
weighs rarity more. Not for models that have seen too little of the rare to denoise it at all.
Source: Um, Lee & Ye (2024), Don't play favorites: minority guidance for diffusion models, arXiv 2301.12334; their
t* is step 60 of 100, d is LPIPS, 5 draws, 100 classes, scale 3.5.
Oracle: the formula above; counts of classes (tests/guidance/test_minority.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.guidance.base import check_denoiser
from girsanov.noise import Randomness, as_source
from girsanov.processes import GaussianConditional, need
from girsanov.typing import Tree

Distance = Callable[[Tensor, Tensor], Tensor]
"""Clean samples and denoised ones, each (B, *shape), to (B,)."""


def squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """|x - y|², (B,), summed over the coordinates."""
    return (x - y).flatten(1).square().sum(1)


@torch.no_grad()
def minority_score(
    model: AbstractDenoiser,
    x: Tensor,
    *,
    t: float = 0.6,
    distance: Distance = squared_distance,
    draws: int = 5,
    cond: Tree = None,
    generator: Randomness = None,
) -> Tensor:
    """How far a sample comes back from noise, (N,): large for what is rare.

    Args:
        model: a denoiser of a one-sided Gaussian process, trained on the data.
        x: (N, *shape), clean samples.
        t: t*, inside (0, 1).
        distance: of samples; for pictures best one between features.
        draws: of noise; each costs one network call a sample.
        cond: what the model is conditioned on.

    Raises:
        InputError: t outside (0, 1), draws below 1, or NaN in x.
        Unsuitable: not a denoiser of such a process.
    """
    check_denoiser(model)
    process = need(model.process, GaussianConditional, "minority_score")
    require(process.end == "noise", f"minority_score needs one random end, not {process!r}", Unsuitable)
    require(0 < t < 1, f"t is {t}; give a time inside (0, 1), such as 0.6")
    require(isinstance(draws, int) and draws >= 1, f"draws is {draws!r}; give at least 1")
    require_finite(x, "x")
    source, total = as_source(generator), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i in range(draws):
        noisy, _ = process.perturb(x, t, generator=source.child(i))
        total += distance(x, process.out_of(model.data(noisy, t, cond=cond)))
    return total / draws


def minority_classes(score: Tensor, classes: int = 100) -> Tensor:
    """Quantile classes of a score, (N,) int64 from 0, the usual, to classes - 1, the rarest; equal scores by order.

    Args:
        score: (N,), of training data.
        classes: at most N; the paper has 100, a small set is better served by 10.

    Raises:
        InputError: more classes than samples, or NaN.
    """
    require(score.ndim == 1, f"score has shape {tuple(score.shape)}; give (N,), as minority_score answers")
    require_finite(score, "score")
    require(
        isinstance(classes, int) and 2 <= classes <= len(score),
        f"classes is {classes!r} for {len(score)} samples; give a whole number from 2 to {len(score)}",
    )
    label = torch.empty(len(score), dtype=torch.int64, device=score.device)
    rank = torch.arange(len(score), device=score.device)
    label[score.argsort(stable=True)] = rank * classes // len(score)
    return label
