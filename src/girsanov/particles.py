"""Weighted samples as a value: groups of particles, their log-weights, and resampling.

Particles come in G groups of P rows each, such as the draws of G measurements; weights are normalized in a group. The
effective sample size (Σ w)²/Σ w² falls from P to 1 as they degenerate. `resample` is systematic: a particle of weight w
is kept ⌊P w⌋ or ⌈P w⌉ times, so that even weights change nothing.
Source: Kitagawa (1996); Chopin & Papaspiliopoulos (2020), An introduction to sequential Monte Carlo, chapter 9.
Oracle: counts of the copies, expectations kept (tests/test_particles.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source, uniform


@dataclass(frozen=True)
class Particles:
    """G groups of P particles.

    Args:
        values: tensors whose first dimension is the G·P rows, group after group.
        log_weights: (G, P), up to a constant in each group.

    Raises:
        InputError: numbers of rows that do not fit.
    """

    values: tuple[Tensor, ...]
    log_weights: Tensor

    def __post_init__(self) -> None:
        rows = self.log_weights.numel()
        require(
            self.log_weights.ndim == 2 and all(len(v) == rows for v in self.values),
            f"log_weights are {tuple(self.log_weights.shape)} and the values have "
            f"{[len(v) for v in self.values]} rows; give (G, P) and G·P rows",
        )

    @property
    def weights(self) -> Tensor:
        """(G, P), normalized."""
        return torch.softmax(self.log_weights, 1)

    @property
    def ess(self) -> Tensor:
        """The effective sample sizes, (G,)."""
        return 1 / self.weights.square().sum(1)

    def reweight(self, log_weights: Tensor) -> Particles:
        """With weights multiplied by exp(log_weights), (G·P,)."""
        return Particles(self.values, self.log_weights + log_weights.reshape_as(self.log_weights))

    def moved(self, *values: Tensor) -> Particles:
        """Other values with the same weights."""
        return Particles(values, self.log_weights)

    def resample(self, index: int, generator: Randomness = None, *, below: float = 1.0) -> Particles:
        """Systematic resampling of the groups whose effective sample size is below that share of P.

        Args:
            index: the key of the draw.
            generator: draws one uniform number for each group.
            below: 1 resamples every group.
        """
        groups, size = self.log_weights.shape
        chosen = self.ess < below * size if below < 1 else torch.ones(groups, dtype=torch.bool)
        if not bool(chosen.any()):
            return self
        # One number a row and the first of each group taken, so that a group's does not depend on the others.
        u = as_source(generator).draw(self.log_weights.new_empty(groups * size, 1), index, uniform)
        u = u.reshape(groups, size)[:, :1]
        places = (torch.arange(size, device=u.device) + u) / size
        edges = self.weights.cumsum(1)
        picked = torch.searchsorted(edges / edges[:, -1:], places.contiguous()).clamp(max=size - 1)
        still = torch.arange(size, device=u.device).expand(groups, size)
        rows = torch.where(chosen[:, None].to(u.device), picked, still)
        flat = (rows + size * torch.arange(groups, device=u.device)[:, None]).flatten()
        log_weights = torch.where(chosen[:, None].to(u.device), 0.0, self.log_weights)
        return Particles(tuple(v[flat] for v in self.values), log_weights)


def particles(values: Sequence[Tensor], groups: int, log_weights: Tensor) -> Particles:
    """Particles from rows (G·P, ...) and their log-weights (G·P,)."""
    return Particles(tuple(values), log_weights.reshape(groups, -1))
