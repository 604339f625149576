"""Strings of DNA with motifs, as an exact law: a pretrained masked diffusion without any error of training.

A hidden chain is in the background or at place i of motif j; from the background it enters each motif with
probability `ENTER`, runs through it and comes back. Each state emits a letter; a motif its own one with probability
0.88. So the law of a masked letter given the known ones is closed (Rabiner 1989, forward and backward), and a string
has an exact likelihood.

Oracle: all strings of three letters, added up (tests/papers/test_motifs.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.noise import Randomness
from girsanov.processes import Masked
from girsanov.solvers import FirstHitting
from girsanov.typing import Time, Tree

LETTERS = "ACGT"
MOTIFS = ("TATAAT", "GGCCGC", "CACGTG")
LENGTH, ENTER, FAITHFUL = 50, 0.01, 0.88
BACKGROUND = (0.3, 0.2, 0.2, 0.3)
SPACING = range(10, 15)
"""How far behind the first motif the second may start."""


def letters(word: str) -> Tensor:
    """The numbers of letters, (L,)."""
    return torch.tensor([LETTERS.index(letter) for letter in word])


def chain() -> tuple[Tensor, Tensor]:
    """(S, S) transitions and (S, 4) emissions; state 0 is the background, then the places of each motif in order."""
    words = [letters(word) for word in MOTIFS]
    size = 1 + sum(map(len, words))
    moves = torch.zeros(size, size, dtype=torch.float64)
    emits = torch.full((size, 4), (1 - FAITHFUL) / 3, dtype=torch.float64)
    emits[0], moves[0, 0], place = torch.tensor(BACKGROUND, dtype=torch.float64), 1 - ENTER * len(words), 1
    for word in words:
        moves[0, place] = ENTER
        for i, letter in enumerate(word.tolist()):
            emits[place + i, letter] = FAITHFUL
            moves[place + i, place + i + 1 if i + 1 < len(word) else 0] = 1
        place += len(word)
    return moves, emits


class MotifDenoiser(AbstractDenoiser):
    """The exact denoiser of strings of `length`; stores the logits of the clean letters."""

    stored = ("logits",)
    process: Masked

    def __init__(self, length: int = LENGTH) -> None:
        super().__init__()
        self.process, self.shape = Masked(4), (length,)
        self.moves, self.emits = chain()

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        seen = self._seen(x)
        before, _ = self._forward(seen)
        after = torch.ones_like(before)
        for i in range(x.shape[1] - 1, 0, -1):
            found = (after[:, i] * seen[:, i]) @ self.moves.T
            after[:, i - 1] = found / found.sum(1, keepdim=True)
        law = (before * after) @ self.emits
        return (self.process.finish("logits", x, t, law.log()),)

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact, of strings (B, length) in which letters may be masked; (B,) nats."""
        return self._forward(self._seen(x))[1]

    def _seen(self, x: Tensor) -> Tensor:
        """P(letter | state), 1 where it is masked; (B, L, S)."""
        table = torch.cat([self.emits, torch.ones_like(self.emits[:, :1])], 1)
        return table.T[x]

    def _forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """P(state | letters before), (B, L, S), and the log-likelihood."""
        state, total = self.moves[0].expand(len(seen), -1), torch.zeros(len(seen), dtype=torch.float64)
        states = []
        for i in range(seen.shape[1]):
            states.append(state)
            joint = state * seen[:, i]
            size = joint.sum(1)
            total, state = total + size.log(), (joint / size[:, None]) @ self.moves
        return torch.stack(states, 1), total


def strings(model: MotifDenoiser, n: int, generator: Randomness) -> Tensor:
    """n draws of the law, (n, length)."""
    (length,) = model.shape or ()
    start = torch.full((n, length), model.process.mask)
    return FirstHitting(length)(model, start, generator=generator)


def hits(x: Tensor) -> Tensor:
    """Where each motif starts, with at most one wrong letter: (B, motifs, places), bool."""
    one_hot = torch.nn.functional.one_hot(x, 5)[..., :4].float().transpose(1, 2)
    words = torch.stack([torch.nn.functional.one_hot(letters(word), 4).T.float() for word in MOTIFS])
    return torch.nn.functional.conv1d(one_hot, words) >= words.shape[2] - 1


def reward(x: Tensor) -> Tensor:
    """The number of hits, doubled if the second motif starts 10 to 14 letters behind the first; (B,)."""
    found = hits(x)
    first, second = found[:, 0], found[:, 1]
    spaced = torch.stack([(first[:, :-d] & second[:, d:]).any(1) for d in SPACING]).any(0)
    return found.sum((1, 2)) * (1.0 + spaced)
