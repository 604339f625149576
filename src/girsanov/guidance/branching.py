"""Branching: run a stochastic sampler with M copies of every sample, and say which of them go on.

Copies have the same past and noise of their own. They part where a row of the plan draws noise; at the next
state of the grid somebody settles which copies go on. While all copies of a sample agree the network is asked once
for all of them, and not at all where a value has just asked about the states that go on.
Rows are ordered by sample: those of sample i are i M, …, i M + M - 1.

Oracle: one copy gives the sampler's own bits, and the calls counted are those made (tests/guidance/test_value.py).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Branches, Source
from girsanov.solvers.masked import AncestralMasked, begin, picked
from girsanov.solvers.plan import NOISE, Plan
from girsanov.solvers.run import Loop, check_finite, steps
from girsanov.typing import Time, Tree

Kernel = Plan | AncestralMasked
"""What draws the candidates: a stochastic plan of any solver, or the reverse of masking."""

Settle = Callable[[Tensor, float, int], Tensor]
"""(states (B·M, *shape), time, number of the step) to the rows that go on: one for each sample, or B·M."""


class Remembered(AbstractDenoiser):
    """A denoiser for one run that does not ask again about the states it was asked about last.

    A value asks about all candidates; `keep` says which of them go on, and the kernel's own call finds them answered.
    """

    def __init__(self, model: AbstractDenoiser) -> None:
        super().__init__()
        self.model, self.process, self.stored, self.shape = model, model.process, model.stored, model.shape
        self._last: tuple[Tensor, float, tuple[Tensor, ...]] | None = None

    @property
    def calls_per_call(self) -> int:
        """As many as the model inside."""
        return self.model.calls_per_call

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if self._last is not None and x is self._last[0] and t == self._last[1]:
            return self._last[2]
        answers: tuple[Tensor, ...] = self.model(x, t, cond=cond, anchor=anchor)
        self._last = (x, t, answers) if isinstance(t, float) else None
        return answers

    def keep(self, states: Tensor, rows: Tensor, kept: Tensor) -> None:
        """Those `rows` of the states go on, as the tensor `kept`."""
        last, self._last = self._last, None
        if last is not None and last[0] is states:
            self._last = kept, last[1], tuple(answer[rows] for answer in last[2])


class Setting(NamedTuple):
    """One run.

    Args:
        model: the denoiser, which its values ask too.
        many: M.
        cond, anchor: of the B samples.
        source: of noise.
    """

    model: Remembered
    many: int
    cond: Tree
    anchor: Tensor | None
    source: Source


class Mark(NamedTuple):
    """A row of a plan: whether there is something to settle, and whether the copies agree afterwards."""

    settle: bool
    alike: bool


def marks(plan: Plan, *, apart: bool = False) -> tuple[Mark, ...]:
    """One for each row; copies that start apart never agree, and are settled at the first and the last state too."""
    found, fresh = [], apart
    for i, row in enumerate(plan.rows):
        fresh = fresh or any(term.source == NOISE for term in row.terms)
        settle = row.node >= 0 and (fresh or (apart and i + 1 == len(plan.rows)))
        fresh = fresh and not settle
        found.append(Mark(settle, not (fresh or apart)))
    return tuple(found)


def check_kernel(kernel: object, by: str) -> None:
    """Refuse what has no random steps.

    Raises:
        Unsuitable: neither a plan nor the reverse of masking, or a plan without noise.
    """
    require(
        isinstance(kernel, Kernel),
        f"{by} draws its candidates from a plan or from AncestralMasked, and this is {type(kernel).__name__}; "
        "give such as solvers.ancestral(process, grid)",
        Unsuitable,
    )
    require(
        isinstance(kernel, AncestralMasked) or any(mark.settle for mark in marks(kernel)),  # type: ignore[arg-type]
        f"{getattr(kernel, 'name', kernel)} draws no noise, so all candidates coincide; use a stochastic plan, such as "
        "solvers.ancestral(process, grid)",
        Unsuitable,
    )


def branch(kernel: Kernel, x: Tensor, setting: Setting, settle: Settle, *, apart: bool = False) -> Tensor:
    """Run the kernel with M copies, (B, *shape).

    Args:
        kernel: see `check_kernel`.
        x: (B, *shape), the starts; (B·M, *shape) of copies that start apart.
        setting: the model and what it is given.
        settle: asked at every state of the grid where copies differ. With copies that start apart it is asked at
            the first state and at the last, where it answers with one row for each sample, and before with all.
        apart: whether the copies start apart, and stay so.
    """
    if isinstance(kernel, AncestralMasked):
        return _masked(kernel, x, setting, settle, apart)
    return _plan(kernel, x, setting, settle, apart)


def _plan(plan: Plan, x: Tensor, setting: Setting, settle: Settle, apart: bool) -> Tensor:
    model, copies = setting.model, _Copies.of(x, setting, apart)
    require(
        plan.process == model.process,
        f"the plan was made for {plan.process!r}, and the model reverses {model.process!r}; build it with model.process",
        Unsuitable,
    )
    plan = plan if plan.predicts == model.stored else plan.recast(model.stored)
    loop = steps(plan, x if apart else x[copies.wide], copies.noise, copies.given(setting, few=False)[1])
    answers: tuple[Tensor, ...] | None = None
    for i, (row, mark) in enumerate(zip(plan.rows, marks(plan, apart=apart), strict=True)):
        _, live = loop.send(answers)
        answers, rows, states = None, None, live.state.to(x.dtype)
        if mark.settle:
            rows = settle(states, row.t, i)
        elif mark.alike:
            rows = copies.first
        if rows is not None:
            live.reindex(rows)
        few = rows is not None and len(rows) == copies.size
        if row.call:
            cond, anchor = copies.given(setting, few=few)
            now = live.state.to(x.dtype)
            if rows is not None:
                model.keep(states, rows, now)
            answers = model(now, row.t, cond=cond, anchor=anchor)
            for answer in answers:
                check_finite(answer, f"at t = {row.t:.6g}")
        if few and i < len(plan.rows) - 1:
            live.reindex(copies.wide)
            answers = None if answers is None else tuple(answer[copies.wide] for answer in answers)
    return _returned(loop).to(x.dtype)


def _masked(kernel: AncestralMasked, x: Tensor, setting: Setting, settle: Settle, apart: bool) -> Tensor:
    model, copies = setting.model, _Copies.of(x, setting, apart)
    process, done = begin(model, x, setting.anchor)
    x, times, few = done.x, kernel.grid, not apart
    if apart:
        x = _kept(model, x, settle(x, times[0], -1))
    for i, (t, s) in enumerate(pairwise(times)):
        law = model.data(x, t, cond=copies.given(setting, few=few)[0])
        if few:
            law, x = law[copies.wide], x[copies.wide]
        x = kernel.step(process, law, x, (t, s), generator=copies.noise, index=i)
        x = _kept(model, x, settle(x, s, i))
    return x


def _kept(model: Remembered, states: Tensor, rows: Tensor) -> Tensor:
    kept = states[rows]
    model.keep(states, rows, kept)
    return kept


class _Copies(NamedTuple):
    """Which rows are copies of which of the `size` samples, and their noise."""

    size: int
    wide: Tensor
    first: Tensor
    noise: Branches

    @classmethod
    def of(cls, x: Tensor, setting: Setting, apart: bool) -> _Copies:
        many = setting.many
        size = len(x) // many if apart else len(x)
        rows = torch.arange(size, device=x.device)
        return cls(size, rows.repeat_interleave(many), rows * many, Branches(setting.source, size, many))

    def given(self, setting: Setting, *, few: bool) -> tuple[Tree, Tensor | None]:
        """cond and anchor of one row a sample, or of all copies."""
        if few:
            return setting.cond, setting.anchor
        anchor = setting.anchor
        return picked(setting.cond, self.wide), anchor if anchor is None else anchor[self.wide]


def _returned(loop: Loop) -> Tensor:
    try:
        loop.send(None)
    except StopIteration as done:
        result: Tensor = done.value
        return result
    raise AssertionError("the plan has more rows than it said")
