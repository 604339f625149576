"""`sample`: draw from a model with a solver, in batches, every sample the same whatever the batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable, require, require_finite
from girsanov.noise import Noise, Randomness, as_source
from girsanov.processes import (
    AffineConditional,
    Constrained,
    Interpolant,
    Masked,
    Perturbable,
    Reversible,
    need,
)
from girsanov.solvers.constrained import ReverseWalk
from girsanov.solvers.exponential import exponential
from girsanov.solvers.grids import Grid
from girsanov.solvers.masked import one_by_one
from girsanov.solvers.plan import Plan
from girsanov.solvers.registry import Solver
from girsanov.solvers.registry import solver as named_solver
from girsanov.solvers.reversible import OwnSteps
from girsanov.solvers.rungekutta import euler
from girsanov.typing import Shape, Tree


class Sampler(Protocol):
    """A plan, or a sampler with its own loop."""

    @property
    def calls(self) -> int: ...

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor: ...


class NamedSampler(Sampler, Protocol):
    """One that can be told of."""

    @property
    def name(self) -> str: ...


def recommended(process: Interpolant, steps: int, *, to_zero: bool = True) -> Plan:
    """The library's one rule, measured in benchmarks/solver_accuracy.py.

    One-sided and anchored processes: the exponential multistep method in data form, interpolating in
    DDPM's time on the `ddpm` grid, of order 4 below 15 steps and 6 from there on (chosen on mixtures of
    other seeds, shapes and dimensions than the benchmark's). Two-sided processes: Euler, uniform grid.
    """
    times = recommended_grid(process, steps, to_zero=to_zero)
    if process.end == "marginal":
        return euler(process, times)
    return exponential(process, times, order=4 if steps < 15 else 6, variable="ddpm")


def recommended_grid(process: Interpolant, steps: int, *, to_zero: bool = True) -> Grid:
    """The grid that goes with it."""
    return Grid("uniform" if process.end == "marginal" else "ddpm", steps, to_zero)


def sample(
    model: AbstractDenoiser,
    n: int,
    *,
    cond: Tree | int = None,
    anchor: Tensor | None = None,
    steps: int = 20,
    solver: str | Solver | None = None,
    plan: Sampler | None = None,
    batch_size: int = 256,
    seed: int | None = None,
    shape: Shape | None = None,
) -> Tensor:
    """Draw n samples, (n, *shape).

    Sample i starts from the same noise bits whatever n and batch_size are; its value agrees to rounding.

    Args:
        model: a trained or exact denoiser.
        n: how many, at least 0.
        cond: what to condition on: one class number for all, or a batch-first tree of n.
        anchor: (n, *shape), x_1 of a process that has one.
        steps: steps of the grid, when no plan is given.
        solver: a name (see `SOLVERS`) or a function; by default the `recommended` rule.
        plan: a ready sampler, instead of steps and solver.
        batch_size: samples per network call; changes speed and memory only.
        seed: an integer for the same samples again; None for fresh ones.
        shape: the shape of one sample, where the model does not know it.

    Raises:
        InputError: arguments that contradict each other or do not fit the model.
        Unsuitable: the process cannot start a sample, or no sampler is known for it.
        NotFinite: the network answered with NaN or infinity.
    """
    process = need(model.process, Perturbable, "sample")
    require(isinstance(n, int) and n >= 0, f"n is {n!r}; give a whole number of at least 0")
    require(batch_size >= 1, f"batch_size is {batch_size}; give at least 1")
    size = _shape(model, shape)
    require(plan is None or solver is None, "give plan or solver, not both")
    sampler = plan or make_sampler(model, steps, solver)
    source, cond = as_source(None if seed is None else Noise(seed)), _whole(cond, n)
    _check(cond, n, "cond")
    _check(anchor, n, "anchor")
    charted = isinstance(process, AffineConditional)
    anchor = anchor if anchor is None or not charted else process.into(anchor)
    seen = not charted or process.end != "marginal"  # else it is where sampling starts, unknown to the model
    like = next(model.parameters(), torch.empty(0))
    was_training, parts = model.training, [like.new_empty(0, *size)]
    model.eval()
    try:
        with torch.no_grad():  # guidance by gradients needs a graph inside, which inference mode forbids
            for first in range(0, n, batch_size):
                rows, part = slice(first, min(first + batch_size, n)), source.shifted(first)
                ends, some = _part(anchor, rows, like.device), _part(cond, rows, like.device)
                x = like.new_empty(rows.stop - first, *size)
                x = process.reference(x, anchor=ends, generator=part)
                parts.append(sampler(model, x, cond=some, anchor=ends if seen else None, generator=part))
    finally:
        model.train(was_training)
    samples = torch.cat(parts[n > 0 :])  # the first part is empty
    return process.out_of(samples) if charted else samples


def make_plan(model: AbstractDenoiser, steps: int, solver: str | Solver | None = None) -> Plan:
    """The plan of a solver for a model, on the grid recommended for its process.

    Raises:
        Unsuitable: a process that has samplers of its own kind.
    """
    process = need(model.process, AffineConditional, "a named solver")
    if solver is None:
        return recommended(process, steps).recast(model.stored)
    make = named_solver(solver) if isinstance(solver, str) else solver
    return make(process, recommended_grid(process, steps)).recast(model.stored)


DEFAULTS: dict[type, Callable[[AbstractDenoiser, int], NamedSampler]] = {
    Interpolant: make_plan,
    Masked: one_by_one,
    Constrained: lambda model, steps: ReverseWalk(steps),
    Reversible: lambda model, steps: OwnSteps(steps),
}
"""For each kind of process the sampler that `sample` takes, from the model and the number of steps."""


def make_sampler(model: AbstractDenoiser, steps: int, solver: str | Solver | None = None) -> NamedSampler:
    """The plan of a solver, or else the default of the kind of process.

    Raises:
        Unsuitable: a process that no sampler of the library reverses, or not by a named solver.
    """
    if solver is not None:
        return make_plan(model, steps, solver)
    for kind, make in DEFAULTS.items():
        if isinstance(model.process, kind):
            return make(model, steps)
    raise Unsuitable(
        f"no sampler is known for {model.process!r}; give plan=, a function that samples with the model"
    )


def _shape(model: AbstractDenoiser, shape: Shape | None) -> Shape:
    found = shape or model.shape
    require(found is not None, "the model does not know the shape of a sample; give shape=, as (1, 28, 28)")
    return found  # type: ignore[return-value]


def _whole(cond: Tree | int, n: int) -> Tree:
    return torch.full((n,), cond) if isinstance(cond, int) else cond


def _check(tree: Tree, n: int, name: str) -> None:
    for leaf in _leaves(tree):
        require(len(leaf) == n, f"{name} has {len(leaf)} rows, and n is {n}; give one row for each sample")
        require_finite(leaf, name)


def _leaves(tree: Tree) -> list[Tensor]:
    if tree is None:
        return []
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        return list(tree.values())
    if isinstance(tree, list | tuple):
        return list(tree)
    raise InputError(f"cond is {type(tree).__name__}; give a tensor, or a dictionary or list of tensors")


def _part(tree: Tree, rows: slice, device: torch.device) -> Any:
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return tree[rows].to(device)
    if isinstance(tree, Mapping):
        return {name: leaf[rows].to(device) for name, leaf in tree.items()}
    return [leaf[rows].to(device) for leaf in tree]
