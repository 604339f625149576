"""Fractional Brownian motion: exact on a grid, and as a sum of Ornstein-Uhlenbeck processes.

**Exact.** B^H is the Gaussian process with Cov(B_s, B_t) = ½ (s^{2H} + t^{2H} - |t - s|^{2H}). Its
increments on a uniform grid of step h are stationary,

    γ(k) = ½ h^{2H} (|k + 1|^{2H} - 2 |k|^{2H} + |k - 1|^{2H}),

and are drawn by circulant embedding (gaussian.py).

**Markov.** The Riemann-Liouville process of type II, B_t = ∫_0^t (t - s)^{H - ½} dW_s / Γ(H + ½), with
variance t^{2H} / (2H Γ(H + ½)²), is approximated by one Brownian motion seen through K memories,

    B_t ≈ Σ_k ω_k Y^k_t,    dY^k = -γ_k Y^k dt + dW,    Y^k_0 = 0,

with rates in geometric progression and the weights that minimise E ∫_0^T (B - Σ ω Y)² dt, ω = A⁻¹ b:

    A_ij = (T - (1 - e^{-sT})/s)/s,  s = γ_i + γ_j,
    b_k  = γ_k^{-a} (T P(a, γ_k T) - (a/γ_k) P(a + 1, γ_k T)),  a = H + ½, P the regularised lower gamma function.

What is left of the integrated variance, the relative cost, is 1 - b·ω/c with c = T^{2H+1}/(2H (2H+1) Γ(a)²).
Source: Davies & Harte (1987), Tests for Hurst effect; Daems, Opper, Crevecoeur & Birdal (2023), Variational
inference for SDEs driven by fractional noise, arXiv 2310.12975; Nobis et al. (2024), arXiv 2310.17638.
Oracle: the closed covariance; H = ½ is Brownian motion; the variance of the approximation from its weights, and
A, b by quadrature (tests/processes/test_fractional.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source
from girsanov.processes.gaussian import (
    along_time,
    by_time,
    cholesky,
    circulant_draw,
    circulant_eigenvalues,
    circulant_scale,
    fast_size,
    require_few,
)
from girsanov.processes.paths import (
    check_clock,
    check_state,
    draws,
    finished,
    require_positive,
    running_sum,
    uniform_step,
)

COSTLY = 0.05
"""The relative cost above which a Markov approximation is warned about."""


@dataclass(frozen=True)
class FractionalBrownianMotion:
    """B^H with variance σ² t^{2H}: rough and turning back for H < ½, smooth and persistent for H > ½.

    Args:
        hurst: H, between 0 and 1; ½ is Brownian motion.
        volatility: σ > 0, the standard deviation after one unit of time.
    """

    hurst: float = 0.5
    volatility: float = 1.0

    def __post_init__(self) -> None:
        require_hurst(self.hurst)
        require_positive("volatility", self.volatility)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """Zero, shaped like (B, *shape)."""
        return torch.zeros_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw x_0 + σ B^H from times[0] on, exactly; coordinates are independent.

        On a uniform grid in T log T operations; on another one by Cholesky's factor, up to 2,000 times.

        Args:
            x0: (B, *shape), the states at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T, *shape).
        """
        check_state(x0)
        clock, source, step = check_clock(times), as_source(generator), uniform_step(times)
        count = len(clock) - 1
        if count == 0:
            return x0[:, None].clone()
        if step is not None:
            scale = _noise_scale(self.hurst, fast_size(count)) * (self.volatility * step**self.hurst)
            walk = circulant_draw(scale, source, x0, count + 1)
            walk[:, 0] = x0.flatten()  # one value of the noise makes room for the start
            return by_time(running_sum(walk), x0).to(x0.dtype)
        require_few(len(clock))
        factor = cholesky(self.covariance(clock - clock[0])[1:, 1:].cpu()).to(x0.device)
        walk = along_time(factor, draws(source, x0, count))
        start = x0.double()[:, None]
        return finished(x0, torch.cat([start, start + walk], 1))

    def covariance(self, times: Tensor) -> Tensor:
        """Cov(X_s, X_t) of the process that starts at 0 at time 0, (T, T) for times (T,)."""
        power = times.abs() ** (2 * self.hurst)
        between = (times[:, None] - times).abs() ** (2 * self.hurst)
        return (self.volatility**2 / 2) * (power[:, None] + power - between)


