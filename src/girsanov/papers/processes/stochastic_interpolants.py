"""Stochastic interpolants: a unifying framework for flows and diffusions (Albergo, Boffi & Vanden-Eijnden, 2023).

Idea (arXiv 2303.08797): x_t = I(t, x_0, x_1) + γ(t) z joins any two laws in finite time. One velocity b and
one score s give an ODE and, for any ε ≥ 0 chosen after training, an SDE with the same marginals.
Stand-in: the paper's own checkerboard and mixtures in the plane, with small networks, one for each of b and the
noise; not flowers and ImageNet. The bound on the Kullback-Leibler divergence is checked on the line, where the
law of the sampler is computed without sampling. What the latent γ does for images cannot be judged here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov import data
from girsanov.denoiser import AbstractDenoiser, Denoiser, Joined
from girsanov.exact import Gaussian, GaussianMixture, MixtureInterpolant, kullback_leibler, push_density
from girsanov.metrics import energy_distance
from girsanov.noise import Noise, uniform
from girsanov.objectives import denoiser_loss, velocity_loss
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas, plane
from girsanov.papers.plots import band
from girsanov.processes import Interpolant, StochasticInterpolant
from girsanov.solvers import euler, euler_maruyama, flow, grid, run
from girsanov.solvers.likelihood import exact_divergence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = (0.5, 1.0, 2.0)

TRAINED = 300
"""Training steps on the checkerboard: few, for the claim is about a bad velocity. After 2,000 the samples of the ODE
were as close to the data as the data are to each other."""

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

WHY_ROBUST = (
    "One network for both words had 0.0036 against 0.0032 for the ODE: its score was too poor. With two, on seed 0, the "
    "learned b and the exact s have 0.0007 at ε = 0.5, the exact b and the learned s 0.0003."
)

LINE = torch.linspace(-5, 5, 401, dtype=torch.float64)
"""The grid of the one-dimensional laws."""


@torch.no_grad()
def drawn(model: AbstractDenoiser, n: int, epsilon: float, seed: int, steps: int = 200) -> Tensor:
    """Samples by the ODE or an SDE, whose noise is left out of the first and last step: 1/γ is infinite there."""
    process: Interpolant = model.process
    x = Noise(seed).draw(torch.empty(n, 2), 0)
    times, first = grid("uniform", steps).times(process), 1 / steps
    if epsilon == 0:
        return run(euler(process, times), model, x)

    def strength(t: float) -> float:
        return math.sqrt(2 * epsilon) if first / 2 < t < 1 - first / 2 else 0.0

    return run(euler_maruyama(process, times, strength=strength), model, x, generator=Noise(seed).child(1))


def robustness(report: Report, seed: int, budget: Budget) -> Denoiser:
    """One model of the checkerboard, sampled with several strengths of noise."""
    n, steps = budget.pick(smoke=(200, 2), cpu=(5000, TRAINED))
    fresh, again, x = (
        data.toys.checkerboard(m, generator=Noise(seed).child(i))
        for i, m in enumerate((n, n, steps * plane.BATCH))
    )
    ends = x, Noise(seed).child(3).draw(x, 0)
    b, eta = (
        plane.model(StochasticInterpolant(), word, loss, ends, seed=seed)
        for word, loss in (("velocity", velocity_loss()), ("noise", denoiser_loss()))
    )
    model = Joined(b, eta)
    samples = {e: drawn(model, n, e, seed, budget.pick(smoke=10, cpu=200)) for e in (0.0, *STRENGTHS)}
    found = {e: float(energy_distance(y, fresh)) for e, y in samples.items()}
    report.add(ROBUST, seed, ours=min(found[e] for e in STRENGTHS), baseline=found[0.0])
    report.kept.setdefault("samples", (samples[0.0], samples[min(STRENGTHS, key=lambda e: found[e])]))
    report.kept.setdefault("energy", []).append(list(found.values()))
    if budget.judged and found[0.0] < 3 * abs(float(energy_distance(again, fresh))):
        report.leave(ROBUST, "The ODE is as close to the data as the data are to each other.")
    return b


def mixture(seed: int) -> GaussianMixture:
    """Six narrow components in the plane."""
    means = 1.5 * Noise(seed).child(4).draw(torch.empty(6, 2, dtype=torch.float64), 0)
    return GaussianMixture(means, 0.02)


def pairs(laws: tuple[GaussianMixture, GaussianMixture], n: int, source: Noise) -> tuple[Tensor, Tensor]:
    """Independent draws of two laws."""
    return laws[0].sample(n, generator=source.child(0)), laws[1].sample(n, generator=source.child(1))


def smoothing(report: Report, seed: int, budget: Budget) -> None:
    """From one mixture to another, with the latent noise and without."""
    laws = mixture(seed), mixture(seed + 1000)
    n, steps = budget.pick(smoke=(40, 2), cpu=(1000, 2000))
    source = Noise(seed).child(5)
    ends, fresh = (pairs(laws, m, source.child(i)) for i, m in enumerate((steps * plane.BATCH, 4 * n)))
    found = []
    for latent in ("brownian", "none"):
        process = StochasticInterpolant(latent=latent)
        model = plane.model(process, "velocity", velocity_loss(), ends, seed=seed)
        excess, near = loss_above(model, MixtureInterpolant(*laws, process), fresh, source.child(2))
        tolerance = budget.pick(smoke=1e-2, cpu=1e-4)
        found.append((excess, near, nll(model, fresh[0][:n].float(), laws[1], tolerance)))
    report.add(EXCESS, seed, ours=found[0][0], baseline=found[1][0])
    report.add(LIKELIHOOD, seed, ours=found[0][2], baseline=found[1][2])
    parts = report.kept.setdefault("parts", [])
    parts.append([found[0][1], found[1][1], found[0][0] - found[0][1], found[1][0] - found[1][1]])
    near, without, inner, plain = (sum(part) / len(parts) for part in zip(*parts, strict=True))
    report.note(
        EXCESS,
        f"Within 0.05 of the ends, where γ' is large, it is {near:.4f} against {without:.4f}; between, {inner:.4f} "
        f"against {plain:.4f}.",
    )


@torch.no_grad()
def loss_above(
    model: Denoiser, truth: MixtureInterpolant, ends: tuple[Tensor, Tensor], source: Noise
) -> tuple[float, float]:
    """½E|b̂ - b|² per coordinate, over uniform times, and the part of it at times within 0.05 of the ends."""
    t = 0.005 + 0.99 * source.draw(ends[0][:, :1], 0, uniform)[:, 0]
    x, _ = truth.process.perturb(ends[0], t, end=ends[1], generator=source.child(2))
    error = (model(x.float(), t.float())[0] - truth(x, t)[0]).square().mean(1) / 2
    return float(error.mean()), float((error * ((t - 0.5).abs() > 0.45)).mean())


def nll(model: Denoiser, x: Tensor, base: GaussianMixture, tolerance: float) -> float:
    """The negative log-density of the flow that starts at the base law, mean over x."""
    code = flow(model, x, model.process.t_min, 1.0, divergence=exact_divergence, tolerance=tolerance)
    assert code.divergence is not None
    return -float((base.log_prob(code.x) + code.divergence).mean())


def gradients(report: Report, seed: int, model: Denoiser, budget: Budget) -> None:
    """The variance of the gradient of L_b over repeats of one batch, t uniform in (0, 0.02)."""
    x = data.toys.checkerboard(128, generator=Noise(seed).child(8))

    def variance(antithetic: bool) -> float:
        size, found = (64 if antithetic else 128), []
        objective = velocity_loss(antithetic=antithetic, times=lambda u, process, std: 0.02 * u)
        for k in range(budget.pick(smoke=4, cpu=64)):
            source = Noise(seed).child(10 + k)
            end = source.child(1).draw(x[:size], 0)
            loss = objective(model, x[:size], end=end, generator=source).mean()
            grads = torch.autograd.grad(loss, [*model.parameters()])
            found.append(torch.cat([g.flatten() for g in grads]))
        return float(torch.stack(found).var(0).sum())

    report.add(PAIRS, seed, ours=variance(True), baseline=variance(False))


def bounds(report: Report, seed: int, trials: int, steps: int) -> None:
    """Laws on the line: the sampler's Markov chain is applied to densities on a grid."""
    source, process, epsilon = Noise(seed).child(99), StochasticInterpolant(), 1.0
    means = 1.5 * source.draw(torch.empty(3, 1, dtype=torch.float64), 0)
    law = GaussianMixture(means, torch.tensor([0.1, 0.2, 0.3]))
    model, dx = MixtureInterpolant(law, Gaussian(torch.zeros(1), 1.0), process), float(LINE[1] - LINE[0])
    # Δb and Δs of every trial are waves of random size, length and phase, large enough to be seen beside the
    # error of the time steps.
    wave = source.draw(torch.empty(trials, 6, 1, dtype=torch.float64), 1)
    size, length, phase = 0.5 + wave[:, ::3].abs(), wave[:, 1::3], wave[:, 2::3]
    db, ds = (size * torch.sin(length * LINE + phase)).unbind(1)
    times = [0.99 - 0.98 * i / steps for i in range(steps + 1)]
    h = times[0] - times[1]

    def density(t: float) -> Tensor:
        return model.marginal(t).log_prob(LINE[:, None]).exp()

    rho, bound = density(times[0]).repeat(trials, 1), torch.zeros(trials, dtype=torch.float64)
    for s in times[:-1]:
        b, eta = (y[:, 0] for y in model(LINE[:, None], s))
        bound += h * (density(s) * (db - epsilon * ds).square()).sum(1) * dx / (4 * epsilon)
        drift = -(b + db) + epsilon * (-eta / process.gamma(s) + ds)
        rho = torch.stack([push_density(r, LINE, LINE + h * d, 2 * epsilon * h) for r, d in zip(rho, drift)])
    divergence = kullback_leibler(density(times[-1]).expand_as(rho), rho, LINE)
    report.add(BOUNDED, seed, ours=float((divergence / bound).max()))
    report.kept.setdefault("bound", []).append((bound, divergence))


