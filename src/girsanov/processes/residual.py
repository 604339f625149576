"""The residual process: noise and what the degraded image adds are faded in together (Resfusion).

With a = √ᾱ of a variance-preserving chain, the degraded image x_1 and the residual R = x_1 - x_0,

    x_t = a x_0 + (1 - a) R + √(1 - a²) z
        = (2a - 1) x_0 + (1 - a) x_1 + √(1 - a²) z,

so x_t - R = a (x_0 - R) + √(1 - a²) z is the chain itself. Where a = ½ the state ½ x_1 + √¾ z no longer
holds x_0: the chain is cut there, that is t = 1, and sampling starts from what is known.

    α = 2a - 1,   β = 1 - a,   γ = √(1 - a²),   with p = e^λ = α/γ:   1 - a = 1/(2 + p² + p√(p² + 3))

Steps i of the cut chain are at t = i/N, log a linear in between, as in `TabulatedVP`. The last a is always
exactly ½; the authors' code leaves it where it is within 0.01.
Given both ends, this class's own forward equation is Markov with r = α_t/α_s and knows x_1 only; the chain
in x - R has r = a_t/a_s and knows x_0 too. Their laws at each time agree, their steps do not: the paper's
step is `solvers.resfusion`, and `ancestral` is another sampler of the same model.
Source: Shi et al. (2024), Resfusion: denoising diffusion probabilistic models for image restoration based
on prior residual noise, arXiv 2311.14900; the table `LinearPro` is that of its code.
Oracle: the identities above with numbers, the battery of schedules (tests/processes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from girsanov.errors import require
from girsanov.processes.functions import exp, expm1, log1p, sqrt
from girsanov.processes.schedules import Schedule, TabulatedVP
from girsanov.typing import Scalar

MOST_BETA = 0.999
"""The largest β of a chain: few steps of a linear rate would pass 1."""


@dataclass(frozen=True)
class ResidualTable(Schedule):
    """α, β, γ from log a at each step, which decreases from below 0 to log ½; see the head of the module."""

    log_roots: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_roots", tuple(float(v) for v in self.log_roots))
        require(
            len(self.log_roots) > 0 and self.log_roots[-1] == -math.log(2),
            "log_roots must end at log ½, where the state no longer holds x_0; use processes.Residual",
        )
        TabulatedVP(self.log_roots)  # refuses what does not decrease

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        log_root = self._chain.log_alpha(t)
        return expm1(log_root + math.log(2)), -expm1(log_root), sqrt(-expm1(2 * log_root))

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        root, slope = exp(self._chain.log_alpha(t)), self._chain.rate(t)
        change = slope * root
        return 2 * change, -change, -change * root / self.values(t)[2]

    def time_at(self, log_snr: Scalar) -> Scalar:
        p = exp(log_snr)
        return self._chain.time_at_log_alpha(log1p(-1 / (2 + p * p + p * sqrt(p * p + 3))))

    @cached_property
    def _chain(self) -> TabulatedVP:
        return TabulatedVP(self.log_roots)


def cut_at_half(alphas_cumprod: Sequence[float]) -> tuple[float, ...]:
    """log √ᾱ of each step, up to the first with √ᾱ <= ½, which becomes exactly that.

    Raises:
        InputError: signal powers that are not between 0 and 1, or that never fall to ¼, or one step only.
    """
    require(
        all(0 < a < 1 for a in alphas_cumprod),
        "alphas_cumprod must lie strictly between 0 and 1; it is the signal power ᾱ after each step",
    )
    kept = [a for a in alphas_cumprod if a > 0.25]
    least = min(alphas_cumprod, default=1.0)
    require(
        least <= 0.25,
        f"√ᾱ never falls to ½: its least value is {math.sqrt(least):.4g}. Give a longer or noisier chain.",
    )
    require(len(kept) > 0, "√ᾱ falls to ½ in the first step; give a chain with more steps")
    return (*(math.log(a) / 2 for a in kept), -math.log(2))


def linear_pro(steps: int) -> tuple[float, ...]:
    """ᾱ of `LinearPro`: β linear from 0.1/steps to 20/steps, at most 0.999."""
    require(
        isinstance(steps, int) and not isinstance(steps, bool) and steps >= 3,
        f"steps is {steps!r}; give a whole number of at least 3, such as 12, of which 5 are left",
    )
    step = (20.0 - 0.1) / (steps - 1)
    rates = [min((0.1 + i * step) / steps, MOST_BETA) for i in range(steps)]
    return tuple(accumulate((1 - b for b in rates), lambda a, b: a * b))
