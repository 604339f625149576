"""Sampling a mean-reverting process: MR Sampler (Li et al. 2025) and the samplers of IR-SDE as plans."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import mixture, seeded

from girsanov import exact, processes, solvers
from girsanov.noise import Noise
from girsanov.processes import simulate
from girsanov.solvers import grid, run

DOUBLE = torch.float64
MR = processes.MeanReverting()
TIMES = (0.9, 0.7, 0.4, 0.15)


def mrs(order, form="data", stochastic=False):
    return lambda p, g: solvers.exponential(p, g, order=order, form=form, strength=float(stochastic))


KINDS = {
    f"{'sde' if stochastic else 'ode'}-{form}-{order}": mrs(order, form, stochastic)
    for stochastic in (False, True)
    for form in ("data", "noise")
    for order in (1, 2, 3)
}


def by_formula(model, x, mu, kind, noise):
    """The updates as the paper prints them, orders 1 and 2, with r = h_previous / h."""
    _, form, order = kind.split("-")
    before = None
    for i, (s, t) in enumerate(pairwise(TIMES)):
        alpha_s, alpha, sigma_s, sigma = MR.alpha(s), MR.alpha(t), MR.gamma(s), MR.gamma(t)
        h = MR.log_snr(t) - MR.log_snr(s)
        now = model.data(x, s, anchor=mu) if form == "data" else model.noise(x, s, anchor=mu)
        slope = 0 * now
        if before is not None and order == "2":
            slope = (now - before[0]) / (before[1] / h)
        xi = noise.draw(x, i)
        if kind.startswith("ode-data"):
            k = sigma / sigma_s
            new = alpha * (1 - math.exp(-h)) * now - alpha * ((math.exp(-h) - 1) / h + 1) * -slope
        elif kind.startswith("ode-noise"):
            k = alpha / alpha_s
            new = -sigma * (math.exp(h) - 1) * now - sigma * ((math.exp(h) - 1) / h - 1) * slope
        elif kind.startswith("sde-data"):
            k = sigma / sigma_s * math.exp(-h)
            gain = 1 - math.exp(-2 * h)
            new = alpha * gain * now + alpha * (1 - gain / (2 * h)) * slope + sigma * math.sqrt(gain) * xi
        else:
            k = alpha / alpha_s
            new = -2 * sigma * (math.exp(h) - 1) * now - 2 * sigma * ((math.exp(h) - 1) / h - 1) * slope
            new = new + sigma * math.sqrt(math.exp(2 * h) - 1) * xi
        # Anchor: (1 - α_t) μ - k (1 - α_s) μ.
        x = k * x + (1 - alpha - k * (1 - alpha_s)) * mu + new
        before = now, h
    return x


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("3")])
def test_the_plans_are_the_printed_updates(kind):
    law = exact.GaussianMixture(torch.tensor([[-0.6, 0.2], [0.9, 0.0]]), 0.3)
    model = law.denoiser(MR)
    x, mu = torch.randn(2, 6, 2, generator=seeded(0), dtype=DOUBLE)
    expected = by_formula(model, x, mu, kind, Noise(1))
    found = run(KINDS[kind](MR, TIMES), model, x, anchor=mu, generator=Noise(1))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_formula_test_can_fail():
    model, x = mixture(2).denoiser(MR), torch.ones(1, 2, dtype=DOUBLE)
    wrong = run(solvers.dpm_multistep(MR, TIMES), model, x, anchor=x)  # 2M halves the slope's weight
    assert not torch.allclose(wrong, by_formula(model, x, x, "ode-data-2", Noise(0)), rtol=1e-4)


@pytest.mark.parametrize("kind", [*KINDS, "2m", "2m-sde"])
def test_without_anchor_and_with_unit_noise_it_is_a_vp_process(kind):
    """μ = 0, std = 1: the same α and γ as VP at equal log-SNR, so the same coefficients."""
    others = {
        "2m": solvers.dpm_multistep,
        "2m-sde": lambda p, g: solvers.dpm_multistep(p, g, stochastic=True),
    }
    make = KINDS.get(kind) or others[kind]
    vp, unit = processes.VP(), processes.MeanReverting(std=1.0)
    times = [vp.time_at(unit.log_snr(t)) for t in TIMES]
    ours, theirs = make(unit, TIMES), make(vp, times)
    for a, b in zip(ours.rows, theirs.rows, strict=True):
        found = {term[:2]: term.coefficient for term in a.terms if term.source != "x1"}
        known = {term[:2]: term.coefficient for term in b.terms}
        found = {key: v for key, v in found.items() if key in known or abs(v) > 1e-12}
        assert found == pytest.approx(known, rel=1e-9, abs=1e-11)
    zero = torch.zeros(4, 3, dtype=DOUBLE)
    x = torch.randn(4, 3, generator=seeded(2), dtype=DOUBLE)
    there = run(theirs, mixture().denoiser(vp), x, generator=Noise(3))
    here = run(ours, mixture().denoiser(unit), x, anchor=zero, generator=Noise(3))
    torch.testing.assert_close(here, there, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", [*KINDS, "posterior"])
def test_shifting_data_and_anchor_shifts_the_sample(kind):
    make = KINDS.get(kind, solvers.ancestral)
    law, c = mixture(2), torch.tensor([3.0, -1.0], dtype=DOUBLE)
    moved = exact.GaussianMixture(law.means + c, law.covariances, law.weights)
    x, mu = torch.randn(2, 5, 2, generator=seeded(0), dtype=DOUBLE)
    plan = make(MR, grid("uniform", 6))
    a = run(plan, law.denoiser(MR), x, anchor=mu, generator=Noise(0))
    b = run(plan, moved.denoiser(MR), x + c, anchor=mu + c, generator=Noise(0))
    torch.testing.assert_close(b, a + c, rtol=1e-9, atol=1e-9)


def law_through(plan, model, mu):
    """Mean and covariance factors of the output for an affine denoiser in one dimension, x(1) ~ N(μ, std²)."""
    width = len(plan.spans) + 1
    basis = torch.eye(width, dtype=DOUBLE) * plan.process.reference_std
    known = {("x", 0): (mu, basis[0]), ("x1", 0): (mu, torch.zeros(width, dtype=DOUBLE))}
    anchor = torch.full((1, 1), mu, dtype=DOUBLE)
    for r, row in enumerate(plan.rows):
        m, f = 0.0, torch.zeros(width, dtype=DOUBLE)
        for source, i, c, _ in row.terms:
            if source == "ξ":
                f = f + c * torch.eye(width, dtype=DOUBLE)[i + 1]
            else:
                m, f = m + c * known[source, i][0], f + c * known[source, i][1]
        known["X", r] = m, f
        if row.call:
            zero, one = (
                model.data(torch.full((1, 1), v, dtype=DOUBLE), row.t, anchor=anchor).item() for v in (0, 1)
            )
            known["F", r] = zero + (one - zero) * m, (one - zero) * f
    return m, f.square().sum().item()


PAIR = exact.GaussianMixture(
    torch.tensor([[[0.4], [-0.2]]]), torch.tensor([[[0.5, 0.35], [0.35, 0.4]]], dtype=DOUBLE)
)


@pytest.mark.parametrize("kind", [*KINDS, "posterior", "reverse SDE", "Euler"])
def test_gaussian_pairs_give_the_exact_posterior(kind):
    """The law of the sample for one anchor, without sampling noise, in fine steps.

    What is left is the mismatch of the start: α(1) (E[x_0 | μ] - μ) in the mean.
    """
    others = {
        "posterior": solvers.ancestral,
        "reverse SDE": solvers.euler_maruyama,
        "Euler": solvers.euler,
    }
    process = processes.MeanReverting(eps=1e-4)
    model = exact.PairedDenoiser(PAIR, process)
    make, mu = KINDS.get(kind) or others[kind], 0.9
    spacing = "uniform" if kind in ("reverse SDE", "Euler") else "log-snr"
    steps = 1000 if kind in ("sde-data-1", "posterior") else 400  # the law of these two is off by O(1/N)
    mean, variance = law_through(make(process, grid(spacing, steps)), model, mu)
    truth = model.posterior(torch.tensor([mu], dtype=DOUBLE))
    assert mean == pytest.approx(truth.mean.item(), abs=5e-3)
    assert variance == pytest.approx(truth.covariance.item(), rel=2e-2)


def test_the_posterior_step_is_ancestral_sampling():
    """A, B, C of IR-SDE (Luo et al. 2023, equation 12 and its code): mean and standard deviation of x_{i-1}."""
    rows = solvers.ancestral(MR, TIMES).rows
    for (s, t), row in zip(pairwise(TIMES), rows[1:], strict=True):
        b, c = MR.alpha(s), MR.alpha(t)
        a = b / c
        state, data = a * (1 - c**2) / (1 - b**2), c * (1 - a**2) / (1 - b**2)
        std = MR.schedule.std * math.sqrt((1 - a**2) * (1 - c**2) / (1 - b**2))
        found = {term.source: term.coefficient for term in row.terms}
        expected = {"X": state, "F": data, "x1": 1 - state - data, "ξ": std}
        assert found == pytest.approx(expected, abs=1e-10)


def test_the_posterior_step_is_the_bridge_of_the_forward_process():
    """x_t given x_s, x_0 and μ by regression on simulated forward paths."""
    n, t, s, mu = 200_000, 0.4, 0.7, 0.3
    ends = torch.full((n, 1), mu, dtype=DOUBLE)
    x0 = torch.randn(n, 1, generator=seeded(1), dtype=DOUBLE)
    paths = simulate(MR, x0, torch.tensor([0.0, t, s]), end=ends, seed=0)
    design = torch.cat([paths[:, 2], x0, torch.ones(n, 1, dtype=DOUBLE)], 1)
    fit = torch.linalg.lstsq(design, paths[:, 1])
    found = {term.source: term.coefficient for term in solvers.ancestral(MR, (s, t)).rows[1].terms}
    left = (paths[:, 1] - design @ fit.solution).std().item()
    assert left == pytest.approx(found["ξ"], rel=0.01)
    expected = torch.tensor([found["X"], found["F"], found["x1"] * mu], dtype=DOUBLE)
    torch.testing.assert_close(fit.solution[:, 0], expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("t", [0.05, 0.4, 0.95])
def test_the_velocity_of_mr_sampler_is_the_flow_velocity_rescaled(t):
    """v = -s̄ x_0 + s̄ μ + std α z, with s̄² = 1 - α²; dx/dt = (θα/s̄) v and x_0 = α x + (1 - α) μ - s̄ v."""
    alpha, _, gamma = MR.schedule.values(t)
    s = gamma / MR.schedule.std
    x0, mu, z = 0.3, -0.7, 1.1
    v = -s * x0 + s * mu + MR.schedule.std * alpha * z
    x = alpha * x0 + (1 - alpha) * mu + gamma * z
    assert alpha * x + (1 - alpha) * mu - s * v == pytest.approx(x0)
    velocity = sum(c * value for c, value in zip(MR.row("velocity", t), (x0, mu, z), strict=True))
    assert velocity == pytest.approx(MR.schedule.pull(t) * alpha / s * v)
    found = MR.coefficients("data", ("velocity",), t)
    assert found.state * x + found.words[0] * velocity + found.anchor * mu == pytest.approx(x0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stored_prediction_does_not_matter(kind):
    model = mixture(2).denoiser(MR)
    x, mu = torch.randn(2, 5, 2, generator=seeded(0), dtype=DOUBLE)
    plan = KINDS[kind](MR, TIMES)
    expected = run(plan, model, x, anchor=mu, generator=Noise(0))

    class Stored(type(model)):
        def forward(self, x, t, *, cond=None, anchor=None):
            return (model.predict(self.stored[0], x, t, anchor=anchor),)

    for word in ("noise", "velocity", "score", "v_prediction"):
        other = Stored(model.law, MR)
        other.stored = (word,)
        found = run(plan.recast((word,)), other, x, anchor=mu, generator=Noise(0))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
