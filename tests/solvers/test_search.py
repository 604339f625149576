"""Searched plans: the space against the methods it holds, the loss against finite differences, closed-form best plans."""

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from oracles import DDPM, mixture, seeded

from girsanov import networks, processes, solvers
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture
from girsanov.noise import Noise
from girsanov.processes.functions import exp, log1p, sqrt
from girsanov.processes.interpolant import Interpolant
from girsanov.processes.schedules import Schedule
from girsanov.solvers import Endpoints, Plan, PlanBuilder, grid, pseudo_huber, search
from girsanov.solvers.searchspace import Space, time_at, unrolled, weights

VP, EDM, FLOW = processes.VP(), processes.EDM(), processes.RectifiedFlow()


@dataclass(frozen=True)
class Faded(Schedule):
    """x_t = e^{-2t} x_0 + (1 - e^{-2t}) x_1 + √(1 - e^{-4t}) z: a known x_1, and noise left at t = 1."""

    def values(self, t):
        return exp(-2 * t), 1 - exp(-2 * t), sqrt(1 - exp(-4 * t))

    def rates(self, t):
        return -2 * exp(-2 * t), 2 * exp(-2 * t), 2 * exp(-4 * t) / sqrt(1 - exp(-4 * t))

    def time_at(self, log_snr):
        return log1p(exp(-2 * log_snr)) / 4  # α² = 1/(1 + e^{-2λ}) where α² + γ² = 1


ANCHORED = Interpolant(Faded(), end="anchor")
TEACHER = {p: solvers.exponential(p, grid("ddpm", 60), order=3) for p in (VP, EDM, FLOW, DDPM, ANCHORED)}


def quick(model, calls=4, **options):
    options = {"teacher": TEACHER.get(model.process), "noises": 32, "steps": 20, **options}
    return search(model, calls, **options)


# The space.


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("process", [VP, EDM, FLOW], ids=["VP", "EDM", "flow"])
def test_weights_are_those_of_the_exponential_method(process, order):
    times = grid("karras", 5, to_zero=False).times(process)
    factors, _ = unrolled(solvers.exponential(process, times, order=order))
    lam = torch.tensor([process.log_snr(t) for t in times], dtype=torch.float64)
    alpha = torch.tensor([process.alpha(t) for t in times[1:]], dtype=torch.float64)
    gain = alpha * -torch.expm1(lam[:-1] - lam[1:])
    torch.testing.assert_close(gain[:, None] * weights(lam, order), factors[:, 1:-1])


@pytest.mark.parametrize("name", ["ddim", "ipndm", "dpm-multistep", "exponential4-ddpm"])
@pytest.mark.parametrize(
    "process", [VP, EDM, FLOW, DDPM, ANCHORED], ids=["VP", "EDM", "flow", "chain", "anchored"]
)
@pytest.mark.parametrize("to_zero", [True, False])
def test_the_origin_is_the_plan_it_was_made_of(name, process, to_zero):
    check_origin(solvers.solver(name)(process, grid("log-snr", 6, to_zero=to_zero)))


def test_stages_at_increasing_log_snr_are_calls_like_others():
    check_origin(solvers.dpm_singlestep(VP, grid("log-snr", 3)))


def check_origin(plan):
    space = Space.of(plan)
    found = space.plan(torch.zeros_like(space.origin)).fixed()
    model, x = mixture().denoiser(plan.process), torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    anchor = torch.ones_like(x) if plan.process.end == "anchor" else None
    expected = plan(model, x, anchor=anchor)
    torch.testing.assert_close(found(model, x, anchor=anchor), expected, rtol=1e-9, atol=1e-9)
    assert found.calls == plan.calls


