"""Walks: the law of reflected Brownian motion on an interval, the uniform law at rest, the barrier's drift."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid
from scipy.stats import kstest
from set_examples import CUT, SETS, within

from girsanov.errors import Unsuitable
from girsanov.noise import Noise
from girsanov.processes import BarrierWalk, Box, MetropolisWalk, Polytope, ReflectedWalk, Simplex
from girsanov.processes.uniform import uniform_points
from girsanov.processes.walks import barrier

ALPHA = 1e-5
LINE = Box([0.0], [1.0])
PLAIN_LINE = Polytope([[-1.0], [1.0]], [0.0, 1.0])  # reflects by tracing, not by folding
METROPOLIS, REFLECTED, BARRIER = MetropolisWalk(), ReflectedWalk(), BarrierWalk()


def neumann_mean(x0, t, terms=50):
    """E X_t of Brownian motion reflected at 0 and 1: the cosine series of its density, integrated against x."""
    total = 0.5
    for n in range(1, terms):
        c = n * math.pi
        total += 2 * math.exp(-(c**2) * t / 2) * math.cos(c * x0) * (math.cos(c) - 1) / c**2
    return total


def walked(walk, inside, x, *, variance, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = walk.step(inside, x, variance / steps, z)
    return x


def mean_error(walk, steps, inside=LINE, *, start=0.1, n=200_000):
    """|E X_t - its value| at t = 0.1, and the standard error."""
    x = walked(walk, inside, torch.full((n, 1), start, dtype=torch.float64), variance=0.1, steps=steps)
    return abs(float(x.mean()) - neumann_mean(start, 0.1)), float(x.std()) / n**0.5


def test_the_series_is_that_of_the_catalogue():
    assert neumann_mean(0.1, 0.1) == pytest.approx(0.26437, abs=5e-6)
    assert neumann_mean(0.1, 0.0, terms=20_000) == pytest.approx(0.1, abs=1e-5)


def test_the_metropolis_walk_has_the_mean_of_reflected_brownian_motion():
    error, noise = mean_error(METROPOLIS, 400)
    assert error < 4 * noise < 2e-3


def test_its_weak_error_halves_at_least_when_the_step_quarters():
    """From the boundary, where half of the first proposals are turned down."""
    errors = [mean_error(METROPOLIS, steps, start=0.0) for steps in (4, 16, 64)]
    for (coarse, _), (fine, noise) in pairwise(errors):
        assert fine - 4 * noise < coarse / 2
        assert coarse > 8 * noise  # else there is nothing to halve


@pytest.mark.parametrize("inside", [LINE, PLAIN_LINE])
def test_reflection_is_exact_on_an_interval_whatever_the_step(inside):
    error, noise = mean_error(REFLECTED, 2, inside)
    assert error < 4 * noise


def test_folding_and_tracing_agree():
    box = SETS["box"]
    plain = Polytope(box.facets[0].tolist(), box.facets[1].tolist())
    x = uniform_points(box, torch.empty(2000, 3, dtype=torch.float64), Noise(0))
    z = Noise(1).draw(x, 0)
    torch.testing.assert_close(REFLECTED.step(box, x, 9.0, z), REFLECTED.step(plain, x, 9.0, z))


def test_metropolis_tends_to_the_reflected_walk():
    """On a polytope, from near a corner: the means of the coordinates after the variance 0.3.

    An error of order one half in the step is a quarter with a sixteenth of it; less than half is asked for.
    """
    x = torch.tensor([[0.2, 0.2, 0.2]], dtype=torch.float64).expand(30_000, -1)
    reflected = walked(REFLECTED, CUT, x, variance=0.3, steps=40, seed=2)
    noise = (2 * reflected.var(0) / len(x)).sqrt()
    coarse, fine = (
        (walked(METROPOLIS, CUT, x, variance=0.3, steps=steps, seed=1).mean(0) - reflected.mean(0)).abs()
        for steps in (10, 160)
    )
    assert (coarse > 8 * noise).all() and (fine < coarse / 2).all()


@pytest.mark.parametrize("walk", [METROPOLIS, REFLECTED])
@pytest.mark.parametrize("inside, law", [(LINE, ("uniform", ())), (Simplex(3), ("beta", (1, 3)))])
def test_the_uniform_law_is_kept_exactly_and_reached(walk, inside, law):
    like = torch.empty(5000, inside.features, dtype=torch.float64)
    kept = walked(walk, inside, uniform_points(inside, like, Noise(0)), variance=0.5, steps=5)
    far = walked(walk, inside, torch.full_like(like, 0.02), variance=3.0, steps=400)
    for x in (kept, far):
        assert kstest(x[:, 0].numpy(), law[0], args=law[1]).pvalue > ALPHA


def test_the_barrier_walk_rests_at_the_uniform_law():
    for inside, law in ((LINE, ("uniform", ())), (Simplex(3), ("beta", (1, 3)))):
        x = torch.full((2000, inside.features), 0.25, dtype=torch.float64)
        x = walked(BARRIER, inside, x, variance=12.0, steps=800)
        assert kstest(x[:, 0].numpy(), law[0], args=law[1]).pvalue > ALPHA


@pytest.mark.parametrize("walk, variance", [(METROPOLIS, 2.0), (REFLECTED, 2.0), (BARRIER, 12.0)])
def test_half_the_score_of_a_law_keeps_that_law(walk, variance):
    """Langevin's equation, each walk with its own metric: what the score does on the way back."""
    generator = torch.Generator().manual_seed(0)
    x = torch.full((3000, 1), 0.5, dtype=torch.float64)
    for _ in range(600):
        score = -math.pi * (math.pi * x).sin() / 2  # of p ~ exp(cos πx), and 0 at the boundary like a model's
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        x = walk.step(LINE, x, variance / 600, z, score)
    grid = np.linspace(0, 1, 10_001)
    mass = cumulative_trapezoid(np.exp(np.cos(np.pi * grid)), grid, initial=0)
    assert kstest(x[:, 0].numpy(), lambda v: np.interp(v, grid, mass / mass[-1])).pvalue > ALPHA
    assert kstest(x[:, 0].numpy(), "uniform").pvalue < ALPHA


