"""Plans as data: what they compute, how they are saved, how they fail."""

import json
import math
from dataclasses import replace

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, TWO_SIDED, mixture, seeded

from girsanov import exact, processes, solvers
from girsanov.errors import InputError, NotFinite, SavedFileError, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import Plan, Row, Term, grid, run

VP = processes.VP()
TIMES = (1.0, 0.6, 0.3, 0.1)


def coefficients(plan):
    return [[term.coefficient for term in row.terms] for row in plan.rows]


def test_worked_examples():
    """Coefficients worked out by hand in float64 on VP with β(t) = 0.1 + 19.9 t."""
    two_m = solvers.dpm_multistep(VP, TIMES, lower_order_final=False)
    assert coefficients(two_m)[2:] == [
        pytest.approx([0.787343, 0.626754, -0.124646], abs=1e-6),
        pytest.approx([0.414503, 0.962398, -0.276627], abs=1e-6),
    ]
    tab = solvers.deis(VP, (1.0, 0.8, 0.6, 0.4, 0.2), order=4).recast("noise")
    last = [1.834918, -2.208417, 2.165639, -1.343979, 0.325483]
    assert coefficients(tab)[4] == pytest.approx(last, abs=1e-6)
    sde = solvers.dpm_multistep(VP, TIMES, stochastic=True, lower_order_final=False)
    assert coefficients(sde)[3] == pytest.approx([0.114252, 1.227670, -0.352875, 0.309577], abs=1e-6)
    edm = processes.EDM()
    heun = solvers.heun(edm, (1.0, 24.4083 / 80, 5.8389 / 80)).recast("data")
    assert coefficients(heun)[1] == pytest.approx([0.305104, 0.694896], abs=1e-5)
    assert sorted(coefficients(heun)[2]) == pytest.approx(
        sorted([0.652552, 0.347448, -1.138780, 1.138780]), abs=1e-4
    )


def test_what_the_rows_say_is_what_is_computed():
    """The loop against the plan's matrices, on a model that answers with known tensors."""
    plan = solvers.exponential(VP, grid("log-snr", 6), order=3, strength=1.0)
    model, x = mixture().denoiser(VP), torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    states, answers, noise = [], [], [Noise(5).draw(x, i) for i in range(len(plan.spans))]
    for r, row in enumerate(plan.rows):
        states.append(
            plan.matrix("x")[r, 0] * x
            + sum(plan.matrix("X")[r, i] * states[i] for i in range(r))
            + sum(plan.matrix("F")[r, i] * answers[i] for i in range(r))
            + sum(plan.matrix("ξ")[r, i] * noise[i] for i in range(len(noise)))
        )
        answers.append(model(states[-1], row.t)[0] if row.call else torch.zeros_like(x))
    torch.testing.assert_close(run(plan, model, x, generator=Noise(5)), states[-1])


@pytest.mark.parametrize("name", solvers.SOLVERS)
def test_recasting_changes_nothing(name):
    plan, model = solvers.solver(name)(VP, grid("log-snr", 5)), mixture().denoiser(VP)
    x = torch.randn(3, 3, generator=seeded(0), dtype=torch.float64)
    expected = run(plan, model, x, generator=Noise(1))
    for word in ("noise", "velocity", "v_prediction", "score"):
        other = Words(model, (word,))
        torch.testing.assert_close(run(plan, other, x, generator=Noise(1)), expected, rtol=1e-8, atol=1e-8)
        assert plan.recast(word).recast("data").difference(plan) < 1e-9


class Words(exact.ExactDenoiser):
    """The same denoiser in another storage."""

    def __init__(self, model, stored):
        super().__init__(model.law, model.process)
        self.inner, self.stored = model, stored

    def forward(self, x, t, *, cond=None, anchor=None):
        return tuple(self.inner.predict(word, x, t, cond=cond, anchor=anchor) for word in self.stored)


class Counted(exact.ExactDenoiser):
    calls = 0

    def forward(self, x, t, *, cond=None, anchor=None):
        self.calls += 1
        return super().forward(x, t, cond=cond, anchor=anchor)


