"""Schedules: the coefficients of x_t = α(t) x_0 + β(t) x_1 + γ(t) z, with derivatives and log-SNR.

Each is a frozen dataclass of plain numbers, so processes compare by value and are saved as JSON; its
formulas run on floats, arrays and tensors (see `functions`). λ = log(α/γ) is the log signal-to-noise
ratio, with a closed inverse `time_at` wherever one exists. L below is log α.

Oracle: derivatives against automatic differentiation, `time_at(log_snr(t)) == t`, and α, γ against
numerical integration of the drift and volatility they imply (tests/processes).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.processes.functions import asin, asinh, atan, cos, exp, expm1, log, log1p, sin, sqrt
from girsanov.typing import Scalar

HALF_PI = math.pi / 2


class Schedule(ABC):
    """α, β, γ as functions of t in [0, 1], with α(0) = 1 and β(0) = γ(0) = 0."""

    @abstractmethod
    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(α, β, γ) at t."""

    @abstractmethod
    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """Their derivatives in t."""

    @abstractmethod
    def time_at(self, log_snr: Scalar) -> Scalar:
        """The inverse of `log_snr`."""

    def reference(self) -> tuple[float, float]:
        """(a, b) of the law a x_1 + b z from which sampling starts where there is an x_1."""
        _, beta, gamma = self.values(1.0)
        return float(beta), float(gamma)

    def half_square_rate(self, t: Scalar) -> Scalar:
        """(γ²)'/2 = γγ', which can be finite where γ' is not."""
        return self.values(t)[2] * self.rates(t)[2]

    def log_snr(self, t: Scalar) -> Scalar:
        """λ = log(α/γ); +inf where γ = 0 and -inf where α = 0."""
        alpha, _, gamma = self.values(t)
        return log(alpha) - log(gamma)


class _LogAlpha(Schedule):
    """Schedules given by L(t) = log α(t), with γ a function of α."""

    @abstractmethod
    def log_alpha(self, t: Scalar) -> Scalar: ...
    @abstractmethod
    def rate(self, t: Scalar) -> Scalar:
        """L'(t) = the linear drift f of the forward equation."""

    @abstractmethod
    def time_at_log_alpha(self, log_alpha: Scalar) -> Scalar: ...

    # Variance preserving: γ² = 1 - α². `SubVP` replaces the three.
    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        log_alpha = self.log_alpha(t)
        return exp(log_alpha), 0.0, sqrt(-expm1(2 * log_alpha))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        rate = self.rate(t)
        return rate * alpha, 0.0, -rate * alpha**2 / gamma

    def time_at(self, log_snr: Scalar) -> Scalar:
        return self.time_at_log_alpha(-log1p(exp(-2 * log_snr)) / 2)


class _LinearRate(_LogAlpha):
    beta_min: float
    beta_max: float

    def __post_init__(self) -> None:
        require(
            0 < self.beta_min <= self.beta_max < math.inf,
            f"beta_min is {self.beta_min} and beta_max {self.beta_max}; give 0 < beta_min <= beta_max",
        )

    def log_alpha(self, t: Scalar) -> Scalar:
        return -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2

    def rate(self, t: Scalar) -> Scalar:
        return -(self.beta_min + t * (self.beta_max - self.beta_min)) / 2

    def time_at_log_alpha(self, log_alpha: Scalar) -> Scalar:
        slope = self.beta_max - self.beta_min
        return -2 * log_alpha / (self.beta_min / 2 + sqrt(self.beta_min**2 / 4 - slope * log_alpha))


@dataclass(frozen=True)
class LinearVP(_LinearRate):
    """L = -t²(β₁-β₀)/4 - tβ₀/2, γ² = 1 - α² (Song et al. 2021, equation 33)."""

    beta_min: float = 0.1
    beta_max: float = 20.0


