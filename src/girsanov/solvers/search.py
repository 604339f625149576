"""`search`: a better sampler for one's own model, by gradients through the plan.

The candidates are the plans of `searchspace`, started at the best named plans on the best grids; the loss is the
pseudo-Huber distance to the end points of a fine teacher, `endpoint`, equations (1) and (2). Every call of the
model is differentiated, in the coefficients, the grid and the times the network is told. Exact models are searched
by L-BFGS in float64, networks by Adam in their own precision; both stop on noises they were not fitted to.

What is found is an ordinary `Plan`: saved, printed, drawn, handed to diffusers like any other.
Source: Liu et al. (2023), USF, for searching over samplers; Zhou et al. (2024), AMED, for a learned grid and
time shift; the space and the loss are ours.
Oracle: on a Gaussian the best plan of two calls in closed form; never worse than its start on other noises;
gradients by finite differences (tests/solvers/test_search.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, NotFinite, Unsuitable, require
from girsanov.noise import Noise
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.solvers.endpoint import Endpoints, pseudo_huber
from girsanov.solvers.exponential import exponential, need_one_unknown
from girsanov.solvers.grids import SPACINGS, Grid
from girsanov.solvers.plan import Plan
from girsanov.solvers.registry import SOLVERS
from girsanov.solvers.sampling import Sampler
from girsanov.solvers.searchspace import Space
from girsanov.solvers.tensorplan import TensorPlan
from girsanov.typing import Tree

TEACHER_CALLS = 200
HUBER = 0.003
"""c of the loss, relative to the standard deviation of the data."""

STARTS = 3
"""How many of the best named plans are tried."""

SCOPE = 77
"""Keeps the noises of a search apart from those of `sample` with the same seed."""


class Progress(NamedTuple):
    """Where a search is, for `watch`: steps done and to do, the error on held-out noises now and at the start."""

    step: int
    steps: int
    error: float
    start: float


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found.

    Attributes:
        plan: the sampler, in the words that the model stores.
        error: its mean distance to the teacher on held-out noises, in standard deviations of the data.
        start: the best named plan on its best grid, of as many calls.
        start_error: that plan's error on the same noises; `error` is never above it.
        history: (step, error) of the start that won.
        held: those noises and their ends, to compare other plans by `held.distances(plan.recast("data"))`.
        complete: False if it was stopped by Ctrl-C.
    """

    plan: Plan
    error: float
    start: Plan
    start_error: float
    history: tuple[tuple[int, float], ...] = field(repr=False)
    held: Endpoints = field(repr=False)
    complete: bool = True

    @property
    def gain(self) -> float:
        """error / start_error, at most 1."""
        return self.error / self.start_error if self.start_error > 0 else 1.0


Watch = Callable[[Progress], None]


def search(
    model: AbstractDenoiser,
    calls: int = 6,
    *,
    cond: Tree | int = None,
    anchor: Tensor | None = None,
    teacher: Sampler | None = None,
    noises: int = 192,
    steps: int = 300,
    seed: int = 0,
    watch: Watch | None = None,
) -> Search:
    """Find a plan of a given number of calls that ends near a fine one, for this very model.

    Ctrl-C ends the search early, and what was found until then is returned.

    Args:
        model: a trained or exact denoiser, guided or not, of a one-sided or anchored process.
        calls: denoiser calls of the plan, at least 1.
        cond: a class for all, or a batch-first tree of conditions to draw from, one for each noise.
        anchor: (rows, *shape), x_1 of a process that has one, likewise.
        teacher: the deterministic sampler whose ends are sought; by default 200 calls of order 4, to t = 0.
        noises: how many noises are fitted, and as many more decide when to stop.
        steps: of the optimizer on the best start, at least 1; two other starts are tried for a fifth as long.
        seed: everything random follows from it; the global random state is left alone.
        watch: told about the progress.

    Raises:
        InputError: arguments out of range, or a model of unknown shape.
        Unsuitable: a process that no deterministic plan reverses.
        NotFinite: the model answers with NaN or infinity.
    """
    for name, value in (("calls", calls), ("noises", noises), ("steps", steps)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and value >= 1, f"{name} is {value!r}; give a whole number of at least 1")
    process = _suited(model.process)
    cond = torch.tensor([cond]) if isinstance(cond, int) else cond
    teacher = teacher or exponential(process, Grid("ddpm", TEACHER_CALLS), order=4, variable="ddpm")
    require(
        not (isinstance(teacher, Plan) and teacher.stochastic),
        "the teacher draws noise, so its ends cannot be sought; give a deterministic plan",
        Unsuitable,
    )
    was_training = model.training
    model.eval()
    try:
        noise = Noise(seed).child(SCOPE)
        fitted, held = (
            Endpoints.of(model, teacher, noises, cond=cond, anchor=anchor, noise=noise.shifted(first))
            for first in (0, noises)
        )
        return _search(model, calls, fitted, held, steps=steps, watch=watch)
    finally:
        model.train(was_training)


