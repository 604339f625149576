"""The Lévy sampler: its law on stable data in closed form, and the Gaussian sampler at index two."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import seeded

from girsanov import Denoiser, networks, processes, sample, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import GaussianMixture
from girsanov.noise import Noise
from girsanov.solvers import grid

P = 1.8
LEVY = processes.Levy(P)
K = {"marginal": 2.0, "lim": P}
VARIANTS = [(drift, form) for drift in K for form in ("data", "score")]


def scale_through(plan, scale):
    """The scale of what a plan makes of a stable start, data being stable of scale 1; nothing is drawn.

    Then x_t has scale 1 where α^p + γ^p = 1, E[z | x] = γ^{p-1} x, and every register is a combination of the
    start and the draws, whose scales add in the power p.
    """
    process, width = plan.process, len(plan.spans) + 1
    parts = {("x", 0): scale * np.eye(width)[0]}
    for r, row in enumerate(plan.rows):
        found = np.zeros(width)
        for source, register, coefficient, _ in row.terms:
            if source == "ξ":
                found[register + 1] += coefficient
            else:
                found += coefficient * parts[source, register]
        parts["X", r] = found
        if row.call:
            alpha, gamma = process.alpha(row.t), process.gamma(row.t)
            parts["F", r] = (1 - gamma**process.law.index) / alpha * found
    return float((np.abs(found) ** process.law.index).sum() ** (1 / process.law.index))


def closed_scale(drift, start, s, t, p=P):
    """S = -x/p, so d(scale^p)/dB = 1 - (k-1) scale^p with B = p log(α_t/α_s), backwards in time."""
    k, b = K[drift], p * math.log(LEVY.alpha(t) / LEVY.alpha(s))
    rest = 1 / (k - 1)
    return (rest + (start**p - rest) * math.exp(-(k - 1) * b)) ** (1 / p)


def times(n, s=0.9, t=0.2):
    return [s + (t - s) * i / n for i in range(n + 1)]


@pytest.mark.parametrize("drift, form", VARIANTS)
@pytest.mark.parametrize("start", [0.5, 1.3])
def test_the_scale_converges_to_its_closed_form_with_order_one(drift, form, start):
    errors = [
        abs(
            scale_through(solvers.levy(LEVY, times(n), drift=drift, form=form), start)
            - closed_scale(drift, start, 0.9, 0.2)
        )
        for n in (200, 400, 800)
    ]
    assert all(0.85 < math.log2(a / b) < 1.15 for a, b in pairwise(errors)), errors


@pytest.mark.parametrize("form", ["data", "score"])
def test_the_marginal_drift_is_stationary_and_the_papers_is_not(form):
    """From t = 0.99 to 0.01; the paper's drift ends (1/(p-1))^(1/p) too wide."""
    ends = {
        drift: scale_through(solvers.levy(LEVY, times(4000, 0.99, 0.01), drift=drift, form=form), 1.0)
        for drift in K
    }
    assert ends["marginal"] == pytest.approx(1.0, abs=3e-3)
    assert ends["lim"] == pytest.approx((1 / (P - 1)) ** (1 / P), abs=3e-3)


def test_samples_have_the_scale_that_the_bookkeeping_says():
    """The same in draws: the empirical characteristic function at one frequency."""

    class Exact(torch.nn.Module):
        def forward(self, x, t, cond=None):
            gamma = LEVY.gamma(t.double())
            return ((1 - gamma**P) / LEVY.alpha(t.double()))[:, None].to(x.dtype) * x

    model = Denoiser(Exact(), LEVY, predicts="data", data_std=None, shape=(1,))
    n = 40_000
    for drift in K:
        plan = solvers.levy(LEVY, times(20), drift=drift)
        x = plan(model, Noise(0).draw(torch.empty(n, 1), 0, LEVY.law), generator=Noise(1))
        found = float(x.double().cos().mean())
        assert found == pytest.approx(math.exp(-(scale_through(plan, 1.0) ** P)), abs=5 / math.sqrt(2 * n))


def test_index_two_is_ancestral_sampling_with_louder_noise():
    """Levy(2) has noise √2 z: with data and states √2 larger too, it is the cosine process of Gaussian noise."""
    two, cosine = processes.Levy(2.0), processes.CosineVP()
    law = GaussianMixture(torch.tensor([[-0.6], [0.9]]), torch.tensor([0.1, 0.2]), [0.4, 0.6])
    gaussian = law.denoiser(cosine)

    class Louder(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return math.sqrt(2) * gaussian.data(x / math.sqrt(2), t)

    louder = Denoiser(Louder(), two, predicts="data", data_std=None, shape=(1,))
    x = torch.randn(200, 1, generator=seeded(0), dtype=torch.float64)
    times_ = grid("uniform", 12)
    wanted = solvers.ancestral(cosine, times_)(gaussian, x, generator=Noise(5))
    for drift in K:
        found = solvers.levy(two, times_, drift=drift)(louder, math.sqrt(2) * x, generator=Scaled(Noise(5)))
        torch.testing.assert_close(found / math.sqrt(2), wanted, rtol=1e-6, atol=1e-6)


class Scaled(Noise):
    """The normal draws of a source as draws of the stable law of index 2, √2 times as wide."""

    def __init__(self, noise):
        super().__init__(noise.seed)

    def draw(self, like, index, law=None, span=None):
        return math.sqrt(2) * super().draw(like, index)


def test_the_papers_step_is_written_as_in_the_paper():
    """x ← a x + α²(a - 1) S + (a^α - 1)^{1/α} e with a = a(t)/a(s), S = -E[z | x]/(α σ^{α-1})."""
    s, t = 0.6, 0.5
    plan = solvers.levy(LEVY, (s, t), drift="lim", form="score").recast("noise")
    a, sigma = LEVY.alpha(t) / LEVY.alpha(s), LEVY.gamma(s)
    found = {term.source: term.coefficient for term in plan.rows[-1].terms}
    assert found["X"] == pytest.approx(a)
    assert found["F"] == pytest.approx(-(P**2) * (a - 1) / (P * sigma ** (P - 1)))
    assert found["ξ"] == pytest.approx((a**P - 1) ** (1 / P))


@pytest.mark.parametrize("drift, form", VARIANTS)
def test_a_point_is_found_from_any_grid(drift, form):
    """D constant: the last row is the data answer, and every step of the data form is exact in the mean."""

    class Point(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return torch.full_like(x, 0.7)

    model = Denoiser(Point(), LEVY, predicts="data", data_std=None, shape=(2,))
    found = sample(model, 5, steps=6, solver=partial(solvers.levy, drift=drift, form=form), seed=0)
    torch.testing.assert_close(found, torch.full((5, 2), 0.7))


def test_a_trained_kind_of_model_runs_and_other_processes_are_refused():
    with torch.random.fork_rng():
        model = Denoiser(networks.MLP(2, hidden=16), LEVY, shape=(2,))
    assert sample(model, 4, steps=5, solver=solvers.levy, seed=0).isfinite().all()
    for process in (processes.VP(), processes.PoissonFlow(4), processes.BrownianBridge()):
        with pytest.raises(Unsuitable, match="stable noise"):
            solvers.levy(process, grid("uniform", 4))
    with pytest.raises(InputError, match="Did you mean marginal"):
        solvers.levy(LEVY, grid("uniform", 4), drift="marginals")