@dataclass(frozen=True)
class LinearSubVP(_LinearRate):
    """The α of `LinearVP` with γ = 1 - α² (Song et al. 2021, equation 29)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        log_alpha = self.log_alpha(t)
        return exp(log_alpha), 0.0, -expm1(2 * log_alpha)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, rate = exp(self.log_alpha(t)), self.rate(t)
        return rate * alpha, 0.0, -2 * rate * alpha**2

    def time_at(self, log_snr: Scalar) -> Scalar:
        return self.time_at_log_alpha(-asinh(exp(-log_snr) / 2))  # from α - 1/α = -γ/α


@dataclass(frozen=True)
class CosineVP(Schedule):
    """α = cos θ(t) / cos θ(0), θ = π/2 (t + s)/(1 + s), γ² = 1 - α² (Nichol & Dhariwal 2021, eq. 17)."""

    offset: float = 0.008

    def __post_init__(self) -> None:
        require(0 < self.offset < 1, f"offset is {self.offset}; give a number between 0 and 1")

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        # cos θ as a sine of the angle left is exactly 0 at t = 1; γ² by a product avoids 1 - α².
        step, first = self._step, self.offset * self._step
        gamma2 = sin(t * step) * sin(t * step + 2 * first)
        return sin((1 - t) * step) / math.cos(first), 0.0, sqrt(gamma2) / math.cos(first)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        rate = -self._step * cos((1 - t) * self._step) / math.cos(self.offset * self._step)
        return rate, 0.0, -alpha * rate / gamma

    def time_at(self, log_snr: Scalar) -> Scalar:
        alpha = exp(-log1p(exp(-2 * log_snr)) / 2)
        return 1 - asin(alpha * math.cos(self.offset * self._step)) / self._step

    @property
    def _step(self) -> float:
        return HALF_PI / (1 + self.offset)


@dataclass(frozen=True)
class StableCosine(CosineVP):
    """The α of `CosineVP` with α^p + γ^p = 1: what keeps α-stable noise of index p (Yoon et al. 2023)."""

    index: float = 1.8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            1 < self.index <= 2,
            f"alpha is {self.index}; the noise has a mean, and a score, for 1 < alpha <= 2",
        )

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha = super().values(t)[0]
        return alpha, 0.0, (-expm1(self.index * log(alpha))) ** (1 / self.index)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        rate = -self._step * cos((1 - t) * self._step) / math.cos(self.offset * self._step)
        return rate, 0.0, -rate * (alpha / gamma) ** (self.index - 1)

    def time_at(self, log_snr: Scalar) -> Scalar:
        alpha = exp(-log1p(exp(-self.index * log_snr)) / self.index)
        return 1 - asin(alpha * math.cos(self.offset * self._step)) / self._step


@dataclass(frozen=True)
class TabulatedVP(_LogAlpha):
    """A discrete chain as a process: α = √ᾱ_i at t = (i + 1)/N, log α linear in between.

    The probability flow depends on the path of (α, γ) only, so the interpolation moves no sample.
    """

    log_alphas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_alphas", tuple(float(v) for v in self.log_alphas))
        nodes = (0.0, *self.log_alphas)
        require(
            len(nodes) > 1 and all(b < a for a, b in pairwise(nodes)),
            "log_alphas must be negative and strictly decreasing: log √ᾱ of each step of the chain",
        )

    def log_alpha(self, t: Scalar) -> Scalar:
        return self._piece(t)[0]

    def rate(self, t: Scalar) -> Scalar:
        return self._piece(t)[1]

    def time_at_log_alpha(self, log_alpha: Scalar) -> Scalar:
        if isinstance(log_alpha, Tensor):
            found = np.interp(-log_alpha.detach().cpu().double().numpy(), *self._inverse)
            return torch.as_tensor(found, dtype=log_alpha.dtype, device=log_alpha.device)
        found = np.interp(-np.asarray(log_alpha), *self._inverse)
        return float(found) if isinstance(log_alpha, float | int) else found

    @cached_property
    def _nodes(self) -> np.ndarray:
        return np.array((0.0, *self.log_alphas))

    @cached_property
    def _inverse(self) -> tuple[np.ndarray, np.ndarray]:
        return -self._nodes, np.linspace(0.0, 1.0, len(self._nodes))

    def _piece(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """The value at t and the slope of the linear piece that holds t."""
        size = len(self.log_alphas)
        nodes: Scalar
        if isinstance(t, float | int):  # numpy scalars are ten times slower, and a plan asks 500 times
            piece = min(max(math.ceil(t * size), 1), size)
            before = self.log_alphas[piece - 2] if piece > 1 else 0.0
            steepness = (self.log_alphas[piece - 1] - before) * size
            share = t * size - (piece - 1)
            return (1 - share) * before + share * self.log_alphas[piece - 1], steepness
        if isinstance(t, Tensor):
            nodes = torch.as_tensor(self._nodes, dtype=t.dtype, device=t.device)
            i = (t * size).ceil().long().clamp(1, size)
        else:
            nodes = self._nodes
            i = np.clip(np.ceil(np.asarray(t) * size).astype(int), 1, size)
        slope = (nodes[i] - nodes[i - 1]) * size
        share = t * size - (i - 1)
        return (1 - share) * nodes[i - 1] + share * nodes[i], slope  # the nodes themselves to the last bit

    def __repr__(self) -> str:
        first, last = self.log_alphas[0], self.log_alphas[-1]
        return f"TabulatedVP({len(self.log_alphas)} steps, log α from {first:.4g} to {last:.4g})"


@dataclass(frozen=True)
class VEGeometric(Schedule):
    """α = 1, γ² = σ(t)² - σ_min², σ(t) = σ_min (σ_max/σ_min)^t (Song et al. 2021, equation 31).

    The paper's code uses γ ≈ σ(t), which is not 0 at t = 0; this is the exact law of its equation.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _require_sigmas(self.sigma_min, self.sigma_max)

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return _one(t), 0.0, self.sigma_min * sqrt(expm1(2 * t * self._growth))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        rate = self.sigma_min * self._growth * exp(2 * t * self._growth)
        return 0.0, 0.0, rate / sqrt(expm1(2 * t * self._growth))

    def time_at(self, log_snr: Scalar) -> Scalar:
        return log1p(exp(-2 * log_snr) / self.sigma_min**2) / (2 * self._growth)

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)


