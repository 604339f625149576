"""Hawkes processes with exponential memory: events that bring events.

    λ_k(t) = μ_k + Σ_{t_i < t} a_{k, k_i} e^{-β (t - t_i)}

`jump[k][j]` = a_kj is how much an event of type j raises the intensity of type k; the branching matrix a/β is the
mean number of direct children, and its spectral radius must be below 1.

**Exact draws in O(n)** (Dassios & Zhao). After an event with excess m = Σ_k (λ_k - μ_k) the next is at the first of
two independent clocks, the base one and that of the excess, which may never ring:

    S_1 = -log(1 + (β/m) log U_1)/β (∞ if the logarithm has no argument),    S_2 = -log(U_2)/Σμ,

its type is drawn ∝ λ_k. One common decay β keeps the excesses a Markov chain.

**Likelihood in O(n K).** log L = Σ_i log λ_{k_i}(t_i) - Σ_k μ_k (T - t_0) - Σ_i (Σ_k a_{k, k_i}) (1 - e^{-β (T - t_i)})/β,
with R_j(t) = Σ_{t_i < t, k_i = j} e^{-β (t - t_i)} and its derivative in β carried from event to event.

Compiled by numba, from the extra `jit`; every path has a random stream of its own (SplitMix64), started by keyed noise.
Source: Hawkes (1971); Dassios & Zhao (2013), Exact simulation of Hawkes process with exponentially decaying intensity;
Ozaki (1979) for the recursion; Steele, Lea & Flood (2014), Fast splittable pseudorandom number generators.
Oracle: compensated gaps are Exp(1); mean counts in closed form; branching and thinning; the double sum and finite
differences (tests/processes/test_hawkes.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from girsanov.errors import require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes.events import Events, packed
from girsanov.processes.hawkes_kernels import kernels
from girsanov.processes.paths import check_clock, require_positive
from girsanov.processes.poisson import check_window


@dataclass(frozen=True)
class Hawkes:
    """Self- and mutually exciting events with exponential memory, from an empty past.

    Args:
        base: μ, events per unit of time without any past: a number, or one for each of K types.
        jump: a, what an event adds to the intensities: a number, or K rows of K, a row for each type that is raised and a
            column for the type of the event.
        decay: β > 0, per unit of time, common to all.

    Raises:
        InputError: shapes that differ, negative numbers, or a spectral radius of jump/decay of 1 or more.
    """

    base: float | Sequence[float] = 1.0
    jump: float | Sequence[Sequence[float]] = 0.8
    decay: float = 1.5

    def __post_init__(self) -> None:
        base = (self.base,) if isinstance(self.base, int | float) else tuple(map(float, self.base))
        jump = (
            ((self.jump,),)
            if isinstance(self.jump, int | float)
            else tuple(tuple(map(float, r)) for r in self.jump)
        )
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "jump", jump)
        require(
            len(jump) == len(base) and all(len(row) == len(base) for row in jump),
            f"base has {len(base)} types and jump {len(jump)} rows of {[len(row) for row in jump]}; give K and K × K",
        )
        for name, numbers in (("base", base), ("jump", [a for row in jump for a in row])):
            for value in numbers:
                require(0 <= value < math.inf, f"{name} holds {value}; give finite numbers of at least 0")
        require(sum(base) > 0, "base is 0, so nothing ever happens; give a number above 0")
        require_positive("decay", self.decay)
        radius = self.spectral_radius
        require(
            radius < 1,
            f"the spectral radius of jump/decay is {radius:.3g}, so events explode; it must be below 1: "
            "lower the jumps or raise the decay",
        )

    @property
    def types(self) -> int:
        """K."""
        return len(self._base)

    @property
    def spectral_radius(self) -> float:
        """Of jump/decay, below 1: the share of events that have a parent, for one type."""
        return float(np.abs(np.linalg.eigvals(self._jump / self.decay)).max())

    @property
    def mean_rates(self) -> tuple[float, ...]:
        """(I - a/β)⁻¹ μ, events per unit of time in the long run."""
        return tuple(np.linalg.solve(np.eye(self.types) - self._jump / self.decay, self._base).tolist())

    @cached_property
    def _base(self) -> np.ndarray:
        return np.array(self.base, np.float64)

    @cached_property
    def _jump(self) -> np.ndarray:
        return np.array(self.jump, np.float64)

    def events(self, n: int, stop: float, *, start: float = 0.0, generator: Randomness = None) -> Events:
        """Draw n windows of events, exactly, from an empty past.

        Args:
            n: how many windows.
            stop: where a window ends, after `start`.

        Returns:
            The events; their values are the types 0, …, K - 1.

        Raises:
            MissingExtra: numba is not installed.
        """
        check_window(n, start, stop)
        draw, _ = kernels()
        keys = as_source(generator).draw(torch.empty(n, 2, dtype=torch.float64), 0, uniform)
        seeds = (keys.numpy() * 2.0**53).astype(np.uint64)
        expected = sum(self.mean_rates) * (stop - start)
        room = int(expected + 4 * math.sqrt(expected) / (1 - self.spectral_radius)) + 16
        times, types, counts = draw(self._base, self._jump, self.decay, stop - start, seeds, room)
        padded = _padded(torch.from_numpy(times).add_(start), counts, math.inf)
        values = _padded(torch.from_numpy(types), counts, 0)
        mask = torch.arange(padded.shape[1]) < torch.from_numpy(counts)[:, None]
        ends = [torch.full((n,), float(end), dtype=torch.float64) for end in (start, stop)]
        return Events(padded, values, mask, *ends)

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """No event yet: zero, shaped like (B,), or (B, K) with several types."""
        return torch.zeros_like(like) if self.types == 1 else like.new_zeros(len(like), self.types)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw the counting process: x0 and the number of events since times[0], from an empty past.

        Args:
            x0: (B,), or (B, K) with several types: the counts at times[0].
            times: (T,), increasing, in any unit.

        Returns:
            (B, T) or (B, T, K).
        """
        clock = check_clock(times)
        shape = () if self.types == 1 else (self.types,)
        require(
            x0.ndim > 0 and x0.shape[1:] == shape, f"x0 is {tuple(x0.shape)}; give counts {('B', *shape)}"
        )
        if len(clock) == 1:
            return x0[:, None]
        found = self.events(len(x0), clock[-1].item(), start=clock[0].item(), generator=generator)
        counts = torch.stack([_of_type(found, k).count(clock) for k in range(self.types)], -1).to(x0)
        return x0[:, None] + (counts if shape else counts[..., 0])

    def log_likelihood(self, events: Events) -> Tensor:
        """log L of each row of events, (B,), float64."""
        base, jump = torch.from_numpy(self._base), torch.from_numpy(self._jump)
        return hawkes_log_likelihood(events, base, jump, self.decay)


