"""Diffusions whose transition law is known, on physical time: no path has a step-size error.

    Vasicek            dX = κ (m - X) dt + σ dW         X_{t+h} = m + e^{-κh} (X - m) + σ √((1 - e^{-2κh})/2κ) ξ
    geometric          dX = μ X dt + σ X dW             log X_{t+h} = log X + (μ - σ²/2) h + σ √h ξ
    square root        dX = κ (m - X) dt + σ √X dW      X_{t+h} = c χ²_d(e^{-κh} X / c), d = 4κm/σ²,
                                                        c = σ² (1 - e^{-κh})/4κ
    squared Bessel     dX = δ dt + 2 √X dW              X_{t+h} = h χ²_δ(X / h)
    reflected          σ W, folded into [low, high]

χ²_d(λ) is a noncentral chi-square: (ξ + √λ)² + χ²_{d-1} if d > 1, else χ²_{d+2N} with N ~ Poisson(λ/2).
Brownian motion on the line, folded at the walls like a strip of paper, is the reflected one, jointly at all times:
the fold commutes with the equation (Tanaka). `processes.OrnsteinUhlenbeck` is `Vasicek` with m = 0 on diffusion
time, for learning.
Source: Glasserman (2003), Monte Carlo methods in financial engineering, sections 3.3 and 3.4; Cox, Ingersoll & Ross
(1985), A theory of the term structure of interest rates; Pitman & Yor (1982), A decomposition of Bessel bridges;
Skorokhod (1961).
Oracle: Kolmogorov-Smirnov against the closed laws; the chain over two steps against one; Neumann series
(tests/processes/test_diffusions.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, Source, as_source, uniform
from girsanov.processes.paths import (
    accumulate,
    draws,
    finished,
    recursion,
    require_number,
    require_positive,
    steps_between,
)
from girsanov.processes.variates import gamma, poisson

START = -1
"""The key of the draw that starts a path; steps count from 0."""


@dataclass(frozen=True)
class Vasicek:
    """dX = rate (mean - X) dt + volatility dW: Ornstein-Uhlenbeck around a mean. Starts from N(mean, std²).

    Args:
        rate: κ > 0, per unit of time.
        mean: m.
        volatility: σ > 0, per square root of time.
    """

    rate: float = 1.0
    mean: float = 0.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        require_positive("rate", self.rate)
        require_number("mean", self.mean)
        require_positive("volatility", self.volatility)

    @property
    def std(self) -> float:
        """σ/√(2κ), of the stationary law."""
        return self.volatility / math.sqrt(2 * self.rate)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """A draw of the stationary law, shaped like (B, *shape)."""
        return self.mean + self.std * as_source(generator).draw(like, START)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly.

        Args:
            x0: (B, *shape), the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape).
        """
        dt = steps_between(x0, times)
        shocks = draws(as_source(generator), x0, len(dt))
        shocks.mul_((-torch.expm1(-2 * self.rate * dt)).sqrt().mul_(self.std))
        shocks.sub_(torch.expm1(-self.rate * dt).mul_(self.mean))
        return recursion(x0, (-self.rate * dt).exp().flatten().tolist(), shocks)


@dataclass(frozen=True)
class GeometricBrownianMotion:
    """dX = drift X dt + volatility X dW: log X is a Brownian motion. Starts at 1.

    Args:
        drift: μ, per unit of time; E X_t = x_0 e^{μt}.
        volatility: σ > 0, per square root of time.
    """

    drift: float = 0.0
    volatility: float = 0.2

    def __post_init__(self) -> None:
        require_number("drift", self.drift)
        require_positive("volatility", self.volatility)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """One, shaped like (B, *shape)."""
        return torch.ones_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly.

        Args:
            x0: (B, *shape), above 0, the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape), above 0.
        """
        dt = steps_between(x0, times)
        require(bool((x0 > 0).all()), f"the least x0 is {x0.min().item():g}; prices start above 0")
        noise = draws(as_source(generator), x0, len(dt))
        growth = noise.mul_(self.volatility * dt.sqrt()).add_((self.drift - self.volatility**2 / 2) * dt)
        return finished(x0, accumulate(x0.double().log(), growth).exp_())


@dataclass(frozen=True)
class CoxIngersollRoss:
    """dX = rate (mean - X) dt + volatility √X dW: never negative. Starts from its stationary gamma law.

    It reaches 0 if 2 rate mean < volatility², and is reflected there.

    Args:
        rate: κ > 0, per unit of time.
        mean: m > 0.
        volatility: σ > 0.
    """

    rate: float = 1.0
    mean: float = 1.0
    volatility: float = 0.5

    def __post_init__(self) -> None:
        require_positive("rate", self.rate)
        require_positive("mean", self.mean)
        require_positive("volatility", self.volatility)

    @property
    def degrees(self) -> float:
        """d = 4κm/σ², of the chi-square; below 2 the path touches 0."""
        return 4 * self.rate * self.mean / self.volatility**2

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """A draw of the stationary law, Gamma(d/2) · σ²/2κ, shaped like (B, *shape)."""
        u = as_source(generator).draw(like.double(), START, uniform)
        return (gamma(u, self.degrees / 2) * (self.volatility**2 / (2 * self.rate))).to(like.dtype)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly.

        Args:
            x0: (B, *shape), at least 0, the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape), at least 0.
        """
        dt, source = steps_between(x0, times).flatten(), as_source(generator)
        require(
            bool((x0 >= 0).all()), f"the least x0 is {x0.min().item():g}; this process starts at 0 or above"
        )
        decay = (-self.rate * dt).exp()
        scale = -torch.expm1(-self.rate * dt) * (self.volatility**2 / (4 * self.rate))
        return _chi_square_path(x0, decay.tolist(), scale.tolist(), self.degrees, source)


