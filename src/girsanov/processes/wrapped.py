"""Angles: Brownian motion on the circle in every coordinate, from the data to the uniform law.

    x_t = x_0 + γ(t) z  mod 2π,    z ~ N(0, 1),    γ² = σ_min² ((σ_max/σ_min)^{2t} - 1),               (1)
    p(x_t | x_0) = Σ_k N(x_t - x_0 + 2πk; 0, γ²)                                                       (2)

over the turns k of the motion; at t = 1 it is uniform but for a wave of height 2 e^{-σ_max²/2}. The score is
-E[z | x_t]/γ with z before the turns are taken off, so a network regresses z; it is given (cos x, sin x), which have no
seam. A step back is the posterior of (1) on the line, around x_0 = x_s - γ_s E[z | x_s]:

    x_t = x_s - (γ_s² - γ_t²)/γ_s E[z | x_s] + γ_t √(1 - γ_t²/γ_s²) ξ  mod 2π.                         (3)

Source: Jing et al. (2022), Torsional diffusion for molecular conformer generation, arXiv 2206.01729, section 3.
Oracle: (2) integrated, paths in many steps, (3) with the exact score (tests/processes/test_every_process.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes.base import like_batch, refuse_end
from girsanov.processes.interpolant import REFERENCE, check_times
from girsanov.processes.saved import fields_of, from_fields, kept_as
from girsanov.processes.schedules import VEGeometric
from girsanov.typing import Scalar, Time


@kept_as("wrapped")
@dataclass(frozen=True)
class Wrapped:
    """Diffusion of d angles in radians, such as torsions, for `MLP(2 * d, outputs=d)`; sigma_max is at least 3."""

    sigma_min: float = 0.02
    sigma_max: float = 4.0
    words, t_min = ("noise",), 0.0

    def __post_init__(self) -> None:
        VEGeometric(self.sigma_min, self.sigma_max)
        require(self.sigma_max >= 3, f"sigma_max is {self.sigma_max}; give at least 3, for a uniform start")

    def gamma(self, t: Scalar) -> Scalar:
        """γ(t)."""
        return VEGeometric(self.sigma_min, self.sigma_max).values(t)[2]

    def log_density(self, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """log p(x_t = x | x_0) by (2), (B,), for x and x0 (B, *shape)."""
        gamma, most = self.gamma(t), math.ceil(8 * self.sigma_max / math.tau) + 1
        z = ((x - x0)[..., None] + math.tau * torch.arange(-most, most + 1).to(x)) / gamma
        return ((-z.square() / 2).logsumexp(-1) - math.log(gamma * math.tau**0.5)).flatten(1).sum(1)

    def perturb(
        self, x0: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> tuple[Tensor, Tensor]:
        """Draw x_t and the z of (1), both (B, *shape); t is (B,) or a float."""
        refuse_end(self, end)
        z = as_source(generator).draw(_checked(x0), 0)
        return wrap(x0 + like_batch(self.gamma(t), x0) * z), z

    def reference(
        self, like: Tensor, *, anchor: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Uniform angles, shaped like `like` (B, *shape)."""
        refuse_end(self, anchor, "anchor")
        return math.tau * as_source(generator).draw(like, REFERENCE, uniform) - math.pi

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw paths (B, T, *shape) from x0 at times[0]; times (T,) increase in [0, 1]."""
        path, source = [_checked(x0)], as_source(generator)
        variances = [self.gamma(t) ** 2 for t in check_times(times)]
        for i, (before, after) in enumerate(pairwise(variances)):
            path.append(wrap(path[-1] + math.sqrt(after - before) * source.draw(x0, i)))
        return torch.stack(path, 1)

    def reverse(self, x: Tensor, answer: Tensor, s: float, t: float, xi: Tensor) -> Tensor:
        """Equation (3), from x (B, *shape) at s to t < s, with the answer E[z | x_s] and standard normal xi."""
        kept = (self.gamma(t) / self.gamma(s)) ** 2
        return wrap(x - (1 - kept) * self.gamma(s) * answer + self.gamma(t) * math.sqrt(1 - kept) * xi)

    def view(self, x: Tensor) -> Tensor:
        """What the network is given: (cos x, sin x), side by side along dimension 1."""
        return torch.cat([x.cos(), x.sin()], 1)

    def finish(self, word: str, x: Tensor, t: Time, answer: Tensor) -> Tensor:
        """The network's answer as it is."""
        return answer

    def read(
        self, word: str, stored: tuple[str, ...], answers: tuple[Tensor, ...], x: Tensor, t: Time
    ) -> Tensor:
        """The score; of an angle that may have turned nothing else is known, which Unsuitable says."""
        require(word == "score", f"{word!r} is not known of {self!r}; ask for noise or score", Unsuitable)
        return -answers[0] / like_batch(self.gamma(t), x)

    def to_config(self) -> dict:
        """The process as JSON."""
        return fields_of(self, "wrapped")

    @classmethod
    def from_config(cls, config: dict) -> Wrapped:
        """The process of `to_config`."""
        return from_fields(cls, config)


def wrap(x: Tensor) -> Tensor:
    """Angles as numbers in [-π, π]."""
    return (x + math.pi).remainder(math.tau) - math.pi


def _checked(x0: Tensor) -> Tensor:
    far = float(x0.abs().max()) if x0.numel() else 0.0  # NaN is below nothing
    require(far < math.pi + 1e-6, f"an angle is ±{far:g}; give radians in [-π, π]: x.deg2rad(), wrap(x)")
    return x0
