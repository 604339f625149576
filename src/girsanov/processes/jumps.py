"""Markov chains in continuous time on K states, with rates Q: q_ij ≥ 0 from i to j, rows that sum to 0.

**Gillespie.** The chain stays in i for an exponential time of rate -q_ii, then moves to j with chance q_ij/(-q_ii).
All paths move together, and the uniforms of many moves are drawn at once.

**Uniformization.** With Λ = max_i(-q_ii) the chain is a discrete one, P = I + Q/Λ, that moves (or stays) at the times
of a Poisson process of rate Λ. So

    e^{Qt} = Σ_n e^{-Λt} (Λt)^n/n! P^n,

and given both ends a, b the number of moves has law ∝ (Λt)^n/n! (P^n)_ab, the moves are a bridge of the discrete chain
with P(next = j) ∝ P_ij (P^left)_jb, and their times are uniform, in order; moves that stay are dropped.
Source: Gillespie (1977); Jensen (1953), Markoff chains as an aid in the study of Markoff processes; Fearnhead &
Sherlock (2006), An exact Gibbs sampler for the Markov-modulated Poisson process, for the bridge.
Oracle: the matrix exponential; holding times; the two-state chain; the expected time and jumps of a bridge by
integrals of matrix exponentials (tests/processes/test_jumps.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Randomness, Source, as_source, uniform
from girsanov.processes.events import Events, packed
from girsanov.processes.paths import check_clock, draws
from girsanov.processes.variates import categorical, exponential

AT_ONCE = 32
"""Moves whose uniforms are drawn together."""
START = -1
"""The key of the draw that starts a path."""


@dataclass(frozen=True)
class MarkovChain:
    """A chain that jumps between states 0, …, K - 1. Starts from its stationary law.

    Args:
        rates: K rows of K numbers per unit of time: q_ij ≥ 0 off the diagonal, rows that sum to 0.

    Raises:
        InputError: not square, a negative rate, or a row that does not sum to 0.
    """

    rates: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        rows = tuple(tuple(float(q) for q in row) for row in self.rates)
        object.__setattr__(self, "rates", rows)
        require(
            len(rows) > 1 and all(len(row) == len(rows) for row in rows),
            f"rates has {len(rows)} rows of lengths {[len(row) for row in rows]}; give a square matrix, 2 states or more",
        )
        for i, row in enumerate(rows):
            for j, q in enumerate(row):
                require(
                    math.isfinite(q) and (q >= 0 or i == j),
                    f"rates[{i}][{j}] is {q:g}; rates between states are finite and at least 0",
                )
            require(
                abs(sum(row)) <= 1e-6 * max(map(abs, row)),
                f"row {i} of rates sums to {sum(row):g}; the diagonal must be minus the sum of the others",
            )
        require(
            max(-row[i] for i, row in enumerate(rows)) > 0,
            "all rates are 0, so nothing moves; give one above 0",
        )

    @property
    def states(self) -> int:
        """K."""
        return len(self.rates)

    @cached_property
    def matrix(self) -> Tensor:
        """Q, (K, K), float64, its diagonal exact."""
        q = torch.tensor(self.rates, dtype=torch.float64).fill_diagonal_(0)
        return q - q.sum(1).diag()

    @cached_property
    def clock_rate(self) -> float:
        """Λ = max_i(-q_ii), of the uniformized chain."""
        return -self.matrix.diagonal().min().item()

    @cached_property
    def stationary(self) -> Tensor:
        """(K,), the law π with πQ = 0 and sum 1.

        Raises:
            InputError: the chain has several closed classes, so that there are several such laws.
        """
        values, vectors = torch.linalg.eigh(self.matrix @ self.matrix.mT)
        require(
            values[1].item() > 1e-12 * values[-1].item(),
            "this chain has several stationary laws, so no natural start; give x0, the states at times[0]",
        )
        law = vectors[:, 0].abs()
        return law / law.sum()

    def transition_matrix(self, t: float) -> Tensor:
        """e^{Qt} by uniformization, (K, K), float64: rows are laws, to rounding.

        A long time is halved until Λt ≤ 8, and the matrix squared as often.
        """
        require(0 <= t < math.inf, f"t is {t}; give a time of at least 0")
        halvings = max(0, math.ceil(math.log2(max(self.clock_rate * t / 8, 1))))
        mean = self.clock_rate * t / 2**halvings
        term = math.exp(-mean) * torch.eye(self.states, dtype=torch.float64)
        total, n = term.clone(), 0
        while n < mean or term.max() > 1e-18:
            n += 1
            term = term @ self._moves * (mean / n)
            total += term
        for _ in range(halvings):
            total = total @ total
        return total

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """States of the stationary law, integers shaped like (B, *shape)."""
        u = as_source(generator).draw(like.double(), START, uniform)
        law = self.stationary.cumsum(0).to(like.device).expand(u.numel(), -1).contiguous()
        return categorical(u.flatten(), law).reshape(like.shape)

    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw one path from each state of x0, seen at `times`.

        Args:
            x0: (B,), integers, the states at times[0].
            times: (T,), increasing, in any unit.
            end: (B,), the states at times[-1], if they are known.

        Returns:
            (B, T), integers.
        """
        clock = check_clock(times)
        start, stop = clock[0].item(), clock[-1].item()
        if len(clock) == 1:
            return self._check_states(x0, "x0")[:, None]
        if end is None:
            return self.jumps(x0, stop, start=start, generator=generator).at(clock)
        return self.bridge(x0, end, stop, start=start, generator=generator).at(clock)

    def check_end(self, end: Tensor | None, name: str = "end") -> None:
        """Refuse an end that holds no states."""
        if end is not None:
            self._check_states(end, name)

    def jumps(self, x0: Tensor, stop: float, *, start: float = 0.0, generator: Randomness = None) -> Events:
        """Draw one path from each state of x0, with all its jumps.

        Args:
            x0: (B,), integers, the states at `start`.
            stop: where the window ends, after `start`.

        Returns:
            The start and the jumps of each path.
        """
        state, source = self._check_states(x0, "x0"), as_source(generator)
        _check_window(start, stop)
        weights = self.matrix.clone().fill_diagonal_(0).cumsum(1).to(state.device)
        leave = weights[:, -1]
        now = torch.full(state.shape, start, dtype=torch.float64, device=state.device)
        times, states = [now], [state]
        for chunk in count():
            u = draws(source, now, 2 * AT_ONCE, chunk, uniform).mT.contiguous()
            waits = exponential(u[:AT_ONCE])
            for i in range(AT_ONCE):
                now = now + waits[i] / leave[state]  # infinite in an absorbing state
                state = categorical(u[AT_ONCE + i], weights[state])
                times.append(now)
                states.append(state)
            if not bool((now < stop).any()):
                break
        when = torch.stack(times, 1)
        return _window(when, torch.stack(states, 1), when < stop, start, stop)

    def bridge(
        self, x0: Tensor, end: Tensor, stop: float, *, start: float = 0.0, generator: Randomness = None
    ) -> Events:
        """Draw paths from the states x0 at `start` to the states `end` at `stop`, with all their jumps.

        Args:
            x0: (B,), integers.
            end: (B,), integers, each within reach of its x0.
            stop: where the window ends, after `start`.

        Returns:
            The start and the jumps of each path.

        Raises:
            InputError: no path leads from some x0 to its end.
        """
        state, end = self._check_states(x0, "x0"), self._check_states(end, "end")
        require(
            state.shape == end.shape, f"x0 {tuple(x0.shape)} and end {tuple(end.shape)} must both be (B,)"
        )
        _check_window(start, stop)
        source, mean = as_source(generator), self.clock_rate * (stop - start)
        powers, law = self._move_counts(mean)
        weights = law[:, state.cpu(), end.cpu()].to(state.device).T.contiguous()
        require(
            bool((weights[:, -1] > 0).all()),
            "some x0 cannot reach its end by any jumps; check them against the rates",
        )
        moves = categorical(source.draw(weights[:, 0], 0, uniform), weights)
        return self._tied(state, end, moves, powers, (start, stop), source)

    def _tied(
        self,
        state: Tensor,
        end: Tensor,
        moves: Tensor,
        powers: Tensor,
        window: tuple[float, float],
        source: Source,
    ) -> Events:
        """The bridge once the number of moves is known."""
        start, stop = window
        powers, chances, most = powers.to(state.device), self._moves.to(state.device), int(moves.max())
        where = torch.empty(len(state), dtype=torch.float64, device=state.device)
        steps = [source.draw(where, 1 + i, uniform) for i in range(2 * most)]  # a time and a state a move
        spots = torch.stack(steps[::2], 1) if most else where[:, None][:, :0]
        keep = torch.arange(most, device=state.device) < moves[:, None]
        when = torch.where(keep, start + (stop - start) * spots, torch.inf).sort(1).values
        states, stays = [state], [torch.ones_like(state, dtype=torch.bool)]
        for i in range(most):
            left = (moves - i - 1).clamp(min=0)
            chance = (chances[state] * powers[left, :, end]).cumsum(1)
            new = torch.where(keep[:, i], categorical(steps[2 * i + 1], chance), state)
            stays.append(new != state)
            states.append(new)
            state = new
        first = torch.full_like(where, start)[:, None]
        return _window(
            torch.cat([first, when], 1), torch.stack(states, 1), torch.stack(stays, 1), start, stop
        )

    def _move_counts(self, mean: float) -> tuple[Tensor, Tensor]:
        """P^n, (M, K, K), and the running sums over n of e^{-Λt} (Λt)^n/n! P^n, up to what no double can see."""
        power = torch.eye(self.states, dtype=torch.float64)
        powers = [power]
        most = math.ceil(mean + 9 * math.sqrt(mean) + 40)
        for _ in range(most):
            power = power @ self._moves
            powers.append(power)
        n = torch.arange(most + 1).double()
        weights = (n * math.log(mean) - mean - torch.lgamma(n + 1)).exp()
        stacked = torch.stack(powers)
        return stacked, (weights[:, None, None] * stacked).cumsum(0)

    @cached_property
    def _moves(self) -> Tensor:
        """P = I + Q/Λ."""
        return (torch.eye(self.states, dtype=torch.float64) + self.matrix / self.clock_rate).clamp(min=0)

    def _check_states(self, states: Tensor, name: str) -> Tensor:
        """The states as (B,) long, or a refusal."""
        if states.ndim != 1 or states.is_floating_point() or states.is_complex():
            raise InputError(
                f"{name} is {tuple(states.shape)} of {states.dtype}; give integer states (B,), from 0 to {self.states - 1}"
            )
        require(
            bool(((states >= 0) & (states < self.states)).all()),
            f"{name} runs from {int(states.min())} to {int(states.max())}; states are 0 to {self.states - 1}",
        )
        return states.long()


def _check_window(start: float, stop: float) -> None:
    require(
        math.isfinite(start) and math.isfinite(stop) and stop > start,
        f"the window runs from {start} to {stop}; stop must be after start",
    )


def _window(times: Tensor, values: Tensor, mask: Tensor, start: float, stop: float) -> Events:
    ends = [
        torch.full(times.shape[:1], float(end), dtype=times.dtype, device=times.device)
        for end in (start, stop)
    ]
    return packed(times, values, mask, *ends)
