"""A plan whose numbers are tensors: coefficients to be learned, or a grid of its own for every sample.

The structure, which row reads which register, is that of an ordinary plan; the coefficients and the times at
which the denoiser is asked are tensors, one number each or one for each sample. The one loop of `run.py` runs
it, and gradients pass through coefficients, times and the denoiser.

    TensorPlan.of(plan)             the plan as it is, differentiable in `coefficients` and `times`
    TensorPlan.stack(plans)         K plans of one structure side by side
    stacked.take(index)             sample i follows plan index[i]
    tensor_plan.fixed()             back to floats, to print, save and hand out

Oracle: the plan it was made from; each plan of a stack run alone; finite differences (tests/solvers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness
from girsanov.processes import Interpolant
from girsanov.solvers.plan import Key, Plan, Program, Row
from girsanov.typing import Tree


@dataclass(frozen=True, eq=False)
class TensorPlan:
    """A plan with tensors for its coefficients and times; see the head of the module.

    Attributes:
        plan: the structure, and all that is no tensor here.
        coefficients: (terms,), or (terms, B) for one a sample, in the order of the rows and their terms.
        times: (rows,) or (rows, B), where the denoiser is asked.
    """

    plan: Plan
    coefficients: Tensor
    times: Tensor

    def __post_init__(self) -> None:
        for name, tensor, count in (
            ("coefficients", self.coefficients, sum(len(row.terms) for row in self.plan.rows)),
            ("times", self.times, len(self.plan.rows)),
        ):
            require(
                tensor.ndim in (1, 2) and len(tensor) == count,
                f"{name} is {tuple(tensor.shape)}; the plan asks for ({count},), or ({count}, B) for one a sample",
            )

    @classmethod
    def of(cls, plan: Plan) -> TensorPlan:
        """The plan as it is, in float64."""
        return cls(plan, _coefficients(plan), _times(plan))

    @classmethod
    def stack(cls, plans: Sequence[Plan]) -> TensorPlan:
        """Plans of one structure side by side, to `take` from.

        Raises:
            InputError: no plan, or plans of different structures, processes or stored words.
        """
        require(len(plans) > 0, "there is no plan to stack")
        first = plans[0]
        for i, plan in enumerate(plans):
            require(
                structure(plan) == structure(first),
                f"plan {i} ({plan.name}, {plan.calls} calls) and plan 0 ({first.name}, {first.calls} calls) differ "
                "in more than their numbers; stack plans of one solver on grids of equal length",
            )
        # Each sample has its own clock, so no draw covers one interval of it.
        shared = replace(first, spans=(None,) * len(first.spans))
        return cls(
            shared,
            torch.stack([_coefficients(plan) for plan in plans], dim=1),
            torch.stack([_times(plan) for plan in plans], dim=1),
        )

    def take(self, index: Tensor) -> TensorPlan:
        """For sample i the numbers of plan index[i] of the stack, index (B,)."""
        return replace(self, coefficients=self.coefficients[:, index], times=self.times[:, index])

    def fixed(self) -> Plan:
        """The ordinary plan with these numbers.

        Raises:
            InputError: one number a sample, which an ordinary plan does not hold.
        """
        require(
            self.coefficients.ndim == self.times.ndim == 1,
            "the plan has one number a sample; take one sample's column of coefficients and times first",
        )
        values, times = iter(self.coefficients.detach().tolist()), self.times.detach().tolist()
        rows = tuple(
            row._replace(t=t, terms=tuple(term._replace(coefficient=next(values)) for term in row.terms))
            for row, t in zip(self.plan.rows, times, strict=True)
        )
        return replace(self.plan, rows=rows)

    # What the loop reads.

    @property
    def process(self) -> Interpolant:
        return self.plan.process

    @property
    def predicts(self) -> tuple[str, ...]:
        return self.plan.predicts

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return self.plan.calls

    @property
    def spans(self) -> tuple[tuple[float, float] | None, ...]:
        return self.plan.spans

    @property
    def releases(self) -> tuple[tuple[Key, ...], ...]:
        return self.plan.releases

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The plan's rows with these times."""
        return tuple(
            row._replace(t=t)  # type: ignore[arg-type]
            for row, t in zip(self.plan.rows, self.times.unbind(), strict=True)
        )

    @cached_property
    def program(self) -> Program:
        """The terms of each row with these coefficients."""
        values = iter(self.coefficients.unbind())
        return tuple(tuple((key, next(values)) for key, _ in terms) for terms in self.plan.program)

    def recast(self, stored: tuple[str, ...]) -> TensorPlan:
        """Refused: the plans it is made from are recast, not their tensors."""
        raise Unsuitable(
            f"the plan predicts {', '.join(self.predicts)} and the model stores {', '.join(stored)}; make the "
            "tensor plan of plan.recast(model.stored)"
        )

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Run the plan from x (B, *shape), a draw of the reference law; returns the samples."""
        from girsanov.solvers.run import run

        return run(self, model, x, cond=cond, anchor=anchor, generator=generator)


def _coefficients(plan: Plan) -> Tensor:
    return torch.tensor([term.coefficient for row in plan.rows for term in row.terms], dtype=torch.float64)


def _times(plan: Plan) -> Tensor:
    return torch.tensor([row.t for row in plan.rows], dtype=torch.float64)


def structure(plan: Plan) -> tuple:
    """All of a plan but its numbers and names: plans that agree in it can be stacked."""
    rows = tuple(
        (row.call, row.node, tuple((t.source, t.register, t.word) for t in row.terms)) for row in plan.rows
    )
    return plan.process, plan.predicts, len(plan.spans), rows
