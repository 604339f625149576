"""Points in the plane for papers: a small network that learns one word of a process between two laws.

Two residual blocks of width 64 and as many fresh pairs of points as training asks for: each is seen once, so
what the network does not learn is not for want of data. Everything follows from the seed, and the global random
state is left alone.

Oracle: the same seed gives the same model (tests/papers/test_plane.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.objectives import Objective
from girsanov.processes import Interpolant
from girsanov.training import Training, fit

BATCH = 256
"""Pairs a step."""


def model(
    process: Interpolant, word: str, objective: Objective, ends: tuple[Tensor, Tensor], *, seed: int
) -> Denoiser:
    """A denoiser of one word.

    Args:
        process: with two random ends.
        word: what the network stores, such as "velocity".
        objective: that trains this word.
        ends: x_0 and x_1, (steps · BATCH, 2) each, paired by row; their number sets that of the steps.
        seed: of the weights at the start and of the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(2, hidden=64, depth=2)
    found = Denoiser(net, process, predicts=word, data_std=None, shape=(2,))
    settings = Training(batch_size=BATCH, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    x, end = (v.float() for v in ends)
    fit(found, objective, x, end=end, steps=len(x) // BATCH, config=settings)
    return found.eval()
