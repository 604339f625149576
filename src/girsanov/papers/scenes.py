"""Small scenes with a known answer: a digit somewhere on a smooth grey texture, (N, 1, 24, 24) in [-1, 1].

The digit covers the texture by its ink, so that a scene with the digit elsewhere is known exactly.
Oracle: the scene is the texture outside the digit's box (tests/papers/test_scenes.py).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.noise import Noise, uniform
from girsanov.objectives import score_matching
from girsanov.papers import digits
from girsanov.processes import VP
from girsanov.training import Training, fit

SIDE, DIGIT = 24, 8


class Scenes(NamedTuple):
    """n scenes, and what they are made of.

    image (n, 1, SIDE, SIDE); digit (n, 1, 8, 8); texture (n, 1, SIDE, SIDE); corner (n, 2), row and column.
    """

    image: Tensor
    digit: Tensor
    texture: Tensor
    corner: Tensor

    def elsewhere(self, corner: Tensor) -> Tensor:
        """The same scenes with the digit at other corners (n, 2)."""
        return compose(self.digit, self.texture, corner)


def scenes(n: int, seed: int, *, fresh: bool = False) -> Scenes:
    """Scenes of training digits, or of fresh ones."""
    known, source = digits.split(), Noise(seed)
    pool = known.fresh if fresh else known.x
    u = source.draw(torch.empty(n, 3, dtype=torch.float64), 0, uniform)
    digit = pool[(u[:, 0] * len(pool)).long()]
    corner = (u[:, 1:] * (SIDE - DIGIT + 1)).long()
    coarse = source.draw(torch.empty(n, 1, 6, 6), 1)
    smooth = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    texture = (0.25 * smooth - 0.4).clamp(-1, 0.2)
    return Scenes(compose(digit, texture, corner), digit, texture, corner)


def compose(digit: Tensor, texture: Tensor, corner: Tensor) -> Tensor:
    """The digit over the texture, by its ink."""
    image = texture.clone()
    for i, (row, column) in enumerate(corner.tolist()):
        place = image[i, :, row : row + DIGIT, column : column + DIGIT]
        ink = (digit[i] + 1) / 2
        place.copy_(torch.maximum(place, digit[i] * ink + place * (1 - ink)))
    return image


def boxes(corner: Tensor) -> Tensor:
    """1 on the boxes of the digits, (n, SIDE, SIDE)."""
    mask = torch.zeros(len(corner), SIDE, SIDE)
    for i, (row, column) in enumerate(corner.tolist()):
        mask[i, row : row + DIGIT, column : column + DIGIT] = 1
    return mask


def centre(image: Tensor) -> Tensor:
    """The centroid of what is brighter than any texture, (n, 2); the middle if nothing is."""
    ink = (image[:, 0] - 0.3).clamp(min=0) + 1e-9
    total, at = ink.sum((1, 2)), torch.arange(SIDE, dtype=image.dtype)
    return torch.stack([(ink.sum(2) * at).sum(1) / total, (ink.sum(1) * at).sum(1) / total], 1)


@cache
def model(seed: int, steps: int, size: int) -> Denoiser:
    """A denoiser of scenes with a U-Net of 222,000 parameters, trained on `size` of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = networks.UNet(1, width=16, levels=(1, 2, 3), blocks=1)
    found = Denoiser(net, VP(), data_std=0.5)
    settings = Training(batch_size=32, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(found, score_matching(), scenes(size, 100 + seed).image, steps=steps, config=settings)
    found.network.eval().requires_grad_(False)
    return found
