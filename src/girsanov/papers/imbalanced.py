"""Imbalanced modes for papers: eight on a circle with weights from 100 to 1, how they are learned and counted.

Everything follows from the seed, and the global random state is left alone.
Oracle: weights and counts by hand (tests/papers/test_imbalanced.py).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from girsanov.denoiser import Denoiser
from girsanov.exact import GaussianMixture
from girsanov.objectives import score_matching
from girsanov.processes import Interpolant
from girsanov.training import Training, fit


def ring() -> GaussianMixture:
    """Eight modes of unit mean square, each next one 100^(1/7) times rarer."""
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    means = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(means, 0.01, [100 ** (-k / 7) for k in range(8)])


def shares(x: Tensor, law: GaussianMixture) -> Tensor:
    """The share of points (N, 2) nearest to each mode."""
    mode = torch.cdist(x.double(), law.means).argmin(1)
    return torch.bincount(mode, minlength=len(law.means)) / len(x)


def effective(shares: Tensor) -> float:
    """The number of equal modes with the same entropy as these shares."""
    return float(torch.special.entr(shares).sum().exp())


def trained(
    process: Interpolant, net: nn.Module, x: Tensor, *, steps: int, batch: int, seed: int
) -> Denoiser:
    """The noise, at uniform times; smooth-L1 where it is heavy-tailed, and squares where it is normal."""
    model = Denoiser(net, process, predicts="noise", data_std=None)
    settings = Training(batch_size=batch, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, score_matching(times="uniform"), x, steps=steps, config=settings)
    return model.eval()
