"""The named solvers against the schedulers of diffusers: the same coefficients, probed on basis vectors."""

import pytest
import torch

d = pytest.importorskip("diffusers")
from test_diffusers import assert_same, chain_grid, coefficients, probe  # noqa: E402

from girsanov import processes, solvers  # noqa: E402
from girsanov.solvers.exponential import integrals  # noqa: E402


def chain(scheduler):
    return processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(
    "b, form, final",
    [("bh2", "data", "zero"), ("bh2", "data", "sigma_min"), ("bh1", "data", "sigma_min"), ("bh1", "noise", "sigma_min"),
     ("bh2", "noise", "sigma_min")],
)  # fmt: skip
def test_unipc_has_the_coefficients_of_diffusers(order, b, form, final):
    scheduler = d.UniPCMultistepScheduler(
        solver_order=order, solver_type=b, predict_x0=form == "data", final_sigmas_type=final
    )
    scheduler.set_timesteps(8)
    times = chain_grid(scheduler, 0.0 if final == "zero" else 1e-3)
    plan = solvers.unipc(chain(scheduler), times, order=order, b=b, form=form)
    assert_same(probe(scheduler), coefficients(plan.recast("noise")))


def test_unipc_with_b1_of_diffusers_cannot_end_at_zero():
    """B₁ = -h is infinite there and multiplies a sum that is 0."""
    scheduler = d.UniPCMultistepScheduler(solver_type="bh1", final_sigmas_type="zero")
    scheduler.set_timesteps(5)
    assert torch.isnan(probe(scheduler)[-1]).any()
    plan = solvers.unipc(chain(scheduler), chain_grid(scheduler, 0.0), b="bh1")
    assert torch.isfinite(coefficients(plan)).all()


@pytest.mark.parametrize("begin", ["runge-kutta", "improved-euler"])
def test_pndm_has_the_coefficients_of_diffusers(begin):
    """Its last step, from the first time of the chain to the first time, changes nothing."""
    scheduler = d.PNDMScheduler(skip_prk_steps=begin == "improved-euler")
    scheduler.set_timesteps(10)
    plan = solvers.pndm(chain(scheduler), [(100 * i + 1) / 1000 for i in range(9, -1, -1)], begin=begin)
    assert [round(1000 * row.t - 1) for row in plan.rows if row.call] == scheduler.timesteps[:-1].tolist()
    ours, theirs = coefficients(plan.recast("noise")), probe(scheduler)
    torch.testing.assert_close(theirs[-1], theirs[-2])
    assert_same(theirs[:-1, :-1], ours)


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_sa_solver_has_the_coefficients_of_diffusers(tau, monkeypatch):
    """At order one; its weights of order two are changed by O(h³), ours are the integrals of the paper."""
    module = __import__("diffusers.schedulers.scheduling_sasolver", fromlist=["randn_tensor"])
    scheduler = d.SASolverScheduler(
        predictor_order=1, corrector_order=1, tau_func=lambda t: torch.tensor(tau, dtype=torch.float64)
    )
    scheduler.set_timesteps(7)
    times = chain_grid(scheduler, 1e-3)
    plan = solvers.sa_solver(chain(scheduler), times, order=1, corrector=1, strength=tau).recast("noise")
    draws = len(plan.spans)
    e = torch.eye(8 + draws, dtype=torch.float64)[:, None]
    fresh = iter([*e[8:], *[0 * e[0]] * 9])
    monkeypatch.setattr(module, "randn_tensor", lambda *args, **kwargs: next(fresh).clone())
    states = [e[0]]
    for i, t in enumerate(scheduler.timesteps):
        states.append(scheduler.step(e[1 + i], t, states[-1]).prev_sample)
    assert_same(torch.cat(states), coefficients(plan))


@pytest.mark.parametrize("corrects", [False, True])
@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_the_integrals_are_the_closed_forms_of_sa_solver(order, tau, corrects):
    process, scheduler = processes.VP(), d.SASolverScheduler()
    knots = ([0.4] if corrects else []) + [0.5, 0.6, 0.68, 0.75]
    s, t, knots = 0.5, 0.4, knots[:order]
    places = [process.log_snr(v) for v in (s, t, *knots)]
    lam = [torch.tensor(v, dtype=torch.float64) for v in places]
    found = scheduler.get_coefficients_fn(order, lam[0], lam[1], lam[2:], torch.tensor(tau))
    scale = (1 + tau**2) * torch.exp(-(tau**2) * lam[1])
    ours = integrals(process, places[0], places[1], places[2:], "data", "log-snr", tau**2)
    assert ours == pytest.approx([float(scale * v) for v in found], rel=1e-9)
