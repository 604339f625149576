"""The time shift: nothing without a window, the right time on exact states, one step written out."""

import pytest
import torch
from oracles import mixture, seeded

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, NotFinite, Unsuitable
from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.solvers import TimeShift, grid
from girsanov.solvers.time_shift import choose_times, table

VP = processes.VP()
G = grid("uniform", 10)
PLANS = [solvers.ddim(VP, G), solvers.dpm_multistep(VP, G), solvers.ancestral(VP, G), solvers.deis(VP, G)]


class Watched(AbstractDenoiser):
    """Notes the times it is asked at."""

    def __init__(self, exact):
        super().__init__()
        self.exact, self.process, self.stored, self.shape = exact, exact.process, exact.stored, exact.shape
        self.asked = []

    def forward(self, x, t, *, cond=None, anchor=None):
        self.asked.append(t)
        return self.exact(x, t)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
@pytest.mark.parametrize("window, cutoff", [(0, 0.0), (1, 0.0), (40, 1.0)])
def test_without_a_shift_it_is_the_plan_bit_for_bit(plan, window, cutoff):
    model = mixture().denoiser(VP)
    found = solvers.sample(model, 9, plan=TimeShift(plan, window, cutoff), seed=3)
    assert torch.equal(found, solvers.sample(model, 9, plan=plan, seed=3))


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_shift_moves_the_samples(plan):
    model = mixture().denoiser(VP)
    found = solvers.sample(model, 9, plan=TimeShift(plan, 40, 0.3), seed=3)
    assert (found - solvers.sample(model, 9, plan=plan, seed=3)).abs().max() > 1e-3


@pytest.mark.parametrize("variance", [0.0, 0.3])
def test_exact_states_of_white_data_show_their_time(variance):
    # The chosen times scatter by about 6 thousandths at this d; their mean by 6/√400 = 0.3.
    t, n, d = 0.4, 400, 10_000
    x0 = variance**0.5 * torch.randn(n, d, generator=seeded(0))
    x, _ = VP.perturb(x0, t, generator=Noise(1))
    found = choose_times(x, *table(VP, t, 100, variance))
    assert abs(found.double().mean().item() - t) <= 1e-3
    assert found.std() < 0.012


def test_one_shifted_step_written_out():
    times, window = [0.9, 0.6, 0.3], 60
    model = Gaussian(torch.zeros(50), 0.2).denoiser(VP)
    x = torch.randn(7, 50, generator=seeded(2), dtype=torch.float64)
    found = solvers.run(solvers.ddim(VP, times[:2]), model, x)
    expected = []
    for row in found:
        asked = [k / 1000 for k in range(570, 631)]
        best = min(asked, key=lambda u: abs(float(row.var()) - VP.gamma(u) ** 2))
        noise = model.noise(row[None], best)[0]
        data = (row - VP.gamma(0.6) * noise) / VP.alpha(0.6)
        expected.append(VP.alpha(0.3) * data + VP.gamma(0.3) * noise)
    shifted = TimeShift(solvers.ddim(VP, times), window, 0.5)(model, x)
    torch.testing.assert_close(shifted, torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_times_stay_in_the_window_and_in_the_table():
    plan, cutoff, window = solvers.ddim(VP, G), 0.35, 200
    model = Watched(mixture().denoiser(VP))
    solvers.sample(model, 50, plan=TimeShift(plan, window, cutoff), seed=0)
    assert len(model.asked) == plan.calls
    before = 0.0
    for t, asked in zip(plan.grid, model.asked, strict=False):
        if before > cutoff:
            assert asked.shape == (50,) and asked.min() >= 0.001 and asked.max() <= 1
            assert (asked - t).abs().max() <= window / 2000 + 1e-6
        else:
            assert asked == t
        before = t


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TimeShift(PLANS[0], -1, 0.3), "window is -1"),
        (lambda: TimeShift(PLANS[0], 2.5, 0.3), "window is 2.5"),
        (lambda: TimeShift(PLANS[0], 10, 1.5), "cutoff is 1.5"),
        (lambda: TimeShift(PLANS[0], 10, 0.3, -1.0), "data_variance is -1"),
        (lambda: TimeShift(solvers.ddim, 10, 0.3), "give a Plan"),
        (lambda: TimeShift(solvers.heun(VP, G), 10, 0.3), "inner stages"),
        (lambda: TimeShift(solvers.ddim(processes.VE(), G), 10, 0.3), "variance preserving"),
        (lambda: TimeShift(solvers.ddim(processes.RectifiedFlow(), G), 10, 0.3), "variance preserving"),
        (lambda: TimeShift(solvers.ddim(processes.MeanReverting(), G), 10, 0.3), "variance preserving"),
    ],
)
def test_what_it_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_what_it_refuses_when_called():
    sampler = TimeShift(PLANS[0], 10, 0.3)
    with pytest.raises(Unsuitable, match="no variance"):
        solvers.sample(mixture(1).denoiser(VP), 3, plan=sampler)
    with pytest.raises(Unsuitable, match="another process"):
        sampler(mixture().denoiser(processes.EDM()), torch.zeros(2, 3))
    with pytest.raises(NotFinite, match="10 calls"):
        sampler(mixture().denoiser(VP), torch.full((2, 3), float("nan")))
    with pytest.raises(Unsuitable, match="TimeShift depend on the state"):
        solvers.to_diffusers(sampler)
