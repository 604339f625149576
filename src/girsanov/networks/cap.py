"""The cap of BayesCap: residual convolution blocks at one resolution, three answers a channel.

    (B, C, H, W) → stem → `blocks` × (h + conv(SiLU(conv(SiLU(h))))) → (B, 3C, H, W)

A fresh one answers zeros for the first C channels and constants for the others, whose softplus is 1/`scale` and 2: a
Gaussian law of the scale that is given. Errors of a tenth need 1/α = 10, a long way to learn for a bias that starts at 0.
Source: Upadhyay et al. (2022), BayesCap, arXiv 2207.06873; it has 16 blocks, with batch normalization.
Oracle: tests/inverse/test_uncertainty.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from girsanov.errors import InputError, require
from girsanov.networks.base import DEEPEST, require_sizes, zeroed
from girsanov.networks.unet import convolution


class CapNetwork(nn.Module):
    """Images (B, channels, H, W) to (B, 3 · channels, H, W): correction, inverse scale and shape, all raw.

    Args:
        channels: of the restored image.
        width: channels inside.
        blocks: their number; each looks 2 pixels further.
        scale: the α to begin with, in the units of the image; √2 times the root mean square error of the
            restorer is best.

    Raises:
        InputError: sizes out of range; when called, other than `channels` channels.
    """

    def __init__(self, channels: int = 1, *, width: int = 16, blocks: int = 4, scale: float = 1.0) -> None:
        super().__init__()
        require_sizes("CapNetwork", channels=channels, width=width)
        require_sizes("CapNetwork", most=DEEPEST, blocks=blocks)
        require(0 < scale < math.inf, f"CapNetwork: scale is {scale}; give the size of an error, above 0")
        self.channels = channels
        self.stem = convolution(channels, width)
        self.inner = nn.ModuleList(convolution(width, width) for _ in range(blocks))
        self.outer = nn.ModuleList(zeroed(convolution(width, width)) for _ in range(blocks))
        self.head = zeroed(convolution(width, 3 * channels))
        with torch.no_grad():
            assert self.head.bias is not None
            self.head.bias[channels : 2 * channels] = _before_softplus(1 / scale)
            self.head.bias[2 * channels :] = _before_softplus(2.0)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise InputError(f"x is {tuple(x.shape)}; this CapNetwork takes (B, {self.channels}, H, W)")
        h = self.stem(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(silu(inner(silu(h))))
        return self.head(silu(h))


def _before_softplus(y: float) -> float:
    """x with log(1 + eˣ) = y."""
    return y + math.log(-math.expm1(-y))
