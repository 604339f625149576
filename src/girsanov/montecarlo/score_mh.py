"""Metropolis-Hastings from a score alone: the log-ratio is the score's work on the way to the proposal.

    x* = x + τ ξ,    log p(x*) − log p(x) = ∫_0^1 s(x + u(x* − x))·(x* − x) du,    accept with min(1, e^·)

by Gauss-Legendre points on the segment (one is the midpoint rule). With s = ∇log p the quadrature is the only error
and five points are exact for polynomials of degree 9. If s is no gradient, the ratio depends on the path and the
chain has no law to be right about: measure `metrics.circulation` first.

Source: Alain & Bengio (2014), What regularized auto-encoders learn, section 4.
Oracle: it leaves a Gaussian as it is (tests/montecarlo/test_score_mh.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.metrics import line_integral
from girsanov.noise import Randomness, Source, as_source, uniform

PROPOSE, ACCEPT = 0, 1
"""Keys of the two draws of a transition."""


class Walked(NamedTuple):
    """Where the chains are, x (B, *shape), and the share of proposals that each accepted, (B,)."""

    x: Tensor
    acceptance: Tensor


@dataclass(frozen=True, eq=False)
class ScoreMetropolisHastings:
    """The kernel and its walk; see the head of the module.

    Args:
        score: s(x) (B, *shape), such as `lambda x: model.score(x, 0.05)`.
        proposal_std: τ, above 0, in units of x.
        quadrature: points on the segment, each one call of the score.

    Raises:
        InputError: a τ or a number of points out of range.
    """

    score: Callable[[Tensor], Tensor]
    proposal_std: float
    quadrature: int = 5

    def __post_init__(self) -> None:
        require(
            0 < self.proposal_std < math.inf,
            f"proposal_std is {self.proposal_std}; give a number above 0, near the width of a mode",
        )
        require(
            1 <= self.quadrature <= 64, f"quadrature is {self.quadrature}; give 1 to 64 points, such as 5"
        )

    @torch.no_grad()
    def __call__(self, x: Tensor, steps: int, *, generator: Randomness = None) -> Walked:
        """Walk from x (B, *shape), one chain a row.

        Raises:
            InputError: a start that is empty or not finite, or fewer than 1 step.
        """
        require(x.ndim >= 2 and len(x) > 0, f"x has shape {tuple(x.shape)}; give the starts (B, *shape)")
        require_finite(x, "x")
        require(steps >= 1, f"steps is {steps}; give at least 1")
        source = as_source(generator)
        accepted = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        for k in range(steps):
            x, moved = self.step(x, source.child(k))
            accepted += moved
        return Walked(x, accepted / steps)

    def step(self, x: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        """One transition: the states, and which chains moved (B,)."""
        proposal = x + self.proposal_std * source.draw(x, PROPOSE)
        ratio = line_integral(self.score, torch.stack([x, proposal], 1), quadrature=self.quadrature).work
        u = source.draw(ratio[:, None], ACCEPT, uniform)[:, 0]
        moved = u.clamp(min=1e-300).log() < ratio
        return torch.where(moved.reshape(-1, *[1] * (x.ndim - 1)), proposal, x), moved
