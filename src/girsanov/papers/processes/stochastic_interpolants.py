"""Stochastic interpolants: a unifying framework for flows and diffusions (Albergo, Boffi & Vanden-Eijnden, 2023).

Idea (arXiv 2303.08797): x_t = I(t, x_0, x_1) + γ(t) z joins any two laws in finite time. One velocity b and
one score s give an ODE and, for any ε ≥ 0 chosen after training, an SDE with the same marginals.
Stand-in: a checkerboard and mixtures in the plane with small networks, for flowers and ImageNet; the bound on
the Kullback-Leibler divergence on the line, where the law of the sampler is computed without sampling.
What the latent γ does for images cannot be judged here.
Run time at the budget `cpu`: about two minutes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov import data, networks
from girsanov.denoiser import Denoiser
from girsanov.exact import Gaussian, GaussianMixture, MixtureInterpolant
from girsanov.metrics import energy_distance
from girsanov.noise import Noise, uniform
from girsanov.objectives import Objective, interpolant_loss, velocity_loss
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.processes import Interpolant, StochasticInterpolant
from girsanov.solvers import euler, euler_maruyama, flow, grid, run
from girsanov.solvers.likelihood import exact_divergence
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = (0.5, 1.0, 2.0)

ROBUST = Claim(
    name="noise makes it robust",
    says="With learned b and s, the best of three SDEs is closer to the checkerboard than the ODE, at 200 steps.",
    source="section 2.4 and section 7",
    unit="energy distance, best of ε = 0.5, 1, 2",
    bar=Bar("<=", times=0.9),
    over="most",
    against="the ODE, ε = 0",
)
EXCESS = Claim(
    name="smoothing, loss",
    says="With γ = √(t(1-t)) the velocity is learned at least as well as with γ = 0.",
    source="section 3.1",
    unit="loss above its least value, ½E|b̂ - b|²",
    bar=Bar("<=", times=1.0),
    over="most",
    against="γ = 0",
)
LIKELIHOOD = Claim(
    name="smoothing, likelihood",
    says="With γ = √(t(1-t)) the flow gives fresh data a higher likelihood than with γ = 0.",
    source="section 3.1",
    unit="negative log-likelihood, nats",
    bar=Bar("<=", times=1.0),
    over="most",
    against="γ = 0",
)
PAIRS = Claim(
    name="antithetic pairs",
    says="Pairs of ±z cut the variance of the gradient of L_b near the end, at equal network calls.",
    source="section 6.1, remark on antithetic sampling",
    unit="total variance of the gradient, t below 0.02",
    bar=Bar("<=", times=0.1),
    against="independent draws",
)
BOUNDED = Claim(
    name="bound",
    says="The divergence of a perturbed SDE stays below (1/4ε) ∫ E|Δb - εΔs|² dt in all 20 trials.",
    source="theorem 2.23",
    unit="largest ratio of divergence and bound",
    bar=Bar("<=", plus=1.0),
)

WHY_ROBUST = "Not explained further: one network learns b and s in 300 steps, and the error of s may cost what the noise repairs."
WHY_EXCESS = "Likely because the base is Gaussian: the path is smooth without γ, which adds the variance of γ'z to the target."
WHY_LIKELIHOOD = "The difference is below one percent: little was left to smooth."

LINE = torch.linspace(-5, 5, 401, dtype=torch.float64)
"""The grid of the one-dimensional laws."""


def train(
    process: Interpolant, objective: Objective, x: Tensor, *, words: tuple[str, ...], seed: int, steps: int
) -> Denoiser:
    """A small network between x and the standard normal law."""
    end = Noise(seed).child(9).draw(x, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = networks.MLP(2, hidden=64, depth=2, outputs=2 * len(words))
    model = Denoiser(net, process, predicts=words, data_std=None, shape=(2,))
    settings = Training(batch_size=256, lr=2e-3, ema=0.99, validation=0, seed=seed, progress=False)
    fit(model, objective, x, end=end, steps=steps, config=settings)
    return model.eval()


@torch.no_grad()
def drawn(model: Denoiser, n: int, epsilon: float, seed: int, steps: int = 200) -> Tensor:
    """Samples by the ODE or an SDE, whose noise is left out of the first and last step: 1/γ is infinite there."""
    x = Noise(seed).draw(torch.empty(n, 2), 0)
    times, first = grid("uniform", steps).times(model.process), 1 / steps  # type: ignore[arg-type]
    if epsilon == 0:
        return run(euler(model.process, times), model, x)  # type: ignore[arg-type]

    def strength(t: float) -> float:
        return math.sqrt(2 * epsilon) if first / 2 < t < 1 - first / 2 else 0.0

    plan = euler_maruyama(model.process, times, strength=strength)  # type: ignore[arg-type]
    return run(plan, model, x, generator=Noise(seed).child(1))


def robustness(report: Report, seed: int, budget: Budget) -> Denoiser:
    """One model of the checkerboard, sampled with several strengths of noise.

    It is trained briefly, for the claim is about a bad velocity: after 2,000 steps the ODE's samples were as
    close to the data as the data are to each other, and nothing could be told.
    """
    n = budget.pick(smoke=200, cpu=5000)
    x, fresh = (data.toys.checkerboard(m, generator=Noise(seed).child(i)) for i, m in ((2, 4 * n), (3, n)))
    words, steps = ("velocity", "noise"), budget.pick(smoke=2, cpu=300)
    model = train(StochasticInterpolant(), interpolant_loss(), x, words=words, seed=seed, steps=steps)
    samples = {e: drawn(model, n, e, seed, budget.pick(smoke=10, cpu=200)) for e in (0.0, *STRENGTHS)}
    found = {e: float(energy_distance(y, fresh)) for e, y in samples.items()}
    report.add(ROBUST, seed, ours=min(found[e] for e in STRENGTHS), baseline=found[0.0])
    report.kept.setdefault("samples", (samples[0.0], samples[min(STRENGTHS, key=lambda e: found[e])]))
    report.kept.setdefault("energy", []).append(found)
    again = data.toys.checkerboard(n, generator=Noise(seed).child(20))
    if budget.judged and found[0.0] < 3 * abs(float(energy_distance(again, fresh))):
        report.leave(ROBUST, "The ODE is as close to the data as the data are to each other.")
    return model


def mixture(seed: int) -> GaussianMixture:
    """Six narrow components in the plane."""
    means = 1.5 * Noise(seed).child(4).draw(torch.empty(6, 2, dtype=torch.float64), 0)
    return GaussianMixture(means, 0.02)


def smoothing(report: Report, seed: int, budget: Budget) -> None:
    """The same network and data, with the latent noise and without."""
    law, normal = mixture(seed), Gaussian(torch.zeros(2), 1.0)
    n, steps = budget.pick(smoke=40, cpu=1000), budget.pick(smoke=2, cpu=2000)
    x, fresh = (law.sample(m, generator=Noise(seed).child(i)) for i, m in ((5, 20 * n), (6, n)))
    found = []
    for latent in ("brownian", "none"):
        process = StochasticInterpolant(latent=latent)
        model = train(process, velocity_loss(), x.float(), words=("velocity",), seed=seed, steps=steps)
        excess = loss_above(model, MixtureInterpolant(law, normal, process), seed, 4 * n)
        found.append((excess, nll(model, fresh.float(), budget.pick(smoke=1e-2, cpu=1e-4))))
    report.add(EXCESS, seed, ours=found[0][0], baseline=found[1][0])
    report.add(LIKELIHOOD, seed, ours=found[0][1], baseline=found[1][1])


@torch.no_grad()
def loss_above(model: Denoiser, truth: MixtureInterpolant, seed: int, n: int) -> float:
    """½E|b̂ - b|² per coordinate, over uniform times."""
    source = Noise(seed).child(7)
    ends = (truth.law.sample(n, generator=source.child(0)), truth.other.sample(n, generator=source.child(1)))
    t = 0.005 + 0.99 * source.draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0]
    x, _ = truth.process.perturb(ends[0], t, end=ends[1], generator=source.child(2))
    exact = truth(x, t)[0]
    return float((model(x.float(), t.float())[0] - exact).square().mean() / 2)


def nll(model: Denoiser, x: Tensor, tolerance: float) -> float:
    """The negative log-density of the flow that starts at the standard normal law, mean over x."""
    code = flow(model, x, model.process.t_min, 1.0, divergence=exact_divergence, tolerance=tolerance)
    assert code.divergence is not None
    prior = -code.x.square().sum(1) / 2 - math.log(2 * math.pi)
    return -float((prior + code.divergence).mean())


def gradients(report: Report, seed: int, model: Denoiser, budget: Budget) -> None:
    """The variance of the gradient over repeats of one batch, t uniform in (0, 0.02)."""
    repeats, batch = budget.pick(smoke=4, cpu=64), 64
    b = Denoiser(model.network, model.process, predicts=("velocity", "noise"), data_std=None)
    x = data.toys.checkerboard(2 * batch, generator=Noise(seed).child(8))

    def variance(antithetic: bool) -> float:
        size, found = (batch if antithetic else 2 * batch), []
        for k in range(repeats):
            source = Noise(seed).child(10 + k)
            z, end = source.child(0).draw(x[:size], 0), source.child(1).draw(x[:size], 0)
            t = 0.02 * source.child(2).draw(x[:size, :1], 0, uniform).clamp(min=1e-6)
            loss = sum(l_b(b, x[:size], end, sign * z, t) for sign in ((1, -1) if antithetic else (1,)))
            grads = torch.autograd.grad(loss / (2 if antithetic else 1), [*b.network.parameters()])  # type: ignore[arg-type]
            found.append(torch.cat([g.flatten() for g in grads]))
        return float(torch.stack(found).var(0).sum())

    report.add(PAIRS, seed, ours=variance(True), baseline=variance(False))


def l_b(model: Denoiser, x0: Tensor, x1: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """L_b = E[½|b|² - (α'x_0 + β'x_1 + γ'z)·b] on one batch; t is (B, 1)."""
    process = model.process
    (a, b, c), (da, db, dc) = process.schedule.values(t), process.rates(t)  # type: ignore[attr-defined]
    velocity = model(a * x0 + b * x1 + c * z, t[:, 0])[0]
    return (velocity * (velocity / 2 - (da * x0 + db * x1 + dc * z))).mean()


def bounds(report: Report, seed: int, trials: int, steps: int) -> None:
    """Laws on the line: the sampler's Markov chain is applied to densities on a grid."""
    source, process, epsilon = Noise(seed).child(99), StochasticInterpolant(), 1.0
    means = 1.5 * source.draw(torch.empty(3, 1, dtype=torch.float64), 0)
    law, normal = GaussianMixture(means, torch.tensor([0.1, 0.2, 0.3])), Gaussian(torch.zeros(1), 1.0)
    model, dx = MixtureInterpolant(law, normal, process), float(LINE[1] - LINE[0])
    wave = source.draw(torch.empty(trials, 6, dtype=torch.float64), 1)
    wave[:, ::3] = 0.5 + wave[:, ::3].abs()  # large enough to be seen beside the error of the time steps
    times = [0.99 - 0.98 * i / steps for i in range(steps + 1)]
    h, x = times[0] - times[1], LINE[:, None]
    rho = density(law, normal, process, times[0]).repeat(trials, 1)
    bound = torch.zeros(trials, dtype=torch.float64)
    for s in times[:-1]:
        b, eta = (y[:, 0] for y in model(x, s))
        # Δb and Δs of every trial: waves of random size, length and phase.
        db, ds = (
            wave[:, i, None] * torch.sin(wave[:, i + 1, None] * LINE + wave[:, i + 2, None]) for i in (0, 3)
        )
        bound += (
            h * (density(law, normal, process, s) * (db - epsilon * ds).square()).sum(1) * dx / (4 * epsilon)
        )
        drift = -(b + db) + epsilon * (-eta / process.gamma(s) + ds)
        rho = torch.stack([step(r, LINE + h * d, 2 * epsilon * h) for r, d in zip(rho, drift, strict=True)])
    truth = density(law, normal, process, times[-1])
    divergence = (truth * (truth.clamp(min=1e-300) / rho.clamp(min=1e-300)).log()).sum(1) * dx
    report.add(BOUNDED, seed, ours=float((divergence / bound).max()))
    report.kept.setdefault("bound", []).append((bound, divergence))


def step(rho: Tensor, mean: Tensor, variance: float) -> Tensor:
    """The density after x → mean(x) + N(0, variance), on the grid."""
    kernel = (-(LINE[:, None] - mean).square() / (2 * variance)).exp()
    return (kernel / (kernel.sum(0) + 1e-300)) @ rho


def density(law: GaussianMixture, other: GaussianMixture, process: Interpolant, t: float) -> Tensor:
    """The law of x_t on the grid, (1, G)."""
    alpha, beta, gamma = process.schedule.values(t)
    variances = alpha**2 * law.variances[:, 0] + beta**2 * other.variances[0, 0] + gamma**2
    mixed = GaussianMixture(alpha * law.means, variances, law.weights)
    return mixed.log_prob(LINE[:, None]).exp()[None]


def run_paper(budget: Budget) -> Report:
    """Every claim on every seed."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        model = robustness(report, seed, budget)
        smoothing(report, seed, budget)
        gradients(report, seed, model, budget)
        bounds(report, seed, 20, budget.pick(smoke=10, cpu=400))
    report.note(ROBUST, WHY_ROBUST)
    report.note(EXCESS, WHY_EXCESS)
    report.note(LIKELIHOOD, WHY_LIKELIHOOD)
    return report


def figure(report: Report) -> Figure:
    """Samples of the ODE and the best SDE, the distance against ε, and divergences against their bound."""
    drawing, (ode, sde, middle, right) = canvas(report, panels=4, equal=(0, 1))
    for ax, x, name in zip((ode, sde), report.kept["samples"], ("ODE", "best SDE"), strict=True):
        ax.hist2d(x[:, 0].numpy(), x[:, 1].numpy(), bins=70, range=[[-2.3, 2.3], [-2.3, 2.3]], cmap="Blues")
        ax.set(title=f"{name}, the same model")
    for k, found in enumerate(report.kept["energy"]):
        middle.plot(list(found), list(found.values()), "o-", color=PALETTE[k], label=f"seed {k}")
    middle.set(xlabel="ε", title="energy distance to the data", ylim=(0, None))
    middle.legend(fontsize=8, frameon=False)
    for k, (bound, divergence) in enumerate(report.kept["bound"]):
        right.loglog(bound, divergence.clamp(min=1e-6), ".", color=PALETTE[k])
    ends = [
        min(float(b.min()) for b, _ in report.kept["bound"]),
        max(float(b.max()) for b, _ in report.kept["bound"]),
    ]
    right.loglog(ends, ends, color=PALETTE[4], label="equal")
    right.set(xlabel="bound", title="divergence of perturbed SDEs")
    right.legend(fontsize=8, frameon=False)
    return drawing


PAPER = Paper(
    slug="stochastic-interpolants",
    title="Stochastic interpolants (Albergo, Boffi & Vanden-Eijnden, 2023)",
    claims=(ROBUST, EXCESS, LIKELIHOOD, PAIRS, BOUNDED),
    run=run_paper,
    figure=figure,
)
