"""Every solver against the exact solution of the flow, and every law against its closed form."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from oracles import ONE_SIDED, mixture, seeded

from girsanov import exact, processes, solvers
from girsanov.noise import Noise
from girsanov.solvers import PredictorCorrector, grid, run

VP = processes.VP()
LAW = exact.GaussianMixture(torch.tensor([[-0.6], [0.9]]), torch.tensor([0.3, 0.5]), [0.4, 0.6])
X = torch.linspace(-1.5, 1.5, 9, dtype=torch.float64)[:, None]


def times(process, start, stop, steps, variable):
    """A grid uniform in a smooth variable."""
    if variable == "time":
        return [start + (stop - start) * i / steps for i in range(steps + 1)]
    power = {"log-snr": 0, "rho": -1}[variable]
    a, b = process.log_snr(start), process.log_snr(stop)
    if power == 0:
        return [process.time_at(a + (b - a) * i / steps) for i in range(steps + 1)]
    a, b = math.exp(-a), math.exp(-b)
    return [process.time_at(-math.log(a + (b - a) * i / steps)) for i in range(steps + 1)]


def slopes(solver, process=VP, variable="log-snr", start=0.7, stop=0.25, counts=(40, 80, 160)):
    """Observed orders between consecutive refinements."""
    model = LAW.denoiser(process)
    fine = solvers.runge_kutta(
        process, times(process, start, stop, 400, "log-snr"), tableau="rk4", form="data"
    )
    end = run(fine, model, X)
    errors = [
        (run(solver(process, times(process, start, stop, n, variable)), model, X) - end)
        .square()
        .mean()
        .sqrt()
        for n in counts
    ]
    return [math.log2(a / b) for a, b in pairwise(errors)]


def check_order(solver, order, **options):
    found = slopes(solver, **options)
    assert all(s > order - 0.2 for s in found), found
    return found


EXPECTED = [
    (solvers.ddim, 1, "log-snr"),
    (solvers.euler, 1, "time"),
    (solvers.heun, 2, "time"),
    (solvers.rho_rk, 2, "rho"),
    (lambda p, g: solvers.rho_rk(p, g, tableau="kutta3"), 3, "rho"),
    (lambda p, g: solvers.rho_rk(p, g, tableau="heun3"), 3, "rho"),
    (lambda p, g: solvers.rho_rk(p, g, tableau="ralston3"), 3, "rho"),
    (lambda p, g: solvers.rho_rk(p, g, tableau="ssp3"), 3, "rho"),
    (lambda p, g: solvers.rho_rk(p, g, tableau="rk4"), 4, "rho"),
    (lambda p, g: solvers.runge_kutta(p, g, tableau="rk4"), 4, "time"),
    (lambda p, g: solvers.runge_kutta(p, g, tableau="midpoint", form="data"), 2, "log-snr"),
    (solvers.dpm_multistep, 2, "log-snr"),
    (solvers.dpm_singlestep, 2, "log-snr"),
    (lambda p, g: solvers.dpm_singlestep(p, g, form="noise"), 2, "log-snr"),
    (lambda p, g: solvers.deis(p, g, order=2), 2, "log-snr"),
    (lambda p, g: solvers.deis(p, g, order=2, method="rho-ab"), 2, "log-snr"),
    (lambda p, g: solvers.deis(p, g, order=2, method="ipndm"), 2, "rho"),
    (lambda p, g: solvers.exponential(p, g, order=2), 2, "log-snr"),
    (lambda p, g: solvers.exponential(p, g, order=2, form="noise"), 2, "log-snr"),
    (lambda p, g: solvers.exponential(p, g, order=2, form="velocity", variable="time"), 2, "time"),
    *(
        (partial(solvers.unipc, order=order, b=b), 2, "log-snr")
        for order in (1, 2, 3)
        for b in ("bh1", "bh2")
    ),
    *(
        (partial(solvers.unipc, order=order, form=form, lower_order_final=False), 3, "log-snr")
        for order in (2, 3)
        for form in ("data", "noise")
    ),
    *((partial(solvers.pndm, begin=begin), 2, "log-snr") for begin in ("runge-kutta", "improved-euler")),
    (solvers.ghvb, 2, "log-snr"),
    *((partial(solvers.heavy_ball, form=form), 1, "log-snr") for form in ("data", "noise")),
    (partial(solvers.unipc, predictor=1, lower_order_final=False), 2, "log-snr"),
]


@pytest.mark.parametrize("solver, order, variable", EXPECTED)
def test_converges_at_its_order(solver, order, variable):
    check_order(solver, order, variable=variable)


def test_pndm_is_of_order_four_where_time_is_rho():
    """On equal steps in ρ the Runge-Kutta start and the weights are the classical ones."""
    edm = processes.EDM()
    found = slopes(solvers.pndm, process=edm, variable="time", start=0.04, stop=0.02)
    assert all(s > 3.6 for s in found), found


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize(
    "form, variable", [("data", "log-snr"), ("noise", "log-snr"), ("noise", "time"), ("noise", "rho")]
)
def test_multistep_keeps_its_order_after_a_fine_start(order, form, variable):
    """The first steps are of lower order; made small enough they do not hold the method back."""

    def gently(process, g):
        gap, t = g[0] - g[1], g[0]
        start, h = [t], gap ** (order / 2)
        while t - h > g[1]:  # gaps double from h to the full one: the error of step one is of size h²
            t, h = t - h, min(2 * h, gap)
            start.append(t)
        left = [v for v in g[1:] if v < start[-1] - h / 2]
        return solvers.exponential(process, [*start, *left], order=order, form=form, variable=variable)

    found = slopes(gently, variable="time", counts=(60, 120, 240))
    assert all(s > order - 0.6 for s in found), found


def test_the_order_test_can_fail():
    def broken(process, g):
        plan = solvers.dpm_multistep(process, g)
        last = plan.rows[-1]
        terms = tuple(t._replace(coefficient=t.coefficient * 1.001) for t in last.terms)
        return type(plan)(plan.process, plan.predicts, (*plan.rows[:-1], last._replace(terms=terms)))

    with pytest.raises(AssertionError):
        check_order(broken, 2)


@pytest.mark.parametrize(
    "name", [n for n in solvers.SOLVERS if not solvers.solver(n)(VP, grid("karras", 3)).stochastic]
)
@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_constant_answers_are_integrated_exactly(name, process):
    """A point mass has D constant, and any noise-form answer is then linear in the state: every
    solver in data form, and DDIM, must land on the point from any grid that ends at 0."""
    law = exact.Gaussian(torch.tensor([0.7]), 0.0)
    plan = solvers.solver(name)(process, grid("karras", 6))
    x = process.reference(torch.empty(5, 1, dtype=torch.float64), generator=Noise(0))
    end = run(plan, law.denoiser(process), x)
    torch.testing.assert_close(end, torch.full((5, 1), 0.7).double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", range(1, 51))
def test_every_number_of_steps_on_a_gaussian(steps):
    """No N has a dummy step, NaN or blow-up: the map of a Gaussian is a scaling, known at any N."""
    law = exact.Gaussian(torch.zeros(1), 0.25)
    x = torch.ones(1, 1, dtype=torch.float64)
    worst = {"VP": 0.0, "RectifiedFlow": 0.0, "EDM": 0.0, "SubVP": 0.0}
    for label in worst:
        process = ONE_SIDED[label]
        for name in solvers.for_process(process):
            plan = solvers.solver(name)(process, grid("karras", steps))
            assert math.isfinite(run(plan, law.denoiser(process), x, generator=Noise(0)).item()), name
            assert all(a > b for a, b in pairwise(plan.grid)), name


def test_special_cases_of_each_other():
    g = grid("karras", 8)
    close = 1e-12
    for process in (VP, processes.SubVP(), processes.EDM(), processes.BrownianBridge()):
        times = g if process.end == "noise" else tuple(0.99 * t for t in g.times(VP))
        ddim = solvers.ddim(process, times)
        for form in ("data", "noise"):
            assert solvers.exponential(process, times, order=1, form=form).difference(ddim) < 1e-10
        assert solvers.deis(process, times, order=1).difference(ddim) < 1e-10
        ancestral = solvers.ancestral(process, times)
        assert solvers.ddim(process, times, eta=1.0).difference(ancestral) < 1e-10
        one = solvers.exponential(process, times, order=1, strength=1.0)
        assert one.difference(ancestral) < close
    edm = processes.EDM()
    assert solvers.heun(edm, g).recast("noise").difference(solvers.rho_rk(edm, g).recast("noise")) < 1e-9
    flow = processes.RectifiedFlow()
    assert solvers.euler(flow, g).difference(solvers.ddim(flow, g)) < close


def test_ancestral_on_rectified_flow_is_its_stochastic_sampler():
    """x' = (R'σ'/R)(x/σ + ησ s + √ψ z) with σ² = τ² + (1-τ)², R = τ/σ, τ = 1 - t (Roy et al. 2026)."""
    flow = processes.RectifiedFlow()
    plan = solvers.ancestral(flow, (0.9, 0.6, 0.2))
    model, x = mixture().denoiser(flow), torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    y = x
    for i, (s, t) in enumerate(((0.9, 0.6), (0.6, 0.2))):
        a, b = 1 - s, 1 - t
        sigma, sigma1 = math.hypot(a, s), math.hypot(b, t)
        r, r1 = a / sigma, b / sigma1
        eta = 1 - r**2 / r1**2
        psi = (r**2 / r1**2) * (1 - r1**2) / (1 - r**2) * eta
        z = Noise(3).draw(x, i)
        y = (r1 * sigma1 / r) * (y / sigma + eta * sigma * model.score(y, s) + math.sqrt(psi) * z)
    torch.testing.assert_close(run(plan, model, x, generator=Noise(3)), y, rtol=1e-9, atol=1e-9)