def test_a_time_is_differentiable_where_its_inverse_is_a_table():
    lam = torch.tensor([-2.0, 0.3, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(time_at(DDPM, lam).sum(), lam)
    h = 1e-4
    difference = (time_at(DDPM, lam.detach() + h) - time_at(DDPM, lam.detach() - h)) / (2 * h)
    torch.testing.assert_close(slope, difference, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("process", [VP, FLOW, ANCHORED], ids=["VP", "flow", "anchored"])
@pytest.mark.parametrize("to_zero", [True, False])
def test_the_gradient_of_the_loss_agrees_with_finite_differences(process, to_zero):
    model = mixture().denoiser(process)
    anchor = torch.ones(2, 3, dtype=torch.float64) if process is ANCHORED else None
    teacher = solvers.exponential(process, grid("ddpm", 20), order=3)
    ends = Endpoints.of(model, teacher, 4, anchor=anchor, noise=Noise(0))
    space = Space.of(solvers.dpm_multistep(process, grid("ddpm", 3, to_zero=to_zero, last=1.5)))
    away = 0.05 * torch.randn(int(space.free.sum()), generator=seeded(1), dtype=torch.float64)

    def loss(change):
        whole = torch.zeros_like(space.origin).masked_scatter(space.free, change)
        return pseudo_huber(ends.distances(space.plan(whole)), 0.01)

    assert torch.autograd.gradcheck(loss, (away.requires_grad_(),), rtol=1e-4)


def test_a_plan_that_is_no_point_of_the_space_is_refused():
    with pytest.raises(Unsuitable, match="increasing log-SNR"):
        Space.of(solvers.heun(EDM, grid("karras", 4)))
    with pytest.raises(Unsuitable, match="draws noise"):
        Space.of(solvers.ancestral(VP, grid("karras", 4)))


# The objective.


def test_distances_by_hand():
    model = Gaussian(torch.zeros(4), 1.0).denoiser(VP)
    ends = Endpoints.of(model, TEACHER[VP], 5, noise=Noise(0))
    assert float(ends.distances(TEACHER[VP]).max()) < 1e-100
    one_call = solvers.ddim(VP, [1.0, 0.0])
    found = one_call(model, ends.x)
    expected = (found - ends.end).norm(dim=1) / (2 * ends.end.std())
    torch.testing.assert_close(ends.distances(one_call), expected)
    assert float(pseudo_huber(torch.tensor([3.0, 0.0]), 4.0)) == pytest.approx((5 - 4) / 2)


# The search, against closed forms.

SPREAD = torch.tensor([0.01, 0.3, 4.0], dtype=torch.float64)
"""Variances along the axes of a Gaussian."""


def gaussian():
    return Gaussian(torch.zeros(3), torch.diag(SPREAD)).denoiser(VP)


def best_of_one_call(ends):
    """a x + c D(x, 1) with the least squares distance to the ends, as a plan."""
    answer = ends.model(ends.x, 1.0)[0]
    columns = torch.stack([ends.x.flatten(), answer.flatten()], 1)
    a, c = torch.linalg.lstsq(columns, ends.end.flatten()).solution.tolist()
    builder = PlanBuilder(VP, name="least squares")
    x, now = builder.call(builder.start, 1.0)
    return builder.finish(a * x + c * now.data, 0.0)


def test_one_call_reaches_the_closed_form_best():
    found = quick(gaussian(), 1, noises=64, steps=100)
    best = float(found.held.distances(best_of_one_call(found.held)).mean())
    assert found.error <= 1.03 * best  # its ends are fitted on other noises, so a little above is right
    assert found.error >= 0.8 * best
    assert found.start_error > 1.2 * best


def test_two_calls_solve_three_variances():
    """x, D_0 and D_1 are three functions of the variance, so three variances are met exactly."""
    found = quick(gaussian(), 2, noises=64, steps=300)
    assert found.error < 0.02 * found.start_error


# What is returned.


@pytest.fixture(scope="module")
def usual():
    return quick(mixture().denoiser(VP))


def test_it_is_never_worse_than_its_start(usual):
    for found in (usual, quick(mixture().denoiser(VP), steps=1)):
        assert found.error <= found.start_error
        assert found.error == pytest.approx(float(found.held.distances(found.plan).mean()))
        assert found.plan.calls == found.start.calls == 4


def test_it_gains_on_noises_it_has_not_seen():
    model = mixture().denoiser(VP)
    found = quick(model, noises=64, steps=100)
    fresh = Endpoints.of(model, TEACHER[VP], 200, noise=Noise(123))
    assert float(fresh.distances(found.plan).mean()) < 0.6 * float(fresh.distances(found.start).mean())


def test_the_same_seed_finds_the_same_plan_and_leaves_the_global_state(usual):
    model = mixture().denoiser(VP)
    state = torch.get_rng_state()
    again, other = quick(model), quick(model, seed=1, steps=1)
    assert usual.plan == again.plan != other.plan
    assert not torch.equal(usual.held.x, other.held.x)
    assert torch.equal(torch.get_rng_state(), state)


class Storing(AbstractDenoiser):
    """An exact model that answers with another word."""

    def __init__(self, model, word):
        super().__init__()
        self.model, self.process, self.shape, self.stored = model, model.process, model.shape, (word,)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (self.model.predict(self.stored[0], x, t, cond=cond, anchor=anchor),)


@pytest.mark.parametrize("process, word", [(VP, "noise"), (FLOW, "velocity")], ids=["VP", "flow"])
def test_the_plan_is_in_the_words_of_the_model(process, word, tmp_path):
    model = Storing(mixture().denoiser(process), word)
    found = quick(model)
    assert found.plan.predicts == (word,)
    found.plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == found.plan
    assert "searched-4" in str(found.plan)
    end = solvers.run(found.plan, model, found.held.x)
    again = ((end - found.held.end).square().mean(1).sqrt() / found.held.scale).mean()
    assert float(again) == pytest.approx(found.error, rel=1e-6)


def test_a_diffusers_pipeline_runs_it():
    pytest.importorskip("diffusers")
    model = mixture().denoiser(DDPM)
    plan = quick(model).plan
    scheduler, x = plan.to_diffusers("epsilon"), torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    expected = plan(model, x)
    for t in scheduler.timesteps.tolist():
        noise = model.noise(x, (t + 1) / 1000)  # the scheduler's times are in float32
        x = scheduler.step(noise, t, x).prev_sample
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


def test_conditions_are_drawn_for_every_noise():
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
    model = GaussianMixture(means, 0.1, labels=torch.tensor([0, 1])).denoiser(VP)
    found = quick(model, cond=torch.tensor([0, 1]))
    assert set(found.held.cond.tolist()) == {0, 1}
    assert (found.held.end[:, 0] > 0).long().tolist() == found.held.cond.tolist()
    assert set(quick(model, cond=1, steps=1).held.cond.tolist()) == {1}


def test_an_anchored_process():
    model = mixture().denoiser(ANCHORED)
    anchors = torch.tensor([[3.0, 0.0, 0.0], [0.0, -3.0, 0.0]])
    found = quick(model, anchor=anchors)
    assert found.error < found.start_error
    assert found.held.anchor.unique(dim=0).tolist() == sorted(anchors.tolist())


def network(std=0.5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = networks.MLP(2, hidden=16, depth=1)
        for p in net.parameters():
            torch.nn.init.normal_(p, std=0.3)
    return Denoiser(net, EDM, data_std=std, shape=(2,)).train()


def test_a_network_is_searched_in_its_own_precision_and_left_as_it_was():
    model = network()
    found, again = quick(model, steps=40), quick(model, steps=40)
    assert found.plan == again.plan
    assert found.error < found.start_error
    assert found.held.x.dtype == torch.float32
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_ctrl_c_returns_the_best_so_far():
    def stop(at):
        if at.step == 15:
            raise KeyboardInterrupt

    model = mixture().denoiser(VP)
    found = quick(model, steps=50, watch=stop)
    assert not found.complete
    assert found.error < found.start_error


def test_progress_counts_up_and_never_rises():
    told = []
    with torch.no_grad():  # where gradients are off, they are on inside
        assert quick(mixture().denoiser(VP), watch=told.append).complete
    assert [at.step for at in told] == list(range(1, len(told) + 1))
    assert told[-1].step <= told[-1].steps == told[0].steps
    assert all(a.error >= b.error for a, b in pairwise(told))


def test_bad_input_is_refused_before_any_work():
    model = mixture().denoiser(VP)
    with pytest.raises(InputError, match="calls is 0"):
        search(model, 0)
    with pytest.raises(InputError, match="noises is True"):
        search(model, noises=True)
    with pytest.raises(InputError, match="steps is -1"):
        search(model, steps=-1)
    with pytest.raises(Unsuitable, match="joins two laws"):
        search(
            Denoiser(networks.MLP(2), processes.StochasticInterpolant(), data_std=None, predicts="velocity")
        )
    with pytest.raises(Unsuitable, match="draw noise"):
        search(mixture().denoiser(processes.BrownianBridge()), anchor=torch.zeros(1, 3))
    with pytest.raises(InputError, match="does not know the shape"):
        search(Denoiser(networks.MLP(2), EDM))
    with pytest.raises(InputError, match="1 and 2 rows"):
        search(mixture().denoiser(ANCHORED), cond=torch.zeros(2), anchor=torch.zeros(1, 3))
    with pytest.raises(InputError, match="draws noise"):
        search(model, teacher=solvers.ancestral(VP, grid("karras", 4)))


def test_infinite_losses_do_not_end_a_search():
    """A search that is thrown far away comes back, or keeps its best."""
    from girsanov.solvers.search import _Trial, loss_and_gradient

    model = mixture().denoiser(VP)
    ends = Endpoints.of(model, TEACHER[VP], 4, noise=Noise(0))
    trial = _Trial.at(solvers.ddim(VP, grid("ddpm", 3)), ends)
    loss, gradient = loss_and_gradient(trial, torch.full_like(trial.best, 1e200), ends)
    assert loss == math.inf and not gradient.any()
