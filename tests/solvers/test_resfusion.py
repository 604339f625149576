"""Resfusion's step: the paper's update by ε̃, exact posteriors of Gaussian pairs, and what `ancestral` is not."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import seeded

from girsanov import exact, processes, solvers
from girsanov.errors import Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import grid, run

DOUBLE = torch.float64
PROCESS = processes.Residual()
PAIR = exact.GaussianMixture(
    torch.tensor([[[0.4], [-0.2]]]), torch.tensor([[[0.5, 0.35], [0.35, 0.4]]], dtype=DOUBLE)
)


def by_resnoise(model, x, end, noise):
    """DDPM's update of the paper, x ← (x - β/√(1-ᾱ) ε̃)/√α + σ z, on the exact ε̃ = z + k R."""
    table = [1.0, *(math.exp(2 * v) for v in model.process.schedule.log_roots)]
    size = len(table) - 1
    for i in range(size, 0, -1):
        alpha, bar, before = table[i] / table[i - 1], table[i], table[i - 1]
        beta = 1 - alpha
        k = (1 - math.sqrt(alpha)) * math.sqrt(1 - bar) / beta
        data, z = (model.predict(word, x, i / size, anchor=end) for word in ("data", "noise"))
        # Where α = 0 the state says nothing of z beyond x - ½ x_1: the same answer, by conversion.
        resnoise = z + k * (end - data)
        x = (x - beta / math.sqrt(1 - bar) * resnoise) / math.sqrt(alpha)
        if i > 1:
            x = x + math.sqrt(beta * (1 - before) / (1 - bar)) * noise.draw(x, size - i)
    return x


@pytest.mark.parametrize("steps", [12, 30])
def test_the_plan_is_ddpms_update_on_the_resnoise(steps):
    process = processes.Residual(steps)
    model, size = exact.PairedDenoiser(PAIR, process), len(process.schedule.log_roots)
    x, end = torch.randn(2, 6, 1, generator=seeded(0), dtype=DOUBLE)
    plan = solvers.resfusion(process, grid("uniform", size))
    assert plan.calls == size
    found = run(plan, model, x, anchor=end, generator=Noise(3))
    torch.testing.assert_close(found, by_resnoise(model, x, end, Noise(3)), rtol=1e-10, atol=1e-10)


def test_it_is_the_posterior_step_of_x_minus_r():
    """Mean [√α (1 - ᾱ') (x - R) + √ᾱ' β (x_0 - R)]/(1 - ᾱ) + R: the paper's step for data prediction."""
    plan = solvers.resfusion(PROCESS, grid("uniform", 5))
    roots = [1.0, *(math.exp(v) for v in PROCESS.schedule.log_roots)]
    x, x0, end = 0.3, -0.4, 0.9
    r = end - x0
    for i, row in zip(range(5, 1, -1), plan.rows[1:], strict=False):
        bar, before = roots[i] ** 2, roots[i - 1] ** 2
        alpha, beta = bar / before, 1 - bar / before
        mean = (math.sqrt(alpha) * (1 - before) * (x - r) + roots[i - 1] * beta * (x0 - r)) / (1 - bar) + r
        found = {term.source: term.coefficient for term in row.terms}
        assert found["X"] * x + found["F"] * x0 + found["x1"] * end == pytest.approx(mean, abs=1e-10)
        assert found["ξ"] == pytest.approx(math.sqrt(beta * (1 - before) / (1 - bar)), abs=1e-10)


def test_ancestral_sampling_is_another_step():
    """It forgets the noise at t = 1 and draws all of γ anew."""
    times = grid("uniform", 5)
    ours, other = (make(PROCESS, times).rows[1].terms for make in (solvers.resfusion, solvers.ancestral))
    fresh = [next(t.coefficient for t in terms if t.source == "ξ") for terms in (ours, other)]
    assert fresh[1] == pytest.approx(PROCESS.gamma(0.8)) and fresh[0] < 0.8 * fresh[1]


def test_each_step_keeps_the_law_given_the_ends():
    """From x_s given x_0, x_1 to x_t given them: mean and variance, in the true data answer."""
    for s, t in pairwise((1.0, 0.83, 0.5, 0.31)):
        terms = solvers.resfusion(PROCESS, (s, t)).rows[1].terms
        found = {term.source: term.coefficient for term in terms}
        (a, b, g), (alpha, beta, gamma) = PROCESS.values(s), PROCESS.values(t)
        assert found.get("X", 0) * a + found["F"] == pytest.approx(alpha)
        assert found.get("X", 0) * b + found["x1"] == pytest.approx(beta)
        assert math.hypot(found["X"] * g, found["ξ"]) == pytest.approx(gamma)


@pytest.mark.parametrize("make", [solvers.resfusion, solvers.ancestral])
def test_gaussian_pairs_give_the_posterior(make):
    """In many steps both samplers draw from p(x_0 | x_1): 40,000 draws for one degraded value."""
    process, mu = processes.Residual(600), 0.9
    model = exact.PairedDenoiser(PAIR, process)
    end = torch.full((40_000, 1), mu, dtype=DOUBLE)
    plan = make(process, grid("uniform", len(process.schedule.log_roots)))
    start = process.reference(end, anchor=end, generator=Noise(0))
    x = run(plan, model, start, anchor=end, generator=Noise(0))
    truth = model.posterior(end[0])
    assert x.mean().item() == pytest.approx(truth.mean.item(), abs=0.015)
    assert x.var().item() == pytest.approx(truth.covariance.item(), rel=0.04)


def test_other_processes_are_refused():
    with pytest.raises(Unsuitable, match="use ancestral"):
        solvers.resfusion(processes.BrownianBridge(), grid("uniform", 5))
