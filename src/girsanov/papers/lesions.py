"""Images of one or two lesions and four raters who mark them differently, for papers on segmentation.

A smooth random blob, brighter by 1 than its surroundings, on smooth noise of 0.3 and fine noise of 0.2; where
there is room apart from it, a second, small one. Rater 0 marks both a pixel too wide, rater 1 a pixel too narrow,
rater 2 leaves out the small one with chance ½, rater 3 is a pixel off to the lower right. Which rater is which is
not told: each image has its four masks in a random order. Everything follows from the seed.

Oracle: the raters on a square drawn by hand (tests/papers/test_lesions.py).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from girsanov.noise import Noise, uniform

SIDE, RATERS, SKIP = 24, 4, 0.5


class Annotated(NamedTuple):
    """Images (N, 1, H, W), masks of four raters (N, 4, 1, H, W), and the small lesion alone (N, 1, H, W)."""

    image: Tensor
    masks: Tensor
    small: Tensor


def lesions(n: int, seed: int) -> Annotated:
    """n images with their annotations."""
    source = Noise(seed)
    u = source.draw(torch.empty(n, 7), 0, uniform)
    large = blob(u[:, 0:2], 3.5 + 2 * u[:, 2], smooth(n, source.child(1), 3.0), margin=7)
    small = blob(u[:, 3:5], 1.8 + 0.8 * u[:, 5], smooth(n, source.child(2), 3.0), margin=4)
    apart = ~(small & widened(widened(large))).flatten(1).any(1)
    small = small & apart[:, None, None, None]
    texture = 0.3 * smooth(n, source.child(3), 2.0) + 0.2 * source.draw(torch.empty(n, 1, SIDE, SIDE), 1)
    edge = blurred((large | small).float(), 0.7)
    masks = annotated(large, small, u[:, 6] < SKIP)
    order = source.draw(torch.empty(n, RATERS), 2, uniform).argsort(1)
    return Annotated(edge + texture, masks[torch.arange(n)[:, None], order], small)


def annotated(large: Tensor, small: Tensor, skipped: Tensor) -> Tensor:
    """What the four raters mark, (N, 4, 1, H, W), for lesions (N, 1, H, W) and who is skipped (N,)."""
    both = large | small
    careless = large | (small & ~skipped[:, None, None, None])
    return torch.stack(
        [widened(both), ~widened(~both), careless, torch.roll(both, (1, 1), (2, 3))], 1
    ).float()


def blob(place: Tensor, radius: Tensor, noise: Tensor, *, margin: int) -> Tensor:
    """Pixels (N, 1, H, W) nearer to a place than a radius that the noise bends by a quarter; off the border."""
    axis = torch.arange(SIDE, dtype=torch.float32)
    x, y = (margin + (SIDE - 1 - 2 * margin) * place[:, k, None, None] for k in (0, 1))
    away = ((axis[:, None] - y) ** 2 + (axis - x) ** 2).sqrt()
    return (away / radius[:, None, None] < 1 + 0.25 * noise[:, 0])[:, None]


def widened(mask: Tensor) -> Tensor:
    """One pixel more on all sides."""
    return max_pool2d(mask.float(), 3, 1, 1) > 0


def smooth(n: int, source: Noise, width: float) -> Tensor:
    """Gaussian noise (n, 1, H, W) blurred to that width, of variance 1 inside."""
    noise = blurred(source.draw(torch.empty(n, 1, SIDE, SIDE), 0), width)
    return noise / noise.std()


def blurred(x: Tensor, width: float) -> Tensor:
    """Convolved with a Gaussian, zero beyond the border."""
    reach = int(3 * width)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=x.dtype) / width) ** 2)
    line = line / line.sum()
    x = conv2d(x, line.reshape(1, 1, 1, -1), padding=(0, reach))
    return conv2d(x, line.reshape(1, 1, -1, 1), padding=(reach, 0))
