"""The two grids of Roy, Rinaldo & Sarkar (2026), and their stochastic sampler, which is DDPM's."""

import math
from itertools import pairwise

import pytest
import torch
from plan_tools import gaussian_through

from girsanov import exact, processes, solvers
from girsanov.errors import InputError
from girsanov.solvers import ddpm_rf_grid, grid, u_shaped_grid
from girsanov.solvers.grids import resolve

FLOW = processes.RectifiedFlow()


@pytest.mark.parametrize("steps, delta", [(4, None), (6, 0.01), (50, None), (50, 1 / 512), (100, 0.49)])
def test_the_u_shape(steps, delta):
    times = resolve(u_shaped_grid(steps, delta=delta), FLOW)
    assert len(times) == steps + 1 and times[0] == 1 and times[-1] == 0 and times[steps // 2] == 0.5
    assert times == pytest.approx([1 - t for t in reversed(times)], abs=1e-15)
    assert times[-2] == pytest.approx(1 / steps if delta is None else delta)
    growth = [a / b for a, b in pairwise(times[steps // 2 : -1])]  # (1 + h), as the paper multiplies
    assert growth == pytest.approx([(1 / (2 * times[-2])) ** (2 / (steps - 2))] * len(growth))


def test_limits_of_the_u_shape():
    assert u_shaped_grid(4, delta=0.1) == pytest.approx((1, 0.9, 0.5, 0.1, 0))
    assert u_shaped_grid(8, delta=0.5 - 1e-9) == pytest.approx((1, *[0.5] * 7, 0), abs=1e-8)
    small = 1e-12
    assert u_shaped_grid(6, delta=small)[3:] == pytest.approx((0.5, math.sqrt(small / 2), small, 0))


@pytest.mark.parametrize("steps, c0, c1", [(2, 1.0, 1.0), (20, 2.0, 5.0), (100, 2.0, 5.0), (100, 2.0, 2.0), (1000, 3.0, 4.0)])  # fmt: skip
def test_ddpm_on_the_flow(steps, c0, c1):
    """The grid's signal shares are those of the chain with the paper's β."""
    times = resolve(ddpm_rf_grid(steps, c0=c0, c1=c1), FLOW)
    assert len(times) == steps + 1 and times[0] < 1 and times[-1] == 0
    share = [1.0, *((1 - t) ** 2 / ((1 - t) ** 2 + t**2) for t in times[-2::-1])]
    f, first = c1 * math.log(steps) / steps, steps**-c0
    betas = [first, *(f * min(1, first * (1 + f) ** i) for i in range(1, steps))]
    assert [1 - b / a for a, b in pairwise(share)] == pytest.approx(betas, rel=1e-9, abs=1e-14)


def test_the_grid_of_ddpm_is_a_chain_of_ddpm():
    """The same plan as ancestral sampling of that chain: on Gaussian data the same law."""
    times, c = ddpm_rf_grid(40), (0.7, 0.3)
    share = [(1 - t) ** 2 / ((1 - t) ** 2 + t**2) for t in times[-2::-1]]
    chain = processes.DiscreteVP(share)
    start = FLOW.alpha(times[0]), FLOW.gamma(times[0])
    size = math.hypot(*start)
    ours = gaussian_through(solvers.ancestral(FLOW, times), *c, start=(0.0, size))
    theirs = solvers.ancestral(chain, [*(i / 40 for i in range(40, 0, -1)), 0.0])
    assert ours == pytest.approx(gaussian_through(theirs, *c, start=(0.0, 1.0)), rel=1e-9)


def stochastic_flow(s, t):
    """One step of the paper in its own symbols: the coefficients of x, of its velocity and of z.

    Its time runs from noise at 0 to data at 1.
    """
    size, size_next = math.hypot(s, 1 - s), math.hypot(t, 1 - t)
    ratio, ratio_next = s / size, t / size_next
    kept = (ratio / ratio_next) ** 2
    eta = 1 - kept
    psi = kept * ((1 - t) / size_next / ((1 - s) / size)) ** 2 * eta  # 1 - R² = (1 - t)²/σ²
    scale = ratio_next * size_next / ratio
    at_x, at_v = -1 / (1 - s), s / (1 - s)  # of the score
    return scale * (1 / size + eta * size * at_x), scale * eta * size * at_v, scale * math.sqrt(psi), psi


@pytest.mark.parametrize("times", [ddpm_rf_grid(60), (0.95, 0.6, 0.31, 0.2, 0.04), u_shaped_grid(10)[1:]])
def test_the_stochastic_flow_is_ancestral_sampling(times):
    plan = solvers.ancestral(FLOW, times).recast("velocity")
    for row, (s, t) in zip(plan.rows[1:], pairwise(times), strict=True):
        state, velocity, noise, psi = stochastic_flow(1 - s, 1 - t)
        ours = {term.source: term.coefficient for term in row.terms}
        found = ours["X"], -ours["F"], ours.get("ξ", 0.0)  # our time runs the other way
        assert found == pytest.approx((state, velocity, noise), rel=1e-12, abs=1e-12)
        assert psi > 0 or t == 0


@pytest.mark.parametrize(
    "times", [u_shaped_grid(6), u_shaped_grid(20, delta=1 / 512), grid("uniform", 7), (1.0, 0.9, 0.2, 0.1)]
)
def test_euler_is_exact_where_the_data_do_not_vary(times):
    """(x - m) shrinks by t'/t a step, and the product telescopes."""
    law = exact.Gaussian(torch.tensor([0.5, -2.0]), torch.diag(torch.tensor([0.0, 1.0])))
    plan = solvers.euler(FLOW, times)
    x = torch.tensor([[1.3, 0.4], [-0.2, 2.0]], dtype=torch.float64)
    found = plan(law.denoiser(FLOW), x)
    stop = plan.grid[-1]
    torch.testing.assert_close(found[:, 0], (1 - stop) * 0.5 + stop * x[:, 0], rtol=0, atol=1e-12)
    flowed = -2 * (1 - stop) + math.hypot(stop, 1 - stop) * x[:, 1]
    assert (found[:, 1] - flowed).abs().max() > 1e-3  # the unit direction is not exact


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: u_shaped_grid(5), "even"),
        (lambda: u_shaped_grid(2), "at least 4"),
        (lambda: u_shaped_grid(4.0), "even"),
        (lambda: u_shaped_grid(10, delta=0.5), "delta"),
        (lambda: u_shaped_grid(10, delta=0.0), "delta"),
        (lambda: resolve(u_shaped_grid(10, delta=1e-18), FLOW), "repeats"),
        (lambda: ddpm_rf_grid(1), "steps"),
        (lambda: ddpm_rf_grid(10), "smaller c1"),
        (lambda: ddpm_rf_grid(100, c1=-1.0), "smaller c1"),
        (lambda: ddpm_rf_grid(100, c0=0.0), "c0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
