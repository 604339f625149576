"""Running averages of the weights, and averages of any length afterwards from two of them.

After step t the average is θ̂_t = β_t θ̂_{t-1} + (1 - β_t) θ_t. The choice

    β_t = (1 - 1/t)^(γ+1)    gives    θ̂_t = Σ_{τ≤t} w_τ θ_τ,   w_τ = (τ^(γ+1) - (τ-1)^(γ+1))/t^(γ+1),

the power profile ∝ τ^γ, whose length stays a fixed fraction of the run: its standard deviation over t is

    s = √(γ+1) / ((γ+2) √(γ+3)).                                                                      (1)

The average that a model ends with follows a profile of s = 0.1 until its decay reaches the decay asked for,
and is exponential from there: short runs need no tuning, long ones forget as told.

A stored average is a known profile. A combination Σ_i c_i θ̂_i of stored ones, of two s and many t, comes
closest in L² to the profile p of any other s when A c = b, where A and b hold the inner products

    ⟨p_a, p_b⟩ = (γ_a+1)(γ_b+1)/(γ_a+γ_b+1) · t_a^γ_b / t_b^(γ_b+1)    for t_a ≤ t_b.                 (2)

We ask for Σ c_i = 1 besides, so that a weight that never moved is returned as it is.

Oracle: the sums above, written out (tests/training/test_averages.py).
Source: Karras et al. (2024), Analyzing and improving the training dynamics of diffusion models, section 3
and appendix C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import require

LONGEST = 0.28
"""Just below s at γ = 0, a plain mean over the run."""

LENGTHS = (0.05, 0.1)
"""The two relative lengths that are tracked for averages of any length afterwards."""

START = 0.1
"""The relative length of an average before it is exponential."""


class Average:
    """A running average of a list of parameters, which `update` changes in place.

    Args:
        parameters: the tensors to follow; the average starts as a copy of them.
        decay: β as a function of the step t = 1, 2, …
    """

    def __init__(self, parameters: Sequence[Tensor], decay: Callable[[int], float]) -> None:
        self.parameters = list(parameters)
        self.values = [p.detach().clone() for p in self.parameters]
        self.decay = decay

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        with torch.no_grad():
            torch._foreach_lerp_(self.values, self.parameters, 1 - self.decay(step))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the parameters hold the average inside the block; nothing is copied."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep(self) -> None:
        """Let the parameters hold the average from now on."""
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.values)

    def _swap(self) -> None:
        for parameter, value in zip(self.parameters, self.values):
            parameter.data, value.data = value.data, parameter.data


def power(length: float) -> Callable[[int], float]:
    """The decay whose average has a standard deviation of `length`, as a fraction of the run."""
    exponent = exponent_of(length) + 1
    return lambda step: (1 - 1 / step) ** exponent


def ramped(decay: float) -> Callable[[int], float]:
    """The power decay of length 0.1 until it reaches `decay`, then that."""
    start = power(START)
    return lambda step: min(decay, start(step))


def exponent_of(length: float) -> float:
    """γ of a profile of relative length s: the positive root of (1), a cubic in γ."""
    require(
        0 < length <= LONGEST,
        f"length is {length}; an average's length is a fraction of the run, from above 0 to {LONGEST}",
    )
    inverse = length**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class Profile(NamedTuple):
    """A power profile: its exponent γ and the step t at which it ends."""

    exponent: float
    end: int


class Combination(NamedTuple):
    """Coefficients for the stored averages, and the relative L² error of the profile they give."""

    coefficients: list[float]
    error: float


def combine(stored: Sequence[Profile], wanted: Profile) -> Combination:
    """The combination of stored profiles that is closest to the wanted one, by (2)."""
    count = len(stored)
    system, right = np.ones((count + 1, count + 1)), np.ones(count + 1)
    system[:count, :count] = [[inner(a, b) for b in stored] for a in stored]
    right[:count] = [inner(a, wanted) for a in stored]
    system[count, count] = 0.0  # the last row and column hold the coefficients to a sum of one
    size = np.sqrt(np.diag(system)[:count])
    scale = np.append(1 / size, 1.0)  # profiles of unit norm: early ones are tall, and would rule the solve
    scaled = np.linalg.lstsq(scale[:, None] * system * scale, scale * right, rcond=1e-12)[0]
    c = (scale * scaled)[:count]
    own = inner(wanted, wanted)
    left = own - 2 * c @ right[:count] + c @ system[:count, :count] @ c
    return Combination(c.tolist(), float(np.sqrt(max(left, 0.0) / own)))


def inner(a: Profile, b: Profile) -> float:
    """⟨p_a, p_b⟩ by (2)."""
    first, last = (a, b) if a.end <= b.end else (b, a)
    return (
        (first.exponent + 1)
        * (last.exponent + 1)
        / (first.exponent + last.exponent + 1)
        * (first.end / last.end) ** last.exponent
        / last.end
    )
