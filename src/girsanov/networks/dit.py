"""The diffusion transformer: patches as tokens, time and label through adaLN-Zero.

    tokens ← tokens + gate₁ · attention((1 + scale₁) · LN(tokens) + shift₁)
    tokens ← tokens + gate₂ · perceptron((1 + scale₂) · LN(tokens) + shift₂)

with the three pairs (scale, shift, gate) linear in the embedding and zero at the start, so that every
block starts as the identity. Positions are fixed: sines and cosines of the row and of the column.
Source: Peebles & Xie (2023), Scalable diffusion models with transformers, section 3.2, arXiv 2212.09748.
Oracle: without positions it commutes with permutations of the patches (tests/networks/test_dit.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import require
from girsanov.networks.base import DEEPEST, Attention, Embedding, require_batch, require_sizes, zeroed
from girsanov.networks.registry import register
from girsanov.typing import Tree


@register
class DiT(nn.Module):
    """Images of one shape, (B, C, H, W) to (B, outputs, H, W).

    `DiT((1, 8, 8))` has 1,240,708 parameters. On a CPU, and where data are few, `UNet` learns faster.

    Args:
        shape: (C, H, W) of one sample.
        patch: the side of a patch; it divides H and W. Attention costs the square of (H/patch)(W/patch).
        width: the length of a token, a multiple of 4 and of `heads`.
        depth: the number of blocks.
        heads: of the attention.
        classes: the number of labels; None for a network without labels.
        outputs: channels of the answer where they differ from C, such as 2 · C for two words.

    Raises:
        InputError: sizes out of range or that do not divide; when called, shapes or labels that do not fit.
    """

    config: dict[str, Any]

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        patch: int = 2,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        classes: int | None = None,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        channels, height, columns = shape
        require_sizes("DiT", channels=channels, height=height, columns=columns, patch=patch, width=width)
        require_sizes("DiT", heads=heads, classes=classes, outputs=outputs)
        require_sizes("DiT", most=DEEPEST, depth=depth)
        require(
            height % patch == 0 and columns % patch == 0,
            f"DiT: patches of {patch} do not tile {height}×{columns}; give a patch that divides both sides",
        )
        require(width % 4 == 0, f"DiT: width is {width}; give a multiple of 4, for the positions")
        self.shape, self.patch = shape, patch
        self.embedding = Embedding(width, classes)
        self.stem = nn.Linear(channels * patch**2, width)
        self.register_buffer(
            "positions", positions(height // patch, columns // patch, width), persistent=False
        )
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(depth))
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.head = zeroed(nn.Linear(width, (outputs or channels) * patch**2))

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        require_batch(self, x, t, self.shape)
        embedding = self.embedding(t, cond)
        tokens = self.stem(self._cut(x)) + self.positions
        for block in self.blocks:
            tokens = block(tokens, embedding)
        scale, shift = self.modulation(embedding)[:, None].chunk(2, -1)
        return self._joined(self.head(_modulated(tokens, scale, shift)))

    def _cut(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to patches, (B, N, C · patch²)."""
        p = self.patch
        return (
            x.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        )

    def _joined(self, patches: Tensor) -> Tensor:
        """The inverse of `_cut`."""
        p, rows = self.patch, self.shape[1] // self.patch
        grid = patches.unflatten(2, (-1, p, p)).unflatten(1, (rows, -1))
        return grid.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.attention = Attention(width, heads)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor, embedding: Tensor) -> Tensor:
        scale_1, shift_1, gate_1, scale_2, shift_2, gate_2 = self.modulation(embedding)[:, None].chunk(6, -1)
        tokens = tokens + gate_1 * self.attention(_modulated(tokens, scale_1, shift_1))
        h = F.gelu(self.inner(_modulated(tokens, scale_2, shift_2)), approximate="tanh")
        return tokens + gate_2 * self.outer(h)


def _modulated(tokens: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:]) * (1 + scale) + shift


def positions(rows: int, columns: int, width: int) -> Tensor:
    """Fixed positions of a grid, (rows · columns, width): half the width for the row, half for the column."""
    frequencies = 10_000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * frequencies for place in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1).float()
