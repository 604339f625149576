"""Which measurement to take next, while the reverse diffusion runs.

A few particles are drawn towards what was measured so far, by DPS. Inside a window of the steps, each particle i predicts
every candidate measurement, y_i = A(x̂_0ⁱ), and the candidate l is taken in which the particles disagree most,

    entropy            Σ_i log mean_j exp(d_ij(l)/2σ²)          d_ij(l) = Σ over the entries of l of (y_i - y_j)²
    mixture-entropy    -Σ_i log mean_j exp(-d_ij(l)/4σ²)
    variance           Σ_ij d_ij(l)

to which the first two tend, up to constants, for σ → ∞. Only the entries of the chosen candidate are then asked for. A
candidate is a group of entries of y: a pixel with its channels, a column of an image or of k-space (`pixels`, `columns`).
Source: Nolan, Stevens, van Nierop & van Sloun (2024), Active diffusion subsampling, arXiv 2406.14388, algorithm 1; the sign of
the exponent of the first is theirs.
Oracle: for Gaussian data the order of pivoted Cholesky, which is greedy entropy sampling (tests/inverse/test_active.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, choose, require, require_finite
from girsanov.inverse.guided import DPS
from girsanov.inverse.operators import MeasurementOperator, Spectral
from girsanov.inverse.steps import begin, levels, spans
from girsanov.noise import Randomness, as_source
from girsanov.processes import GaussianConditional, need
from girsanov.typing import Shape

Acquire = Callable[[Tensor], Tensor]
"""The chosen candidates (B,) to measurements (B, *out_shape) of which the entries of the chosen ones are looked at."""


class Acquired(NamedTuple):
    """Particles, and how they came about.

    x (B, n, *shape); order (B, M), the candidates as they were chosen; known (B, *out_shape), True where an entry was
    measured; variance (B, M + 1), that of the particles' predictions, over the entries, before each choice and at the end.
    """

    x: Tensor
    order: Tensor
    known: Tensor
    variance: Tensor


@dataclass(frozen=True)
class ActiveSubsampling:
    """See the head of the module.

    Args:
        budget: M, how many candidates are chosen; with 0 the particles are drawn given those in `first` alone.
        particles: n, at least 2.
        guidance: the steps of the particles, each a network call with a gradient.
        window: the shares of the steps between which measurements are taken, evenly. On the default grid of `DPS` the
            default ends at a noise of 0.6 of the data's unit, as 0.8 of the paper's equal steps of arctan(γ/α) do.
        criterion: "entropy", "mixture-entropy" or "variance".
        sigma: σ of the criterion, in the unit of y.
        consistent: put what was measured into the particles at the end.

    Raises:
        InputError: numbers out of range, or a window with fewer steps than the budget.
        UnknownName: another criterion.
    """

    budget: int
    particles: int = 16
    guidance: DPS = field(default_factory=DPS)
    window: tuple[float, float] = (0.0, 0.6)
    criterion: str = "entropy"
    sigma: float = 10.0
    consistent: bool = False

    def __post_init__(self) -> None:
        require(self.budget >= 0, f"budget is {self.budget}; give at least 0")
        require(self.particles >= 2, f"particles is {self.particles}; two are needed to disagree")
        low, high = self.window
        require(0 <= low < high <= 1, f"window is {self.window}; give two rising shares of the steps")
        first, last = self._window()
        require(
            self.budget <= last - first,
            f"{self.budget} measurements do not fit into {last - first} steps, one in each; take more steps or a wider "
            "window",
        )
        choose(self.criterion, dict.fromkeys(("entropy", "mixture-entropy", "variance")), "criterion")
        require(self.sigma > 0, f"sigma is {self.sigma}; give a number above 0")

    @property
    def calls(self) -> int:
        """Network calls for a particle."""
        return self.guidance.calls

    @torch.no_grad()
    def __call__(
        self,
        model: AbstractDenoiser,
        operator: MeasurementOperator,
        candidates: Tensor,
        acquire: Acquire,
        batch: int,
        *,
        first: Tensor | None = None,
        generator: Randomness = None,
    ) -> Acquired:
        """Measure and restore B signals.

        Args:
            model: a denoiser of a one-sided process.
            operator: what gives all entries of a measurement, such as `Identity(shape)` for pixels.
            candidates: (L, m) of 0 and 1: the entries of the flattened y that each candidate holds.
            acquire: takes the measurement; asked M times, and once for every candidate in `first`.
            batch: B.
            first: candidates that are taken before the start, (K,) the same for all or (B, K).
            generator: draws the particles.

        Raises:
            InputError: a budget above the number of candidates, candidates that do not fit y, or NaN in what was measured.
            Unsuitable: a process without one random end, or `consistent` with an operator that is not orthogonal.
        """
        process = need(model.process, GaussianConditional, "ActiveSubsampling")
        start, n = self._check(operator, candidates, first, batch), self.particles
        source = as_source(generator)
        times = levels(process, self.guidance.steps, self.guidance.grid)
        like = next(model.parameters(), torch.empty(0))
        x = process.reference(like.new_empty(batch * n, *operator.shape), generator=source)
        x, taken = begin(process, x, times[0]), _Taken(candidates.to(like.device) > 0, acquire, batch, x)

        def residual(data: Tensor) -> Tensor:
            outcome = operator.forward(data).reshape(batch, n, -1)
            return ((outcome - taken.y[:, None]) * taken.known[:, None]).flatten(0, 1)

        for chosen in start.T:
            taken.take(chosen.to(like.device))
        order, variance, due = [], [], self._due()
        for i, span in spans(times):
            x, data = self.guidance.move(model, x, span, residual, (source.child(1), i))
            if i in due:
                guesses = operator.forward(data).reshape(batch, n, -1)
                variance.append(guesses.var(1).mean(1))
                score = acquisition_score(guesses, taken.entries, self.criterion, self.sigma)
                order.append(score.masked_fill(taken.candidates, -torch.inf).argmax(1))
                taken.take(order[-1])
        if self.consistent:
            assert isinstance(operator, Spectral)
            x = x - operator.adjoint(residual(x).reshape(-1, *operator.out_shape))
        variance.append(operator.forward(x).reshape(batch, n, -1).var(1).mean(1))
        return Acquired(
            x.reshape(batch, n, *operator.shape),
            torch.stack(order, 1) if order else start.new_zeros(batch, 0),
            taken.known.reshape(-1, *operator.out_shape),
            torch.stack(variance, 1),
        )

    def _check(
        self, operator: MeasurementOperator, candidates: Tensor, first: Tensor | None, batch: int
    ) -> Tensor:
        """What is taken before, (B, K), if all fits together."""
        size = math.prod(operator.out_shape)
        require(
            candidates.ndim == 2 and candidates.shape[1] == size,
            f"candidates have the shape {tuple(candidates.shape)}, and the operator gives {size} entries; give (L, {size})",
        )
        count = len(candidates)
        start = torch.zeros(0, dtype=torch.int64) if first is None else torch.as_tensor(first)
        start = start.expand(batch, -1) if start.ndim == 1 else start
        require(
            start.ndim == 2 and len(start) == batch and bool(((start >= 0) & (start < count)).all()),
            f"first has the shape {tuple(start.shape)}; give ({batch}, K) numbers of candidates, 0 to {count - 1}",
        )
        require(
            self.budget + start.shape[1] <= count,
            f"{self.budget} of {count - start.shape[1]} candidates are asked for; give a budget of at most that",
        )
        orthogonal = isinstance(operator, Spectral) and bool((operator.singular_values == 1).all())
        require(
            not self.consistent or (orthogonal and size == math.prod(operator.shape)),
            f"consistent=True needs an orthogonal operator, as Identity or Fourier, and {type(operator).__name__} is not",
            Unsuitable,
        )
        return start

    def _window(self) -> tuple[int, int]:
        """The steps between which measurements are taken."""
        low, high = self.window
        return int(low * self.calls), int(high * self.calls)

    def _due(self) -> set[int]:
        """The steps at which a measurement is taken."""
        first, last = self._window()
        return {first + k * (last - first) // self.budget for k in range(self.budget)}


class _Taken:
    """What was measured of B signals: y (B, m) where `known`, and which of the `candidates` (B, L) were taken."""

    def __init__(self, entries: Tensor, acquire: Acquire, batch: int, like: Tensor) -> None:
        self.entries, self.acquire = entries, acquire
        self.y = like.new_zeros(batch, entries.shape[1])
        self.known = torch.zeros_like(self.y, dtype=torch.bool)
        self.candidates = torch.zeros(batch, len(entries), dtype=torch.bool, device=like.device)

    def take(self, chosen: Tensor) -> None:
        """Measure the candidates `chosen` (B,), one of each signal."""
        new = self.acquire(chosen).reshape(len(self.y), -1).to(self.y)
        require(new.shape == self.y.shape, f"acquire gave {tuple(new.shape)}; give {tuple(self.y.shape)}")
        held = self.entries[chosen]
        require_finite(new[held], "what was measured")
        self.y.copy_(torch.where(held, new, self.y))
        self.known.logical_or_(held)
        self.candidates.scatter_(1, chosen[:, None], True)


def pixels(shape: Shape) -> Tensor:
    """The places of measurements (C, H, W) as candidates, (H·W, C·H·W): the channels of a place are taken together."""
    places = math.prod(shape[1:])
    return torch.eye(places).repeat(1, shape[0])


def columns(shape: Shape) -> Tensor:
    """The columns of measurements (C, H, W) as candidates, (W, C·H·W); column 0 is the centre line of a `Fourier` one."""
    return torch.eye(shape[-1]).repeat(1, math.prod(shape[:-1]))


def acquisition_score(
    guesses: Tensor, candidates: Tensor, criterion: str = "entropy", sigma: float = 10.0
) -> Tensor:
    """How much particles disagree on each candidate, (B, L), for predictions (B, n, m) and candidates (L, m)."""
    candidate, entry = candidates.nonzero(as_tuple=True)
    count, n = len(candidates), guesses.shape[1]
    if criterion == "variance":
        apart = guesses.new_zeros(len(guesses), count)
        return apart.index_add_(1, candidate, 2 * n**2 * guesses.var(1, correction=0)[:, entry])
    apart = guesses.new_zeros(len(guesses), n, n, count)
    apart.index_add_(3, candidate, (guesses[:, :, None] - guesses[:, None]).square()[..., entry])
    if criterion == "entropy":
        return _log_mean_exp(apart / (2 * sigma**2)).sum(1)
    return -_log_mean_exp(-apart / (4 * sigma**2)).sum(1)


def _log_mean_exp(a: Tensor) -> Tensor:
    """log mean_j exp(a_ij), (B, n, L): exact for small a too, where particles that agree differ in the last digits of exp."""
    top = a.amax(2)
    return top + (a - top[:, :, None]).expm1().mean(2).log1p()
