"""What every named solver has to meet: the battery over `SOLVERS`. A new one inherits it."""

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import GAUSSIAN, ONE_SIDED, seeded
from plan_tools import gaussian_through

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.solvers import grid, registry, run

VP = processes.VP()
MEAN, VARIANCE = 0.5, 0.25
STOCHASTIC = [name for name, make in solvers.SOLVERS.items() if make(VP, grid("karras", 40)).stochastic]


def marginal(process, t):
    """The exact mean and standard deviation at t."""
    alpha, gamma = process.alpha(t), process.gamma(t)
    return alpha * MEAN, math.sqrt(alpha**2 * VARIANCE + gamma**2)


def law_error(plan):
    """From the exact law at t = 1, the error of the mean and standard deviation over that of the data.

    Exact is the law at the last noisy node, and then the data answer.
    """
    process = plan.process
    mean, variance = gaussian_through(plan, MEAN, VARIANCE, marginal(process, 1.0))
    last = next(row.t for row in reversed(plan.rows) if row.t > 0 and row.node >= 0)
    std = process.alpha(last) * VARIANCE / marginal(process, last)[1]
    return max(abs(mean - MEAN), abs(math.sqrt(variance) - std)) / math.sqrt(VARIANCE)


@pytest.mark.parametrize("name", solvers.SOLVERS)
@pytest.mark.parametrize("process", GAUSSIAN.values(), ids=GAUSSIAN)
def test_every_number_of_steps_on_a_gaussian(process, name):
    """No N has a dummy step, NaN or blow-up, and more steps are nearer to the exact law, at the stated rate."""
    if name not in solvers.for_process(process):
        assert name in ("euler-maruyama", "reverse-diffusion")
        return
    make, errors = solvers.solver(name), {}
    for steps in range(1, 51):
        plan = make(process, grid("log-snr", steps))
        assert name == "restart" or all(a > b for a, b in pairwise(plan.grid))
        errors[steps] = law_error(plan)
        assert math.isfinite(errors[steps]), steps
    assert max(errors[n] for n in range(26, 51)) < max(errors[n] for n in range(6, 13))
    many = law_error(make(process, grid("log-snr", 200)))
    if plan.order is None:
        assert many < errors[50]
    elif many > errors[50] * 4 ** (0.5 - plan.order):  # half an order is left for what is not yet asymptotic
        # An error that changes its sign near 50 steps is small there by chance: then more steps have to show it.
        assert law_error(make(process, grid("log-snr", 400))) < many * 2 ** (0.3 - plan.order)


class Constant(AbstractDenoiser):
    """A model that gives one answer everywhere."""

    def __init__(self, process, word):
        super().__init__()
        self.process, self.stored = process, (word,)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, 0.7),)


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
@pytest.mark.parametrize(
    "word, names", [("data", registry.DATA), ("noise", registry.NOISE), ("velocity", registry.VELOCITY)]
)
def test_a_constant_answer_is_integrated_exactly(process, word, names):
    """y/γ, y/α and x move in straight lines then, whatever the method and its order."""
    x = torch.randn(5, 1, generator=seeded(0), dtype=torch.float64)
    times = [0.9, 0.8, 0.5, 0.35, 0.3, 0.1, 0.05]
    s, t = times[0], times[-1]
    (a, _, g), (b, _, k) = process.schedule.values(s), process.schedule.values(t)
    moved = {
        "data": lambda: k / g * x + (b - k * a / g) * 0.7,
        "noise": lambda: b / a * x + (k - b * g / a) * 0.7,
        "velocity": lambda: x + (t - s) * 0.7,
    }[word]()
    for name in names:
        plan = solvers.solver(name)(process, times)
        if not plan.stochastic:
            end = run(plan, Constant(process, word), x)
            torch.testing.assert_close(end, moved, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("process", [VP, processes.RectifiedFlow()], ids=["VP", "RF"])
def test_stochastic_solvers_keep_the_law_at_their_order(process, name):
    """From the exact law at a regular time to another: mean and variance by bookkeeping, nothing is drawn."""
    start, stop, errors = 0.8, 0.2, []
    exact = marginal(process, stop)
    first, last = process.log_snr(start), process.log_snr(stop)
    for steps in (100, 200, 400):
        times = [process.time_at(v) for v in np.linspace(first, last, steps + 1).tolist()]
        plan = solvers.solver(name)(process, times)
        mean, variance = gaussian_through(plan, MEAN, VARIANCE, marginal(process, start))
        errors.append(max(abs(mean - exact[0]), abs(math.sqrt(variance) - exact[1])))
    if plan.order is not None and max(errors) > 1e-5:  # smaller than that it may change its sign
        assert all(math.log2(a / b) > plan.order - 0.2 for a, b in pairwise(errors)), errors
    assert errors[-1] < 0.01


def test_the_law_test_can_fail():
    plan = solvers.ancestral(VP, grid("log-snr", 50))
    spoiled = [
        row._replace(
            terms=tuple(
                t._replace(coefficient=1.05 * t.coefficient) if t.source == "ξ" else t for t in row.terms
            )
        )
        for row in plan.rows
    ]
    broken = type(plan)(plan.process, plan.predicts, tuple(spoiled), plan.spans)
    assert law_error(broken) != pytest.approx(law_error(plan), rel=0.05)


def test_the_page_lists_them_all():
    page = (Path(__file__).parents[2] / "docs" / "solvers.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- written by [^\n]*-->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert shown and shown[1] == registry.table()


def test_there_are_many():
    assert len(solvers.SOLVERS) >= 40
    assert len({make(VP, grid("karras", 30)) for make in solvers.SOLVERS.values()}) == len(solvers.SOLVERS)