def test_without_its_drift_the_barrier_walk_rests_elsewhere():
    """The test above can fail: the same diffusion without ½∇·g⁻¹ gathers at the boundary."""
    generator, x = torch.Generator().manual_seed(0), torch.full((4000, 1), 0.5, dtype=torch.float64)
    rows, right = LINE.facets
    for _ in range(1000):
        lower, _ = barrier(rows, right, x)
        y = x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype) / lower[:, :, 0]
        x = torch.where(LINE.contains(y)[:, None], y, x)
    assert kstest(x[:, 0].numpy(), "uniform").pvalue < 1e-20


@pytest.mark.parametrize("inside", [CUT, Simplex(4)])
def test_the_barrier_is_the_hessian_and_its_drift_the_divergence(inside):
    rows, right = inside.facets
    x = uniform_points(inside, torch.empty(6, inside.features, dtype=torch.float64), Noise(0))

    def inverse(point):
        return torch.linalg.inv(torch.func.hessian(lambda y: -(right - rows @ y).log().sum())(point))

    lower, drift = barrier(rows, right, x)
    torch.testing.assert_close(torch.linalg.inv(lower @ lower.mT), torch.stack([inverse(p) for p in x]))
    slopes = torch.stack([torch.func.jacfwd(inverse)(p) for p in x])  # (B, i, j, k), k the derivative
    torch.testing.assert_close(drift, torch.einsum("bijj->bi", slopes) / 2)


@pytest.mark.parametrize("walk", [METROPOLIS, REFLECTED, BARRIER])
@pytest.mark.parametrize("name", ["simplex", "polytope", "box"])
def test_no_walk_leaves_in_float32(walk, name):
    inside = SETS[name]
    x = uniform_points(inside, torch.empty(20_000, inside.features), Noise(0))
    for variance in (1e-4, 1e-2, 1.0):
        x = walked(walk, inside, x, variance=variance, steps=5)
        assert within(name, x).all()


def test_each_row_has_its_own_variance():
    x = torch.full((2, 1), 0.5, dtype=torch.float64)
    z = torch.ones_like(x)
    found = METROPOLIS.step(LINE, x, torch.tensor([0.01, 0.04]), z)
    assert found[:, 0].tolist() == pytest.approx([0.6, 0.7])


@pytest.mark.parametrize("walk", [REFLECTED, BARRIER])
def test_facets_are_asked_for(walk):
    with pytest.raises(Unsuitable, match=f"{type(walk).__name__} needs facets, and Polygon has none"):
        walk.check(SETS["polygon"])