@dataclass(frozen=True)
class SquaredBessel:
    """dX = dimension dt + 2 √X dW: the squared distance from 0 of a Brownian motion in so many dimensions. Starts at 0.

    Below dimension 2 it returns to 0, and is reflected there. A Bessel process is its root.

    Args:
        dimension: δ > 0, any number.
    """

    dimension: float = 3.0

    def __post_init__(self) -> None:
        require_positive("dimension", self.dimension)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """Zero, shaped like (B, *shape)."""
        return torch.zeros_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly.

        Args:
            x0: (B, *shape), at least 0, the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape), at least 0.
        """
        dt = steps_between(x0, times).flatten().tolist()
        require(
            bool((x0 >= 0).all()), f"the least x0 is {x0.min().item():g}; this process starts at 0 or above"
        )
        return _chi_square_path(x0, [1.0] * len(dt), dt, self.dimension, as_source(generator))


def _chi_square_path(
    x0: Tensor, decay: Sequence[float], scale: Sequence[float], degrees: float, source: Source
) -> Tensor:
    """X_{i+1} = c_i χ²_d(decay_i X_i / c_i), as a path (B, T, *shape)."""
    second = draws(source, x0, len(decay), 0, uniform)
    path, x = [x0.double()], x0.double()
    if degrees > 1:
        first, rest = draws(source, x0, len(decay), 1), 2 * gamma(second, (degrees - 1) / 2)
        for i, (keep, c) in enumerate(zip(decay, scale, strict=True)):
            x = c * ((x * (keep / c)).sqrt().add_(first[:, i]).square_().add_(rest[:, i]))
            path.append(x)
    else:
        first = draws(source, x0, len(decay), 1, uniform)
        for i, (keep, c) in enumerate(zip(decay, scale, strict=True)):
            count = poisson(first[:, i], x * (keep / (2 * c)))
            x = 2 * c * gamma(second[:, i], count + degrees / 2)
            path.append(x)
    return finished(x0, torch.stack(path, 1))


@dataclass(frozen=True)
class ReflectedBrownianMotion:
    """Brownian motion reflected at both ends of an interval. Starts from its stationary law, the uniform one.

    Args:
        low, high: the walls.
        volatility: σ > 0, per square root of time.
    """

    low: float = 0.0
    high: float = 1.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        require_number("low", self.low)
        require_number("high", self.high)
        require(self.low < self.high, f"low is {self.low} and high {self.high}; give low < high")
        require_positive("volatility", self.volatility)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """Uniform between the walls, shaped like (B, *shape)."""
        return self.low + (self.high - self.low) * as_source(generator).draw(like, START, uniform)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly at `times`; between them it touches walls unseen.

        Args:
            x0: (B, *shape), between the walls, the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape), between the walls.
        """
        dt = steps_between(x0, times)
        inside = (x0 >= self.low) & (x0 <= self.high)
        require(
            bool(inside.all()),
            f"x0 runs from {x0.min().item():g} to {x0.max().item():g}; "
            f"start between the walls, {self.low:g} and {self.high:g}",
        )
        free = accumulate(x0.double(), self.volatility * dt.sqrt() * draws(as_source(generator), x0, len(dt)))
        return finished(x0, self.fold(free).to(x0.dtype).clamp_(self.low, self.high))

    def fold(self, x: Tensor) -> Tensor:
        """Points of the line, folded at the walls: the triangle wave of period 2 (high - low)."""
        width = self.high - self.low
        phase = (x - self.low).remainder(2 * width)
        return self.low + torch.minimum(phase, 2 * width - phase)
