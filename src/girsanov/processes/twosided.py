"""Stochastic interpolants between two laws: x_t = a(t) x_0 + b(t) x_1 + γ(t) z.

A path (a, b) joins the ends and a latent term γ, zero at both ends, smooths what lies between:

    linear             a = 1 - t,        b = t
    trigonometric      a = √(1-γ²) cos(πt/2),  b = √(1-γ²) sin(πt/2)
    encoding-decoding  a = cos²(πt) for t < ½, b = cos²(πt) for t ≥ ½  (the middle is pure z)
    latent γ:  none 0 · brownian √(c t(1-t)) · quadratic c t(1-t) · sine-squared c sin²(πt)

The mirror interpolant x_1 + γ z is the linear path with each x_0 coupled to itself.
Time runs from data (t = 0) to the other marginal (t = 1), the reverse of the paper's.
Source: Albergo, Boffi & Vanden-Eijnden (2023), Stochastic Interpolants, sections 2 and 3.
Oracle: derivatives against automatic differentiation (tests/processes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from girsanov.errors import Unsuitable, choose, require
from girsanov.processes.functions import cos, sin, sqrt
from girsanov.processes.schedules import HALF_PI, Schedule
from girsanov.typing import Scalar


def _linear(t: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    one = 1.0 + 0.0 * t
    return 1 - t, t, -one, one


def _trigonometric(t: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    a, b = sin(HALF_PI * (1 - t)), sin(HALF_PI * t)
    return a, b, -HALF_PI * b, HALF_PI * a


def _encoding_decoding(t: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
    bump, slope = cos(math.pi * t) ** 2, -math.pi * sin(2 * math.pi * t)
    first = _before_half(t)
    return bump * first, bump * (1 - first), slope * first, slope * (1 - first)


def _before_half(t: Scalar) -> Scalar:
    if isinstance(t, Tensor):
        return (t < 0.5).to(t.dtype)
    return float(t < 0.5) if isinstance(t, float | int) else np.asarray(t < 0.5, dtype=float)


PATHS = {"linear": _linear, "trigonometric": _trigonometric, "encoding-decoding": _encoding_decoding}
LATENTS = {
    "none": lambda t, c: (0.0 * t, 0.0 * t),
    "brownian": lambda t, c: (sqrt(c * t * (1 - t)), _ratio(c * (1 - 2 * t), 2 * sqrt(c * t * (1 - t)))),
    "quadratic": lambda t, c: (c * t * (1 - t), c * (1 - 2 * t)),
    "sine-squared": lambda t, c: (c * sin(math.pi * t) ** 2, c * math.pi * sin(2 * math.pi * t)),
}


@dataclass(frozen=True)
class TwoSided(Schedule):
    """A path between two marginals and its latent noise; see the head of the module."""

    path: str = "linear"
    latent: str = "brownian"
    scale: float = 1.0

    def __post_init__(self) -> None:
        choose(self.path, PATHS, "path")
        choose(self.latent, LATENTS, "latent")
        require(0 < self.scale < math.inf, f"scale is {self.scale}; give a number above 0")
        require(
            self.path != "encoding-decoding" or self.latent != "none",
            "the encoding-decoding path vanishes at t = 1/2 and needs noise there; "
            "give latent='sine-squared' or another",
        )
        require(
            self.path != "trigonometric" or max(self._latent(i / 64)[0] for i in range(65)) < 1,
            f"the trigonometric path needs γ < 1 and scale = {self.scale} exceeds it; give a smaller scale",
        )

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        a, b, _, _ = PATHS[self.path](t)
        gamma, _ = self._latent(t)
        if self.path == "trigonometric":
            left = sqrt(1 - gamma**2)
            a, b = a * left, b * left
        return a, b, gamma

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        a, b, da, db = PATHS[self.path](t)
        gamma, rate = self._latent(t)
        if self.path == "trigonometric":
            left = sqrt(1 - gamma**2)
            turn = 0.0 * t if self.latent == "none" else -self.half_square_rate(t) / left
            da, db = da * left + a * turn, db * left + b * turn
        return da, db, rate

    def time_at(self, log_snr: Scalar) -> Scalar:
        raise Unsuitable(
            "a two-sided interpolant has no time for a log-SNR: x_1 is random too. "
            "Use a grid in time, such as grid('uniform', steps), and a solver in velocity form."
        )

    def _latent(self, t: Scalar) -> tuple[Scalar, Scalar]:
        return LATENTS[self.latent](t, self.scale)

    def half_square_rate(self, t: Scalar) -> Scalar:
        """(γ²)'/2 = γγ', finite at the ends where γ' of the Brownian latent is not."""
        if self.latent == "brownian":
            return self.scale * (1 - 2 * t) / 2
        gamma, rate = self._latent(t)
        return gamma * rate


def _ratio(a: Scalar, b: Scalar) -> Scalar:
    """a / b with floats behaving as arrays do at b = 0."""
    if isinstance(b, float) and b == 0:
        return math.copysign(math.inf, a)
    return a / b
