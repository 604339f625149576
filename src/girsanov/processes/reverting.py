"""Mean reversion: the state forgets x_0 and settles around a known x_1 = μ, such as a degraded image.

    dX = θ(t) (μ - X) dt + √(2θ(t)) std dW,     Θ(t) = ∫_0^t θ,

    α = e^{-Θ},   β = 1 - α,   γ² = std² (1 - α²),   λ = log(α/γ),   Θ = ½ log(1 + e^{-2λ}/std²).

Sampling starts from the stationary law N(μ, std²). The law at t = 1 differs from it by what is left of x_0:
its mean is off by α(1) (x_0 - μ) and its variance is smaller by the factor 1 - α(1)².

    constant   θ = rate
    cosine     θ ∝ 1 - cos²φ(t)/cos²φ(0), φ = π/2 (t + s)/(1 + s), scaled to e^{-Θ(1)} = eps

The second is that of IR-SDE's code, whose table of 100 steps becomes a function: with w = φ(t) - φ(0),

    θ ∝ sin w sin(w + 2φ(0)),    Θ ∝ ½ [(w - ½ sin 2w) cos 2φ(0) + sin²w sin 2φ(0)].

log Θ is nearly straight in log t, with a slope between 2 and 3, so Newton's method in these logarithms
inverts it to the last bits in a few steps.

`ExplodingReversion` keeps the constant pull and lets the noise grow as in VE, g = σ_min e^{Lt} √(2L) with
L = log(σ_max/σ_min), so that there is no stationary law:

    γ² = κ e^{-2θt} (e^{2(θ+L)t} - 1),   κ = σ_min² L/(θ + L),   λ = -½ log(κ (e^{2(θ+L)t} - 1)).

Sampling starts from N(x_1, γ(1)²), whose mean is off by α(1) (x_0 - x_1).
Source: Luo, Gustafsson, Zhao, Sjölund & Schön (2023), Image restoration with mean-reverting stochastic
differential equations, arXiv 2301.11699, equations 3 to 6; the cosine θ is that of its code. Richter,
Welker, Lemercier, Lay & Gerkmann (2023), Speech enhancement and dereverberation with diffusion-based
generative models, arXiv 2208.05830, section III, for the exploding noise.
Oracle: θ by automatic differentiation, Θ by quadrature, `time_at(log_snr(t)) == t`, the table of the
authors' code in the limit of many steps; θ → 0 is VE (tests/processes).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.processes.functions import exp, expm1, log1p, sin, sqrt
from girsanov.processes.schedules import HALF_PI, Schedule
from girsanov.typing import Scalar


class _Reverting(Schedule):
    """α, β and γ from Θ."""

    std: float

    @abstractmethod
    def decay(self, t: Scalar) -> Scalar:
        """Θ(t)."""

    @abstractmethod
    def pull(self, t: Scalar) -> Scalar:
        """θ(t)."""

    @abstractmethod
    def time_at_decay(self, decay: Scalar) -> Scalar: ...

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        decay = self.decay(t)
        return exp(-decay), -expm1(-decay), self.std * sqrt(-expm1(-2 * decay))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        slope = self.pull(t) * alpha
        return -slope, slope, slope * alpha * self.std**2 / gamma

    def time_at(self, log_snr: Scalar) -> Scalar:
        return self.time_at_decay(log1p(exp(-2 * log_snr) / self.std**2) / 2)

    def reference(self) -> tuple[float, float]:
        return 1.0, self.std


@dataclass(frozen=True)
class ConstantReversion(_Reverting):
    """θ = rate, per unit of diffusion time."""

    rate: float = 5.0
    std: float = 0.4

    def __post_init__(self) -> None:
        _require_positive("rate", self.rate)
        _require_positive("std", self.std)

    def decay(self, t: Scalar) -> Scalar:
        return self.rate * t

    def pull(self, t: Scalar) -> Scalar:
        return self.rate + 0.0 * t

    def time_at_decay(self, decay: Scalar) -> Scalar:
        return decay / self.rate


@dataclass(frozen=True)
class CosineReversion(_Reverting):
    """θ ∝ 1 - cos²φ(t)/cos²φ(0), with α(1) = eps; see the head of the module."""

    eps: float = 0.005
    std: float = 0.4
    offset: float = 0.008

    def __post_init__(self) -> None:
        require(0 < self.eps < 1, f"eps is {self.eps}; it is α(1), a share between 0 and 1 such as 0.005")
        _require_positive("std", self.std)
        require(0 < self.offset < 1, f"offset is {self.offset}; give a number between 0 and 1")

    def decay(self, t: Scalar) -> Scalar:
        return self._scale * self._shape(t)

    def pull(self, t: Scalar) -> Scalar:
        w = t * self._step
        return self._scale * self._step * sin(w) * sin(w + self._double)

    def time_at_decay(self, decay: Scalar) -> Scalar:
        if isinstance(decay, Tensor):
            found = self._invert(decay.detach().cpu().double().numpy())
            return torch.as_tensor(found, dtype=decay.dtype, device=decay.device)
        found = self._invert(np.asarray(decay, dtype=np.float64))
        return float(found) if isinstance(decay, float | int) else found

    def _invert(self, decay: np.ndarray) -> np.ndarray:
        """t in [0, 1] with Θ(t) = decay."""
        t, inside = np.ones_like(decay), (decay > 0) & (decay < -math.log(self.eps))
        target = np.where(inside, decay, 1.0)
        for _ in range(20):
            now = self.decay(t)
            step = np.where(inside, np.log(target / now) * now / (t * self.pull(t)), 0.0)
            t = np.minimum(t * np.exp(step), 1.0)
            if np.all(np.abs(step) < 1e-15):
                break
        return np.where(decay > 0, t, 0.0)

    def _shape(self, t: Scalar) -> Scalar:
        w = t * self._step
        narrow = (w - sin(2 * w) / 2) * math.cos(self._double)
        return (narrow + sin(w) ** 2 * math.sin(self._double)) / 2

    @cached_property
    def _scale(self) -> float:
        return -math.log(self.eps) / float(self._shape(1.0))

    @property
    def _step(self) -> float:
        return HALF_PI / (1 + self.offset)

    @property
    def _double(self) -> float:
        return 2 * self.offset * self._step


@dataclass(frozen=True)
class ExplodingReversion(Schedule):
    """A constant pull to x_1 under noise that grows geometrically; see the head of the module."""

    rate: float = 1.5
    sigma_min: float = 0.05
    sigma_max: float = 0.5

    def __post_init__(self) -> None:
        _require_positive("rate", self.rate)
        require(
            0 < self.sigma_min < self.sigma_max < math.inf,
            f"sigma_min is {self.sigma_min} and sigma_max {self.sigma_max}; give 0 < sigma_min < sigma_max",
        )

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha = exp(-self.rate * t)
        return alpha, -expm1(-self.rate * t), alpha * sqrt(self._scale * expm1(self._growth * t))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        alpha, _, gamma = self.values(t)
        return -self.rate * alpha, self.rate * alpha, self.half_square_rate(t) / gamma

    def half_square_rate(self, t: Scalar) -> Scalar:
        # ½(γ²)' = κ (L e^{2Lt} + θ e^{-2θt}), from γ² = κ (e^{2Lt} - e^{-2θt})
        rise = self._growth / 2 - self.rate
        return self._scale * (rise * exp(2 * rise * t) + self.rate * exp(-2 * self.rate * t))

    def time_at(self, log_snr: Scalar) -> Scalar:
        return log1p(exp(-2 * log_snr) / self._scale) / self._growth

    def reference(self) -> tuple[float, float]:
        return 1.0, float(self.values(1.0)[2])

    @property
    def _growth(self) -> float:
        """2(θ + L)."""
        return 2 * (self.rate + math.log(self.sigma_max / self.sigma_min))

    @property
    def _scale(self) -> float:
        """κ."""
        rise = math.log(self.sigma_max / self.sigma_min)
        return self.sigma_min**2 * rise / (self.rate + rise)


def _require_positive(name: str, value: float) -> None:
    require(0 < value < math.inf, f"{name} is {value}; give a number above 0")
