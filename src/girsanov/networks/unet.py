"""The U-Net: convolutions at several resolutions, the finer ones joined again on the way up.

    down   at each level, `blocks` residual blocks; then a convolution of stride 2
    middle self-attention and one more block, at the coarsest level
    up     nearest-neighbour doubling and a convolution; joined with what the level held on the way down;
           `blocks` residual blocks

Time and label scale and shift the second normalization of every block. An odd side n becomes
(n + 1)/2 on the way down, and the doubled image is cropped to n on the way up, so any size goes.
Images are held channels-last inside, where attention reads pixels without a copy; weights are not, for
savers and flat views want them row after row.
Source: Dhariwal & Nichol (2021), Diffusion models beat GANs on image synthesis, section 3 (residual
blocks with adaptive group normalization), arXiv 2105.05233.
Oracle: what a U-Net must satisfy, without a closed form: tests/networks/test_network_contract.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import require
from girsanov.networks.base import DEEPEST, Attention, Embedding, require_batch, require_sizes, zeroed
from girsanov.networks.registry import register
from girsanov.typing import Tree


@register
class UNet(nn.Module):
    """Images (B, channels, H, W) of any size to (B, outputs, H, W).

    `UNet(1, classes=10)` has 880,993 parameters and suits 8×8 to 16×16. For 28×28 on a CPU, half the
    parameters at half the cost a step: `UNet(1, classes=10, width=16, levels=(1, 2, 4), blocks=2)`.

    Args:
        channels: of one sample.
        classes: the number of labels; None for a network without labels.
        width: channels at the finest level; multiples of 16 are fastest.
        levels: channels at each level, as multiples of `width`; each level halves the sides.
        blocks: residual blocks at each level, down and up.
        attention: heads of the self-attention at the coarsest level; 0 for none. Its cost is the square
            of the number of pixels there.
        outputs: channels of the answer where they differ, such as 2 · channels for two words.
        dropout: chance that a feature is dropped in training, drawn from PyTorch's global state.

    Raises:
        InputError: sizes out of range; when called, shapes or labels that do not fit.
    """

    config: dict[str, Any]

    def __init__(
        self,
        channels: int = 1,
        *,
        classes: int | None = None,
        width: int = 32,
        levels: tuple[int, ...] = (1, 2, 3),
        blocks: int = 1,
        attention: int = 4,
        outputs: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_sizes("UNet", channels=channels, classes=classes, width=width, outputs=outputs)
        require_sizes("UNet", most=DEEPEST, blocks=blocks, attention=attention or None)
        require(1 <= len(levels) <= 16, f"UNet: {len(levels)} levels; give 1 to 16 multiples of width")
        for level in levels:
            require_sizes("UNet", most=DEEPEST, levels=level)
        require(0 <= dropout < 1, f"UNet: dropout is {dropout}; give a chance from 0 to below 1")
        widths, features = [width * level for level in levels], 4 * width
        first, last = widths[0], widths[-1]

        def stage(inputs: int, width: int) -> nn.ModuleList:
            return nn.ModuleList(
                ResidualBlock(width if i else inputs, width, features, dropout) for i in range(blocks)
            )

        self.channels = channels
        self.embedding = Embedding(features, classes)
        self.stem = convolution(channels, first)
        self.down = nn.ModuleList(stage(w, w) for w in widths)
        self.shrink = nn.ModuleList(convolution(a, b, stride=2) for a, b in pairwise(widths))
        self.attention = ImageAttention(last, attention) if attention else nn.Identity()
        self.middle = ResidualBlock(last, last, features, dropout)
        self.grow = nn.ModuleList(convolution(b, a) for a, b in reversed(list(pairwise(widths))))
        self.up = nn.ModuleList(stage(2 * w, w) for w in reversed(widths[:-1]))
        self.norm = group_norm(first)
        self.head = zeroed(convolution(first, outputs or channels))

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        require_batch(self, x, t, (self.channels, None, None))
        embedding = self.embedding(t, cond)
        h = self.stem(x).contiguous(memory_format=torch.channels_last)
        h, held = _through(self.down[0], h, embedding), []
        for shrink, blocks in zip(self.shrink, self.down[1:]):
            held.append(h)
            h = _through(blocks, shrink(h), embedding)
        h = self.middle(self.attention(h), embedding)
        for grow, blocks in zip(self.grow, self.up):
            finer = held.pop()
            doubled = F.interpolate(h, scale_factor=2.0)[:, :, : finer.shape[2], : finer.shape[3]]
            h = _through(blocks, torch.cat([grow(doubled), finer], 1), embedding)
        return self.head(F.silu(self.norm(h))).contiguous()


class ResidualBlock(nn.Module):
    """Two convolutions; embedding (B, features) scales and shifts what is between them."""

    def __init__(self, inputs: int, outputs: int, features: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = group_norm(inputs)
        self.inner = convolution(inputs, outputs)
        self.modulation = nn.Linear(features, 2 * outputs)
        self.inner_norm = group_norm(outputs, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.outer = zeroed(convolution(outputs, outputs))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, 1)
        inner = self.inner_norm(self.inner(F.silu(self.norm(h))))
        inner = F.silu(torch.addcmul(shift, inner, 1 + scale))
        return self.skip(h) + self.outer(self.dropout(inner))


class ImageAttention(nn.Module):
    """Self-attention over the pixels of (B, width, H, W), as a residual that starts at zero."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = group_norm(width)
        self.attention = Attention(width, heads)
        zeroed(self.attention.merge)

    def forward(self, h: Tensor) -> Tensor:
        pixels = self.norm(h).permute(0, 2, 3, 1)
        mixed = self.attention(pixels.flatten(1, 2)).unflatten(1, pixels.shape[1:3])
        return h + mixed.permute(0, 3, 1, 2)


def convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    """3×3, keeping the size; with stride 2 a side n becomes (n + 1)/2, rounded down."""
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def group_norm(channels: int, *, affine: bool = True) -> nn.GroupNorm:
    """At most 8 groups of at least 4 channels: a group of one would erase every bias before it."""
    groups = max(n for n in (1, 2, 4, 8) if n == 1 or channels % (4 * n) == 0)
    return nn.GroupNorm(groups, channels, affine=affine)


def _through(blocks: nn.Module, h: Tensor, embedding: Tensor) -> Tensor:
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        h = block(h, embedding)
    return h
