"""A multilayer perceptron for vectors: residual blocks, each scaled and shifted by time and label.

    h ← h + B silu((1 + scale) · A silu(h) + shift),     (scale, shift) = linear(embedding)

Nothing is normalized, so the size of x, which tells a noisy sample from a clean one, is not lost.
Oracle: it learns the exact denoiser of a Gaussian (tests/networks/test_mlp.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.networks.base import DEEPEST, Embedding, require_batch, require_sizes, zeroed
from girsanov.networks.registry import register
from girsanov.typing import Tree


@register
class MLP(nn.Module):
    """Vectors (B, features) to (B, outputs).

    `MLP(2)` has 219,522 parameters.

    Args:
        features: the length of one sample. Flatten images and series first, or choose another network.
        hidden: the width of the blocks.
        depth: the number of residual blocks, of two layers each.
        classes: the number of labels; None for a network without labels.
        outputs: the length of the answer where it differs, such as 2 · features for two words.

    Raises:
        InputError: a size out of range; when called, shapes or labels that do not fit.
    """

    config: dict[str, Any]

    def __init__(
        self,
        features: int,
        *,
        hidden: int = 128,
        depth: int = 3,
        classes: int | None = None,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        require_sizes("MLP", features=features, hidden=hidden, classes=classes, outputs=outputs)
        require_sizes("MLP", most=DEEPEST, depth=depth)
        self.features = features
        self.embedding = Embedding(hidden, classes)
        self.stem = nn.Linear(features, hidden)
        self.blocks = nn.ModuleList(_Block(hidden) for _ in range(depth))
        self.head = zeroed(nn.Linear(hidden, outputs or features))

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        require_batch(self, x, t, (self.features,))
        embedding = self.embedding(t, cond)
        h = self.stem(x)
        for block in self.blocks:
            h = block(h, embedding)
        return self.head(F.silu(h))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 2 * width)
        self.outer = zeroed(nn.Linear(width, width))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding).chunk(2, 1)
        return h + self.outer(F.silu(torch.addcmul(shift, self.inner(F.silu(h)), 1 + scale)))
