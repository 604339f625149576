"""Score matching for data above 0, where noise multiplies.

For a density p on x > 0 let h = x ∘ ∇log p(x), which is ∇log of the density of u = log x, less 1. With
log x_t = log x_0 + √V z the conditional h is known, and

    multiplicative   ½ E V |h(x_t) + 1 + z/√V|²                       fits h at noise V                 (1)
    non-negative     E Σ_i [2 x_i ψ_i + x_i² ∂_i ψ_i + ½ x_i² ψ_i²]    fits ψ = h/x at the data          (2)
                   = ½ E |h - h_p|² + const

(2) is (1)/V for V → 0, up to a constant, by integration by parts, which needs x p(x) → 0 at 0. In
u = log x it is implicit score matching and (1) is denoising score matching; so a denoiser of
`processes.Geometric`, whose `score` is h + 1, is trained by `score_matching("noise")`, which is (1) at all V.
These objectives are for functions of x alone.

Source: Shetty, Prasath & Seelamantula (2025), Dale meets Langevin; Hyvärinen (2007), Some extensions of score
matching, section 3, for (2).
Oracle: minimizers for log-normal and Gamma data, finite differences, (2) written out
(tests/objectives/test_multiplicative.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source
from girsanov.objectives.base import NOISE, check_batch, per_sample
from girsanov.objectives.implicit import exact_trace
from girsanov.processes.charts import CHARTS

Score = Callable[[Tensor], Tensor]
"""ψ(x) = ∇log q(x), (B, *shape) to (B, *shape)."""


@dataclass(frozen=True)
class MultiplicativeDSM:
    """Equation (1) at one V; see `multiplicative_dsm`."""

    variance: float
    antithetic: bool = False

    def __post_init__(self) -> None:
        require(0 < self.variance < math.inf, f"variance is {self.variance}; give a number above 0")

    def __call__(self, score: Score, x0: Tensor, *, generator: Randomness = None) -> Tensor:
        """Losses (B,) of ψ at noisy data; x0 is (B, *shape), above 0."""
        check_batch(x0)
        u, std, z = CHARTS["log"].into(x0), math.sqrt(self.variance), as_source(generator).draw(x0, NOISE)

        def loss(z: Tensor) -> Tensor:
            x = (u + std * z).exp()
            return per_sample((std * (x * score(x) + 1) + z).square()) / 2

        return (loss(z) + loss(-z)) / 2 if self.antithetic else loss(z)


@dataclass(frozen=True)
class NonnegativeScoreMatching:
    """Equation (2); see `nonnegative_score_matching`."""

    def __call__(self, score: Score, x0: Tensor, *, generator: Randomness = None) -> Tensor:
        """Losses (B,) of ψ at the data; x0 is (B, *shape), above 0."""
        check_batch(x0)
        keep = torch.is_grad_enabled()
        with torch.enable_grad():
            u = CHARTS["log"].into(x0).detach().requires_grad_()
            x = u.exp()
            h = x * score(x)
            # x_i ∂h_i/∂x_i = x_i ψ_i + x_i² ∂_i ψ_i is ∂h_i/∂u_i.
            loss = per_sample(h + h.square() / 2) + exact_trace(h, u) / prod(x0.shape[1:])
        return loss if keep else loss.detach()


def multiplicative_dsm(variance: float, *, antithetic: bool = False) -> MultiplicativeDSM:
    """Denoising score matching of a function ψ(x) under log-normal noise of one variance.

    Args:
        variance: V of log x_t given x_0; the function learns the score of data with that much noise.
        antithetic: the mean over z and -z, at two calls. For small V it is worth them: the variance of the
            gradient, which is as 1/V in units of h, stays bounded.

    Raises:
        InputError: V not above 0. In the call: data that are not above 0.
    """
    return MultiplicativeDSM(variance, antithetic)


def nonnegative_score_matching() -> NonnegativeScoreMatching:
    """Hyvärinen's score matching of a function ψ(x) for data above 0, without noise.

    One backward pass for each coordinate of a sample, and it differentiates twice.

    Raises:
        InputError: in the call: data that are not above 0.
    """
    return NonnegativeScoreMatching()