def named_plans(process: Interpolant, calls: int) -> Iterator[Plan]:
    """Every deterministic named solver on every grid, ended at 0 and at t_min, that spends these calls.

    The names are those of the plans with that of the grid, as "dpm-multistep-2m on karras, to zero".
    """
    for make in SOLVERS.values():
        for kind in SPACINGS:
            for to_zero in (True, False):
                plan = _of_calls(lambda grid, make=make: make(process, grid), kind, to_zero, calls)  # type: ignore[misc]
                if plan is not None and not plan.stochastic:
                    where = "to zero" if to_zero else "to t_min"
                    yield replace(plan, name=f"{plan.name} on {kind}, {where}")


def _of_calls(make: Callable[[Grid], Plan], kind: str, to_zero: bool, calls: int) -> Plan | None:
    """The plan that spends the calls, by trying numbers of steps: one to a few calls a step."""
    for steps in range(calls + 1, 0, -1):
        try:
            plan = make(Grid(kind, steps, to_zero))
        except (InputError, ZeroDivisionError, OverflowError):  # unsuited, or a grid too short for the solver
            continue
        if plan.calls == calls:
            return plan
        if plan.calls < calls:
            return None
    return None


def ranked(plans: Iterator[Plan], ends: Endpoints) -> list[tuple[float, Plan]]:
    """(mean distance, plan in data words), best first; plans that leave the numbers are left out."""
    found = []
    for plan in plans:
        with torch.no_grad():
            try:
                error = float(ends.distances(plan.recast("data")).mean())
            except InputError:  # a conversion that is undefined where the plan calls
                continue
            except NotFinite:
                continue
        if math.isfinite(error):
            found.append((error, plan.recast("data")))
    return sorted(found, key=lambda entry: entry[0])


