"""Denoisers for tests: exact ones in any storage, with an offset that a gradient can be taken of."""

from __future__ import annotations

import torch

from girsanov.denoiser import AbstractDenoiser
from girsanov.objectives.weightings import residual_scale
from girsanov.processes.base import like_batch


class Zero(torch.nn.Module):
    """A network that answers 0, seeing an anchor beside x or not."""

    def __init__(self, process):
        super().__init__()
        self.inputs = 2 if process.end == "anchor" else 1

    def forward(self, x, t, cond):
        return torch.zeros_like(x.chunk(self.inputs, dim=1)[0])


class Stored(AbstractDenoiser):
    """An exact denoiser that stores other words."""

    def __init__(self, exact, *words):
        super().__init__()
        self.exact, self.process, self.shape, self.stored = exact, exact.process, exact.shape, words
        self.calls = 0

    def forward(self, x, t, *, cond=None, anchor=None):
        self.calls += 1
        return tuple(self.exact.predict(word, x, t, cond=cond, anchor=anchor) for word in self.stored)


class Offset(Stored):
    """Exact answers plus θ_0 + θ_1 x in each word, with a θ for each sample: (n, 2 · words).

    With one random end the offset is one of the unit-variance residual, for data of standard deviation ½.
    With `data_std` it passes for a preconditioned model.
    """

    def __init__(self, exact, *words, n, data_std=None, value=0.0):
        super().__init__(exact, *words)
        self.data_std = data_std
        theta = torch.full((n, 2 * len(words)), value, dtype=torch.float64)
        self.theta = torch.nn.Parameter(theta)

    def forward(self, x, t, *, cond=None, anchor=None):
        answers, time = super().forward(x, t, cond=cond, anchor=anchor), like_batch(t, x)
        sizes, pairs = [1.0] * len(self.stored), self.theta.chunk(len(self.stored), dim=1)
        if self.process.end != "marginal":
            sizes = [
                residual_scale(self.process.values(time), self.process.row(word, time), 0.5)
                for word in self.stored
            ]
            x = x / ((self.process.alpha(time) / 2) ** 2 + self.process.gamma(time) ** 2) ** 0.5
        return tuple(a + k * (p[:, :1] + p[:, 1:] * x) for a, k, p in zip(answers, sizes, pairs, strict=True))


def gradients(objective, model, x0, **options):
    """The gradient of each sample's loss in its own θ, (B, parameters)."""
    model.theta.grad = None
    objective(model, x0, **options).sum().backward()
    return model.theta.grad


def standard_errors(values):
    """|mean| of each column, in standard errors."""
    return values.mean(0).abs() / (values.std(0) / len(values) ** 0.5).clamp(min=1e-300)
