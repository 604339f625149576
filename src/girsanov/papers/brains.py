"""Slices of a brain as a scanner would see them: complex images (N, 2, 48, 48), real and imaginary part.

Axial slices of a template of T1-weighted MRI, turned, zoomed, shifted, mirrored, with another contrast each, and with a
smooth phase, as coils give one. Slices to test on lie in a band of 20 mm that no training slice is taken from.
Masks are rows of k-space columns (N, K), numbered as `torch.fft` has them: the centre line is 0.

Oracle: the magnitude does not depend on the phase; masks counted by hand (tests/papers/test_brains.py).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from girsanov import data
from girsanov.noise import Noise, uniform

SIDE = 48
BAND = range(66, 86)
"""The slices, 1 mm each, that belong to the test alone."""

BRIGHT = 2.5
"""The largest magnitude, for a standard deviation near that of images in [-1, 1]."""

PHASE = 0.6
"""The standard deviation of the phase, in radians."""


@cache
def slices() -> Tensor:
    """189 slices of 64×64 pixels, in [0, 1]."""
    whole = F.pad((data.brain() + 1) / 2, (18, 18))  # to a square
    return F.interpolate(whole, size=(64, 64), mode="area")


def images(n: int, source: Noise, *, fresh: bool = False) -> Tensor:
    """n images, of the slices to train on or of those to test on."""
    inner = torch.arange(BAND.start + 5, BAND.stop - 5)
    outer = torch.tensor([k for k in range(40, 131) if k not in BAND])
    some = inner if fresh else outer
    u = source.draw(torch.empty(n, 7), 0, uniform)
    picked = slices()[some[(u[:, 0] * len(some)).long()]]
    angle, zoom = (2 * u[:, 1] - 1) / 4, 1 / (1 + 0.15 * (2 * u[:, 2] - 1))
    c, s, side = zoom * angle.cos(), zoom * angle.sin(), torch.where(u[:, 3] < 0.5, -1.0, 1.0)
    across, down = 0.08 * (2 * u[:, 4:6] - 1).T
    turn = torch.stack([torch.stack([side * c, -s, across], 1), torch.stack([side * s, c, down], 1)], 1)
    places = F.affine_grid(turn, [n, 1, SIDE, SIDE], align_corners=False)
    size = F.grid_sample(picked, places, align_corners=False).clamp(0, 1)
    size = BRIGHT * size ** (0.6 + 1.2 * u[:, 6]).reshape(-1, 1, 1, 1)
    coarse = source.draw(torch.empty(n, 1, 4, 4), 1)
    phase = PHASE * F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
    return torch.cat([size * phase.cos(), size * phase.sin()], 1)


def magnitude(x: Tensor) -> Tensor:
    """|x|, (..., H, W), of complex images (..., 2, H, W)."""
    return x.square().sum(-3).sqrt()


def ssim(x: Tensor, truth: Tensor) -> float:
    """The mean structural similarity of magnitudes (N, H, W), with the truth's largest value as their range."""
    from skimage.metrics import structural_similarity

    pairs = zip(x.numpy(), truth.numpy(), strict=True)
    return sum(float(structural_similarity(a, b, data_range=b.max())) for a, b in pairs) / len(x)


def centre(lines: int) -> Tensor:
    """The lowest frequencies, (lines,)."""
    return torch.arange(-(lines // 2), lines - lines // 2) % SIDE


def equispaced(budget: int, lines: int) -> Tensor:
    """The centre and others evenly over what is left, (budget,)."""
    rest = torch.arange(lines - lines // 2, SIDE - lines // 2)
    gaps = (torch.arange(budget - lines, dtype=torch.float64) + 0.5) / (budget - lines)
    return torch.cat([centre(lines), rest[(gaps * len(rest)).long()]])


def variable(n: int, budget: int, lines: int, power: float, source: Noise) -> Tensor:
    """The centre and others drawn with the density (1 - |k|/k_max)^power, a mask for each image, (n, budget)."""
    k = torch.fft.fftfreq(SIDE, dtype=torch.float64).abs() * SIDE
    weight = (1 - k / (SIDE / 2 + 1)) ** power
    # The order of exponential clocks draws without replacement; those of the centre ring first.
    clocks = -source.draw(torch.empty(n, SIDE, dtype=torch.float64), 0, uniform).clamp(1e-12).log() / weight
    clocks[:, centre(lines)] = -1.0
    return clocks.argsort(1)[:, :budget]
