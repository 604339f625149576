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
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import gammainc

from girsanov.errors import require
from girsanov.processes.paths import require_positive


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
