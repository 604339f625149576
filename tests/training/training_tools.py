"""A network, an objective and data so small that a training takes a fraction of a second."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from girsanov import processes
from girsanov.denoiser import Denoiser
from girsanov.noise import as_source, uniform


class Tiny(nn.Module):
    """Two layers; dropout when asked for."""

    def __init__(self, features: int = 2, width: int = 8, dropout: float = 0.0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Linear(features + 1, width)
            self.last = nn.Linear(width, features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        h = self.first(torch.cat([x, t[:, None]], 1))
        if cond is not None:
            h = h + cond[:, None]
        return self.last(self.dropout(nn.functional.silu(h)))


def tiny(width: int = 8, dropout: float = 0.0, process=None) -> Denoiser:
    return Denoiser(Tiny(2, width, dropout), process or processes.VP(), predicts="noise", data_std=None)


def noise_loss(model, x0, *, cond=None, end=None, generator=None):
    """The mean squared error of the noise, at uniform times."""
    source = as_source(generator)
    t = 0.01 + 0.98 * source.draw(x0[:, :1], 1, uniform)[:, 0]
    x, z = model.process.perturb(x0, t, generator=source)
    return (model(x, t, cond=cond)[0] - z).square().flatten(1).mean(1)


def cloud(n: int = 200, seed: int = 1) -> Tensor:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.state_dict().values(), b.state_dict().values()))
