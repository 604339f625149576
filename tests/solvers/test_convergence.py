"""Every solver against the exact solution of the flow, and every law against its closed form."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from oracles import ONE_SIDED, mixture, seeded
from plan_tools import gaussian_through
from stand_ins import Stored

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
    *((partial(solvers.dpm_singlestep, order=3, form=form), 3, "log-snr") for form in ("data", "noise")),
    (partial(solvers.dpm_ancestral, eta=0.0), 2, "log-snr"),
    (partial(solvers.sa_solver, order=1, corrector=2, strength=0.0), 2, "log-snr"),
    (solvers.adams_bashforth, 2, "time"),
    *((partial(solvers.pndm, begin=begin), 2, "log-snr") for begin in ("runge-kutta", "improved-euler")),
    (solvers.ghvb, 2, "log-snr"),
    *((partial(solvers.heavy_ball, form=form), 1, "log-snr") for form in ("data", "noise")),
    (partial(solvers.unipc, predictor=1, lower_order_final=False), 2, "log-snr"),
]


@pytest.mark.parametrize("solver, order, variable", EXPECTED)
def test_converges_at_its_order(solver, order, variable):
    check_order(solver, order, variable=variable)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("form", ["data", "noise"])
def test_unipc_is_of_order_three(order, form):
    """With more steps than above: its error is small, and longer in becoming a power."""
    make = partial(solvers.unipc, order=order, form=form, lower_order_final=False)
    check_order(make, 3, counts=(80, 160, 320))


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
        g = solvers.fine_start(g, order)
        return solvers.exponential(process, g, order=order, form=form, variable=variable)

    found = slopes(gently, variable="time", counts=(60, 120, 240))
    assert all(s > order - 0.6 for s in found), found


def test_a_fine_start_ends_on_the_grid():
    times = tuple(0.7 - 0.01 * i for i in range(20))
    found = solvers.fine_start(times, 4)
    assert found[0] == times[0] and found[-1] == times[-1] and found[-10:] == times[-10:]
    assert all(a > b for a, b in pairwise(found))
    assert found[0] - found[1] == pytest.approx(0.01**2)


def test_sa_solver_without_noise_is_of_order_three():
    """From a shorter interval: on the longer one its error changes sign."""
    make = partial(solvers.sa_solver, strength=0.0)
    assert make(VP, (0.6, 0.5, 0.35)).order == 3
    check_order(make, 3, start=0.6, stop=0.35)


def test_the_third_order_multistep_of_dpm_solver_is_of_order_two():
    """After a start of tiny steps, where `exponential` shows order 3; see docs/solvers.md."""

    def gently(make):
        def solver(process, g):
            return make(process, solvers.fine_start(g, 3))

        return slopes(solver, variable="time", counts=(60, 120, 240))

    third = gently(partial(solvers.dpm_multistep, order=3, lower_order_final=False))
    assert all(1.6 < s < 2.2 for s in third), third
    assert all(s > 2.7 for s in gently(solvers.exponential))


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


def test_special_cases_of_the_newer_ones():
    for process in (VP, processes.SubVP(), processes.EDM(), processes.BrownianBridge()):
        g = tuple(0.99 * t for t in grid("karras", 8).times(VP))
        rk = solvers.rho_rk(process, g)
        assert solvers.edm_churn(process, g, churn=0.0).difference(rk) == 0
        assert solvers.restart(process, g, intervals=()).difference(rk) == 0
        once = solvers.dpm_singlestep(process, g)
        assert solvers.dpm_ancestral(process, g, eta=0.0).difference(once) < 1e-10
        smooth = solvers.sa_solver(process, g, order=3, corrector=0, strength=0.0)
        assert smooth.difference(solvers.exponential(process, g, order=3)) < 1e-10
        noisy = solvers.sa_solver(process, g, order=1, corrector=0)
        assert noisy.difference(solvers.ancestral(process, g)) < 1e-10
        predicted = [row for row in solvers.unipc(process, g, lower_order_final=False).rows if row.call]
        for ours, base in zip(predicted, solvers.dpm_multistep(process, g, lower_order_final=False).rows):
            assert sorted(t.coefficient for t in ours.terms) == pytest.approx(
                sorted(t.coefficient for t in base.terms), rel=1e-9
            )


def test_churn_adds_the_noise_of_the_paper():
    """On EDM: σ̂ = (1 + γ)σ, x̂ = x + S_noise √(σ̂² - σ²) ξ, with γ = min(S_churn/N, √2 - 1)."""
    edm, sigmas = processes.EDM(), (60.0, 30.0, 10.0, 1.0, 0.1, 0.01)
    times = [s / 80 for s in sigmas]
    for churn, gamma in ((0.5, 0.1), (40.0, math.sqrt(2) - 1)):
        plan = solvers.edm_churn(edm, times, churn=churn, inflation=1.003)
        raised = [row for row in plan.rows if any(t.source == "ξ" for t in row.terms)]
        for row, sigma in zip(raised, (30.0, 10.0, 1.0, 0.1), strict=True):
            assert 80 * row.t == pytest.approx((1 + gamma) * sigma, rel=1e-3)
            added = {t.source: t.coefficient for t in row.terms}
            assert added["X"] == pytest.approx(1) and row.call and row.node == -1
            assert added["ξ"] == pytest.approx(1.003 * sigma * math.sqrt((1 + gamma) ** 2 - 1), rel=1e-3)


def test_restart_goes_up_as_often_as_it_is_told():
    edm = processes.EDM()
    plan = solvers.restart(edm, grid("karras", 18), intervals=[solvers.Interval(0.06, 0.3, 3, 4)])
    ups = [(a, b) for a, b in pairwise(plan.grid) if b > a]
    assert len(ups) == 3 and plan.calls == 2 * 18 - 1 + 3 * 4 * 2
    assert all(80 * b == pytest.approx(0.3, rel=1e-3) for _, b in ups)
    assert len({a for a, _ in ups}) == 1 and ups[0][0] in grid("karras", 18).times(edm)


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
    "exponential-3": lambda p, g: solvers.exponential(p, g, order=3, strength=1.0),
    "exponential-noise": lambda p, g: solvers.exponential(p, g, order=2, form="noise", strength=0.5),
    "exponential-noise-3": lambda p, g: solvers.exponential(p, g, order=3, form="noise", strength=1.0),
    "reverse-diffusion": solvers.reverse_diffusion,
    "euler-maruyama": solvers.euler_maruyama,
}


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize(
    "process", [VP, processes.SubVP(), processes.VE(0.01, 50.0)], ids=["VP", "SubVP", "VE"]
)
def test_stochastic_samplers_recover_the_law(name, process):
    """Mean and variance of Gaussian data follow by running the plan on scalars: no sampling noise."""
    plan = STOCHASTIC[name](process, grid("log-snr", 1500))
    mean, variance = gaussian_through(plan, 0.5, 0.3)
    assert mean == pytest.approx(0.5, abs=0.01)
    assert variance == pytest.approx(0.3, rel=0.02)


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


@pytest.mark.parametrize("step", ["norms", "annealed"])
def test_predictor_corrector_recovers_the_posterior_given_an_anchor(step):
    """Jointly Gaussian (x_0, x_1), from the exact law at t = 1 given x_1: correlation 0.8, unit variances."""
    process, n, known = processes.OUVE(1.5, 0.05, 0.5), 20_000, 1.2
    joint = exact.GaussianMixture(
        torch.zeros(1, 2, 1), torch.tensor([[[1.0, 0.8], [0.8, 1.0]]], dtype=torch.float64)
    )
    anchor = torch.full((n, 1), known, dtype=torch.float64)
    x0 = 0.8 * known + 0.6 * Noise(0).draw(anchor, 0)
    x, _ = process.perturb(x0, 1.0, end=anchor, generator=Noise(1))
    sampler = PredictorCorrector(process, grid("uniform", 200), snr=0.2, step=step)
    end = sampler(exact.PairedDenoiser(joint, process), x, anchor=anchor, generator=Noise(2))
    assert end.mean().item() == pytest.approx(0.8 * known, abs=5 * 0.6 / n**0.5 + 0.005)
    assert end.std().item() == pytest.approx(0.6, rel=0.02)


def test_predictor_corrector_spends_the_calls_it_states():
    from test_plans import Counted

    for predictor in (solvers.reverse_diffusion, None):
        for corrections in (1, 2):
            model = Counted(mixture(), VP)
            sampler = PredictorCorrector(VP, grid("uniform", 5), predictor, corrections)
            sampler(model, torch.zeros(2, 3), generator=Noise(0))
            assert model.calls == sampler.calls


def test_predictor_corrector_serves_models_that_store_other_words():
    sampler = PredictorCorrector(VP, grid("uniform", 5))
    x, model = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64), mixture().denoiser(VP)
    whole = sampler(model, x, generator=Noise(0))
    for word in ("noise", "data", "velocity", "noise"):
        torch.testing.assert_close(sampler(Stored(model, word), x, generator=Noise(0)), whole)