@dataclass(frozen=True)
class VELinear(Schedule):
    """α = 1, γ = σ_max t: the schedule of EDM (Karras et al. 2022, table 1)."""

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        require(0 < self.sigma_max < math.inf, f"sigma_max is {self.sigma_max}; give a number above 0")

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return _one(t), 0.0, self.sigma_max * t

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return 0.0, 0.0, self.sigma_max

    def time_at(self, log_snr: Scalar) -> Scalar:
        return exp(-log_snr) / self.sigma_max


@dataclass(frozen=True)
class Relaxation(Schedule):
    """α = exp(-rate t), γ² = std² (1 - α²): the Ornstein-Uhlenbeck process with stationary `std`."""

    rate: float = 5.0
    std: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("std", self.std)):
            require(0 < value < math.inf, f"{name} is {value}; give a number above 0")

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return exp(-self.rate * t), 0.0, self.std * sqrt(-expm1(-2 * self.rate * t))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        return -self.rate * alpha, 0.0, self.rate * (self.std * alpha) ** 2 / gamma

    def time_at(self, log_snr: Scalar) -> Scalar:
        return log1p(exp(-2 * log_snr) / self.std**2) / (2 * self.rate)


@dataclass(frozen=True)
class Straight(Schedule):
    """α = 1 - t, γ = t: rectified flow (Liu, Gong & Liu 2023; Lipman et al. 2023)."""

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return 1 - t, 0.0, t

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return -1.0, 0.0, 1.0

    def time_at(self, log_snr: Scalar) -> Scalar:
        return 1 / (1 + exp(log_snr))


@dataclass(frozen=True)
class QuarterCircle(Schedule):
    """α = cos(πt/2), γ = sin(πt/2): the one-sided trigonometric interpolant."""

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return sin(HALF_PI * (1 - t)), 0.0, sin(HALF_PI * t)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return -HALF_PI * sin(HALF_PI * t), 0.0, HALF_PI * cos(HALF_PI * t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        return atan(exp(-log_snr)) / HALF_PI


@dataclass(frozen=True)
class PinnedBrownian(Schedule):
    """α = 1 - t, β = t, γ = volatility √(t(1 - t)): Brownian motion pinned at x_0 and x_1."""

    volatility: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.volatility < math.inf, f"volatility is {self.volatility}; give a number above 0")

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return 1 - t, t, self.volatility * sqrt(t * (1 - t))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return -_one(t), _one(t), self.volatility * (1 - 2 * t) / (2 * sqrt(t * (1 - t)))

    def log_snr(self, t: Scalar) -> Scalar:
        return (log(1 - t) - log(t)) / 2 - math.log(self.volatility)  # -inf at t = 1, where α = γ = 0

    def time_at(self, log_snr: Scalar) -> Scalar:
        return 1 / (1 + exp(2 * (log_snr + math.log(self.volatility))))


def _one(t: Scalar) -> Scalar:
    if isinstance(t, Tensor):
        return torch.ones_like(t)
    return 1.0 if isinstance(t, float | int) else np.ones_like(t)


def _require_sigmas(low: float, high: float) -> None:
    require(
        0 < low < high < math.inf,
        f"sigma_min is {low} and sigma_max {high}; give 0 < sigma_min < sigma_max",
    )
