"""The cap of BayesCap: residual convolution blocks at one resolution, three answers a channel.

    (B, C, H, W) → stem → `blocks` × (h + conv(SiLU(conv(SiLU(h))))) → (B, 3C, H, W)

A fresh one answers zeros for the first C channels and a constant for the others: the softplus of the last C is 2
there, a Gaussian law.
Source: Upadhyay et al. (2022), BayesCap, arXiv 2207.06873; it has 16 blocks, with batch normalization.
Oracle: tests/inverse/test_uncertainty.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from girsanov.errors import InputError
from girsanov.networks.base import DEEPEST, require_sizes, zeroed
from girsanov.networks.unet import convolution


class CapNetwork(nn.Module):
    """Images (B, channels, H, W) to (B, 3 · channels, H, W): correction, inverse scale and shape, all raw.

    Args:
        channels: of the restored image.
        width: channels inside.
        blocks: their number; each looks 2 pixels further.

    Raises:
        InputError: sizes out of range; when called, other than `channels` channels.
    """

    def __init__(self, channels: int = 1, *, width: int = 16, blocks: int = 4) -> None:
        super().__init__()
        require_sizes("CapNetwork", channels=channels, width=width)
        require_sizes("CapNetwork", most=DEEPEST, blocks=blocks)
        self.channels = channels
        self.stem = convolution(channels, width)
        self.inner = nn.ModuleList(convolution(width, width) for _ in range(blocks))
        self.outer = nn.ModuleList(zeroed(convolution(width, width)) for _ in range(blocks))
        self.head = zeroed(convolution(width, 3 * channels))
        with torch.no_grad():
            assert self.head.bias is not None
            self.head.bias[2 * channels :] = math.log(math.expm1(2))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise InputError(f"x is {tuple(x.shape)}; this CapNetwork takes (B, {self.channels}, H, W)")
        h = self.stem(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(silu(inner(silu(h))))
        return self.head(silu(h))
