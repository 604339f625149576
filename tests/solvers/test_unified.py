"""Schedules of decisions: the coefficients of earlier solvers, and equation (1) on polynomials."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from oracles import DDPM

from girsanov import processes, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.solvers import EARLIER, SolverSchedule, SolverStep, grid, unified
from girsanov.solvers.unified import derivatives, taylor_moments

VP, EDM, FLOW = processes.VP(), processes.EDM(), processes.RectifiedFlow()
EVERY = pytest.mark.parametrize("process", [VP, EDM, FLOW, DDPM], ids=["VP", "EDM", "flow", "chain"])
ENDS = pytest.mark.parametrize("to_zero", [True, False])


def same(plan, other):
    """Relative to the largest coefficient; plans are compared in their data form."""
    plan, other = plan.recast("data"), other.recast("data")
    assert plan.difference(other) <= 1e-10 * max(1.0, other.condition)


@EVERY
@ENDS
@pytest.mark.parametrize("form", ["data", "noise"])
@pytest.mark.parametrize("relaxation", ["none", "dpm-solver-2", "bh1", 0.3])
def test_order_one_in_any_form_is_ddim(process, to_zero, form, relaxation):
    times = grid("karras", 5, to_zero=to_zero).times(process)
    schedule = SolverSchedule(times[0], tuple(SolverStep(t, form, relaxation=relaxation) for t in times[1:]))
    same(unified(process, schedule), solvers.ddim(process, times))


@EVERY
@ENDS
def test_order_two_with_the_relaxation_of_dpm_solver_is_2m(process, to_zero):
    g = grid("log-snr", 6, to_zero=to_zero)
    schedule = SolverSchedule.multistep(process, g, **EARLIER["dpm-multistep"])
    same(unified(process, schedule), solvers.dpm_multistep(process, g, lower_order_final=False))


@EVERY
@ENDS
@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("form", ["data", "noise"])
def test_without_relaxation_it_is_the_exponential_method_of_its_order(process, to_zero, order, form):
    g = grid("quadratic", 6, to_zero=to_zero)
    schedule = SolverSchedule.multistep(process, g, order=order, form=form)
    full = replace(schedule, steps=tuple(replace(s, points=s.order - 1 or None) for s in schedule.steps))
    expected = solvers.exponential(process, g, order=order, form=form)
    same(unified(process, schedule), expected)
    same(unified(process, full), expected)


@EVERY
@ENDS
@pytest.mark.parametrize(("b", "relaxation"), [("bh2", "dpm-solver-2"), ("bh1", "bh1")])
@pytest.mark.parametrize("form", ["data", "noise"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_pseudo_corrector_is_that_of_unipc(process, to_zero, b, relaxation, form, order):
    g = grid("log-snr", 6, to_zero=to_zero)
    schedule = SolverSchedule.multistep(
        process, g, order=order, form=form, relaxation=relaxation, corrector="pseudo"
    )
    if order == 3:  # UniPC solves for its weights from order 3 on
        steps = tuple(replace(s, relaxation="none" if s.order == 3 else relaxation) for s in schedule.steps)
        schedule = replace(schedule, steps=steps)
    expected = solvers.unipc(process, g, order=order, b=b, form=form, lower_order_final=False)
    same(unified(process, schedule), expected)


@pytest.mark.parametrize("name", EARLIER)
def test_earlier_solvers_have_their_names(name):
    g = grid("log-snr", 5)
    found = unified(VP, SolverSchedule.multistep(VP, g, **EARLIER[name]))
    known = {
        "dpm-multistep": lambda: solvers.dpm_multistep(VP, g, lower_order_final=False),
        "unipc-2": lambda: solvers.unipc(VP, g, lower_order_final=False),
        "unipc-2-bh1": lambda: solvers.unipc(VP, g, b="bh1", lower_order_final=False),
    }
    same(found, known.get(name, lambda: solvers.solver(name)(VP, g))())


def test_a_relaxation_of_zero_is_none():
    schedule = SolverSchedule.multistep(VP, grid("log-snr", 5), order=3)
    relaxed = SolverSchedule.multistep(VP, grid("log-snr", 5), order=3, relaxation=0.0)
    assert unified(VP, schedule).difference(unified(VP, relaxed)) == 0


def test_a_number_relaxes_the_first_derivative_by_its_multiple_of_the_step():
    plain, relaxed = (taylor_moments(-0.5, 1.5, 3, "data", r) for r in ("none", 0.25))
    np.testing.assert_allclose(relaxed / plain, [1.0, 1.5, 1.0])


def test_the_relaxation_of_dpm_solver_2_is_the_papers_factor():
    h = 0.7
    plain, relaxed = (taylor_moments(0.2, 0.2 + h, 2, "noise", r) for r in ("none", "dpm-solver-2"))
    assert relaxed[1] / plain[1] == pytest.approx(h * math.expm1(h) / 2 / (math.expm1(h) - h), rel=1e-12)


@pytest.mark.parametrize(("form", "sign"), [("data", -1), ("noise", 1)])
def test_moments_are_the_phi_functions(form, sign):
    """Equation (1) against φ_1 = (e^x - 1)/x, φ_{k+1} = (φ_k - 1/k!)/x, c_i = ± e^{∓λ_t} h^{i+1} φ_{i+1}."""
    begin, h = 0.3, 1.3
    x, end = sign * h, begin + h
    phi = [math.expm1(x) / x]
    for k in (1, 2, 3):
        phi.append((phi[-1] - 1 / math.factorial(k)) / x)
    expected = [-sign * math.exp(-sign * end) * h ** (i + 1) * p for i, p in enumerate(phi)]
    np.testing.assert_allclose(taylor_moments(begin, end, 4, form, "none"), expected, rtol=1e-10)


def test_derivatives_of_a_cubic_are_exact():
    gaps = np.array([0.0, -0.3, -1.0, -1.2])
    values = 2 - gaps + 3 * gaps**2 - 0.5 * gaps**3
    np.testing.assert_allclose(derivatives(gaps) @ values, [2, -1, 6, -3], atol=1e-10)


def test_fewer_points_change_only_the_first_derivative():
    """With two points of three, a parabola still has its own slope, and a cubic has the slope of the parabola."""
    times = grid("log-snr", 5, to_zero=False).times(VP)
    steps = [SolverStep(t, order=min(i + 1, 4)) for i, t in enumerate(times[1:])]
    full, fewer = (
        unified(VP, SolverSchedule(1.0, (*steps[:4], replace(steps[4], points=p)))) for p in (None, 2)
    )
    lam = np.array([VP.log_snr(t) for t in times])
    change = (fewer.matrix("F") - full.matrix("F"))[5, :5]
    gaps = lam[:5] - lam[4]
    for power in (0, 1, 2):
        assert abs(change @ gaps**power) < 1e-10
    gain = VP.gamma(times[5]) * taylor_moments(lam[4], lam[5], 2, "data", "none")[1]
    slope = -gaps[3] * gaps[2]  # at 0, of the parabola through Δ³ at 0 and the two points
    assert change @ gaps**3 == pytest.approx(gain * slope, rel=1e-8)


def test_json_round_trip():
    steps = (
        SolverStep(0.6, "noise", corrector="pseudo", relaxation="bh1"),
        SolverStep(0.1 + 0.2, "data", 2, 1, 1 / 3, "pseudo"),
        SolverStep(0.1, "noise", 3, 1, "dpm-solver-2"),
        SolverStep(0.0),
    )
    schedule = SolverSchedule(0.99, steps)
    assert SolverSchedule.from_config(json.loads(json.dumps(schedule.to_config()))) == schedule
    assert unified(VP, schedule).calls == schedule.calls == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SolverStep(1.0), r"t = 1.0; give a time in \[0, 1\)"),
        (lambda: SolverStep(0.5, "velocity"), "form"),
        (lambda: SolverStep(0.5, order=5), "order is 5; a step has a whole number, 1 to 4"),
        (lambda: SolverStep(0.5, order=2.0), "whole number"),
        (lambda: SolverStep(0.5, order=2, points=2), "points is 2"),
        (lambda: SolverStep(0.5, relaxation="bh3"), "relaxation"),
        (lambda: SolverStep(0.5, relaxation=math.nan), "finite"),
        (lambda: SolverStep(0.5, corrector="implicit"), "corrector"),
        (lambda: SolverStep(0.0, order=2), "give it order 1"),
        (lambda: SolverSchedule(1.0, ()), "no steps"),
        (lambda: SolverSchedule(1.0, (SolverStep(0.3), SolverStep(0.3))), "decreasing"),
        (lambda: SolverSchedule(1.0, (SolverStep(0.3, order=2),)), "give at most 1"),
        (lambda: SolverSchedule(1.0, (SolverStep(0.3, corrector="pseudo"),)), "no call follows"),
        (lambda: SolverSchedule.from_config({"start": 1.0}), "damaged"),
        (lambda: SolverSchedule.from_config({"start": 1.0, "steps": [{"time": 0.5}]}), "damaged"),
    ],
)
def test_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_derivative_from_infinite_log_snr_is_refused():
    early = SolverSchedule(1.0, (SolverStep(0.5), SolverStep(0.2, order=2)))
    with pytest.raises(InputError, match="infinite"):
        unified(FLOW, early)
    with pytest.raises(InputError, match="infinite"):
        unified(FLOW, SolverSchedule(1.0, (SolverStep(0.5, corrector="pseudo"), SolverStep(0.2))))
    unified(VP, early)


def test_two_sided_processes_are_refused():
    with pytest.raises(Unsuitable):
        unified(processes.StochasticInterpolant(), SolverSchedule(1.0, (SolverStep(0.5),)))
