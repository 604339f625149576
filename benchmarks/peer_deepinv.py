"""The posterior samplers of deepinv on our problems: the same prior, operators and measurements.

Signals are (1, 1, d) or (1, H, W) in [-1, 1]; theirs are u = (x + 1)/2, and so y is (y + A(1))/2 with half the noise.
Their denoiser answers E[u | u + σ n], which is E[x | x + 2σ n] of the exact prior. Every sampler makes 100 denoiser
calls, a gradient through the denoiser counting with its call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from itertools import product

import deepinv
import numpy as np
import torch
from deepinv.sampling import (
    DDRM,
    DPS,
    DDPMSolver,
    DiffPIR,
    MomentMatchingDataFidelity,
    PiGDMDataFidelity,
    PosteriorDiffusion,
    VariancePreservingDiffusion,
)
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.inverse import Measurement
from girsanov.inverse.deepinv import to_deepinv

CALLS = 100
Draw = Callable[[AbstractDenoiser, Measurement], Tensor]
logging.getLogger("deepinv").setLevel(logging.ERROR)


class Exact(deepinv.models.Denoiser):
    """Our denoiser of a variance-exploding process, σ = σ_max t, as theirs."""

    def __init__(self, model: AbstractDenoiser) -> None:
        super().__init__()
        self.inner, self.top = model, model.process.gamma(1.0)

    def forward(self, x: Tensor, sigma: Tensor | float, **_: object) -> Tensor:
        t = torch.as_tensor(2 * sigma / self.top, dtype=x.dtype).flatten()
        return (self.inner.data(2 * x - 1, t.expand(len(x)) if t.numel() == 1 else t) + 1) / 2


def dps(model: AbstractDenoiser, m: Measurement, *, solver: str, guidance: str, weight: float) -> Tensor:
    """DPS with the solver of its authors; both guidances."""
    sampler = DPS(Exact(model), solver=solver, num_steps=CALLS + 1, weight=weight, guidance=guidance)
    return _run(sampler, m)


def matched(model: AbstractDenoiser, m: Measurement, *, fidelity: type, weight: float) -> Tensor:
    """ΠGDM and moment matching, under the variance-preserving process.

    Moment matching solves its linear system by conjugate gradients of which each iteration is one more gradient
    through the denoiser. With three of them a step costs as much as four calls, and 25 steps are made.
    """
    iterations = 3 if fidelity is MomentMatchingDataFidelity else 20
    steps = CALLS // (1 + iterations) if fidelity is MomentMatchingDataFidelity else CALLS
    denoiser = Exact(model)
    sampler = PosteriorDiffusion(
        data_fidelity=fidelity(denoiser=denoiser, weight=weight, cg_max_iter=iterations),
        denoiser=denoiser,
        sde=VariancePreservingDiffusion(alpha=1.0),
        solver=DDPMSolver(timesteps=torch.linspace(1, 0, steps + 1, dtype=torch.float64)),
    )
    return _run(sampler, m)


def ddrm(model: AbstractDenoiser, m: Measurement, *, eta: float, top: float) -> Tensor:
    """DDRM on its own linear grid from `top` to 0."""
    return _run(DDRM(Exact(model), sigmas=np.linspace(top, 0, CALLS), eta=eta), m)


def diffpir(model: AbstractDenoiser, m: Measurement, *, weight: float, zeta: float) -> Tensor:
    """DiffPIR; it fills its grid from a table of 1,000 levels."""
    sampler = DiffPIR(
        Exact(model),
        deepinv.optim.data_fidelity.L2(),
        sigma=_noise(m),
        max_iter=CALLS,
        zeta=zeta,
        lambda_=weight,
    )
    return _run(sampler, m)


def candidates() -> dict[str, list[Draw]]:
    """Every sampler of theirs with the coefficients it is tuned over."""
    lengths, weights = (1.0, 10.0, 30.0, 60.0, 100.0), (0.3, 1.0, 3.0, 10.0, 30.0)
    found: dict[str, list[Draw]] = {
        "DPS, norm": [partial(dps, solver="ddpm", guidance="norm", weight=w) for w in lengths],
        "DPS, annealed": [partial(dps, solver="ddpm", guidance="annealed", weight=w) for w in weights],
        "PiGDM": [partial(matched, fidelity=PiGDMDataFidelity, weight=w) for w in (0.6, 1.0, 2.0, 3.0, 5.0)],
        "moment matching": [
            partial(matched, fidelity=MomentMatchingDataFidelity, weight=w) for w in (0.6, 1.0, 1.5, 2.0, 3.0)
        ],
        "DDRM": [partial(ddrm, eta=eta, top=top) for eta, top in product((0.5, 0.85), (1.0, 3.0))],
        "DiffPIR": [
            partial(diffpir, weight=w, zeta=z) for w, z in product((0.3, 1.0, 3.0, 7.0, 20.0), (0.1, 0.5))
        ],
    }
    return found


def _noise(m: Measurement) -> float:
    return m.std("deepinv") / 2


def _run(sampler: torch.nn.Module, m: Measurement) -> Tensor:
    """Their draws in our units."""
    white = m.operator.forward(torch.ones(1, *m.operator.shape))
    physics = to_deepinv(m.operator, _noise(m))
    with torch.no_grad():
        u = sampler(((m.y + white) / 2).to(torch.float32), physics)
    return 2 * u.to(torch.float64) - 1
