"""The twisted diffusion sampler: particles that reach the posterior as their number grows.

Each draw of a measurement is a particle. With a twist p̃_t(x_t) ≈ p(y | x_t) the proposal is the reverse step moved by
∇ log p̃_t, and the weight of a move from t to s is

    p(x_s | x_t) p̃_s(x_s) / (proposal(x_s | x_t) p̃_t(x_t)),

so that any twist that ends at the likelihood gives the posterior of the model in the limit; a near one needs few
particles. For linear operators with normal noise it is that of ΠGDM, N(y; A x̂_0, r² A Aᵀ + σ_y²); for others N(y;
A(x̂_0), r² + the variance of the noise), and at the last level the likelihood itself. Groups whose effective sample size
falls below half are resampled. Particles share their past, so their errors do too: use many.
Source: Wu, Trippe, Naesseth, Blei & Cunningham (2023), arXiv 2306.17775, algorithm 1.
Oracle: the exact posterior of a mixture as particles grow (tests/inverse/test_smc.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.inverse.measurement import GaussianNoise, Measurement
from girsanov.inverse.operators import Linear, Spectral
from girsanov.inverse.steps import LevelSampler, Way, check, data_variance, mean, spans, spread
from girsanov.particles import particles
from girsanov.processes import Interpolant
from girsanov.solvers.grids import Times
from girsanov.typing import Tree

RESAMPLING = 2
"""The scope of its noise."""


@dataclass(frozen=True)
class SMC(LevelSampler):
    """See the head of the module. Ask `posterior` for as many draws as particles, at least some 50.

    Args:
        steps: network calls, each with a gradient.
        data_std: s of r², the standard deviation of the data.
        width: of r²; see `guided`.
        eta: the noise of a step; 1 is DDPM.
        below: resample below this share of effective particles.
        grid: times of one's own, instead of steps.
    """

    steps: int = 100
    data_std: float = 1.0
    width: float = 1.0
    eta: float = 1.0
    below: float = 0.5
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.eta > 0, f"eta is {self.eta}; particles need noise, give a number above 0")
        require(min(self.data_std, self.width) > 0, "data_std and width are above 0")
        require(0 <= self.below <= 1, f"below is {self.below}; give a share from 0 to 1")

    @property
    def joint(self) -> bool:
        """The draws of a measurement are one cloud."""
        return True

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x, runs of `measurement.draws` with the same y being a cloud of particles.

        Raises:
            Unsuitable: a measurement without noise, or clouds of one particle.
        """
        model, measurement, times, source, cond = way
        _check(measurement)
        process, again = model.process, source.child(RESAMPLING)
        twist = _Twist(model, measurement, self, cond)
        data, log_p, gradient = twist(x, times[0])
        cloud = particles((x, data, log_p, gradient), len(x) // measurement.draws, log_p)
        for i, (t, s) in spans(times):
            cloud = cloud.resample(i, again, below=self.below)
            x, data, log_p, gradient = cloud.values
            if s == 0:
                break
            q = spread(process, t, s, self.eta)
            plain = mean(process, x, data, t, s, q)
            shift = mean(process, torch.zeros_like(x), _score_move(process, t) * gradient, t, s, q)
            z = source.draw(x, i)
            new = plain + shift + q * z
            moved, log_q, next_gradient = twist(new, s, final=times[i + 2] == 0)
            # log of N(new; plain, q²)/N(new; plain + shift, q²), with new - plain - shift = q z
            ratio = (0.5 * z.square() - 0.5 * (shift / q + z).square()).flatten(1).sum(1)
            cloud = cloud.moved(new, moved, log_q, next_gradient).reweight(ratio + log_q - log_p)
        return cloud.resample(len(times), again).values[1]


def _check(measurement: Measurement) -> None:
    """Refuse what has no likelihood, and clouds of one."""
    noise = measurement.noise
    require(
        not isinstance(noise, GaussianNoise) or noise.std > 0,
        "SMC weighs by the likelihood, which a measurement without noise does not have. Give a small noise, or use DDNM.",
        Unsuitable,
    )
    require(measurement.draws > 1, "SMC needs particles: ask posterior for n = 50 draws or more", Unsuitable)


def _score_move(process: Interpolant, t: float) -> float:
    """How far x̂_0 moves when the score moves by one."""
    return float(process.gamma(t) ** 2 / process.alpha(t))


@dataclass(frozen=True)
class _Twist:
    """log p̃_t and its gradient."""

    model: AbstractDenoiser
    measurement: Measurement
    sampler: SMC
    cond: Tree

    def __call__(self, x: Tensor, t: float, *, final: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """(x̂_0, log p̃ (R,), ∇ log p̃); at the last level the likelihood itself."""
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            data = self.model.data(point, t, cond=self.cond)
            check(data.detach(), t)
            log_p = self.measurement.log_likelihood(data) if final else self._log_p(data, t)
            (gradient,) = torch.autograd.grad(log_p.sum(), point)
        return data.detach(), log_p.detach(), gradient

    def _log_p(self, data: Tensor, t: float) -> Tensor:
        """log N(y; A x̂_0, r² A Aᵀ + the variance of the noise), without its constant."""
        m, process = self.measurement, self.model.process
        r2, left = data_variance(process, t, self.sampler.data_std, self.sampler.width), m.residual(data)
        if not isinstance(m.operator, Linear) or not isinstance(m.noise, GaussianNoise):
            assert not isinstance(m.noise, float)
            return -0.5 * (left.square() / (r2 + m.noise.variance(m.y))).flatten(1).sum(1)
        variance = m.noise.std**2
        if isinstance(m.operator, Spectral):
            along = m.operator.coordinates(left)
            outside = left.flatten(1).square().sum(1) - along.square().sum(1)  # of the range of A
            total = r2 * m.operator.singular_values.to(data) ** 2 + variance
            return -0.5 * ((along.square() / total).sum(1) + outside / variance)
        # rᵀ (r² A Aᵀ + σ²)⁻¹ r by the proximal map; its gradient is that of r with the inverse held still.
        still = left.detach()
        inner = m.operator.prox(torch.zeros_like(data), still, variance / r2)
        whitened = (still - m.operator.forward(inner)) / variance
        return ((0.5 * still - left) * whitened).flatten(1).sum(1)