@lru_cache(maxsize=16)
def _noise_scale(hurst: float, size: int) -> Tensor:
    """What draws increments of unit step on a circle of 2 size; λ is never negative in exact arithmetic."""
    power = torch.arange(size + 2).double() ** (2 * hurst)
    second = power[2:] - 2 * power[1:-1] + power[:-2]
    covariances = torch.cat([torch.ones(1).double(), second / 2])
    return circulant_scale(circulant_eigenvalues(covariances).clamp_(min=0.0))


@dataclass(frozen=True)
class MarkovFractionalBrownianMotion:
    """Type II fractional Brownian motion as Σ ω_k Y^k of Ornstein-Uhlenbeck processes that share their noise.

    Its variance is about σ² t^{2H} / (2H Γ(H + ½)²), the Riemann-Liouville convention; the clock starts at
    times[0], and the weights are the best on [0, horizon].

    Args:
        hurst: H, between 0 and 1.
        factors: K, how many memories.
        fastest: the largest rate in units of 1/horizon, above 1; rough paths need more than the default.
        horizon: how long the paths may be, in the unit of the times.
        volatility: σ > 0.

    Warns:
        UserWarning: more than 5 % of the integrated variance is not represented.
    """

    hurst: float = 0.5
    factors: int = 5
    fastest: float = 20.0
    horizon: float = 1.0
    volatility: float = 1.0

    def __post_init__(self) -> None:
        require_positive("volatility", self.volatility)
        if self.relative_cost > COSTLY:
            warnings.warn(
                f"{self.relative_cost:.1%} of the variance of fractional Brownian motion with hurst = {self.hurst:g} "
                f"is not represented by {self.factors} factors up to the rate {self.fastest:g}/horizon; "
                "give more factors, a larger fastest, or FractionalBrownianMotion, which is exact",
                stacklevel=3,
            )

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """γ_1 < … < γ_K, per unit of time."""
        return geometric_rates(self.factors, self.fastest, self.horizon)

    @cached_property
    def _fit(self) -> tuple[tuple[float, ...], float]:
        return markov_weights(self.hurst, self.rates, self.horizon)

    @property
    def weights(self) -> tuple[float, ...]:
        """ω_1, …, ω_K."""
        return self._fit[0]

    @property
    def relative_cost(self) -> float:
        """The share of E ∫ B² dt that the approximation lacks."""
        return self._fit[1]

    def memory_covariance(self, t: float) -> Tensor:
        """Cov(Y^i_t, Y^j_t) = (1 - e^{-(γ_i + γ_j) t}) / (γ_i + γ_j), (K, K), float64."""
        gamma = torch.tensor(self.rates).double()
        s = gamma[:, None] + gamma
        return -torch.expm1(-s * t) / s

    def variance(self, t: float) -> float:
        """σ² ω·Cov(Y_t)·ω, of the approximation itself."""
        omega = torch.tensor(self.weights).double()
        return self.volatility**2 * (omega @ self.memory_covariance(t) @ omega).item()

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """Zero, shaped like (B, *shape)."""
        return torch.zeros_like(like)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw x_0 + σ Σ ω_k Y^k, exactly for these weights; coordinates are independent.

        Args:
            x0: (B, *shape), the states at times[0].
            times: (T,), increasing, at most `horizon` long.

        Returns:
            (B, T, *shape).
        """
        memories = self.memories(x0, times, generator=generator)
        omega = torch.tensor(self.weights, dtype=torch.float64, device=x0.device)
        return finished(x0, x0.double()[:, None] + self.volatility * (memories @ omega))

    def memories(self, like: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw (Y^1, …, Y^K) jointly, one Gaussian block a step, from 0 at times[0].

        Args:
            like: (B, *shape), for its shape and device.
            times: (T,), increasing, at most `horizon` long.

        Returns:
            (B, T, *shape, K), float64.
        """
        check_state(like)
        clock = check_clock(times)
        length = (clock[-1] - clock[0]).item()
        require(
            length <= self.horizon * (1 + 1e-6),
            f"times are {length:g} long and horizon is {self.horizon:g}; give horizon={length:g}",
        )
        device, steps = like.device, clock.diff().tolist()
        uniform = uniform_step(times)
        lengths = [uniform] * len(steps) if uniform is not None else steps
        roots = {h: _root(self.memory_covariance(h)) for h in set(lengths)}
        gamma = torch.tensor(self.rates, dtype=torch.float64)
        decays = {h: (-gamma * h).exp().to(device) for h in roots}
        block = like[..., None].expand(*like.shape, len(gamma))
        noise = draws(as_source(generator), block, len(steps)).double().movedim(1, 0)
        mix = (
            roots[lengths[0]]
            if len(roots) == 1
            else torch.stack([roots[h] for h in lengths] or [gamma.diag()])
        )
        shocks = noise.reshape(len(steps), -1, len(gamma)) @ mix.to(device)
        path = torch.zeros(len(clock), *shocks.shape[1:], dtype=torch.float64, device=device)
        for i, h in enumerate(lengths):
            torch.addcmul(shocks[i], path[i], decays[h], out=path[i + 1])
        return path.reshape(len(clock), *block.shape).movedim(0, 1)


