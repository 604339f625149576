"""Problems with known answers, and the list of processes that every battery runs over."""

from __future__ import annotations

import math

import torch

from girsanov import exact, processes

ALPHA = 1e-5
"""False-alarm rate of a test of a law."""

DDPM = processes.DiscreteVP(torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000).double(), 0).tolist())

ONE_SIDED = {
    "VP": processes.VP(),
    "CosineVP": processes.CosineVP(),
    "SubVP": processes.SubVP(),
    "VE": processes.VE(),
    "EDM": processes.EDM(),
    "OrnsteinUhlenbeck": processes.OrnsteinUhlenbeck(),
    "RectifiedFlow": processes.RectifiedFlow(),
    "Trigonometric": processes.Trigonometric(),
    "DDPM": DDPM,
}
ANCHORED = {
    "BrownianBridge": processes.BrownianBridge(0.7),
    "MeanReverting": processes.MeanReverting(),
    "MeanReverting/constant": processes.MeanReverting(rate=2.0, std=0.3),
    "Residual": processes.Residual(1000),
    "Residual/constant": processes.Residual(alphas_cumprod=[4 ** (-i / 200) for i in range(1, 202)]),
    "OUVE": processes.OUVE(),
}
GAUSSIAN = {name: ONE_SIDED[name] for name in ("VP", "VE", "SubVP", "RectifiedFlow")} | {
    name: ANCHORED[name] for name in ("MeanReverting", "OUVE")
}
"""Where every solver is run with every number of steps on Gaussian data."""
TWO_SIDED = {
    f"{path}/{latent}": processes.StochasticInterpolant(path, latent, scale=0.8)
    for path in ("linear", "trigonometric", "encoding-decoding")
    for latent in ("none", "brownian", "quadratic", "sine-squared")
    if (path, latent) != ("encoding-decoding", "none")
}
PROCESSES = {**ONE_SIDED, **ANCHORED, **TWO_SIDED}
OTHER = {
    "Levy": processes.Levy(1.8),
    "PoissonFlow": processes.PoissonFlow(8),
    "Geometric": processes.Geometric(),
}
"""Noise that is not normal, or data in other coordinates: in the batteries that ask for neither."""
EVERY = {**PROCESSES, **OTHER}
DRIVEN = {**ONE_SIDED, **ANCHORED, "Levy": OTHER["Levy"], "Geometric": OTHER["Geometric"]}
"""What has a forward equation."""


def mixture(dim: int = 3, components: int = 4, seed: int = 0) -> exact.GaussianMixture:
    """A mixture with full covariances, far from Gaussian."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(components, dim, dim, generator=g, dtype=torch.float64) / math.sqrt(4 * dim)
    covariances = root @ root.mT + 0.02 * torch.eye(dim, dtype=torch.float64)
    means = torch.randn(components, dim, generator=g, dtype=torch.float64)
    return exact.GaussianMixture(means, covariances, torch.rand(components, generator=g) + 0.5)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
