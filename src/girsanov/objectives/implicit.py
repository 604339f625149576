"""Score matching without a closed conditional law: the score of the samples themselves.

By integration by parts, and up to a term that no parameter moves,

    ½ E|s(x) - ∇log p(x)|² = E[½|s(x)|² + tr ∂s(x)]                     implicit (Hyvärinen 2005)
                           = E[½|s(x)|² + vᵀ ∂s(x) v],  E[vvᵀ] = I       sliced, reduced variance

The trace costs one backward pass for each coordinate, a slice costs one. Both differentiate twice, so the
network must be smooth (SiLU, tanh; not ReLU), and a sample may not depend on others of its batch.

These losses follow the data into their smallest detail and overfit there: where noise can be added, prefer
`score_matching`, whose target is known. A denoiser is trained at one time t; anything else that is called as
score(x) learns the score of the data.

Oracle: on Gaussian data, the minimizer is that of denoising score matching (tests/objectives).
Source: Hyvärinen (2005), theorem 1; Song, Garg, Shi & Ermon (2019), Sliced score matching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import cast

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source, rademacher
from girsanov.objectives.base import (
    NOISE,
    Source,
    anchor_of,
    answers,
    check_batch,
    check_end,
    mix,
    per_sample,
    process_of,
)
from girsanov.typing import Tree

EXACT_LIMIT = 256
SLICE = 8
"""The key of the first slicing vector; see `base` for the others."""

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ScoreOfSamples:
    """Both losses: `projections` slices, or the whole trace if that is None.

    See the head of the module, `sliced_score_matching` and `implicit_score_matching`.
    """

    t: float | None = None
    projections: int | None = None

    def __post_init__(self) -> None:
        require(self.t is None or 0 < self.t <= 1, f"t is {self.t}; give a time above 0, at most 1")
        require(
            self.projections is None or self.projections >= 1,
            f"projections is {self.projections}; give at least 1, or use implicit_score_matching()",
        )

    def __call__(
        self,
        model: AbstractDenoiser | Score,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`. `model` may also be a function, score(x) -> (B, *shape)."""
        check_batch(x0)
        self._check_size(x0)
        source, keep = as_source(generator), torch.is_grad_enabled()
        with torch.enable_grad():  # validation runs without gradients, and the trace needs them
            if self.t is None:
                x, score = self._of_data(model, x0, cond, end)
            else:
                x, score = self._at_time(model, x0, cond, end, source)
            if self.projections is None:
                trace = exact_trace(score, x)
            else:
                probes = [source.draw(x, SLICE + i, rademacher) for i in range(self.projections)]
                trace = sum((quadratic(score, x, v) for v in probes), torch.zeros(())) / len(probes)
            loss = per_sample(score.square()) / 2 + trace / prod(x.shape[1:])
        return loss if keep else loss.detach()

    def _of_data(
        self, model: AbstractDenoiser | Score, x0: Tensor, cond: Tree, end: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The data and the score there."""
        require(
            not hasattr(model, "process") and cond is None and end is None,
            "without t the model is called as score(x); for a denoiser, or with cond or end, give t=",
            Unsuitable,
        )
        x = x0.detach().requires_grad_()
        return x, cast(Score, model)(x)

    def _at_time(
        self, model: AbstractDenoiser | Score, x0: Tensor, cond: Tree, end: Tensor | None, source: Source
    ) -> tuple[Tensor, Tensor]:
        """A noisy sample at time t and the denoiser's score there."""
        denoiser = cast(AbstractDenoiser, model)
        process = process_of(denoiser)
        check_end(process, x0, end)
        t = torch.full(x0.shape[:1], cast(float, self.t), dtype=x0.dtype, device=x0.device)
        x = mix(process.values(t), x0, end, source.draw(x0, NOISE)).detach().requires_grad_()
        (score,) = answers(denoiser, ("score",), x, t, cond=cond, anchor=anchor_of(process, end))
        return x, score

    def _check_size(self, x0: Tensor) -> None:
        size = x0[:1].numel()
        require(
            self.projections is not None or size <= EXACT_LIMIT,
            f"a sample has {size} coordinates, and the exact trace takes a backward pass for each; the limit "
            f"is {EXACT_LIMIT}. Use sliced_score_matching()",
        )


def implicit_score_matching(t: float | None = None) -> ScoreOfSamples:
    """Implicit score matching with the exact trace, for at most 256 coordinates.

    Args:
        t: the time at which a denoiser is trained; None for a function score(x) of the data themselves.

    Raises:
        InputError: t outside (0, 1]. In the call: too many coordinates.
        Unsuitable: in the call: a denoiser without t, or a function with t.
    """
    return ScoreOfSamples(t)


def sliced_score_matching(t: float | None = None, *, projections: int = 1) -> ScoreOfSamples:
    """Sliced score matching with reduced variance (SSM-VR), with Rademacher slices.

    Args:
        t: the time at which a denoiser is trained; None for a function score(x) of the data themselves.
        projections: slices a sample; each costs one backward pass.

    Raises:
        InputError: t outside (0, 1], projections below 1.
        Unsuitable: in the call: a denoiser without t, or a function with t.
    """
    return ScoreOfSamples(t, projections)


def exact_trace(y: Tensor, x: Tensor) -> Tensor:
    """tr ∂y/∂x of each sample (B,), where y (B, *shape) is computed from x (B, *shape)."""
    columns = y.flatten(1).unbind(1)
    parts = [_gradient(column, x).flatten(1)[:, j] for j, column in enumerate(columns)]
    return torch.stack(parts).sum(0)


def quadratic(y: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """vᵀ (∂y/∂x) v of each sample (B,), for v (B, *shape)."""
    return (_gradient(y * v, x) * v).flatten(1).sum(1)


def _gradient(y: Tensor, x: Tensor) -> Tensor:
    """∂(Σ y)/∂x, itself differentiable; 0 where y does not depend on x."""
    (found,) = torch.autograd.grad(y.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)
    return found
