"""Problems with known answers, and the parts of the list of processes that other batteries run over."""

from __future__ import annotations

import math
from typing import Any

import process_laws as laws
import torch
from battery import BATTERY
from process_laws import Kind

from girsanov import exact

ALPHA = laws.ALPHA
"""False-alarm rate of a test of a law."""


def of_kind(*kinds: Kind) -> dict[str, Any]:
    """The processes of the battery whose law is known in one of these ways."""
    return {name: line.process for name, line in BATTERY.items() if line.kind in kinds}


ONE_SIDED = {
    name: process for name, process in of_kind(laws.ONE_SIDED).items() if process.chart == "identity"
}
DDPM = ONE_SIDED["DDPM"]
ANCHORED = of_kind(laws.ANCHORED)
GAUSSIAN = {name: ONE_SIDED[name] for name in ("VP", "VE", "SubVP", "RectifiedFlow")} | {
    name: ANCHORED[name] for name in ("MeanReverting", "OUVE")
}
"""Where every solver is run with every number of steps on Gaussian data."""
TWO_SIDED = of_kind(laws.TWO_SIDED)
PROCESSES = {**ONE_SIDED, **ANCHORED, **TWO_SIDED}
OTHER = {name: BATTERY[name].process for name in ("Levy", "PoissonFlow", "Geometric", "Bounded")}
"""Noise that is not normal, or data in other coordinates: in the batteries that ask for neither."""
EVERY = {**PROCESSES, **OTHER}
DRIVEN = {**ONE_SIDED, **ANCHORED, **OTHER}
del DRIVEN["PoissonFlow"]
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


def assert_characteristic(x, exact, points=(0.2, 0.5, 1.0, 2.0, 4.0)):
    """Draws x (N,) against u ↦ E e^{iux}: the empirical characteristic function within 5 standard errors, real and imaginary part."""
    for u in points:
        wave = torch.exp(1j * u * x)
        value = torch.as_tensor(exact(u), dtype=torch.complex128)
        for part in (torch.real, torch.imag):
            error = part(wave).std().item() / math.sqrt(len(x))
            assert abs(part(wave.mean() - value).item()) < 5 * error + 1e-12
