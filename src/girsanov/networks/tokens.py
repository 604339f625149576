"""A transformer over tokens: what stands at each place, told from all the others.

    h ← h + attention(LN(h)),   h ← h + perceptron(LN(h)),   logits = linear(LN(h))

with learned vectors for tokens and for places, and attention in both directions. Masked diffusion needs no time
input (see `processes.masked`); with `timed` the time is added to every token.
Source: Devlin et al. (2019), BERT, for the two-sided encoder; Xiong et al. (2020) for the norm before each branch.
Oracle: with its places alike it commutes with permutations of the tokens (tests/networks/test_tokens.py).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import InputError, require
from girsanov.networks.base import DEEPEST, INTEGERS, Attention, Embedding, require_sizes, zeroed
from girsanov.networks.registry import register
from girsanov.typing import Tree


@register
class TokenTransformer(nn.Module):
    """Integers (B, *shape) of `length` places to logits (B, *shape, classes).

    The mask is the integer `classes`. Arrays of more dimensions are read row by row. `TokenTransformer(64, 64)` has
    816,576 parameters.

    Args:
        classes: the number of values of a place; the network knows one more, the mask.
        length: the number of places.
        width: the length of a token's vector, a multiple of `heads`.
        depth: the number of blocks.
        heads: of the attention.
        timed: whether the time is looked at.

    Raises:
        InputError: sizes out of range or that do not divide; when called, other shapes or numbers.
    """

    config: dict[str, Any]

    def __init__(
        self,
        classes: int,
        length: int,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        timed: bool = False,
    ) -> None:
        super().__init__()
        require_sizes("TokenTransformer", classes=classes, length=length, width=width, heads=heads)
        require_sizes("TokenTransformer", most=DEEPEST, depth=depth)
        self.classes, self.length = classes, length
        self.tokens = nn.Embedding(classes + 1, width)
        self.places = nn.Parameter(torch.empty(length, width))
        for weight in (self.tokens.weight, self.places):
            nn.init.normal_(weight, std=0.02)
        self.time = Embedding(width, None) if timed else None
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = zeroed(nn.Linear(width, classes))

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        places = math.prod(x.shape[1:])
        require(
            x.dtype in INTEGERS and x.ndim >= 2 and places == self.length,
            f"x is {x.dtype} {tuple(x.shape)}; this TokenTransformer takes integers (B, *shape) of {self.length} places",
        )
        if cond is not None:
            raise InputError("cond was given, and a TokenTransformer has no labels; leave it out")
        h = self.tokens(x.long().flatten(1)) + self.places
        if self.time is not None:
            h = h + self.time(t, None)[:, None]
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h)).reshape(*x.shape, self.classes)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        h = h + self.attention(self.before(h))
        return h + self.outer(F.gelu(self.inner(self.between(h)), approximate="tanh"))
