"""The space in which `search` looks for a plan: an exponential multistep method of its grid, plus differences.

With N calls at log-SNR λ_0 < … < λ_{N-1}, y = x - βx_1, h_i = λ_{i+1} - λ_i and answers D_j in data form,

    y_{i+1} = (σ_{i+1}/σ_i)(1 + ε_i) y_i + α_{i+1}(1 - e^{-h_i}) Σ_{j≤i} (w_ij + δ_ij) D_j,              (1)

where w(λ) are the weights of the exponential multistep method on that very grid (`weights`), so that the
method moves with the grid. The last row ends at a fixed λ_N, or, to zero, is D_{N-1} + ε y + Σ δ_j D_j.
All is learned: the grid as shares of [λ_0, λ_max] by softmax, ε, δ for *every* earlier answer, and
for each call but the first a shift τ_i of the time that the network is told,

    t_i = time_at(λ_i + τ_i).                                                                           (2)

Every deterministic plan of N calls at increasing λ is a point of the space: on x_1, D_0, … any plan is
y_{i+1} = s_i y_i + Σ c_ij D_j, and (1) has a free number for each s and c. `Space.of(plan)` puts the origin
there.
Oracle: `weights` equal `exponential`; the origin is the plan it was made of; finite differences
(tests/solvers/test_search.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import Unsuitable, require
from girsanov.processes import Interpolant
from girsanov.processes.functions import exp
from girsanov.solvers.exponential import gauss_legendre, need_one_unknown
from girsanov.solvers.grids import LOWEST_LOG_SNR
from girsanov.solvers.plan import ANCHOR, INITIAL, OUTPUT, STATE, Plan, Row, Term
from girsanov.solvers.tensorplan import TensorPlan

ORDER = 3
"""Of the base method."""

ROUNDING = 1e-12

SMALLEST = 5e-3
"""The least share of the range of λ between two calls of a start, times N; it is also left after the last."""


@dataclass(frozen=True, eq=False)
class Space:
    """Plans of one structure, with the origin at one of them; see the head of the module.

    Attributes:
        structure: an ordinary plan in data words, with every term of equation (1).
        first: λ of the first call, -∞ where α(1) = 0.
        low, high: the range of λ that the calls share.
        to_zero: whether the last row starts from the data answer.
        origin: what the parameters are added to.
        pick: the places in a table (N, N + 2) of y's factor, the answers' and the anchor's, in plan order.
    """

    structure: Plan
    first: float
    low: float
    high: float
    to_zero: bool
    origin: Tensor
    pick: Tensor

    @classmethod
    def of(cls, plan: Plan) -> Space:
        """The space around a plan.

        Raises:
            Unsuitable: the plan draws noise, does not ask first at the initial sample, or asks twice at
                one log-SNR.
        """
        process = plan.process
        need_one_unknown(process, "search")
        factors, times = unrolled(plan)
        n, end = len(times), plan.rows[-1].t
        lam = [process.log_snr(t) for t in times]
        low = max(lam[0], LOWEST_LOG_SNR)
        to_zero = end == 0.0
        high = max(process.log_snr(process.t_min), lam[-1]) if to_zero else process.log_snr(end)
        shares = np.diff([low, *lam[1:], high]) / (high - low)
        smallest = SMALLEST / n
        require(
            bool((shares[: n if not to_zero else n - 1] >= smallest).all()),
            f"the calls of {plan.name} are not at increasing log-SNR",
            Unsuitable,
        )
        shares = np.maximum(shares, smallest)
        rows = [Row(times[0], (Term(INITIAL, 0, 1.0),), True, 0)]
        for i in range(n):
            terms = [Term(STATE, i, 1.0), *(Term(OUTPUT, j, 1.0) for j in range(i + 1))]
            terms += [Term(ANCHOR, 0, 1.0)] if process.end == "anchor" else []
            rows.append(Row(end if i == n - 1 else times[i + 1], tuple(terms), i < n - 1, i + 1))
        structure = Plan(process, ("data",), tuple(rows), name=f"searched-{n}")
        places = torch.arange(n * (n + 2)).reshape(n, n + 2)
        used = [[0, *range(1, i + 2), *([n + 1] if process.end == "anchor" else [])] for i in range(n)]
        pick = torch.cat([places[i, columns] for i, columns in enumerate(used)])
        empty = torch.zeros(2 * n - 1 + n * (n + 2), dtype=torch.float64)
        bare = cls(structure, lam[0], low, high, to_zero, empty, pick)
        return bare._with_origin(
            torch.from_numpy(np.log(shares)), torch.tensor(lam[1:], dtype=torch.float64), factors
        )

    def _with_origin(self, logits: Tensor, told: Tensor, factors: Tensor) -> Space:
        """The same space around these calls and factors."""
        base = self._base(lam := self._nodes(logits))
        table = torch.cat([(factors - base.factors) / base.units], dim=1)
        shifts = told - lam[1 : self.calls]
        origin = torch.cat([logits, shifts, table.flatten()])
        return Space(self.structure, self.first, self.low, self.high, self.to_zero, origin, self.pick)

    @property
    def calls(self) -> int:
        return self.structure.calls

    @property
    def free(self) -> Tensor:
        """Which entries of a vector of parameters act on the plan, (P,) bool."""
        n = self.calls
        table = torch.zeros(n * (n + 2), dtype=torch.bool)
        table[self.pick] = True
        return torch.cat([torch.ones(2 * n - 1, dtype=torch.bool), table])

    def plan(self, change: Tensor) -> TensorPlan:
        """The plan at a distance (P,) from the origin, differentiable."""
        n = self.calls
        logits, shifts, table = (self.origin + change).split([n, n - 1, n * (n + 2)])
        lam = self._nodes(logits)
        base = self._base(lam)
        factors = base.factors + base.units * table.reshape(n, n + 2)
        process, rows = self.structure.process, self.structure.rows
        told = time_at(process, lam[1:n] + shifts)
        first, last = (torch.tensor([row.t], dtype=torch.float64) for row in (rows[0], rows[-1]))
        coefficients = torch.cat([torch.ones(1, dtype=torch.float64), factors.flatten()[self.pick]])
        return TensorPlan(self.structure, coefficients, torch.cat([first, told, last]))

    def _nodes(self, logits: Tensor) -> Tensor:
        """λ_0 … λ_N, (N + 1,); the first may be -∞, the last is the end of the range."""
        shares = torch.softmax(logits, 0)
        inner = self.low + (self.high - self.low) * shares[:-1].cumsum(0)
        ends = (torch.tensor([v], dtype=torch.float64) for v in (self.first, self.high))
        first, last = ends
        return torch.cat([first, inner, last])

    def _base(self, lam: Tensor) -> Base:
        return Base.of(self.structure.process, lam, self.to_zero)


@dataclass(frozen=True, eq=False)
class Base:
    """The exponential method on a grid, as a table (N, N + 2) of factors of y, D_0 … and x_1.

    Attributes:
        factors: the method's.
        units: what a difference of one means.
    """

    factors: Tensor
    units: Tensor

    @classmethod
    def of(cls, process: Interpolant, lam: Tensor, to_zero: bool) -> Base:
        """For λ_0 … λ_N, (N + 1,), with the last row replaced by the last answer if `to_zero`."""
        n = len(lam) - 1
        start = torch.tensor([1.0], dtype=torch.float64)
        times = torch.cat([start, time_at(process, lam[1:])])
        alpha, beta, gamma = (
            v * torch.ones(n + 1, dtype=torch.float64) for v in process.schedule.values(times)
        )
        gain = alpha[1:] * -torch.expm1(lam[:-1] - lam[1:])
        keep = gamma[1:] / gamma[:-1]
        answers = weights(lam, ORDER)
        last = torch.zeros(n, dtype=torch.bool)
        last[-1] = to_zero
        gain, keep = torch.where(last, 1.0, gain), torch.where(last, 0.0, keep)
        newest = torch.eye(n, dtype=torch.float64)
        answers = torch.where(last[:, None], newest, answers)
        beta = torch.where(torch.cat([last.new_zeros(1), last]), 0.0, beta)
        anchors = beta[1:] - keep * beta[:-1]
        factors = torch.cat([keep[:, None], gain[:, None] * answers, anchors[:, None]], dim=1)
        unit = torch.where(last, 1.0, keep)
        units = torch.cat([unit[:, None], gain[:, None].expand(n, n), torch.ones_like(keep)[:, None]], dim=1)
        return cls(factors, units)


def weights(lam: Tensor, order: int) -> Tensor:
    """The weights w of `exponential(order=order)`, data form in log-SNR, differentiable in the grid.

    The integrals there are divided by that of a constant, so that each row sums to one.

    Args:
        lam: (N + 1,), λ_0 < … < λ_N; λ_0 may be -∞.
        order: how many answers are interpolated; fewer at the start.

    Returns:
        (N, N): row i has the weights of D_0 … D_i in the step from λ_i to λ_{i+1}.
    """
    n = len(lam) - 1
    # A call at -∞ has no place: its step is of order one, and later steps leave it out.
    known = torch.isfinite(lam)
    lam = torch.where(known, lam, lam[1].detach() - 1.0)
    start, stop = lam[:-1, None], lam[1:, None]
    points, quadrature = (torch.from_numpy(v) for v in gauss_legendre(0.0, 1.0))
    at = start + (stop - start) * points
    measure = quadrature * (stop - start) * exp(at - stop) / -torch.expm1(start - stop)
    knots, steps = lam[:-1], torch.arange(n)
    table = torch.zeros(n, n, dtype=torch.float64)
    for back in range(min(order, n)):
        mine = steps - back
        there = (mine >= 0) & (known[mine.clamp(min=0)] | (back == 0))
        value = torch.ones_like(at)
        for other in range(min(order, n)):
            if other == back:
                continue
            theirs = steps - other
            counts = there & (theirs >= 0) & known[theirs.clamp(min=0)] & known[:-1]
            knot, away = knots[mine.clamp(min=0)], knots[theirs.clamp(min=0)]
            gap = torch.where(counts, knot - away, 1.0)
            factor = (at - away[:, None]) / gap[:, None]
            value = value * torch.where(counts[:, None], factor, 1.0)
        share = torch.where(there, (measure * value).sum(1), 0.0)
        table = table + torch.zeros_like(table).scatter(1, mine.clamp(min=0)[:, None], share[:, None])
    return table


def time_at(process: Interpolant, lam: Tensor) -> Tensor:
    """The time with log-SNR λ, kept within [t_min, 1], differentiable also where the inverse is a table."""
    with torch.no_grad():
        free = process.time_at(lam)
        t = free.clamp(process.t_min, 1.0)
        alpha, _, gamma = process.schedule.values(t)
        d_alpha, _, d_gamma = process.rates(t)
        slope = 1 / (d_alpha / alpha - d_gamma / gamma)
        # A call at an end of the range, where many starts are, may still move inside.
        slope = torch.where((free - t).abs() > ROUNDING, 0.0, slope)
    return t + (lam - lam.detach()) * slope


def unrolled(plan: Plan) -> tuple[Tensor, list[float]]:
    """A deterministic plan as y_{i+1} = s_i y_i + Σ c_ij D_j: its factors and the times of its calls.

    Returns:
        (N, N + 2): s_i, c_i0 … c_i,N-1 and the factor of x_1; and N times.

    Raises:
        Unsuitable: it draws noise, does not ask first at the initial sample, or loses it on the way.
    """
    require(not plan.stochastic, f"{plan.name} draws noise; search compares end points", Unsuitable)
    plan = plan.recast("data")
    asked = [r for r, row in enumerate(plan.rows) if row.call]
    n, order = len(asked), {r: j for j, r in enumerate(asked)}
    table = np.zeros((len(plan.rows), n + 2))  # each row on x, D_0 …, x_1
    for r, row in enumerate(plan.rows):
        for source, register, value, _ in row.terms:
            if source == STATE:
                table[r] += value * table[register]
            else:
                column = {INITIAL: 0, ANCHOR: n + 1}.get(source, order.get(register, -2) + 1)
                table[r, column] += value
    states = table[[*asked, -1]]
    require(
        n > 0
        and bool((states[0, 1:] == 0).all() and states[0, 0] == 1)
        and bool((states[:-1, 0] != 0).all()),
        f"{plan.name} does not start from the initial sample, or forgets it",
        Unsuitable,
    )
    factors = []
    for before, after in pairwise(states):
        keep = after[0] / before[0]
        step = after - keep * before
        factors.append([keep, *step[1:]])
    return torch.tensor(np.array(factors)), [plan.rows[r].t for r in asked]