def total_steps(steps: int) -> int:
    """Steps of the optimizer in a whole search; fewer where it converges."""
    return max(1, steps // PART) * (STARTS - 1) + steps


# The search itself.

RANKED = 64
"""Noises on which the named plans are compared."""

NUMBERS = 2**16
"""Numbers of samples that are differentiated at a time."""

PART = 5
"""All starts are given steps/PART steps, and the best of them the rest."""

LOOK = 10
"""Steps between two looks at the held-out noises."""


@dataclass
class _Trial:
    """One start and how far it has come: the best parameters on held-out noises and the last ones."""

    space: Space
    last: Tensor
    best: Tensor
    error: float
    history: list[tuple[int, float]]
    step: int = 0

    @classmethod
    def at(cls, plan: Plan, held: Endpoints) -> _Trial:
        space = Space.of(plan)
        zero = torch.zeros(int(space.free.sum()), dtype=torch.float64)
        trial = cls(space, zero, zero, math.inf, [])
        trial.look(zero, held)
        return trial

    def plan(self, parameters: Tensor) -> TensorPlan:
        change = torch.zeros_like(self.space.origin)
        return self.space.plan(change.masked_scatter(self.space.free, parameters))

    def look(self, parameters: Tensor, held: Endpoints) -> None:
        """Judge parameters on the held-out noises, as the ordinary plan they stand for."""
        with torch.no_grad():
            try:
                error = float(held.distances(self.plan(parameters).fixed()).mean())
            except (NotFinite, InputError):
                error = math.inf
        self.history.append((self.step, error))
        if error < self.error:
            self.best, self.error = parameters.detach().clone(), error


def _search(
    model: AbstractDenoiser,
    calls: int,
    fitted: Endpoints,
    held: Endpoints,
    *,
    steps: int,
    watch: Watch | None,
) -> Search:
    few = fitted.take(torch.arange(min(RANKED, len(fitted))))
    order = ranked(named_plans(_suited(model.process), calls), few)
    require(bool(order), f"no named solver spends {calls} calls on {model.process!r}", Unsuitable)
    start = order[0][1]
    with torch.no_grad():
        start_error = float(held.distances(start).mean())
    trials = _starts(order, held)
    require(bool(trials), f"no named plan of {calls} calls can be improved; give fewer calls", Unsuitable)
    first = max(1, steps // PART)
    total = total_steps(steps)
    done, complete = 0, True

    def tick() -> None:
        nonlocal done
        done += 1
        if watch is not None:
            watch(Progress(done, total, min(start_error, *(t.error for t in trials)), start_error))

    try:
        with torch.enable_grad():
            for trial in trials:
                _descend(trial, fitted, held, first, tick)
            _descend(min(trials, key=lambda t: t.error), fitted, held, steps - first, tick)
    except KeyboardInterrupt:
        complete = False
    best = min(trials, key=lambda t: t.error)
    plan, error = best.plan(best.best).fixed(), best.error
    if not error <= start_error:
        plan, error = start, start_error
    plan = replace(plan, name=f"searched-{calls}").recast(model.stored)
    found = start.recast(model.stored)
    return Search(plan, error, found, start_error, tuple(best.history), held, complete)


def _starts(order: list[tuple[float, Plan]], held: Endpoints) -> list[_Trial]:
    """Trials at the best plans, each on a grid of its own."""
    trials: list[_Trial] = []
    grids: set[tuple[float, ...]] = set()
    for _, plan in order:
        if plan.grid in grids:
            continue
        try:
            trials.append(_Trial.at(plan, held))
        except Unsuitable:  # it asks twice at one time
            continue
        grids.add(plan.grid)
        if len(trials) == STARTS:
            break
    return trials


def loss_and_gradient(trial: _Trial, parameters: Tensor, ends: Endpoints) -> tuple[float, Tensor]:
    """The pseudo-Huber loss and its gradient; infinite, with no gradient, where the plan leaves the numbers."""
    parameters = parameters.detach().requires_grad_()
    value, gradient = 0.0, torch.zeros_like(parameters)
    part = max(1, NUMBERS // ends.x[0].numel())
    for rows in torch.arange(len(ends)).split(part):  # what a network remembers for its gradient is large
        try:
            some = ends if len(rows) == len(ends) else ends.take(rows)
            loss = pseudo_huber(some.distances(trial.plan(parameters)), HUBER) * (len(rows) / len(ends))
            gradient = gradient + torch.autograd.grad(loss, parameters)[0]
        except NotFinite:
            return math.inf, torch.zeros_like(parameters)
        value += float(loss.detach())
    if not (math.isfinite(value) and bool(torch.isfinite(gradient).all())):
        return math.inf, torch.zeros_like(parameters)
    return value, gradient


FAR = 1e6
"""What L-BFGS-B is told in place of an infinite loss, so that its line search comes back."""


def _descend(trial: _Trial, fitted: Endpoints, held: Endpoints, steps: int, tick: Callable[[], None]) -> None:
    """Go on from the last parameters by L-BFGS on all noises."""

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = loss_and_gradient(trial, torch.from_numpy(x.copy()), fitted)
        return min(loss, FAR), gradient.numpy()

    def after(x: np.ndarray) -> None:
        trial.step += 1
        trial.last = torch.from_numpy(x.copy())
        if trial.step % LOOK == 0:
            trial.look(trial.last, held)
        tick()

    if steps > 0:
        limits = {"maxiter": steps, "maxcor": 30, "maxfun": 3 * steps, "ftol": 1e-12, "gtol": 1e-10}
        minimize(value, trial.last.numpy(), jac=True, method="L-BFGS-B", callback=after, options=limits)
        trial.look(trial.last, held)


def _suited(process: object) -> Interpolant:
    """The process, if a deterministic plan can reverse it."""
    need_one_unknown(found := need(process, GaussianConditional, "search"), "search")
    require(
        found.gamma(1.0) > 0,
        f"{found!r} starts at x_1 itself, so its samplers draw noise, and search compares end points without",
        Unsuitable,
    )
    return found
