"""The mixture of digits for papers on posterior samplers: its exact denoiser, digits held out, masks, times.

The posterior of a linear measurement is known, so a sampler is judged without any error of learning.
Everything follows from the seed.

Oracle: no digit is used twice, half of the pixels are hidden (tests/papers/test_posteriors.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.data.priors import TRAINED
from girsanov.denoiser import Denoiser
from girsanov.exact import ExactDenoiser, GaussianMixture
from girsanov.inverse import Inpainting, Measurement, PosteriorSampler, posterior
from girsanov.noise import Noise, uniform
from girsanov.processes import VP
from girsanov.typing import Shape

SHAPE: Shape = (1, 8, 8)
"""Of a digit."""


@cache
def model() -> ExactDenoiser:
    """The exact denoiser of the mixture."""
    return GaussianMixture(*data.digits_mixture()).denoiser(VP())


def held_out(seed: int | None, n: int) -> Tensor:
    """Digits that the mixture was not fitted to: eight to tune on (None), or n of 32 that no other seed has."""
    held = data.digits()[0][TRAINED:]
    return held[:8] if seed is None else held[8 + 32 * seed :][:n]


def half(seed: int, shape: Shape = SHAPE) -> Inpainting:
    """A random half of the pixels is known."""
    order = Noise(seed).draw(torch.empty(shape).reshape(-1, 1), 0, uniform)[:, 0].argsort()
    return Inpainting((order.argsort() < len(order) // 2).float().reshape(shape))


def least_seconds(samplers: Sequence[PosteriorSampler], std: float, repeats: int) -> list[float]:
    """Least processor time of a run of each, in turns; 16 half hidden pictures of 28×28, an untrained U-Net.

    An untrained network takes as long as a trained one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.UNet(1, width=16, levels=(1, 2), blocks=1)
    unet, operator = Denoiser(net, VP(), data_std=0.75), half(0, (1, 28, 28))
    m = Measurement.of(operator, torch.zeros(16, 1, 28, 28), std, generator=Noise(0))
    least = [torch.inf] * len(samplers)
    for _ in range(repeats):
        for i, sampler in enumerate(samplers):
            began = time.process_time()
            posterior(unet, m, sampler=sampler, seed=0)
            least[i] = min(least[i], time.process_time() - began)
    return least