STOCHASTIC = {
    "ancestral": solvers.ancestral,
    "ddim": lambda p, g: solvers.ddim(p, g, eta=0.5),
    "sde-2m": lambda p, g: solvers.dpm_multistep(p, g, stochastic=True),
    "exponential": lambda p, g: solvers.exponential(p, g, order=2, strength=0.5),
    "reverse-diffusion": solvers.reverse_diffusion,
    "euler-maruyama": solvers.euler_maruyama,
}


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize(
    "process", [VP, processes.SubVP(), processes.VE(0.01, 50.0)], ids=["VP", "SubVP", "VE"]
)
def test_stochastic_samplers_recover_the_law(name, process):
    """Mean and variance of Gaussian data follow by running the plan on scalars: no sampling noise."""
    law = exact.Gaussian(torch.tensor([0.5]), 0.3)
    plan = STOCHASTIC[name](process, grid("log-snr", 1500))
    mean, variance = gaussian_through(plan, law)
    assert mean == pytest.approx(0.5, abs=0.01)
    assert variance == pytest.approx(0.3, rel=0.02)


def gaussian_through(plan, law):
    """The exact law of the plan's output when the denoiser is affine: propagate (mean, factors)."""
    model, registers, width = law.denoiser(plan.process), {}, len(plan.spans) + 1
    basis = torch.eye(width, dtype=torch.float64) * plan.process.reference_std
    registers["x"] = (0.0, basis[0])
    for r, row in enumerate(plan.rows):
        m, f = 0.0, torch.zeros(width, dtype=torch.float64)
        for term in row.terms:
            if term.source == "ξ":
                f = f.clone()
                f[term.register + 1] += term.coefficient
                continue
            key = "x" if term.source == "x" else (term.source, term.register)
            m, f = m + term.coefficient * registers[key][0], f + term.coefficient * registers[key][1]
        registers["X", r] = (m, f)
        if row.call:
            zero = model.data(torch.zeros(1, 1, dtype=torch.float64), row.t).item()
            slope = model.data(torch.ones(1, 1, dtype=torch.float64), row.t).item() - zero
            registers["F", r] = (zero + slope * m, slope * f)
    return m, f.square().sum().item()


