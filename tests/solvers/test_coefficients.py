"""The named solvers against the schedulers of diffusers: the same coefficients, probed on basis vectors."""

import pytest
import torch

d = pytest.importorskip("diffusers")
from test_diffusers import assert_same, chain_grid, coefficients, probe  # noqa: E402

from girsanov import processes, solvers  # noqa: E402


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
