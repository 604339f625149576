"""Crops of photographs and what shadow and low light make of them, for papers on restoration.

Grey, 16×16 pixels, in [-1, 1], from photographs of scikit-image averaged over 4×4 pixels: astronaut, coffee
and rocket to train on, chelsea held out. Everything follows from the seed.

Oracle: the range, the darkening and the noise on crops of one value (tests/papers/test_crops.py).
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from girsanov.errors import extra
from girsanov.noise import Noise, uniform

SIDE, SHRINK = 16, 4
TRAINED, HELD_OUT = ("astronaut", "coffee", "rocket"), ("chelsea",)


class Worsening(Protocol):
    """What is done to clean crops (N, 1, H, W)."""

    def __call__(self, x: Tensor, generator: Noise) -> Tensor: ...


@cache
def crops(train: bool, seed: int = 0) -> Tensor:
    """2,000 crops to train on or 200 held out, (N, 1, 16, 16)."""
    names, n = (TRAINED, 2000) if train else (HELD_OUT, 200)
    places = Noise(seed).child(int(train)).draw(torch.empty(n, 2, dtype=torch.float64), 0, uniform)
    cut = []
    for i, (down, right) in enumerate(places.tolist()):
        photo = _photograph(names[i % len(names)])
        top, left = (int(u * (m - SIDE + 1)) for u, m in zip((down, right), photo.shape, strict=True))
        cut.append(photo[top : top + SIDE, left : left + SIDE])
    return torch.stack(cut)[:, None]


def shadow(x: Tensor, generator: Noise) -> Tensor:
    """A third of the light behind a soft straight edge of any direction, (N, 1, H, W)."""
    u = generator.draw(x.new_empty(len(x), 2), 0, uniform)
    angle, offset = u[:, 0] * 2 * torch.pi, u[:, 1] - 0.5
    line = torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)
    across = angle.cos()[:, None, None] * line + angle.sin()[:, None, None] * line[:, None]
    shade = torch.sigmoid((across - offset[:, None, None]) / 0.15)[:, None]
    return (x + 1) * (1 - shade * 2 / 3) - 1


def low_light(x: Tensor, generator: Noise) -> Tensor:
    """y = 0.3 v^1.5 of v in [0, 1] and photon noise of 100 photons at 1, in its normal limit."""
    y = 0.3 * ((x + 1) / 2).clamp(0, 1) ** 1.5
    y = y + (y / 100).sqrt() * generator.draw(x, 0)
    return y.clamp(0, 1) * 2 - 1


@cache
def _photograph(name: str) -> Tensor:
    photo = torch.from_numpy(getattr(extra("skimage.data", "data"), name)()).float()
    return avg_pool2d(photo.mean(-1)[None, None], SHRINK)[0, 0] / 127.5 - 1
