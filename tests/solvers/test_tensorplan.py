"""Plans with tensors for numbers, against ordinary plans and finite differences."""

import pytest
import torch
from oracles import mixture, seeded

from girsanov import processes, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import TensorPlan, grid

VP = processes.VP()
EDM = processes.EDM()


@pytest.mark.parametrize("name", ["dpm-multistep", "heun", "ancestral"])
def test_it_runs_as_the_plan_it_was_made_from(name):
    plan = solvers.solver(name)(VP, grid("karras", 6))
    model, x = mixture().denoiser(VP), torch.randn(5, 3, generator=seeded(0), dtype=torch.float64)
    expected = plan(model, x, generator=Noise(1))
    torch.testing.assert_close(TensorPlan.of(plan)(model, x, generator=Noise(1)), expected)


def test_fixed_gives_the_plan_back():
    plan = solvers.dpm_multistep(VP, grid("karras", 6))
    assert TensorPlan.of(plan).fixed() == plan


def test_gradients_in_coefficients_and_times_agree_with_finite_differences():
    plan = solvers.dpm_multistep(VP, grid("karras", 3))
    model, x = mixture().denoiser(VP), torch.randn(2, 3, generator=seeded(0), dtype=torch.float64)
    start = TensorPlan.of(plan)

    def end(coefficients, times):
        return TensorPlan(plan, coefficients, times)(model, x)

    # The first and last time are at the ends of [0, 1], where half a difference leaves it; the last is unused.
    times = start.times.clamp(0.01, 0.99)
    assert torch.autograd.gradcheck(end, (start.coefficients.requires_grad_(), times.requires_grad_()))


def test_every_sample_follows_its_own_grid():
    starts = [0.02, 0.1, 0.6]
    plans = [solvers.heun(EDM, grid("karras", 4, start=start)) for start in starts]
    index = torch.tensor([2, 0, 1, 2])
    model, x = mixture().denoiser(EDM), torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    together = TensorPlan.stack(plans).take(index)(model, x)
    for i, k in enumerate(index.tolist()):
        torch.testing.assert_close(together[i : i + 1], plans[k](model, x[i : i + 1]))


def test_numbers_of_one_sample_broadcast_over_pictures():
    plans = [solvers.ddim(EDM, grid("karras", 3, start=start)) for start in (0.1, 0.9)]
    law = mixture(dim=4)

    class Folded(type(law.denoiser(EDM))):  # the same law on 2×2 pictures
        def forward(self, x, t, *, cond=None, anchor=None):
            answers = super().forward(x.flatten(1), t, cond=cond, anchor=anchor)
            return tuple(answer.reshape(x.shape) for answer in answers)

    x = torch.randn(2, 4, generator=seeded(0), dtype=torch.float64)
    flat = TensorPlan.stack(plans).take(torch.tensor([0, 1]))(law.denoiser(EDM), x)
    square = TensorPlan.stack(plans).take(torch.tensor([0, 1]))(Folded(law, EDM), x.reshape(2, 1, 2, 2))
    torch.testing.assert_close(square.flatten(1), flat)


def test_what_does_not_fit_is_refused():
    short, long = (solvers.ddim(VP, grid("karras", n)) for n in (3, 4))
    with pytest.raises(InputError, match="differ in more than their numbers"):
        TensorPlan.stack([short, long])
    with pytest.raises(InputError, match="no plan"):
        TensorPlan.stack([])
    stacked = TensorPlan.stack([short, short]).take(torch.tensor([0, 1]))
    with pytest.raises(InputError, match="one number a sample"):
        stacked.fixed()
    with pytest.raises(InputError, match="coefficients is"):
        TensorPlan(short, torch.zeros(2), torch.zeros(4))
    model = mixture().denoiser(VP)
    recast = TensorPlan.of(short.recast("noise"))
    with pytest.raises(Unsuitable, match="recast"):
        recast(model, torch.zeros(2, 3))
