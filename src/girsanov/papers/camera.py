"""Colour photographs and a simulated camera, for papers on real noise.

Patches (N, 3, side, side) in [0, 1] of photographs averaged over 2×2 pixels, so that little of their own noise is
left: astronaut, coffee and rocket (scikit-image) and flower (scikit-learn) to train on, chelsea and china held out.
The camera sees linear light v^2.2 through the colour filters of Bayer's mosaic (RGGB), counts photons, adds reading
noise, fills in the other colours by bilinear interpolation, which correlates the noise in space and between
colours, and takes the power 1/2.2, which makes it depend on the brightness. What it would give without noise is the
truth. Everything follows from the seed.

Oracle: grey of one value passes; the variance of a raw pixel; correlated neighbours (tests/papers/test_camera.py).
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from girsanov.errors import extra
from girsanov.noise import Noise, uniform

TRAINED, HELD_OUT = ("astronaut", "coffee", "rocket", "flower"), ("chelsea", "china")
GAMMA, SHRINK = 2.2, 2


def patches(train: bool, n: int, side: int, seed: int = 0) -> Tensor:
    """Random patches of the photographs to train on or of those held out, in turn, (n, 3, side, side)."""
    names = TRAINED if train else HELD_OUT
    places = Noise(seed).child(10 + int(train)).draw(torch.empty(n, 2, dtype=torch.float64), 0, uniform)
    cut = []
    for i, (down, right) in enumerate(places.tolist()):
        photo = _photograph(names[i % len(names)])
        top, left = (int(u * (m - side + 1)) for u, m in zip((down, right), photo.shape[1:], strict=True))
        cut.append(photo[:, top : top + side, left : left + side])
    return torch.stack(cut)


def camera(x: Tensor, generator: Noise, *, photons: float = 200.0, reading: float = 0.02) -> Tensor:
    """What the camera makes of x (N, 3, H, W) in [0, 1].

    Args:
        x: of even height and width.
        generator: of the noise.
        photons: counted at white, in the normal limit of their law; math.inf for none of their noise.
        reading: the standard deviation of the reading noise, of white.
    """
    light = x.clamp(0, 1) ** GAMMA
    raw = (light * _filters(x)).sum(1, keepdim=True)
    raw = raw + (raw / photons + reading**2).sqrt() * generator.draw(raw, 0)
    return demosaiced(raw).clamp(0, 1) ** (1 / GAMMA)


def demosaiced(raw: Tensor) -> Tensor:
    """The other colours of each pixel as the mean of the nearest that have them, (N, 1, H, W) to (N, 3, H, W)."""
    line = raw.new_tensor([0.5, 1.0, 0.5])
    kernel = (line[:, None] * line)[None, None]
    known = _filters(raw).expand(len(raw), -1, -1, -1)
    found = []
    for colour in range(3):
        mask = known[:, colour : colour + 1]
        sums, weights = (conv2d(pad(v, (1, 1, 1, 1)), kernel) for v in (raw * mask, mask))
        found.append(torch.where(mask > 0, raw, sums / weights))
    return torch.cat(found, 1)


def _filters(like: Tensor) -> Tensor:
    """Which colour each pixel sees, (1, 3, H, W): red and green in even rows, green and blue in odd ones."""
    seen = like.new_zeros(1, 3, *like.shape[2:])
    seen[:, 0, ::2, ::2] = 1
    seen[:, 1, ::2, 1::2] = 1
    seen[:, 1, 1::2, ::2] = 1
    seen[:, 2, 1::2, 1::2] = 1
    return seen


@cache
def _photograph(name: str) -> Tensor:
    if name in ("china", "flower"):
        pixels = extra("sklearn.datasets", "data").load_sample_image(f"{name}.jpg")
    else:
        pixels = getattr(extra("skimage.data", "data"), name)()
    photo = torch.from_numpy(pixels.copy()).float().movedim(-1, 0) / 255
    return avg_pool2d(photo[None], SHRINK)[0]
