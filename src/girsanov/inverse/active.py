"""Which measurement to take next, while the reverse diffusion runs.

A few particles are drawn towards what was measured so far, by DPS. Inside a window of the steps, each particle i predicts
every candidate measurement, y_i = A(x̂_0ⁱ), and the candidate l is taken in which the particles disagree most,

    entropy            Σ_i log Σ_j exp(d_ij(l)/2σ²)          d_ij(l) = Σ over the entries of l of (y_i - y_j)²
    mixture-entropy    -Σ_i log Σ_j exp(-d_ij(l)/4σ²)
    variance           Σ_ij d_ij(l)

to which the first two tend, up to constants, for σ → ∞. Only the entries of the chosen candidate are then asked for.
Source: Nolan, Stevens, van Nierop & van Sloun (2024), Active diffusion subsampling, arXiv 2406.14388, algorithm 1; the sign of
the exponent of the first is theirs.
Oracle: for Gaussian data the order of pivoted Cholesky, which is greedy entropy sampling (tests/inverse/test_active.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import choose, require, require_finite
from girsanov.inverse.operators import MeasurementOperator
from girsanov.inverse.steps import begin, check, levels, spans, step
from girsanov.noise import Randomness, as_source
from girsanov.processes import GaussianConditional, need

Acquire = Callable[[Tensor], Tensor]
"""The chosen candidates (B,) to measurements (B, m) of which the entries of the chosen ones are looked at."""


class Acquired(NamedTuple):
    """What was found: particles (B, n, *shape), the order of the candidates (B, M), and the mean variance of the particles'
    predictions before each of them and after the last, (B, M + 1)."""

    x: Tensor
    order: Tensor
    variance: Tensor


@dataclass(frozen=True)
class ActiveSubsampling:
    """See the head of the module.

    Args:
        budget: M, how many candidates are taken; at least 1.
        particles: n, at least 2.
        steps: network calls for a particle, each with a gradient.
        window: the shares of the steps between which measurements are taken, evenly.
        scale: of the guidance, as in `DPS`.
        criterion: "entropy", "mixture-entropy" or "variance".
        sigma: σ of the criterion, in the unit of y.

    Raises:
        InputError: numbers out of range, or a window with fewer steps than the budget.
        UnknownName: another criterion.
    """

    budget: int
    particles: int = 16
    steps: int = 100
    window: tuple[float, float] = (0.0, 0.8)
    scale: float = 1.0
    criterion: str = "entropy"
    sigma: float = 10.0

    def __post_init__(self) -> None:
        require(self.budget >= 1, f"budget is {self.budget}; give at least 1")
        require(self.particles >= 2, f"particles is {self.particles}; two are needed to disagree")
        low, high = self.window
        require(0 <= low < high <= 1, f"window is {self.window}; give two rising shares of the steps")
        require(
            self.budget <= int((high - low) * self.steps),
            f"{self.budget} measurements do not fit into {int((high - low) * self.steps)} steps, one in each; take more "
            "steps or a wider window",
        )
        choose(self.criterion, dict.fromkeys(("entropy", "mixture-entropy", "variance")), "criterion")
        require(self.sigma > 0 and self.scale >= 0, "sigma is above 0 and scale at least 0")

    @property
    def calls(self) -> int:
        """Network calls for a particle."""
        return self.steps

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
            first: candidates that are taken before the start, (K,), the same for all.
            generator: draws the particles.

        Raises:
            InputError: a budget above the number of candidates, candidates that do not fit y, or NaN in what was measured.
        """
        process = need(model.process, GaussianConditional, "ActiveSubsampling")
        start, n = self._start(first, len(candidates)), self.particles
        source = as_source(generator)
        times = levels(process, self.steps)
        x = process.reference(torch.empty(batch * n, *operator.shape), generator=source)
        x, entries = begin(process, x, times[0]), candidates.to(x)
        taken = torch.zeros(batch, len(candidates), dtype=torch.bool)
        y = x.new_zeros(batch, entries.shape[1])

        def take(chosen: Tensor) -> None:
            new = acquire(chosen).reshape(batch, -1)
            require(new.shape == y.shape, f"acquire gave {tuple(new.shape)}; give {tuple(y.shape)}")
            held = entries[chosen] > 0
            require_finite(new[held], "what was measured")
            y.copy_(torch.where(held, new.to(y), y))
            taken[torch.arange(batch), chosen] = True

        for k in start:
            take(torch.full((batch,), k))
        order, variance, due = [], [], self._due()
        for i, (t, s) in spans(times):
            known = ((taken.to(x) @ entries) > 0).to(x).repeat_interleave(n, 0)
            data, outcome, gradient = _guided(model, operator, x, y.repeat_interleave(n, 0), known, t)
            before, after = ((process.alpha(u) ** 2 + process.gamma(u) ** 2) ** 0.5 for u in (t, s))
            x = (
                step(process, x, data, (t, s), 1.0, (source.child(1), i))
                - self.scale * before * after * gradient
            )
            guesses = outcome.reshape(batch, n, -1)
            if i in due:
                variance.append(guesses.var(1).mean(1))
                score = acquisition_score(guesses, entries, self.criterion, self.sigma)
                order.append(score.masked_fill(taken, -torch.inf).argmax(1))
                take(order[-1])
        variance.append(guesses.var(1).mean(1))
        return Acquired(x.reshape(batch, n, *operator.shape), torch.stack(order, 1), torch.stack(variance, 1))

    def _start(self, first: Tensor | None, count: int) -> list[int]:
        """What is taken before, if the budget leaves enough."""
        start = [] if first is None else first.tolist()
        require(
            self.budget + len(start) <= count,
            f"{self.budget} of {count - len(start)} candidates are asked for; give a budget of at most that",
        )
        return start

    def _due(self) -> set[int]:
        """The steps at which a measurement is taken."""
        first, last = (int(share * self.steps) for share in self.window)
        return {first + k * (last - first) // self.budget for k in range(self.budget)}


def _guided(
    model: AbstractDenoiser, operator: MeasurementOperator, x: Tensor, y: Tensor, known: Tensor, t: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(x̂_0, A(x̂_0) flat, ∇|known (A(x̂_0) - y)|); the last is 0 where nothing is known."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        data = model.data(point, t)
        check(data.detach(), t)
        outcome = operator.forward(data).flatten(1)
        size = ((outcome - y) * known).norm(dim=1).sum()
        (gradient,) = torch.autograd.grad(size, point)
    return data.detach(), outcome.detach(), gradient


def acquisition_score(
    guesses: Tensor, candidates: Tensor, criterion: str = "entropy", sigma: float = 10.0
) -> Tensor:
    """How much particles disagree on each candidate, (B, L), for predictions (B, n, m) and candidates (L, m)."""
    entries = candidates.to(guesses)
    if criterion == "variance":
        n = guesses.shape[1]
        return 2 * n**2 * (guesses.var(1, correction=0) @ entries.T)
    apart = (guesses[:, :, None] - guesses[:, None]).square() @ entries.T
    if criterion == "entropy":
        return torch.logsumexp(apart / (2 * sigma**2), 2).sum(1)
    return -torch.logsumexp(-apart / (4 * sigma**2), 2).sum(1)
