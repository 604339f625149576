"""The evolutionary search: a score whose best schedule is known, what children may be, repaired times."""

import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import DDPM

from girsanov import processes, solvers
from girsanov.errors import InputError, NotFinite, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import SolverSchedule, SolverStep, grid, search_schedule, unified
from girsanov.solvers.evolution import Breeder, Dice, Ranker, earlier, key, spaced

VP, EDM, FLOW = processes.VP(), processes.EDM(), processes.RectifiedFlow()


def breeder(process=VP, seed=0):
    return Breeder(process, Dice(Noise(seed)))


def to_place(plan):
    """Best where the second call is at t = 0.4321, whatever else is decided."""
    return abs(plan.grid[1] - 0.4321)


@pytest.mark.parametrize("predictor", [True, False])
def test_it_finds_the_best_time(predictor):
    found = search_schedule(to_place, VP, 2, budget=84, predictor=predictor, seed=0)
    start = min(to_place(unified(VP, schedule)) for schedule in earlier(VP, 2))
    assert found.score < 0.2 * start
    assert found.score == to_place(found.plan) == to_place(unified(VP, found.schedule))


def test_it_finds_the_steps_of_a_known_plan():
    """The target is a schedule of its own kind, on the times of a start: fields have to be found."""
    g = grid("log-snr", 3, to_zero=False)
    times = g.times(VP)
    steps = (
        SolverStep(times[1], "noise"),
        SolverStep(times[2], "data", 2),
        SolverStep(times[3], "noise", 2, relaxation="bh1"),
    )
    target = unified(VP, SolverSchedule(times[0], steps)).matrix("F")

    def miss(plan):
        """Distance of the weights of the answers, counted as far where rows differ."""
        found = plan.matrix("F")
        return float(np.abs(found - target).sum()) if found.shape == target.shape else 10.0

    found = search_schedule(miss, VP, 3, budget=250, predictor=False, seed=1)
    start = min(miss(unified(VP, schedule)) for schedule in earlier(VP, 3))
    assert found.score < 0.5 * start


def test_every_plan_is_evaluated_once_and_the_budget_is_kept():
    met = []

    def objective(plan):
        met.append(key(plan))
        return to_place(plan)

    found = search_schedule(objective, VP, 3, budget=80, seed=0)
    assert len(met) == len(set(met)) == len(found.history) == len(found.population) == 80
    assert all(a >= b for a, b in pairwise(found.history))
    scores = [score for score, _ in found.population]
    assert scores == sorted(scores) and scores[0] == found.score


def test_it_ends_where_the_space_is_exhausted():
    found = search_schedule(lambda plan: plan.grid[-1], VP, 1, budget=60, predictor=False)
    assert len(found.history) == 2  # one call is DDIM in any form, to 0 or to t_min
    assert found.score == 0


def test_the_seed_decides_and_the_global_state_is_untouched():
    torch.manual_seed(5)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    a, b, other = (search_schedule(to_place, VP, 3, budget=66, seed=s) for s in (3, 3, 4))
    assert a == b
    assert a.population != other.population
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]  # noqa: NPY002


def test_plans_that_fail_come_last():
    def objective(plan):
        if plan.grid[-1] > 0:
            raise NotFinite("the model answered with NaN")
        return math.nan if plan.grid[1] > 0.5 else plan.grid[1]

    found = search_schedule(objective, VP, 3, budget=70, seed=0)
    assert math.isfinite(found.score)
    assert found.population[-1][0] == math.inf


@pytest.mark.parametrize("process", [VP, EDM, FLOW, DDPM], ids=["VP", "EDM", "flow", "chain"])
@pytest.mark.parametrize("calls", [1, 2, 5])
def test_children_are_legal_and_keep_the_calls(process, calls):
    born, parents = breeder(process), earlier(process, calls)
    for _ in range(60):
        child = born.child(parents[:20])
        assert unified(process, child).calls == child.calls == calls
        clocks = [born.clock(t) for t in child.times if t > 0]
        assert all(a - b > 0.999e-3 for a, b in pairwise(clocks))
        parents = [child, *parents]


def test_a_child_without_mutation_is_its_parent(monkeypatch):
    for name in ("CROSSOVER", "REPLACED", "MUTATED"):
        monkeypatch.setattr(f"girsanov.solvers.evolution.{name}", 0.0)
    for parent in earlier(VP, 5):
        child = breeder().child([parent])
        assert child.times == pytest.approx(parent.times, abs=1e-12)
        assert unified(VP, child).difference(unified(VP, parent)) < 1e-8


