"""The one loop that runs every plan.

`steps` is a generator: it builds a row, yields it with the live registers, and is sent the denoiser's
answers. Whoever drives it may edit a state before answering: a mask, a particle resampling, another
runtime. Nothing else in the library calls a network while sampling a plan.

Sums are taken in float32 for half-precision samples, else in the dtype of x; coefficients stay floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import NotFinite, Unsuitable
from girsanov.noise import Randomness, Source, as_source
from girsanov.processes.base import like_batch
from girsanov.solvers.plan import ANCHOR, INITIAL, OUTPUT, STATE, Key, Plan, Row
from girsanov.solvers.tensorplan import TensorPlan
from girsanov.typing import Tree


class Live:
    """The registers that later rows still need: states, answers, the initial sample and the anchor.

    `state` is the row just built; assign to it to edit the sample.
    """

    def __init__(self, x: Tensor, anchor: Tensor | None) -> None:
        self.registers: dict[Key, Tensor] = {(INITIAL, 0, 0): x}
        if anchor is not None:
            self.registers[ANCHOR, 0, 0] = anchor
        self._current: Key = (INITIAL, 0, 0)

    @property
    def state(self) -> Tensor:
        return self.registers[self._current]

    @state.setter
    def state(self, value: Tensor) -> None:
        self.registers[self._current] = value

    def reindex(self, index: Tensor) -> None:
        """Keep the samples `index` (B',) of every register: what resampling does to particles."""
        self.registers = {key: value[index] for key, value in self.registers.items()}


Loop = Generator[tuple[Row, Live], tuple[Tensor, ...] | None, Tensor]


def steps(plan: Plan | TensorPlan, x: Tensor, source: Source, anchor: Tensor | None = None) -> Loop:
    """Run a plan, one row at a time.

    Yields:
        (row, live): the row just built, and the registers with its state as `live.state`. If
        `row.call`, send one tensor for each word of `plan.predicts`; else send None.

    Returns:
        The samples (B, *shape).
    """
    wide = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    live = Live(x.to(wide), None if anchor is None else anchor.to(wide))
    registers, learned, law = live.registers, isinstance(plan, TensorPlan), plan.process.law
    for r, (row, terms, released) in enumerate(zip(plan.rows, plan.program, plan.releases, strict=True)):
        total: Tensor | None = None
        for register, coefficient in terms:
            value = registers.get(register)
            if value is None:  # a draw, the only thing that is in no register
                index = register[1]
                value = source.draw(registers[INITIAL, 0, 0], index, law, plan.spans[index])
            if learned:  # or one number a sample: gradients forbid adding in place
                value = value * like_batch(coefficient, value)
                total = value if total is None else total + value
            elif total is None:
                total = value if coefficient == 1.0 and len(terms) == 1 else value * coefficient
            else:
                total.add_(value, alpha=coefficient)  # type: ignore[arg-type]
        assert total is not None
        key = (STATE, r, 0)
        registers[key] = total
        live._current = key
        answers = yield row, live
        registers = live.registers
        if row.call:
            assert answers is not None
            for word, answer in enumerate(answers):
                registers[OUTPUT, r, word] = answer if answer.dtype == wide else answer.to(wide)
        total = registers[key]
        for old in released:
            del registers[old]
    assert total is not None
    return total


def run(
    plan: Plan | TensorPlan,
    model: AbstractDenoiser,
    x: Tensor,
    *,
    cond: Tree = None,
    anchor: Tensor | None = None,
    generator: Randomness = None,
    edit: Callable[[Row, Tensor], Tensor] | None = None,
) -> Tensor:
    """Sample with a plan.

    Args:
        plan: recast to what the model stores, if it differs.
        model: a denoiser of the plan's process.
        x: (B, *shape), a draw of the reference law at the first time of the plan.
        cond: passed to the model, batch first.
        anchor: (B, *shape), x_1 where it is known.
        generator: for plans that draw noise.
        edit: called with every state of the grid; what it returns takes the place of the state.

    Returns:
        (B, *shape).

    Raises:
        Unsuitable: the plan was made for another process.
        NotFinite: the model answered with NaN or infinity; on an accelerator found at the end only.
    """
    if plan.process != model.process:  # no `require`: writing out a long table takes longer than a step
        raise Unsuitable(
            f"the plan was made for {plan.process!r}, and the model reverses {model.process!r}. Build it with "
            "model.process."
        )
    if plan.predicts != model.stored:
        plan = plan.recast(model.stored)
    loop = steps(plan, x, as_source(generator), anchor)
    narrow = x.dtype in (torch.float16, torch.bfloat16)
    watch, calls = x.device.type == "cpu", 0
    answers: tuple[Tensor, ...] | None = None
    while True:
        try:
            row, live = loop.send(answers)
        except StopIteration as done:
            check_finite(done.value, f"after {plan.calls} calls")
            return done.value.to(x.dtype)
        if edit is not None and row.node >= 0:
            live.state = edit(row, live.state)
        if not row.call:
            answers = None
            continue
        state = live.state.to(x.dtype) if narrow else live.state
        answers = model(state, row.t, cond=cond, anchor=anchor)
        calls += 1
        for answer in answers if watch else ():
            if not _finite(answer):
                _refuse(answer, f"in call {calls} of {plan.calls}, at t = {row.t:.6g}")


def trajectory(
    plan: Plan,
    model: AbstractDenoiser,
    x: Tensor,
    *,
    cond: Tree = None,
    anchor: Tensor | None = None,
    generator: Randomness = None,
) -> Tensor:
    """Sample as `run` does, and keep every state of the grid, x itself first.

    Returns:
        (B, T, *shape) for the T times of `plan.grid`; the last is the sample.

    Raises:
        Unsuitable, NotFinite: as `run` does.
    """
    states: list[Tensor] = []

    def keep(row: Row, state: Tensor) -> Tensor:
        states.append(state.to(x.dtype))
        return state

    run(plan, model, x, cond=cond, anchor=anchor, generator=generator, edit=keep)
    return torch.stack(states, 1)


def check_finite(values: Tensor, where: str) -> None:
    """Raise NotFinite where values (B, *shape) hold NaN or infinity; `where` says after which call."""
    if not _finite(values):
        _refuse(values, where)


def _finite(values: Tensor) -> bool:
    """One pass, and the first look only: a sum of finite numbers may overflow."""
    return math.isfinite(values.sum().item())


def _refuse(values: Tensor, where: str) -> None:
    """The second look, and the refusal if it finds a culprit."""
    bad = (~torch.isfinite(values.flatten(1))).any(1).nonzero()[:, 0].tolist()
    if bad:
        raise NotFinite(
            f"NaN or infinity {where}, in {len(bad)} of {len(values)} samples (the first is number {bad[0]}). "
            "Train longer or at a lower rate, lower the guidance scale, or choose a plan with a smaller "
            "plan.condition."
        )
