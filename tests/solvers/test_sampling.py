"""`sample`: batches, seeds, conditions, refusals."""

import threading

import numpy as np
import pytest
import torch
from oracles import ONE_SIDED, mixture, seeded
from torch import nn

from girsanov import exact, guidance, processes, solvers
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.solvers import grid, sample

VP = processes.VP()


@pytest.mark.parametrize("solver", [None, "ancestral", "dpm-multistep-sde", "heun"])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batches_do_not_matter(solver, batch_size):
    model = mixture().denoiser(VP)
    whole = sample(model, 150, steps=8, solver=solver, seed=4)
    split = sample(model, 150, steps=8, solver=solver, seed=4, batch_size=batch_size)
    torch.testing.assert_close(split, whole, atol=1e-4, rtol=0)
    fewer = sample(model, 10, steps=8, solver=solver, seed=4)
    torch.testing.assert_close(fewer, whole[:10], atol=1e-4, rtol=0)


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_the_default_recovers_the_law(process):
    law, n = mixture(), 4000
    x = sample(law.denoiser(process), n, steps=20, seed=0).double()
    spread = law.covariance.diagonal().sqrt()
    assert ((x.mean(0) - law.mean).abs() < 5 * spread / n**0.5 + 0.05).all()
    torch.testing.assert_close(torch.cov(x.T), law.covariance, atol=0.2, rtol=0.1)


def test_the_same_seed_gives_the_same_samples_and_none_gives_fresh_ones():
    model = mixture().denoiser(VP)
    assert torch.equal(sample(model, 5, seed=1), sample(model, 5, seed=1))
    assert not torch.equal(sample(model, 5), sample(model, 5))


def test_conditions_by_number_and_by_row():
    law = exact.GaussianMixture(torch.tensor([[-3.0], [3.0]]), 0.01, labels=torch.tensor([0, 1]))
    model = law.denoiser(VP)
    assert (sample(model, 20, cond=1, seed=0) > 2).all()
    rows = sample(model, 20, cond=torch.arange(20) % 2, seed=0, batch_size=3)
    assert ((rows[:, 0] > 0) == (torch.arange(20) % 2 == 1)).all()


def test_guidance_by_gradients_works_inside_sample():
    law = exact.GaussianMixture(torch.tensor([[-3.0], [3.0]]), 0.01, labels=torch.tensor([0, 1]))

    def classify(x, t):  # the exact classifier, from the two marginals
        alpha, gamma = VP.alpha(t)[:, None], VP.gamma(t)[:, None]
        variance = 0.01 * alpha**2 + gamma**2
        return -((x - alpha * torch.tensor([[-3.0, 3.0]])) ** 2) / (2 * variance)

    x = sample(guidance.classifier(law.denoiser(VP), classify), 20, cond=1, steps=20, seed=0)
    assert (x > 2).all() and not x.requires_grad


def test_an_anchored_process_starts_at_its_anchor():
    law, process = mixture(), processes.BrownianBridge(0.5)
    anchor = torch.zeros(2000, 3)
    x = sample(law.denoiser(process), 2000, anchor=anchor, steps=60, solver="ancestral", seed=0)
    torch.testing.assert_close(x.mean(0).double(), law.mean, atol=0.15, rtol=0)
    torch.testing.assert_close(torch.cov(x.T).double(), law.covariance, atol=0.4, rtol=0.15)
    assert "dpm-multistep" in solvers.for_process(process)


def test_global_random_state_is_untouched():
    torch.manual_seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    sample(mixture().denoiser(VP), 3, solver="ancestral")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_the_model_comes_back_in_its_mode():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.modes = []

        def forward(self, x, t, cond):
            self.modes.append(self.training)
            return self.scale * x

    model = Denoiser(Net(), VP, shape=(2,))
    sample(model, 2, steps=3)
    assert model.training and not any(model.network.modes)


def test_threads_give_the_serial_bits():
    model = mixture().denoiser(VP)
    serial = [sample(model, 20, solver="ancestral", seed=s) for s in (0, 1)]
    found = [None, None]

    def work(s):
        found[s] = sample(model, 20, solver="ancestral", seed=s)

    threads = [threading.Thread(target=work, args=(s,)) for s in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(serial, found, strict=True))


def test_ready_plans_and_own_loops():
    model = mixture().denoiser(VP)
    plan = solvers.dpm_multistep(VP, grid("karras", 12))
    x = sample(model, 6, plan=plan, seed=2)
    start = VP.reference(torch.empty(6, 3), generator=Noise(2))
    torch.testing.assert_close(x, solvers.run(plan, model, start))
    pc = solvers.PredictorCorrector(VP, grid("uniform", 10), step="annealed")
    assert sample(model, 6, plan=pc, seed=2).shape == (6, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n": -1}, "n is -1"),
        ({"n": 2.0}, "n is 2.0"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"solver": "dim"}, "Did you mean ddim"),
        ({"solver": "ddim", "plan": solvers.ddim(VP, grid("uniform", 3))}, "not both"),
        ({"cond": torch.zeros(3)}, "3 rows"),
        ({"cond": torch.full((4,), float("nan"))}, "NaN"),
        ({"anchor": torch.zeros(4, 3)}, "no x_1"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        sample(mixture().denoiser(VP), **{"n": 4, **options})


def test_between_two_laws_it_starts_from_the_second_and_the_model_is_not_told():
    """x_0 ~ N(0, 4), x_1 ~ N(5, 1) apart: the flow is the increasing map of one law to the other."""
    process = processes.StochasticInterpolant(latent="none")
    laws = (exact.GaussianMixture(torch.tensor([[m]]), v) for m, v in ((0.0, 4.0), (5.0, 1.0)))
    model, end = exact.MixtureInterpolant(*laws, process), torch.tensor([[3.0], [5.0], [7.0]])
    x = sample(model, 3, anchor=end, plan=solvers.heun(process, grid("uniform", 200)), seed=0, batch_size=2)
    torch.testing.assert_close(x, 2 * (end - 5), atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="give anchor="):
        sample(model, 3)


def test_an_unknown_shape_is_asked_for():
    model = Denoiser(nn.Identity(), VP)
    with pytest.raises(InputError, match="shape="):
        sample(model, 2)


def test_nothing_is_drawn_for_nothing():
    assert sample(mixture().denoiser(VP), 0).shape == (0, 3)


def test_mixtures_of_float64_inputs_stay_float64():
    model = mixture().denoiser(VP)
    x = torch.randn(3, 3, generator=seeded(0), dtype=torch.float64)
    assert solvers.run(solvers.recommended(VP, 5), model, x).dtype == torch.float64
