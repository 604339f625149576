"""Posterior-mean matching, the maximum-likelihood loss of IR-SDE: regress the reverse step on its optimum.

Of a chain of N steps take one, from t = i/N down to s = (i - 1)/N. With the forward transition
x_t = r x_s + b x_1 + G ξ, the model's reverse step and the mean of x_s given x_t and both ends are

    (2 - r) x_t - b x_1 + G² score(x_t),        α_s x_0 + β_s x_1 + (r γ_s²/γ_t) z,

and the loss is their mean absolute difference. In the limit of many steps it is that of the noise with the
weight g²/(γN): small where the noise is, and a bounded share of it everywhere. The absolute value has its
minimum at the median; the residual is close to symmetric, and the paper takes it so.
Unsuited to few steps, where the Euler step is biased by O((1 - r)²), and `score_matching` is not.

Source: Luo et al. (2023), IR-SDE, arXiv 2301.11699, equations 12 and 13: A = r, B = α_t, C = α_s there.
Oracle: the loss written out with the paper's A, B, C; the least loss at the exact denoiser (tests/objectives).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.objectives.base import (
    NOISE,
    anchor_of,
    answers,
    check_batch,
    check_end,
    mix,
    per_sample,
    process_of,
)
from girsanov.objectives.times import uniforms
from girsanov.processes import Transition, need
from girsanov.processes.base import like_batch
from girsanov.typing import Tree


@dataclass(frozen=True)
class PosteriorMean:
    """See the head of the module, and `posterior_mean_matching`."""

    steps: int = 100

    def __post_init__(self) -> None:
        whole = isinstance(self.steps, int) and self.steps >= 2
        require(whole, f"steps is {self.steps!r}; give a whole number of at least 2, such as 100")

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`."""
        process = process_of(model)
        require(
            process.end != "marginal" and process.gamma(1.0) > 0 and process.alpha(1.0) > 0,
            f"posterior_mean_matching needs noise and some of the data at t = 1, and {process!r} has not; "
            "use score_matching()",
            Unsuitable,
        )
        check_batch(x0)
        check_end(process, x0, end)
        source = as_source(generator)
        i = (uniforms(len(x0), source, True) * self.steps).floor() + 1
        t, s = (like_batch(v / self.steps, x0.double()) for v in (i, i - 1))
        forward = need(process, Transition, "posterior_mean_matching").transition(s, t)
        alpha, beta, gamma = process.alpha(s), process.beta(s), process.gamma(s)
        optimum = alpha, beta, forward.state * gamma**2 / process.gamma(t)
        z = source.draw(x0, NOISE)
        times = (i / self.steps).to(x0)
        x = mix(process.values(times), x0, end, z)
        (score,) = answers(model, ("score",), x, times, cond=cond, anchor=anchor_of(process, end))
        like = [torch.as_tensor(v).to(x0) for v in (*optimum, *forward)]
        best, (r, b, g) = mix(like[:3], x0, end, z), like[3:]
        step = (2 - r) * x + g**2 * score - (b * end if end is not None else 0.0)
        return per_sample((step - best).abs())


def posterior_mean_matching(steps: int = 100) -> PosteriorMean:
    """The maximum-likelihood loss of IR-SDE, for a process with one random end.

    Args:
        steps: of the chain, at least 2; 100 in the paper.

    Raises:
        InputError: `steps` out of range. In the call: data that are no float batch, x_1 missing.
        Unsuitable: in the call: a process of two random ends, or one that ends without noise or data.
    """
    return PosteriorMean(steps)