@pytest.mark.parametrize("name", solvers.SOLVERS)
@pytest.mark.parametrize(
    "process", [processes.VP(), processes.EDM(), processes.SubVP()], ids=["VP", "EDM", "SubVP"]
)
def test_a_plan_spends_the_calls_it_states(name, process):
    plan, model = solvers.solver(name)(process, grid("karras", 7)), Counted(mixture(), process)
    run(plan, model, torch.zeros(2, 3), generator=Noise(0))
    assert model.calls == plan.calls


@pytest.mark.parametrize("name", solvers.SOLVERS)
def test_saved_and_loaded_bit_for_bit(name, tmp_path):
    plan = solvers.solver(name)(VP, grid("karras", 6))
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert hash(Plan.load(tmp_path / "plan.json")) == hash(plan)


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "plan.json"
    config = solvers.ddim(VP, grid("uniform", 3)).to_config()
    with pytest.raises(SavedFileError, match=r"missing\.json"):
        Plan.load(tmp_path / "missing.json")
    path.write_text(json.dumps(config)[:200])
    with pytest.raises(SavedFileError, match="plan"):
        Plan.load(path)

    def refused(change, match):
        broken = json.loads(json.dumps(config))
        change(broken)
        with pytest.raises(InputError, match=match):
            Plan.from_config(broken)

    refused(lambda c: c.update(format="something"), "not a saved plan")
    refused(lambda c: c.update(version=99), "version 99")
    refused(lambda c: c["rows"][1][3][0].__setitem__(1, 9), "not there yet")
    refused(lambda c: c["rows"][1][3][0].__setitem__(2, math.nan), "not finite")
    refused(lambda c: c["rows"][1][3][0].__setitem__(0, "__import__"), "unknown source")
    refused(lambda c: c["rows"][1].__setitem__(0, 1.5), "lie in")
    refused(lambda c: c.pop("rows"), "damaged")
    refused(lambda c: c["process"].update(schedule="Nothing"), "unknown schedule")


def test_plans_check_themselves():
    first = Row(1.0, (Term("x", 0, 1.0),), False, 0)
    with pytest.raises(InputError, match="at least one row"):
        Plan(VP, ("data",), ())
    with pytest.raises(InputError, match="does not call"):
        Plan(VP, ("data",), (first, Row(0.5, (Term("F", 0, 1.0),), False, 1)))
    with pytest.raises(InputError, match="no such word"):
        call = first._replace(call=True)
        Plan(VP, ("data",), (call, Row(0.5, (Term("F", 0, 1.0, 1),), False, 1)))


