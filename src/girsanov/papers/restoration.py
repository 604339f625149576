"""Blurred digits for papers on restoration: pairs, models that are given the degraded image, measures.

The degradation is a Gaussian blur of standard deviation 1.2 pixels and noise of 0.1, on 8×8 digits in
[-1, 1]. `restorer` trains a denoiser of an anchored process, or of VP with the degraded image beside x_t;
`regressor` a network of the same size that answers at once. Everything follows from the seed.

Oracle: the measures on pictures with known errors (tests/papers/test_restoration.py).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from girsanov import networks
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.metrics import frechet_distance
from girsanov.noise import Noise, Randomness
from girsanov.objectives import Objective, score_matching
from girsanov.papers import digits
from girsanov.processes import VP, Interpolant
from girsanov.training import Training, fit
from girsanov.typing import Tree

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUR, NOISE = 1.2, 0.1

STEPS = 800
"""Training steps at the budget `cpu`."""


class Pairs(NamedTuple):
    """Clean digits and what was made of them, for training and held out, (N, 1, 8, 8)."""

    x: Tensor
    worse: Tensor
    fresh: Tensor
    fresh_worse: Tensor


@cache
def pairs(seed: int = 0) -> Pairs:
    """1,437 pairs to train on and 360 held out; the seed is that of the noise."""
    known = digits.split()
    source = Noise(seed).child(5)
    return Pairs(
        known.x, degraded(known.x, source), known.fresh, degraded(known.fresh, source.shifted(len(known.x)))
    )


def degraded(x: Tensor, generator: Noise) -> Tensor:
    """Blurred and noisy."""
    return blurred(x) + NOISE * generator.draw(x, 0)


def blurred(x: Tensor) -> Tensor:
    """Convolved with the Gaussian; black beyond the border."""
    offsets = torch.arange(-3, 4, dtype=x.dtype)
    line = torch.exp(-(offsets**2) / (2 * BLUR**2))
    line = line / line.sum()
    wide = pad(x, (3, 3, 3, 3), value=-1.0)
    return conv2d(conv2d(wide, line.reshape(1, 1, 1, 7)), line.reshape(1, 1, 7, 1))


def restorer(
    process: Interpolant, objective: Objective | None = None, *, seed: int = 0, steps: int = STEPS
) -> Denoiser:
    """A denoiser that is given the degraded digit: as the anchor if the process has one, else as `cond`."""
    known, net = pairs(seed), _network(seed)
    anchored = process.end == "anchor"
    model = Denoiser(net if anchored else networks.Beside(net), process, data_std=digits.DATA_STD)
    cond, end = (None, known.worse) if anchored else (known.worse, None)
    loss, settings = objective or score_matching(), _settings(seed)
    fit(model, loss, known.x, cond=cond, end=end, steps=steps, config=settings)
    return model


def regressor(*, seed: int = 0, steps: int = STEPS) -> Denoiser:
    """A network of the same size, trained on the squared error; ask it with `regress`."""
    known = pairs(seed)
    model = Denoiser(networks.Beside(_network(seed)), VP(), data_std=None)
    fit(model, squared_error, known.x, cond=known.worse, steps=steps, config=_settings(seed))
    return model


def squared_error(
    model: AbstractDenoiser,
    x0: Tensor,
    *,
    cond: Tree = None,
    end: Tensor | None = None,
    generator: Randomness = None,
) -> Tensor:
    """The objective of regression: (B,) squared errors of the answer to the degraded digits `cond`."""
    assert isinstance(cond, Tensor)
    return (regress(model, cond) - x0).square().flatten(1).mean(1)


def regress(model: AbstractDenoiser, worse: Tensor) -> Tensor:
    """The answer of a `regressor`: the degraded digit plus what the network finds missing."""
    return worse + model(worse, 0.0, cond=worse)[0]


def psnr(x: Tensor, truth: Tensor) -> float:
    """The mean over pictures of 10 log₁₀(2²/MSE), in dB, for values in [-1, 1]."""
    error = (x.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    return float((10 * (math.log10(4) - error.log10())).mean())


def feature_distance(x: Tensor, truth: Tensor, steps: int) -> float:
    """The Fréchet distance in the features of a classifier of clean digits: FID's stand-in."""
    reader = copy.deepcopy(digits.reader(steps=steps))
    reader.head = nn.Identity()
    with torch.no_grad():
        a, b = (reader(v.clamp(-1, 1), torch.zeros(len(v))) for v in (x, truth))
    return float(frechet_distance(a, b))


def show(axes: Axes, rows: Mapping[str, Tensor]) -> None:
    """Rows of pictures (N, 1, H, W) with their names."""
    sheet = [
        pad(x[:, 0].clamp(-1, 1), (1, 1, 1, 1), value=1.0).transpose(0, 1).flatten(1) for x in rows.values()
    ]
    height = sheet[0].shape[0]
    axes.imshow(torch.cat(sheet), cmap="gray", vmin=-1, vmax=1)
    axes.set_yticks([height * (i + 0.5) - 0.5 for i in range(len(rows))], list(rows), fontsize=6.5)
    axes.tick_params(length=0)


def _network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.UNet(2, outputs=1, width=16, levels=(1, 2), blocks=1)


def _settings(seed: int) -> Training:
    return Training(batch_size=64, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
