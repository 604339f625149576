"""The parts of the USF paper that the library's own tests do not cover."""

import torch

from girsanov.noise import Noise
from girsanov.papers.solvers import usf as paper
from girsanov.processes import VP
from girsanov.solvers import Endpoints, exponential, grid


def test_fixed_solvers_spend_as_many_calls_as_the_searched():
    plans = paper.fixed_plans()
    assert len(plans) == 36
    assert {plan.calls for plan in plans.values()} == {paper.CALLS}
    assert {plan.grid[-1] for plan in plans.values()} == {0.0, VP().t_min}


def test_the_score_of_the_teacher_is_zero_and_that_of_another_plan_is_not():
    teacher = exponential(VP(), grid("ddpm", 20), order=3)
    ends = Endpoints.of(paper.law(0).denoiser(VP()), teacher, 16, noise=Noise(0))
    assert paper.score(ends, teacher) < 1e-12
    assert paper.score(ends, exponential(VP(), grid("ddpm", 5), order=1)) > 0.01


def test_mixtures_of_seeds_differ():
    assert not torch.equal(paper.law(0).mean, paper.law(1).mean)