def test_a_plan_prints_and_draws(tmp_path):
    plan = solvers.dpm_multistep(VP, TIMES, lower_order_final=False)
    text = str(plan)
    assert "3 calls" in text and "order 2" in text and "+0.962398·F2" in text and len(text.splitlines()) == 6
    plan.draw(tmp_path / "plan.png")
    assert (tmp_path / "plan.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match=r"\.png"):
        plan.draw(tmp_path / "plan.txt")


def test_differences_need_one_structure():
    a, b = solvers.ddim(VP, grid("uniform", 3)), solvers.ddim(VP, grid("uniform", 4))
    with pytest.raises(InputError, match="rows"):
        a.difference(b)
    rows = list(a.rows)
    rows[1] = rows[1]._replace(
        terms=tuple(t._replace(coefficient=t.coefficient + 0.25) for t in rows[1].terms)
    )
    assert a.difference(replace(a, rows=tuple(rows))) == pytest.approx(0.25)


def test_a_plan_of_another_process_is_refused():
    plan = solvers.ddim(VP, grid("uniform", 3))
    with pytest.raises(Unsuitable, match=r"model\.process"):
        run(plan, mixture().denoiser(processes.EDM()), torch.zeros(1, 3))


def test_nan_from_the_network_names_the_call_and_the_sample():
    class Bad(exact.ExactDenoiser):
        def forward(self, x, t, *, cond=None, anchor=None):
            (answer,) = super().forward(x, t)
            if t < 0.7:
                answer[2] = math.nan
            return (answer,)

    plan = solvers.ddim(VP, (1.0, 0.8, 0.6, 0.4, 0.0))
    with pytest.raises(
        NotFinite, match=r"call 3 of 4, at t = 0\.6, in 1 of 5 samples \(the first is number 2\)"
    ):
        run(plan, Bad(mixture(), VP), torch.zeros(5, 3))


def test_a_trajectory_holds_every_state_of_the_grid():
    plan, model = solvers.heun(VP, grid("log-snr", 5)), mixture().denoiser(VP)
    x = torch.randn(2, 3, generator=seeded(0), dtype=torch.float64)
    path = solvers.trajectory(plan, model, x)
    assert path.shape == (2, len(plan.grid), 3) and torch.equal(path[:, 0], x)
    for i in (2, 4):  # the rest of the grid, started from a state in the middle
        end = run(solvers.heun(VP, plan.grid[i:]), model, path[:, i])
        torch.testing.assert_close(end, path[:, -1])


def test_edits_reach_everything_after_them():
    """Setting a state on the grid restarts the sampler there."""
    plan, model = solvers.exponential(VP, grid("log-snr", 6), order=3), mixture().denoiser(VP)
    x = torch.randn(2, 3, generator=seeded(0), dtype=torch.float64)
    marked = torch.ones_like(x)
    seen = []

    def edit(row, state):
        seen.append(row.node)
        return marked if row.node == 5 else state

    end = run(plan, model, x, edit=edit)
    assert seen == list(range(7))
    torch.testing.assert_close(end, model.data(marked, plan.grid[5]))


def test_the_loop_is_differentiable():
    plan, model = solvers.dpm_multistep(VP, grid("log-snr", 4)), mixture().denoiser(VP)
    x = torch.randn(1, 3, generator=seeded(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: run(plan, model, v), (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_sums_in_float32(dtype):
    plan, model = solvers.dpm_multistep(VP, grid("log-snr", 50)), mixture().denoiser(VP)
    x = torch.randn(50, 3, generator=seeded(0), dtype=torch.float64)
    exactly = run(plan, model, x)
    narrow = run(plan, model, x.to(dtype))
    assert narrow.dtype == dtype
    assert (narrow.double() - exactly).abs().median() < 20 * torch.finfo(dtype).eps


def test_float32_drift_at_a_thousand_steps():
    plan, model = solvers.exponential(VP, grid("log-snr", 1000), order=3), mixture().denoiser(VP)
    x = torch.randn(20, 3, generator=seeded(0), dtype=torch.float64)
    assert (run(plan, model, x.float()).double() - run(plan, model, x)).abs().max() < 1e-3


@pytest.mark.parametrize("process", [*ANCHORED.values(), *TWO_SIDED.values()], ids=[*ANCHORED, *TWO_SIDED])
def test_what_fits_a_process_is_listed(process):
    fitting = solvers.for_process(process)
    assert "euler" in fitting
    assert ("ddim" in fitting) == (process.end == "anchor")
    if process.end == "marginal":
        with pytest.raises(Unsuitable, match="joins two laws"):
            solvers.ddim(process, grid("uniform", 4))


@pytest.mark.parametrize(
    "times, message",
    [
        ((0.0, 0.5, 1.0), "decreasing"),
        ((1.0, 0.5, 0.5, 0.1), "repeats 0.5"),
        ((1.0, 0.2, 0.4), "decreasing"),
        ((1.2, 0.5), "leaves"),
        ((1.0, -0.1), "leaves"),
        ((1.0, math.nan), "leaves"),
        ((1.0,), "needs two"),
        ((), "needs two"),
        (7, "Grid"),
    ],
)
def test_bad_grids_are_refused(times, message):
    with pytest.raises(InputError, match=message):
        solvers.ddim(VP, times)


@pytest.mark.parametrize("kind", solvers.grids.SPACINGS)
@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_grids_are_legal_for_every_process(kind, process, steps):
    for to_zero in (True, False):
        times = grid(kind, steps, to_zero=to_zero).times(process)
        assert len(times) == steps + 1 and times[0] == 1.0
        assert times[-1] == (0.0 if to_zero else pytest.approx(process.t_min))
        assert solvers.grids.resolve(times, process) == times


def test_grids_do_what_their_names_say():
    uniform = grid("uniform", 4, to_zero=False).times(VP)
    assert uniform == pytest.approx([1 - i * (1 - 1e-3) / 4 for i in range(5)])
    edm = processes.EDM()
    sigma = [80 * t for t in grid("karras", 18).times(edm)[:-1]]
    expected = [(80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)]
    assert sigma == pytest.approx(expected)
    gaps = torch.tensor([VP.log_snr(t) for t in grid("log-snr", 9, to_zero=False).times(VP)]).diff()
    torch.testing.assert_close(gaps, gaps[:1].expand(9), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: grid("karass", 5), "Did you mean karras"),
        (lambda: grid("karras", 0), "steps"),
        (lambda: grid("karras", 2.5), "steps"),
        (lambda: grid("karras", 5, start=0.0), "start"),
        (lambda: grid("karras", 5, start=1e-4).times(VP), "starts at"),
        (lambda: solvers.ddim(VP, grid("karras", 5), eta=-0.1), "eta"),
        (lambda: solvers.ddim(VP, grid("karras", 5), eta=30.0), "eta"),
        (lambda: solvers.exponential(VP, grid("karras", 5), order=0), "order"),
        (lambda: solvers.exponential(VP, grid("karras", 5), form="score"), "form"),
        (lambda: solvers.exponential(VP, grid("karras", 5), variable="space"), "variable"),
        (lambda: solvers.exponential(VP, grid("karras", 5), strength=-1.0), "strength"),
        (lambda: solvers.exponential(VP, grid("karras", 5), strength=1.0, form="velocity"), "form='data'"),
        (lambda: solvers.deis(VP, grid("karras", 5), order=5, method="ipndm"), "order 4"),
        (lambda: solvers.dpm_multistep(VP, grid("karras", 5), order=4), "order"),
        (lambda: solvers.dpm_singlestep(VP, grid("karras", 5), order=4), "order"),
        (lambda: solvers.unipc(VP, grid("karras", 5), order=5), "order"),
        (lambda: solvers.unipc(VP, grid("karras", 5), predictor=0), "predictor"),
        (lambda: solvers.unipc(VP, grid("karras", 5), b="bh3"), "Did you mean"),
        (lambda: solvers.unipc(processes.StochasticInterpolant(), grid("karras", 5)), "joins two laws"),
        (lambda: solvers.pndm(VP, grid("karras", 5), begin="euler"), "improved-euler"),
        (lambda: solvers.sa_solver(VP, grid("karras", 5), order=0), "order"),
        (lambda: solvers.sa_solver(VP, grid("karras", 5), corrector=5), "corrector"),
        (lambda: solvers.sa_solver(VP, grid("karras", 5), strength=-1.0), "strength"),
        (lambda: solvers.sa_solver(VP, grid("karras", 5), low=2.0, high=1.0), "low"),
        (lambda: solvers.dpm_ancestral(VP, grid("karras", 5), eta=1.5), "eta"),
        (lambda: solvers.edm_churn(VP, grid("karras", 5), churn=-1.0), "churn"),
        (lambda: solvers.edm_churn(VP, grid("karras", 5), inflation=0.0), "inflation"),
        (lambda: solvers.edm_churn(VP, grid("karras", 5), low=3.0, high=1.0), "low"),
        (lambda: solvers.restart(VP, grid("karras", 5), intervals=[solvers.Interval(0.3, 0.1)]), "empty"),
        (
            lambda: solvers.restart(VP, grid("karras", 5), intervals=[solvers.Interval(0.1, 0.3, 0)]),
            "repeats",
        ),
        (lambda: solvers.runge_kutta(VP, grid("karras", 5), tableau="heum"), "Did you mean heun"),
        (lambda: solvers.euler_maruyama(processes.RectifiedFlow(), grid("uniform", 5)), "start=0.999"),
        (lambda: solvers.euler_maruyama(processes.StochasticInterpolant(), grid("uniform", 5)), "strength"),
        (lambda: solvers.reverse_diffusion(processes.BrownianBridge(), grid("uniform", 5)), "ancestral"),
        (
            lambda: solvers.reverse_diffusion(processes.StochasticInterpolant(), grid("uniform", 5)),
            "joins two",
        ),
        (
            lambda: solvers.PredictorCorrector(processes.BrownianBridge(), grid("uniform", 5)),
            "no noise at t = 1",
        ),
        (
            lambda: solvers.PredictorCorrector(processes.StochasticInterpolant(), grid("uniform", 5)),
            "has two",
        ),
        (lambda: solvers.solver("dmp-multistep"), "Did you mean dpm-multistep"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
