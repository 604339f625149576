"""Networks that answer at once, for papers on restoration: trained on the squared error, then frozen.

`unet` is the small network of flows too: a U-Net on 2×2 pixels at a time, a quarter of the work.
Everything follows from the seed.

Oracle: a linear estimate it can learn (tests/papers/test_estimators.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.papers.restoration import regress, squared_error
from girsanov.processes import VP
from girsanov.training import Training, fit
from girsanov.typing import Tree


class Patched(nn.Module):
    """A network that sees each square of side² pixels as one pixel with side² times the channels."""

    def __init__(self, network: nn.Module, side: int = 2) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        small = pixel_unshuffle(x, self.side)
        return pixel_shuffle(self.network(small, t, cond), self.side)


class Estimator(nn.Module):
    """A regressor as a function: degraded images (B, 1, H, W) to estimates."""

    def __init__(self, model: Denoiser) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([regress(self.model, part) for part in y.split(256)])


def unet(channels: int, seed: int) -> nn.Module:
    """Grey images (and what is beside them), (B, channels, H, W) with even sides, to (B, 1, H, W)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Patched(networks.UNet(4 * channels, outputs=4, width=16, levels=(1, 2), blocks=1))


def estimator(x: Tensor, y: Tensor, *, seed: int, steps: int) -> Estimator:
    """Frozen E[x | y], as far as it is learned from pairs (N, 1, H, W)."""
    model = Denoiser(networks.Beside(unet(2, seed)), VP(), data_std=None)
    fit(model, squared_error, x, cond=y, steps=steps, config=settings(seed))
    return Estimator(model).eval().requires_grad_(False)


def settings(seed: int) -> Training:
    """How estimators and flows are trained."""
    return Training(batch_size=32, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
