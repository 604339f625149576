"""A law on short sequences as a table, with the exact denoiser of its masking.

With p(x) for each of the K^L sequences, the law of a masked coordinate given the known ones is

    P(x_l = k | known) = Σ p(x) over sequences that agree with the known and have x_l = k, divided by the sum
    over all that agree,

whatever the time. It is the oracle of samplers and bounds on discrete data, for K^L up to a million.
Oracle: conditionals of a product are its factors; chained conditionals give the table back
(tests/exact/test_sequences.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.processes import Masked
from girsanov.typing import Time, Tree

MOST = 2**20


class SequenceTable:
    """A law on sequences of L places with K values each.

    Args:
        probs: (K, K, …, K), one dimension for each place; at least 0 and summing to 1.

    Raises:
        InputError: sides that differ, more than 2^20 sequences, or numbers that are no law.
    """

    def __init__(self, probs: Tensor) -> None:
        sides = set(probs.shape)
        require(
            probs.ndim >= 1 and len(sides) == 1 and max(sides) >= 2 and probs.numel() <= MOST,
            f"probs is {tuple(probs.shape)}; give one dimension of K values for each place, at most {MOST} sequences",
        )
        self.probs = probs.double()
        total = float(self.probs.sum())
        require(
            bool((self.probs >= 0).all()) and abs(total - 1) < 1e-6,
            f"probs sum to {total:.9g}, the least being {float(self.probs.min()):.3g}; give a law",
        )
        self.classes, self.length = max(sides), probs.ndim

    @property
    def sequences(self) -> Tensor:
        """All sequences (K^L, L), in the order of `probs.flatten()`."""
        values = torch.arange(self.classes)
        return torch.cartesian_prod(*[values] * self.length).reshape(-1, self.length)

    def index(self, x: Tensor) -> Tensor:
        """The row of `sequences` that each x (B, L) is, (B,)."""
        steps = self.classes ** torch.arange(self.length - 1, -1, -1)
        return (x.long() * steps).sum(1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of sequences (B, L), in nats, (B,)."""
        return self.probs.flatten()[self.index(x)].log()

    def denoiser(self, process: Masked) -> TableDenoiser:
        """The exact denoiser under a masking process with as many classes."""
        return TableDenoiser(self, process)


class TableDenoiser(AbstractDenoiser):
    """The exact denoiser of a `SequenceTable`; stores the logits of the clean coordinates.

    A state that no sequence of positive probability agrees with, which only approximate samplers reach, is
    answered with equal logits.
    """

    stored = ("logits",)
    process: Masked

    def __init__(self, law: SequenceTable, process: Masked) -> None:
        super().__init__()
        require(
            process.classes == law.classes,
            f"the process has {process.classes} classes and the table {law.classes}; they must agree",
        )
        self.law, self.process, self.shape = law, process, (law.length,)

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_state(x)
        known = self.law.sequences
        agree = ((x[:, None] == known) | (x[:, None] == self.process.mask)).all(-1)
        weights = agree * self.law.probs.flatten()
        one_hot = torch.nn.functional.one_hot(known, self.law.classes).double()
        mass = torch.einsum("bs,slk->blk", weights, one_hot)
        logits = torch.where(weights.sum(1)[:, None, None] > 0, mass, 1.0).log()
        return (self.process.finish("logits", x, t, logits),)