def hawkes_log_likelihood(events: Events, base: Tensor, jump: Tensor, decay: Tensor | float) -> Tensor:
    """log L of each row of events under parameters that may ask for gradients, in O(n K).

    Args:
        events: with types from 0 to K - 1; nothing happened before `start`.
        base: (K,), μ, above 0.
        jump: (K, K), a, at least 0: a row for each type that is raised, a column for the type of the event.
        decay: β, above 0: a number or a tensor ().

    Returns:
        (B,), float64, differentiable in base, jump and decay.

    Raises:
        InputError: shapes that differ, or types that are not there.
        MissingExtra: numba is not installed.
    """
    types = len(base)
    require(
        base.ndim == 1 and jump.shape == (types, types),
        f"base is {tuple(base.shape)} and jump {tuple(jump.shape)}; give (K,) and (K, K)",
    )
    here = events.values[events.mask]
    require(
        here.numel() == 0 or bool((here.min() >= 0) & (here.max() < types)),
        f"events have types up to {int(here.max()) if here.numel() else 0}; base knows {types}, from 0",
    )
    beta = torch.as_tensor(decay, dtype=torch.float64)
    require(beta.item() > 0, f"decay is {beta.item()}; give a number above 0")
    value: Tensor = _Likelihood.apply(base.double(), jump.double(), beta, events)
    return value


class _Likelihood(torch.autograd.Function):
    """The value and its gradient by one recursion over the events."""

    @staticmethod
    def forward(ctx: Any, base: Tensor, jump: Tensor, decay: Tensor, events: Events) -> Tensor:
        _, evaluate = kernels()
        window = (events.stop - events.start).double().numpy()
        times = (events.times - events.start[:, None]).double().contiguous().numpy()
        counts, types = events.counts.numpy(), events.values.contiguous().numpy()
        given = (a.detach().contiguous().numpy() for a in (base, jump))
        value, *slopes = evaluate(*given, decay.item(), times, types, counts, window)
        ctx.save_for_backward(*map(torch.from_numpy, slopes))
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, up: Tensor) -> Any:
        base, jump, decay = ctx.saved_tensors
        return up @ base, torch.einsum("b,bkj->kj", up, jump), up @ decay, None


def _padded(flat: Tensor, counts: np.ndarray, filler: float) -> Tensor:
    """Rows of a flat tensor, of these lengths, side by side."""
    if counts.min() == counts.max():
        return flat.reshape(len(counts), -1)
    return pad_sequence(flat.split(counts.tolist()), batch_first=True, padding_value=filler)


def _of_type(events: Events, k: int) -> Events:
    """The events of one type."""
    mask = events.mask & (events.values == k)
    return packed(events.times, events.values, mask, events.start, events.stop)