def _root(covariance: Tensor) -> Tensor:
    """R with RᵀR = covariance, also where short steps leave it without rank."""
    values, vectors = torch.linalg.eigh(covariance)
    return (vectors * values.clamp(min=0.0).sqrt()).mT


def markov_weights(
    hurst: float, rates: Sequence[float], horizon: float = 1.0
) -> tuple[tuple[float, ...], float]:
    """The weights of the best approximation of type II fractional Brownian motion on [0, horizon].

    Args:
        hurst: H, between 0 and 1.
        rates: γ_k > 0, per unit of time, each at least a thousandth away from the next.
        horizon: T.

    Returns:
        (weights, cost): ω_k, and the share of the integrated variance that is not represented.

    Raises:
        InputError: numbers out of range, or rates too close to be told apart.
    """
    from scipy.special import gammainc  # a quarter of a second, for those who need it

    require_hurst(hurst)
    require_positive("horizon", horizon)
    require(len(rates) > 0, "rates is empty; give at least one")
    for rate in rates:
        require_positive("a rate", rate)
    for p, q in combinations(sorted(rates), 2):
        require(
            q / p > 1.001,
            f"rates {p:g} and {q:g} are too close to be told apart; space them wider, or use fewer",
        )
    # By self-similarity on [0, 1]: B_{sT} = T^H B_s, and Y with γ on [0, T] is √T times Y with γT on [0, 1].
    gamma, a = np.asarray(rates, np.float64) * horizon, hurst + 0.5
    s = gamma[:, None] + gamma
    matrix = (1 + np.expm1(-s) / s) / s
    vector = gamma**-a * (gammainc(a, gamma) - a / gamma * gammainc(a + 1, gamma))
    weights = np.linalg.solve(matrix, vector)
    total = 1 / (2 * hurst * (2 * hurst + 1) * math.gamma(a) ** 2)
    cost = 1 - float(vector @ weights) / total
    scaled = weights * horizon ** (hurst - 0.5)
    return tuple(scaled.tolist()), max(cost, 0.0)


def geometric_rates(factors: int, fastest: float = 20.0, horizon: float = 1.0) -> tuple[float, ...]:
    """γ_k = r^{k - (K + 1)/2} / horizon for k = 1, …, K, the last being fastest / horizon; for K = 1 it is 1 / horizon.

    Raises:
        InputError: no factor, or a fastest rate of at most 1 with several factors.
    """
    require(factors >= 1, f"factors is {factors}; give at least 1")
    require(
        factors == 1 or 1 < fastest < math.inf,
        f"fastest is {fastest}; give a number above 1, such as 20, in units of 1/horizon",
    )
    require_positive("horizon", horizon)
    ratio = fastest ** (2 / (factors - 1)) if factors > 1 else 1.0
    return tuple(ratio ** (k - (factors + 1) / 2) / horizon for k in range(1, factors + 1))


def require_hurst(hurst: float) -> None:
    """Refuse an exponent that no fractional Brownian motion has."""
    require(0 < hurst < 1, f"hurst is {hurst}; give a number between 0 and 1 (½ is Brownian motion)")