def test_a_cross_mixes_the_steps_of_two(monkeypatch):
    for name, value in (("CROSSOVER", 1.0), ("REPLACED", 0.0), ("MUTATED", 0.0)):
        monkeypatch.setattr(f"girsanov.solvers.evolution.{name}", value)
    g, born = grid("log-snr", 4, to_zero=False), breeder()
    parents = [
        SolverSchedule.multistep(VP, g, order=2, form="noise"),
        SolverSchedule.multistep(VP, g, order=3),
    ]
    children = {tuple((step.form, step.order) for step in born.child(parents).steps) for _ in range(200)}
    either = [
        {(step.form, step.order) for step in steps} for steps in zip(*(p.steps for p in parents), strict=True)
    ]
    assert all(step in either[i] for child in children for i, step in enumerate(child))
    assert len(children) == 2**4


def test_fields_are_drawn_with_the_shares_of_the_authors():
    born = breeder()
    drawn = [born.changed({}, 1.0) for _ in range(4000)]
    for order, share in zip((1, 2, 3, 4), (0.2, 0.4, 0.3, 0.1), strict=True):
        found = sum(gene["order"] == order for gene in drawn) / 4000
        assert abs(found - share) < 4.5 * math.sqrt(share * (1 - share) / 4000)
    numbers = [gene["relaxation"] for gene in drawn if not isinstance(gene["relaxation"], str)]
    assert np.std(numbers) == pytest.approx(0.03, rel=0.1)
    assert born.changed(drawn[0], 0.0) == drawn[0]


def test_times_are_repaired_and_never_dropped():
    rng = np.random.default_rng(0)
    for n in (1, 3, 8):
        for _ in range(50):
            times = rng.normal(0.5, 0.6, n).round(1).tolist()  # many equal, many outside
            found = spaced(times, 1.0, 0.0)
            assert len(found) == n
            assert all(a - b >= 1e-3 - 1e-12 for a, b in pairwise([1.0, *found, 0.0]))
    apart = [0.8, 0.5, 0.1]
    assert spaced([0.1, 0.8, 0.5], 1.0, 0.0) == apart
    assert spaced([0.5, 0.5], 1.0, 0.0) == pytest.approx([0.5, 0.499])
    with pytest.raises(InputError, match="do not fit"):
        spaced([0.5] * 10, 0.501, 0.5)


def test_the_ranker_learns_the_order_of_unseen_schedules():
    born = breeder()
    parents = earlier(VP, 4)
    seen, unseen = ([born.child(parents) for _ in range(120)] for _ in range(2))
    ranker = Ranker(born, seed=0)

    def misordered():
        score = torch.tensor([s.times[1] for s in unseen])
        with torch.no_grad():
            found = ranker(ranker.features(unseen))
        worse = score[:, None] > score
        return float((found[:, None] < found)[worse].float().mean())

    assert misordered() > 0.2
    for _ in range(5):
        ranker.fit([(s.times[1], s) for s in seen])
    assert misordered() < 0.1
    assert ranker.best(unseen, 1)[0].times[1] < np.quantile([s.times[1] for s in unseen], 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calls": 0}, "calls is 0"),
        ({"calls": True}, "calls is True"),
        ({"budget": 0}, "budget is 0"),
        ({"population": []}, "no schedule of the population has 3 calls"),
        ({"population": earlier(VP, 4)}, "no schedule of the population has 3 calls"),
    ],
)
def test_refused(options, message):
    options = {"calls": 3, **options}
    with pytest.raises(InputError, match=message):
        search_schedule(to_place, VP, options.pop("calls"), **options)


def test_more_calls_than_there_is_time_for_are_refused():
    times = tuple(1 - i / 1200 for i in range(1201))
    dense = SolverSchedule(1.0, tuple(SolverStep(t) for t in times[1:-1]))
    with pytest.raises(InputError, match="do not fit"):
        search_schedule(to_place, VP, dense.calls, budget=2, population=[dense], predictor=False)


def test_two_sided_processes_are_refused():
    with pytest.raises(Unsuitable):
        search_schedule(to_place, processes.StochasticInterpolant(), 3)


def test_a_given_population_is_where_it_starts():
    ours = SolverSchedule.multistep(VP, grid("log-snr", 3))
    found = search_schedule(to_place, VP, 3, budget=1, population=[ours, *earlier(VP, 4)])
    assert found.schedule == ours
    assert solvers.Evolved is type(found)
