"""The density computation behind the bound, and the identities of the paper."""

import math

import pytest
import torch
from oracles import TWO_SIDED, seeded

from girsanov import exact, processes, solvers
from girsanov.metrics import energy_distance
from girsanov.noise import Noise
from girsanov.papers import BUDGETS, Report
from girsanov.papers.processes import stochastic_interpolants as paper

DOUBLE = torch.float64
LAW = exact.GaussianMixture(torch.tensor([[-1.5], [0.5]]), torch.tensor([0.1, 0.3]), [0.4, 0.6])
NORMAL = exact.Gaussian(torch.zeros(1), 1.0)


def test_every_strength_keeps_the_marginals():
    process, n = processes.StochasticInterpolant(latent="quadratic"), 1000
    model = exact.MixtureInterpolant(LAW, NORMAL, process)
    data = LAW.sample(n, generator=Noise(7))
    floor = float(energy_distance(data, LAW.sample(n, generator=Noise(8))))  # of two samples of one law
    x = NORMAL.sample(n, generator=Noise(9))
    times = [1.0, *(0.99 - 0.98 * i / 80 for i in range(81)), 0.0]
    for epsilon in (0.0, 0.5, 2.0):

        def strength(t, epsilon=epsilon):
            return math.sqrt(2 * epsilon) if t < 1 else 0.0

        found = solvers.euler_maruyama(process, times, strength=strength)(model, x, generator=Noise(10))
        assert float(energy_distance(found, data)) < floor + 0.01
    wrong = solvers.euler_maruyama(process, times, strength=lambda t: 1.0 if t < 1 else 0.0)
    half = exact.MixtureInterpolant(LAW, exact.Gaussian(torch.tensor([1.0]), 1.0), process)  # another base
    assert float(energy_distance(wrong(half, x, generator=Noise(10)), data)) > floor + 0.01


@pytest.mark.parametrize("name", ["linear/brownian", "trigonometric/quadratic", "linear/sine-squared"])
def test_the_velocity_is_the_mean_motion_less_the_score_term(name):
    """b = v - γγ's with v = E[İ | x_t]."""
    process, t = TWO_SIDED[name], 0.35
    model = exact.MixtureInterpolant(LAW, NORMAL, process)
    x = torch.randn(20, 1, generator=seeded(0), dtype=DOUBLE)
    data, end = model.data(x, t), model.predict("end", x, t)
    (_, _, gamma), (da, db, dc) = process.schedule.values(t), process.rates(t)
    motion = da * data + db * end
    assert torch.allclose(model.velocity(x, t), motion - gamma * dc * model.score(x, t), atol=1e-10)


def test_the_bound_is_met_with_room_and_close():
    report = Report(paper.PAPER, BUDGETS["cpu"])
    paper.bounds(report, 0, 2, 200)
    bound, divergence = report.kept["bound"][0]
    assert (divergence <= bound).all() and (divergence > 1e-3 * bound).all()