def run_paper(budget: Budget) -> Report:
    """Every claim on every seed."""
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        velocity = robustness(report, seed, budget)
        smoothing(report, seed, budget)
        gradients(report, seed, velocity, budget)
        bounds(report, seed, budget.pick(smoke=5, cpu=20), budget.pick(smoke=10, cpu=400))
    report.note(ROBUST, WHY_ROBUST)
    return report


def figure(report: Report) -> Figure:
    """Samples of the ODE and the best SDE, the distance against ε, and divergences against their bound."""
    drawing, (ode, sde, middle, right) = canvas(report, panels=4, height=2.6, equal=(0, 1))
    for ax, x, name in zip((ode, sde), report.kept["samples"], ("ODE", "best SDE"), strict=True):
        ax.hist2d(x[:, 0].numpy(), x[:, 1].numpy(), bins=70, range=[[-2.3, 2.3], [-2.3, 2.3]], cmap="Blues")
        ax.set(title=f"{name}, the same model")
    band(middle, (0.0, *STRENGTHS), report.kept["energy"], label="mean and range of seeds", color=PALETTE[0])
    middle.set(xlabel="ε", title="energy distance to the data", ylim=(0, None))
    middle.legend(fontsize=8, frameon=False)
    for k, (bound, divergence) in enumerate(report.kept["bound"]):
        right.loglog(bound, divergence.clamp(min=1e-6), ".", color=PALETTE[k])
    bounds = torch.cat([b for b, _ in report.kept["bound"]])
    ends = [float(bounds.min()), float(bounds.max())]
    right.loglog(ends, ends, color=PALETTE[4], label="equal")
    right.set(xlabel="bound", title="divergence of perturbed SDEs")
    right.legend(fontsize=8, frameon=False)
    for ax in (ode, sde, middle, right):
        ax.title.set_fontsize(9.5)
    return drawing


PAPER = Paper(
    slug="stochastic-interpolants",
    title="Stochastic interpolants (Albergo, Boffi & Vanden-Eijnden, 2023)",
    claims=(ROBUST, EXCESS, LIKELIHOOD, PAIRS, BOUNDED),
    run=run_paper,
    figure=figure,
)
