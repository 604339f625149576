"""Random clocks, Lévy processes that only rise, and Brownian motion that runs on them.

A clock C of mean t and variance ν t has E e^{-sC_t} = e^{-tψ(s)}, with

    gamma               ψ(s) = log(1 + νs)/ν                                    (α → 0)
    inverse Gaussian    ψ(s) = (√(1 + 2νs) - 1)/ν                               (α = ½)
    tempered stable     ψ(s) = c ((s + λ)^α - λ^α),   λ = (1 - α)/ν,  c = λ^{1-α}/α,   0 < α < 1.

Gamma increments are inverted from a uniform number, inverse Gaussian ones drawn by Michael, Schucany & Haas.
**Tempered stable** increments over h are α-stable ones, E e^{-sS} = e^{-hcs^α}, kept with chance e^{-λS}, because tempering
multiplies the density by e^{-λx}. One in e^{hλ/α} is kept, so a long step is cut into parts that keep one in e or more.

**Subordination.** X_t = θ C_t + σ W(C_t) is variance gamma, normal inverse Gaussian or normal tempered stable.
Source: Michael, Schucany & Haas (1976), Generating random variates using transformations with multiple roots; Madan,
Carr & Chang (1998); Barndorff-Nielsen (1997); Rosinski (2007), Tempering stable processes; Cont & Tankov (2003),
Financial modelling with jump processes, section 4.4.
Oracle: Kolmogorov-Smirnov against scipy's laws; Laplace transforms and characteristic functions
(tests/processes/test_random_clocks.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Source, uniform
from girsanov.processes.paths import LevyProcess, draws, require_number, require_positive
from girsanov.processes.stable import SkewedStable
from girsanov.processes.variates import gamma

SMALLEST = 0.05
"""The least index of tempering: below it stable draws leave the range of float64."""
CLOCK = -4
"""The scope of a clock that needs more draws than one can count beforehand."""


def gamma_clock(x0: Tensor, h: Tensor, source: Source, spread: float) -> Tensor:
    """Increments of mean h and variance spread · h, over steps h (T - 1, 1, …): (B, T - 1, *shape). One draw."""
    return spread * gamma(draws(source, x0, len(h), 0, uniform), h / spread)


def inverse_gaussian_clock(x0: Tensor, h: Tensor, source: Source, spread: float) -> Tensor:
    """Increments of mean h and variance spread · h, over steps h (T - 1, 1, …): (B, T - 1, *shape). Two draws.

    Of shape h²/ν: both roots of a quadratic in ξ² are candidates, the larger is h²/smaller.
    """
    half = draws(source, x0, len(h), 0).square_().mul_(spread / 2)
    smaller = h * h / (h + half + (half * (2 * h + half)).sqrt())
    low = draws(source, x0, len(h), 1, uniform) * (h + smaller) <= h
    return torch.where(low, smaller, h * h / smaller)


def tempered_stable_clock(x0: Tensor, h: Tensor, source: Source, spread: float, alpha: float) -> Tensor:
    """Increments of mean h and variance spread · h, over steps h (T - 1, 1, …): (B, T - 1, *shape).

    The parts of a step have one law, so what is kept of any of them fills the step until it has all it needs.
    """
    source, tempering = source.child(CLOCK), (1 - alpha) / spread
    parts = (h.flatten() * (tempering / alpha)).ceil().long().clamp(min=1)
    step = torch.arange(len(h), device=h.device).repeat_interleave(parts)
    before = parts.cumsum(0) - parts
    tail = [-1, *[1] * (x0.ndim - 1)]
    rate = (h.flatten() / parts)[step] * (tempering ** (1 - alpha) / alpha)
    scale = (rate * math.cos(math.pi * alpha / 2)).pow(1 / alpha).reshape(tail)
    shape, needed = (len(x0), len(h), *x0.shape[1:]), parts.reshape(tail)
    found = torch.zeros(shape, dtype=torch.float64, device=x0.device)
    many = torch.zeros(shape, dtype=torch.long, device=x0.device)
    for turn in count():
        size = scale * draws(source, x0, len(step), 2 * turn, SkewedStable(alpha, 1.0))
        keep = draws(source, x0, len(step), 2 * turn + 1, uniform) < (-tempering * size).exp()
        seen = keep.cumsum(1)
        rank = seen - (seen - keep.long())[:, before][:, step]  # among what is kept of its step, in this turn
        keep &= many[:, step] + rank <= needed[step]
        found.index_add_(1, step, torch.where(keep, size, 0.0))
        many.index_add_(1, step, keep.long())
        if bool((many == needed).all()):
            break
    return found


def subordinated(clock: Tensor, normal: Tensor, drift: float, volatility: float) -> Tensor:
    """Increments θ C + σ √C z of Brownian motion over increments C of its clock."""
    return drift * clock + volatility * clock.sqrt() * normal


def check_tempering(alpha: float) -> None:
    """Refuse an index that no tempered stable clock has."""
    require(
        SMALLEST <= alpha < 1,
        f"alpha is {alpha}; give a number from {SMALLEST} and below 1 (near 0 it is the gamma process)",
    )


@dataclass(frozen=True)
class GammaProcess(LevyProcess):
    """The gamma process: G_t is Gamma distributed of mean `mean` · t and variance `spread` · t. It jumps all the time.

    Args:
        mean: m > 0, per unit of time.
        spread: ν > 0, per unit of time.
    """

    mean: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        require_positive("mean", self.mean)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        return self.mean * gamma_clock(x0, h, source, self.spread / self.mean**2)


@dataclass(frozen=True)
class InverseGaussianProcess(LevyProcess):
    """The inverse Gaussian process, of mean `mean` · t and variance `spread` · t.

    It is the first time at which a Brownian motion of drift 1 and volatility √(spread/mean) reaches `mean` · t.

    Args:
        mean: m > 0, per unit of time.
        spread: ν > 0, per unit of time.
    """

    mean: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        require_positive("mean", self.mean)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        return self.mean * inverse_gaussian_clock(x0, h, source, self.spread / self.mean**2)


@dataclass(frozen=True)
class TemperedStableProcess(LevyProcess):
    """The tempered stable subordinator, of mean `mean` · t and variance `spread` · t.

    The work grows as mean² t/(alpha · spread), the number of parts that rejection needs.

    Args:
        alpha: α from 0.05 and below 1; ½ is the inverse Gaussian process, near 0 the gamma process.
        mean: m > 0, per unit of time.
        spread: ν > 0, per unit of time.
    """

    alpha: float = 0.7
    mean: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        check_tempering(self.alpha)
        require_positive("mean", self.mean)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        return self.mean * tempered_stable_clock(x0, h, source, self.spread / self.mean**2, self.alpha)


@dataclass(frozen=True)
class VarianceGamma(LevyProcess):
    """X_t = drift C_t + volatility W(C_t), C a gamma process of mean t and variance `spread` · t.

    Args:
        drift: θ, per unit of the random clock.
        volatility: σ > 0.
        spread: ν > 0; small is nearly Brownian.
    """

    drift: float = 0.0
    volatility: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        require_number("drift", self.drift)
        require_positive("volatility", self.volatility)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        clock = gamma_clock(x0, h, source, self.spread)
        return subordinated(clock, draws(source, x0, len(h), 1), self.drift, self.volatility)


@dataclass(frozen=True)
class NormalInverseGaussian(LevyProcess):
    """X_t = drift C_t + volatility W(C_t), C the inverse Gaussian process of mean t and variance `spread` · t.

    Args:
        drift: θ, per unit of the random clock.
        volatility: σ > 0.
        spread: ν > 0; small is nearly Brownian.
    """

    drift: float = 0.0
    volatility: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        require_number("drift", self.drift)
        require_positive("volatility", self.volatility)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        clock = inverse_gaussian_clock(x0, h, source, self.spread)
        return subordinated(clock, draws(source, x0, len(h), 2), self.drift, self.volatility)


@dataclass(frozen=True)
class NormalTemperedStable(LevyProcess):
    """X_t = drift C_t + volatility W(C_t), C the tempered stable clock of mean t and variance `spread` · t.

    Args:
        alpha: α from 0.05 and below 1; ½ is normal inverse Gaussian, near 0 variance gamma.
        drift: θ, per unit of the random clock.
        volatility: σ > 0.
        spread: ν > 0; small is nearly Brownian.
    """

    alpha: float = 0.7
    drift: float = 0.0
    volatility: float = 1.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        check_tempering(self.alpha)
        require_number("drift", self.drift)
        require_positive("volatility", self.volatility)
        require_positive("spread", self.spread)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        clock = tempered_stable_clock(x0, h, source, self.spread, self.alpha)
        return subordinated(clock, draws(source, x0, len(h), 0), self.drift, self.volatility)
