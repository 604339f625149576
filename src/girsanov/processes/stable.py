"""Lévy processes that jump: stable motions and compound Poisson ones.

**Stable laws**, by Chambers, Mallows & Stuck. With U uniform on (-π/2, π/2) and E exponential,

    X = S sin(α (U + B))/(cos U)^{1/α} · (cos(U - α (U + B))/E)^{(1 - α)/α},
    B = arctan(β tan(πα/2))/α,  S = (1 + β² tan²(πα/2))^{1/2α},
    X = (2/π) ((π/2 + βU) tan U - β log((π/2) E cos U/(π/2 + βU)))   for α = 1,

has characteristic function exp(-|u|^α (1 - iβ sign(u) tan(πα/2))), for α = 1 exp(-|u| (1 + iβ (2/π) sign(u) log|u|)):
the parametrisation 1 of Nolan. α = 2 is N(0, 2), α = 1 Cauchy's, α = ½ with β = 1 Lévy's. A stable motion has
increments h^{1/α} X, and for α = 1 a drift β (2/π) h log h besides.

**Compound Poisson.** N ~ Poisson(rate h) normal jumps in a step add up to N m + √N s ξ.
Source: Chambers, Mallows & Stuck (1976), A method for simulating stable random variables; Weron (1996) for β ≠ 0;
Merton (1976), Option pricing when underlying stock returns are discontinuous.
Oracle: Kolmogorov-Smirnov against scipy's laws and the closed cases; characteristic functions
(tests/processes/test_stable.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Primitive, Randomness, Source, as_source, uniform
from girsanov.processes.paths import LevyProcess, draws, require_number, require_positive
from girsanov.processes.variates import TINY, exponential, poisson


@dataclass(frozen=True)
class SkewedStable:
    """The α-stable law on the line as the law of a draw: `source.draw(like, index, SkewedStable(1.5, 0.3))`.

    Args:
        alpha: α in (0, 2]; moments below α exist.
        beta: β in [-1, 1], the skewness.
    """

    alpha: float = 1.5
    beta: float = 0.0

    def __post_init__(self) -> None:
        require(
            0 < self.alpha <= 2, f"alpha is {self.alpha}; give a number above 0 and at most 2 (2 is Gaussian)"
        )
        require(abs(self.beta) <= 1, f"beta is {self.beta}; give a skewness between -1 and 1")

    def __call__(self, draw: Primitive) -> Tensor:
        """One draw, from two uniforms."""
        angle = draw.uniform().clamp_(min=TINY).sub_(0.5).mul_(math.pi)
        waiting = exponential(draw.uniform().clamp_(min=TINY))
        if self.alpha == 1:
            bent = math.pi / 2 + self.beta * angle
            log = torch.log(math.pi / 2 * waiting * angle.cos() / bent)
            return (bent * angle.tan() - self.beta * log) * (2 / math.pi)
        tangent = self.beta * math.tan(math.pi * self.alpha / 2)
        turned = (angle + math.atan(tangent) / self.alpha).mul_(self.alpha)
        scale = (1 + tangent**2) ** (1 / (2 * self.alpha))
        rest = angle.sub(turned).cos_().div_(waiting).pow_((1 - self.alpha) / self.alpha)
        return turned.sin_().mul_(angle.cos_().pow_(-1 / self.alpha)).mul_(rest).mul_(scale)


def alpha_stable(
    shape: Sequence[int], alpha: float, beta: float = 0.0, *, generator: Randomness = None
) -> Tensor:
    """Independent draws of the α-stable law on the line, of unit scale, in float64.

    Args:
        shape: of the result; its first axis is the batch.
        alpha: α in (0, 2].
        beta: β in [-1, 1].
        generator: where the randomness comes from.
    """
    return as_source(generator).draw(torch.empty(*shape, dtype=torch.float64), 0, SkewedStable(alpha, beta))


@dataclass(frozen=True)
class StableMotion(LevyProcess):
    """α-stable Lévy motion: independent increments scale · h^{1/α} X. Coordinates are independent.

    Args:
        alpha: α in (0, 2]; 2 is Brownian motion of variance 2 scale² t.
        beta: β in [-1, 1], the skewness; 1 and α < 1 make it increase.
        scale: above 0.
    """

    alpha: float = 1.5
    beta: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        SkewedStable(self.alpha, self.beta)
        require_positive("scale", self.scale)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        jumps = draws(source, x0, len(h), 0, SkewedStable(self.alpha, self.beta))
        jumps.mul_(h ** (1 / self.alpha))
        if self.alpha == 1:
            jumps.add_(self.beta * 2 / math.pi * h * h.log())
        return jumps.mul_(self.scale)


@dataclass(frozen=True)
class IsotropicStableMotion(LevyProcess):
    """α-stable Lévy motion whose jumps have no preferred direction: E exp(i⟨u, X_t - X_0⟩) = exp(-t |scale u|^α).

    All coordinates of a sample jump together, X = √A G with G normal and A positive (α/2)-stable.

    Args:
        alpha: α in (0, 2]; 2 is Brownian motion of variance 2 scale² t.
        scale: above 0.
    """

    alpha: float = 1.5
    scale: float = 1.0

    def __post_init__(self) -> None:
        SkewedStable(self.alpha)
        require_positive("scale", self.scale)

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        noise = draws(source, x0, len(h)).double().mul_(math.sqrt(2) * self.scale * h ** (1 / self.alpha))
        if self.alpha < 2:
            one = x0.flatten(1)[:, :1].reshape(-1, *[1] * (x0.ndim - 1)) if x0.ndim > 1 else x0
            size = draws(source, one, len(h), 1, SkewedStable(self.alpha / 2, 1.0))
            noise.mul_(size.mul_(math.cos(math.pi * self.alpha / 4) ** (2 / self.alpha)).sqrt_())
        return noise


@dataclass(frozen=True)
class CompoundPoisson(LevyProcess):
    """Normal jumps at the times of a Poisson process, with a Brownian motion between them if wanted: Merton's model.

    Args:
        rate: jumps per unit of time, above 0.
        mean: of a jump.
        std: of a jump, at least 0.
        drift: μ, per unit of time.
        volatility: σ ≥ 0 of the Brownian part, per square root of time.
    """

    rate: float = 5.0
    mean: float = 0.0
    std: float = 1.0
    drift: float = 0.0
    volatility: float = 0.0

    def __post_init__(self) -> None:
        require_positive("rate", self.rate)
        require_number("mean", self.mean)
        require_number("drift", self.drift)
        for name, value in (("std", self.std), ("volatility", self.volatility)):
            require(0 <= value < math.inf, f"{name} is {value}; give a number of at least 0")

    def increments(self, x0: Tensor, h: Tensor, source: Source) -> Tensor:
        """Over steps of lengths h (T - 1, 1, …) from x0 (B, *shape): (B, T - 1, *shape)."""
        count = poisson(draws(source, x0, len(h), 0, uniform), self.rate * h)
        variance = count * self.std**2 + self.volatility**2 * h
        noise = draws(source, x0, len(h), 1)
        return count * self.mean + self.drift * h + variance.sqrt() * noise
