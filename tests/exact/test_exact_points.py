"""The denoiser of a finite set against importance weighting, and deterministic plans on heavy-tailed noise."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracles import seeded
from scipy import stats

from girsanov import exact, processes, solvers
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import run

CLOUD = torch.randn(6, 2, generator=seeded(0), dtype=torch.float64)
LAW = exact.Points(CLOUD, [1, 2, 3, 1, 2, 3])
PROCESSES = {
    "poisson-flow": processes.PoissonFlow(5),
    "poisson": processes.PoissonFlow(1),
    "edm": processes.EDM(),
    "vp": processes.VP(),
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_the_posterior_mean_is_that_of_importance_weighting(process):
    """Draws of x_0 weighted by SciPy's density of the noise, within five standard errors."""
    t, n = process.time_at(0.3), 20_000
    x0 = LAW.sample(n, generator=Noise(1))
    x, _ = process.perturb(LAW.sample(4, generator=Noise(2)), t, generator=Noise(3))
    alpha, _, gamma = process.values(t)
    noise = getattr(process.law, "df", math.inf)
    answer = LAW.denoiser(process).data(x, t)
    for row, found in zip(x, answer, strict=True):
        w = torch.from_numpy(
            stats.multivariate_t(df=noise, shape=np.eye(2)).pdf(((row - alpha * x0) / gamma).numpy())
        )
        mean = (w[:, None] * x0).sum(0) / w.sum()
        error = ((w[:, None] * (x0 - mean)).square().sum(0)).sqrt() / w.sum()
        assert ((found - mean).abs() < 5 * error).all()


def test_with_normal_noise_it_is_the_mixture_of_points():
    vp = PROCESSES["vp"]
    mixture = exact.GaussianMixture(CLOUD, 0.0, [1.0, 2, 3, 1, 2, 3])
    x = torch.randn(7, 2, generator=seeded(1), dtype=torch.float64)
    for t in (0.3, torch.linspace(0.2, 0.8, 7)):
        torch.testing.assert_close(LAW.denoiser(vp).data(x, t), mixture.denoiser(vp).data(x, t))


def test_many_degrees_of_freedom_are_normal_noise():
    x = 3 * torch.randn(7, 2, generator=seeded(1), dtype=torch.float64)
    many, edm = (LAW.denoiser(p).data(x, 0.02) for p in (processes.PoissonFlow(10**8), processes.EDM()))
    torch.testing.assert_close(many, edm, rtol=1e-6, atol=1e-6)


EXPECTED = [
    (solvers.heun, 2, "time"),
    (solvers.dpm_multistep, 2, "log-snr"),
    (partial(solvers.deis, order=2, method="ipndm"), 2, "rho"),
    (partial(solvers.runge_kutta, tableau="rk4"), 4, "time"),
]


@pytest.mark.parametrize("solver, order, variable", EXPECTED)
@pytest.mark.parametrize("dim", [2, 64])
def test_deterministic_plans_keep_their_order_on_poisson_flow(solver, order, variable, dim):
    """From σ = 3 to σ = 0.5, against the same flow at 600 steps of order four."""
    process = processes.PoissonFlow(dim)
    model, x = LAW.denoiser(process), 3 * torch.randn(5, 2, generator=seeded(2), dtype=torch.float64)

    def times(n, kind):
        if kind == "log-snr":
            return [process.time_at(-math.log(3) + math.log(6) * i / n) for i in range(n + 1)]
        return [(3 - 2.5 * i / n) / 80 for i in range(n + 1)]

    end = run(solvers.rho_rk(process, times(600, "time"), tableau="rk4"), model, x)
    errors = [
        float((run(solver(process, times(n, variable)), model, x) - end).norm()) for n in (80, 160, 320)
    ]
    found = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(s > order - 0.25 for s in found), found


def test_the_flow_carries_the_kernel_to_the_points():
    """From the kernel at σ = 80, which is Student's, 40 Heun steps end on the points in their proportions."""
    process = processes.PoissonFlow(4)
    x = process.reference(torch.empty(4000, 2, dtype=torch.float64), generator=Noise(0))
    end = run(solvers.heun(process, solvers.grid("karras", 40)), LAW.denoiser(process), x)
    apart, nearest = torch.cdist(end, CLOUD).min(1)
    assert apart.quantile(0.99) < 1e-3
    shares = torch.bincount(nearest, minlength=6) / 4000
    assert stats.chisquare(shares * 4000, LAW.weights * 4000).pvalue > 1e-5


def test_bad_sets_and_laws_are_refused():
    with pytest.raises(InputError, match="points has shape"):
        exact.Points(torch.zeros(3))
    with pytest.raises(InputError, match="weights"):
        exact.Points(CLOUD, [1.0, 0.0, 1, 1, 1, 1])
    with pytest.raises(Unsuitable, match="closed"):
        LAW.denoiser(processes.Levy())
    with pytest.raises(Unsuitable, match="closed"):
        LAW.denoiser(processes.BrownianBridge())
