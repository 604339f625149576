"""The digits for papers: a split, a small trained model, a classifier to judge by.

`model(process)` trains a U-Net of 80,000 parameters on 1,437 digits of 8×8 pixels, for a fixed number of
steps: 1,500 of batch 64, about 30 seconds of one core. Within a run the same request is trained once.
Everything follows from the seed, and the global random state is left alone.

Oracle: the classifier on digits it has not seen (tests/papers/test_digits.py).
"""

from __future__ import annotations

import copy
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from girsanov import data, networks
from girsanov.denoiser import Denoiser
from girsanov.exact import GaussianMixture
from girsanov.noise import Noise, uniform
from girsanov.objectives import score_matching
from girsanov.processes import Interpolant
from girsanov.training import Training, fit

LEVELS = 17
"""Levels of grey."""

STEPS = 1500
"""Training steps at the budget `cpu`."""

DATA_STD = 0.75
"""The standard deviation of the digits, about."""


class Digits(NamedTuple):
    """Training digits and held-out ones: x (N, 1, 8, 8) in [-1, 1], label (N,)."""

    x: Tensor
    label: Tensor
    fresh: Tensor
    fresh_label: Tensor


@cache
def split() -> Digits:
    """1,437 digits to train on and 360 held out, the same for every seed."""
    x, label = data.digits()
    order = Noise(0).draw(torch.empty(len(x), 1, dtype=torch.float64), 0, uniform)[:, 0].argsort()
    train, fresh = order[360:], order[:360]
    return Digits(x[train], label[train], x[fresh], label[fresh])


def dequantized(x: Tensor, seed: int) -> Tensor:
    """Spread each of the 17 levels evenly over its bin: (level + u)/17 · 2 - 1."""
    level = (x + 1) * (LEVELS - 1) / 2
    return (level + Noise(seed).draw(x, 0, uniform)) * (2 / LEVELS) - 1


def gaussians() -> GaussianMixture:
    """Ten Gaussians, one a digit, with the moments of the training digits: exact answers for data not Gaussian."""
    digits = split()
    parts = [digits.x[digits.label == k].double().flatten(1) for k in range(10)]
    means = torch.stack([x.mean(0) for x in parts]).reshape(10, *digits.x.shape[1:])
    return GaussianMixture(means, torch.stack([torch.cov(x.T) for x in parts]), [len(x) for x in parts])


@cache
def model(
    process: Interpolant,
    *,
    seed: int = 0,
    steps: int = STEPS,
    labels: bool = False,
    predict: str | None = None,
    times: str = "logistic",
    continuous: bool = False,
) -> Denoiser:
    """A denoiser of the training digits.

    Args:
        process: a one-sided process.
        seed: of the weights at the start and of the training.
        steps: of the optimizer.
        labels: learn the digit as `cond`; one label in ten is hidden, for guidance.
        predict, times: as in `score_matching`.
        continuous: train on dequantized digits, for likelihoods.
    """
    digits = split()
    x = dequantized(digits.x, seed) if continuous else digits.x
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.UNet(1, classes=10 if labels else None, width=16, levels=(1, 2), blocks=1)
    found = Denoiser(net, process, predicts="data", data_std=DATA_STD)
    objective = score_matching(predict, times=times, label_dropout=0.1 if labels else 0.0)
    settings = Training(batch_size=64, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(found, objective, x, cond=digits.label if labels else None, steps=steps, config=settings)
    return found


@cache
def reader(*, seed: int = 0, steps: int = 400) -> nn.Module:
    """A small classifier that has seen the real training digits only."""
    digits = split()
    return classifier(digits.x, digits.label, seed=seed, steps=steps)


def classifier(x: Tensor, label: Tensor, *, seed: int = 0, steps: int = 400, width: int = 32) -> nn.Module:
    """A small classifier of grey images (N, 1, H, W) in ten classes, frozen, to judge by."""
    source = Noise(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.Classifier(1, 10, width=width)
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, max(steps, 2))
    for step in range(steps):
        u = source.draw(torch.empty(128, 1, dtype=torch.float64), step, uniform)[:, 0]
        rows = (u * len(x)).long()
        loss = cross_entropy(net(x[rows], torch.zeros(128)), label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, label: Tensor) -> float:
    """The share of images that the classifier reads as their label."""
    right = [net(a, torch.zeros(len(a))).argmax(1) == b for a, b in zip(x.split(256), label.split(256))]
    return float(torch.cat(right).float().mean())


@torch.no_grad()
def features(net: nn.Module, x: Tensor) -> Tensor:
    """What a classifier sees before its last layer, (N, 2 · width): the space of Fréchet distances."""
    body = copy.deepcopy(net)
    body.head = nn.Identity()
    return torch.cat([body(part, torch.zeros(len(part))) for part in x.split(512)])