def test_every_strength_keeps_the_marginals_between_two_laws():
    process = processes.StochasticInterpolant("linear", "quadratic")
    here = exact.Gaussian(torch.tensor([1.0]), 0.3)
    there = exact.Gaussian(torch.tensor([-1.0]), 0.1)
    model, n = exact.MixtureInterpolant(here, there, process), 4000
    ends = {"end": there.sample(n, generator=seeded(0)), "generator": seeded(1)}
    x, _ = process.perturb(here.sample(n, generator=seeded(2)), 0.95, **ends)
    alpha, beta, gamma = process.schedule.values(0.05)
    mean, variance = alpha - beta, 0.3 * alpha**2 + 0.1 * beta**2 + gamma**2
    for strength in (0.0, 0.5, 1.0):
        times = [0.95 - 0.9 * i / 300 for i in range(301)]
        plan = solvers.euler_maruyama(process, times, strength=lambda t, w=strength: w)
        end = run(plan, model, x, generator=Noise(1))
        assert abs(end.mean().item() - mean) < 5 * (variance / n) ** 0.5 + 0.01
        assert abs(end.var().item() - variance) < 5 * variance * (2 / n) ** 0.5 + 0.01


@pytest.mark.parametrize("dim", [1, 24])
@pytest.mark.parametrize("step", ["norms", "annealed"])
def test_predictor_corrector_recovers_a_gaussian(dim, step):
    process = processes.VE(0.01, 20.0)
    law = exact.Gaussian(torch.full((dim,), 0.5), 0.3)
    sampler = PredictorCorrector(process, grid("log-snr", 300), snr=0.1, step=step)
    x = process.reference(torch.empty(3000, dim, dtype=torch.float64), generator=Noise(0))
    end = sampler(law.denoiser(process), x, generator=Noise(1))
    assert abs(end.mean().item() - 0.5) < 0.05
    assert abs(end.var(0).mean().item() - 0.3) < 0.03


def test_predictor_corrector_spends_the_calls_it_states():
    from test_plans import Counted

    for predictor in (solvers.reverse_diffusion, None):
        for corrections in (1, 2):
            model = Counted(mixture(), VP)
            sampler = PredictorCorrector(VP, grid("uniform", 5), predictor, corrections)
            sampler(model, torch.zeros(2, 3), generator=Noise(0))
            assert model.calls == sampler.calls
