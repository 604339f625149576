"""How the law and the reverse of a kind of process are known, for the list in `battery`.

A kind is three functions of a process: `law` asserts its law at five times, `reverse` that it takes the law at t = 1
back to the data by exact answers, and `learn` gives a network, data and an x_1 to train on. Processes on physical time
have no data to go back to, and their simulators no network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from interval import POINTS as INTERVAL_POINTS
from interval import Exact, draw
from scipy import stats

from girsanov import exact, networks, sample, simulate, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.noise import Noise, Stable, StudentT
from girsanov.processes import Reversible, se3_exp, se3_log
from girsanov.processes.lie import rigid, rigid_inverse

ALPHA = 1e-5
"""False-alarm rate of a test of a law."""
N = 20_000
TIMES = (0.05, 0.25, 0.5, 0.75, 0.95)
CLOCK = torch.tensor([0.0, *TIMES]).double()
X0, X1 = 1.5, -0.5
LAW = exact.GaussianMixture(
    torch.tensor([[-1.2], [0.3], [1.4]]), torch.tensor([0.05, 0.02, 0.1]), [0.5, 0.2, 0.3]
)
FAR = exact.GaussianMixture(torch.tensor([[-0.5], [1.0]]), torch.tensor([0.3, 0.1]), [0.4, 0.6])
LETTERS = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(4)).double()
SEQUENCES = exact.SequenceTable((2 * LETTERS).exp() / (2 * LETTERS).exp().sum())
Learning = Callable[[Any], tuple[torch.nn.Module, torch.Tensor, torch.Tensor | None]]


class Kind(NamedTuple):
    """How to know a process; see the head of the module."""

    law: Callable[[Any], None]
    reverse: Callable[[Any], None] | None
    learn: Learning | None


def has_law(draws: torch.Tensor, law: Any) -> None:
    """Draws against a distribution function, by Kolmogorov and Smirnov, or against other draws."""
    values = draws.flatten().double().numpy()
    if isinstance(law, torch.Tensor):  # of chains and counts too, whose ties make the test milder
        test = stats.ks_2samp(values, law.flatten().double().numpy(), method="asymp")
    else:
        test = stats.kstest(values, law)
    assert test.pvalue > ALPHA


def has_noise(z: torch.Tensor, law: Any) -> None:
    """Draws of the standard law of a process; the stable one is known by its characteristic function."""
    if isinstance(law, Stable):
        for size in (0.5, 1.0, 2.0):
            wave = (size * z).cos()
            assert abs(wave.mean() - math.exp(-(size**law.index))) < 5 * wave.std() / math.sqrt(len(z))
    elif isinstance(law, StudentT):
        has_law(z, stats.t(law.df).cdf)
    else:
        has_law(z, "norm")
        assert abs(z.mean()) < 5 / math.sqrt(len(z))
        assert abs(z.std() - 1) < 5 / math.sqrt(2 * len(z))


def mixture_cdf(law: exact.GaussianMixture) -> Callable[[np.ndarray], np.ndarray]:
    parts = [
        (w, stats.norm(float(m), math.sqrt(float(c))))
        for w, m, c in zip(law.weights.tolist(), law.means, law.covariances, strict=True)
    ]
    return lambda x: sum(w * part.cdf(x) for w, part in parts)


# --- interpolants: x_t = α x_0 + β x_1 + γ z in their chart


def _ends(process: Any, n: int = N) -> tuple[torch.Tensor, torch.Tensor | None]:
    x0 = process.out_of(torch.full((n, 1), X0).double())
    return x0, None if process.end == "noise" else torch.full((n, 1), X1).double()


def drawn_law(process: Any) -> None:
    """`perturb` at five times."""
    x0, end = _ends(process)
    for i, t in enumerate(TIMES):
        x, z = process.perturb(x0, t, end=end, generator=Noise(i))
        alpha, beta, gamma = process.values(t)
        moved = 0.0 if end is None else beta * X1
        torch.testing.assert_close(x, alpha * process.into(x0) + moved + gamma * z)
        has_noise(z, process.law)


def driven_law(process: Any) -> None:
    """`perturb`, and paths at five times, with the law of a step between two of them."""
    drawn_law(process)
    x0, end = _ends(process)
    paths = process.into(simulate(process, x0, CLOCK, end=end, seed=3))
    start = process.into(x0)
    for i, t in enumerate(TIMES, 1):
        alpha, beta, gamma = process.values(t)
        has_noise((paths[:, i] - alpha * start - (0 if end is None else beta * X1)) / gamma, process.law)
    step = process.transition(TIMES[1], TIMES[3])
    has_noise((paths[:, 4] - step.state * paths[:, 2] - step.anchor * X1) / step.std, process.law)


def fractional_law(process: Any) -> None:
    """`perturb`, and paths of X itself, whose variance is that of (X, Y) together."""
    drawn_law(process)
    x0, _ = _ends(process)
    paths = simulate(process, x0, CLOCK, seed=0)
    for i, t in enumerate(TIMES, 1):
        std = math.sqrt(process.schedule.covariance(t)[0, 0])
        has_law((paths[:, i] - process.alpha(t) * X0) / std, "norm")


def reversed_to(
    model: AbstractDenoiser, plan: Any, n: int = 5000, end: torch.Tensor | None = None
) -> torch.Tensor:
    """The law at t = 1 of data from LAW, taken back by a plan, in the chart of the process."""
    process, x0 = model.process, LAW.sample(n, generator=Noise(0))
    start, _ = process.perturb(process.out_of(x0), 1.0, end=end, generator=Noise(1))
    return plan(model, start, anchor=end, generator=Noise(2))


def one_sided_reverse(process: Any) -> None:
    found = reversed_to(LAW.denoiser(process), solvers.recommended(process, 40))
    has_law(found, mixture_cdf(LAW))


def fractional_reverse(process: Any) -> None:
    """As an interpolant; `augmented` reverses X with its memories (test_remembering)."""
    one_sided_reverse(process)


def anchored_reverse(process: Any) -> None:
    """The data do not depend on the anchor here, so the exact denoiser is that of their law."""
    steps = 300
    grid = solvers.grid("uniform", min(steps, round(1 / process.t_min)))
    end = torch.full((5000, 1), X1).double()
    has_law(reversed_to(LAW.denoiser(process), solvers.ancestral(process, grid), end=end), mixture_cdf(LAW))


def two_sided_law(process: Any) -> None:
    if process.noiseless:
        x0, end = _ends(process, 5)
        for t in TIMES:
            alpha, beta, _ = process.values(t)
            x, _ = process.perturb(x0, t, end=end, generator=Noise(0))
            torch.testing.assert_close(x, alpha * x0 + beta * end)
    else:
        drawn_law(process)


def two_sided_reverse(process: Any) -> None:
    """The flow from the second law to the first."""
    model = exact.MixtureInterpolant(LAW, FAR, process)
    times = [0.5 + 0.4999 * math.cos(math.pi * i / 100) for i in range(101)]
    plan = solvers.heun(process, times).recast(model.stored)
    has_law(plan(model, FAR.sample(5000, generator=Noise(0))), mixture_cdf(LAW))


class StableData(AbstractDenoiser):
    """Data stable of scale 1, where α^p + γ^p = 1: x_t has scale 1 and E[z | x_t] = γ^{p-1} x_t."""

    stored = ("noise",)

    def __init__(self, process: Any) -> None:
        super().__init__()
        self.process, self.shape = process, (1,)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (x * self.process.gamma(t) ** (self.process.law.index - 1),)


def stable_reverse(process: Any) -> None:
    """By the flow and by jumps, from t = 0.99 to 0.01."""
    model, start = StableData(process), Noise(0).draw(torch.empty(5000, 1).double(), 0, process.law)
    times = [0.99 - 0.98 * i / 100 for i in range(101)]
    for make in (solvers.heun, solvers.levy):
        has_noise(make(process, times).recast("noise")(model, start, generator=Noise(1)), process.law)


def points_reverse(process: Any) -> None:
    """Three points with their weights, under the noise of the process."""
    points, weights = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]]), [0.5, 0.3, 0.2]
    model = exact.Points(points, weights).denoiser(process)
    found = sample(model, 4000, plan=solvers.heun(process, solvers.grid("karras", 40)), seed=0)
    nearest = torch.cdist(found.double(), points.double()).min(1)
    assert nearest.values.max() < 0.05
    assert (
        stats.chisquare(torch.bincount(nearest.indices, minlength=3), 4000 * np.array(weights)).pvalue > ALPHA
    )


def vectors(process: Any):
    x = LAW.sample(64, generator=Noise(0)).float().repeat(1, 2)
    x = process.out_of(x)
    if process.end == "noise":
        return networks.MLP(2, hidden=16), x, None
    wide = 4 if process.end == "anchor" else 2
    return (
        networks.MLP(wide, hidden=16, outputs=2),
        x,
        FAR.sample(64, generator=Noise(1)).float().repeat(1, 2),
    )


# --- processes of other kinds


def closed_law(process: Any) -> None:
    """`log_density` is a density, and that of `perturb` and of paths in one and in twenty steps."""
    y = torch.linspace(-math.pi, math.pi, 4001).double()[:, None]
    x0 = torch.full((N, 1), X0).double()
    fine = torch.linspace(0, 1, 21).double()
    paths, many = simulate(process, x0, CLOCK, seed=3), simulate(process, x0, fine, seed=4)
    for i, t in enumerate(TIMES):
        density = process.log_density(y, torch.full_like(y, X0), t).exp()
        mass = torch.cat([torch.zeros(1).double(), torch.cumulative_trapezoid(density, y[:, 0])])
        assert abs(float(mass[-1]) - 1) < 1e-6
        for x in (process.perturb(x0, t, generator=Noise(i))[0], paths[:, i + 1], many[:, round(20 * t)]):
            has_law(x, lambda v, mass=mass: np.interp(v, y[:, 0].numpy(), mass.numpy()))


class ClosedPoints(AbstractDenoiser):
    """The exact answer of a `Reversible` process with a `log_density`, on points of equal weight.

    The score is that of the mixture of the densities; the process says how it follows from the stored word.
    """

    def __init__(self, process: Any, points: torch.Tensor) -> None:
        super().__init__()
        self.process, self.stored, self.points, self.shape = process, process.words, points, points.shape[1:]

    def forward(self, x, t, *, cond=None, anchor=None):
        with torch.enable_grad():
            y = x.detach().double().requires_grad_()
            logs = torch.stack([self.process.log_density(y, p.expand_as(y), t) for p in self.points])
            (score,) = torch.autograd.grad(logs.logsumexp(0).sum(), y)
        one = self.process.read("score", self.stored, (torch.ones_like(x),), x, t)
        return ((score / one).to(x.dtype),)


def closed_reverse(process: Any) -> None:
    assert isinstance(process, Reversible)
    points = torch.tensor([[-2.9, 0.4], [3.0, 0.4], [0.5, -1.0]]).double()  # two are neighbours over the seam
    model = ClosedPoints(process, points)
    for i, t in enumerate(TIMES):  # what `perturb` gives has this mean, against anything of x
        x, target = process.perturb(points.repeat(2000, 1), t, generator=Noise(i))
        (answer,) = model(x, t)
        for weight in (1.0, x.cos(), x.sin()):
            off = (weight * (target - answer)).mean(1)
            assert abs(off.mean()) < 5 * off.std() / math.sqrt(len(off))
    found = sample(model, 2000, steps=60, seed=0).double()
    apart = (found[:, None] - points).abs()
    nearest = torch.minimum(apart, math.tau - apart).norm(dim=2).min(1)
    assert nearest.values.max() < 0.1
    assert stats.chisquare(torch.bincount(nearest.indices, minlength=3)).pvalue > ALPHA


def angles(process: Any):
    return (
        networks.MLP(4, hidden=16, outputs=2),
        LAW.sample(64, generator=Noise(0)).float().repeat(1, 2),
        None,
    )


def masked_law(process: Any) -> None:
    x0 = torch.zeros(N, 6, dtype=torch.long)
    paths = simulate(process, x0, CLOCK, seed=3)
    for i, t in enumerate(TIMES):
        for x in (process.perturb(x0, t, generator=Noise(i))[0], paths[:, i + 1]):
            seen = np.bincount((x == process.mask).sum(1).numpy(), minlength=7)
            law = stats.binom(6, 1 - process.alpha(t)).pmf(range(7)) * N
            keep = law > 5
            test = stats.chisquare([*seen[keep], seen[~keep].sum()], [*law[keep], law[~keep].sum() + 1e-9])
            assert test.pvalue > ALPHA


def masked_reverse(process: Any) -> None:
    """First hitting, against the table of all sequences."""
    x = sample(SEQUENCES.denoiser(process), N, seed=0, batch_size=N)
    expected = SEQUENCES.probs.flatten().numpy() * N
    seen, rare = np.bincount(SEQUENCES.index(x).numpy(), minlength=len(expected)), expected < 5
    pooled = [np.append(v[~rare], v[rare].sum()) for v in (seen, expected)]
    assert stats.chisquare(*pooled).pvalue > ALPHA


def words(process: Any):
    x = torch.randint(0, 3, (64, 4), generator=torch.Generator().manual_seed(0))
    return networks.TokenTransformer(3, 4, width=8, depth=1, heads=1), x, None


def constrained_law(process: Any) -> None:
    """Reflected Brownian motion on an interval, by images."""
    which = torch.arange(6000) % len(INTERVAL_POINTS)
    x0 = INTERVAL_POINTS[which][:, None]
    paths = simulate(process, x0, CLOCK, seed=3)
    for i, t in enumerate(TIMES):
        known = draw(N, process.clock(t), torch.Generator().manual_seed(i))
        for x in (process.perturb(x0, t, generator=Noise(i))[0], paths[:, i + 1]):
            has_law(x, known)


def constrained_reverse(process: Any) -> None:
    """From the exact score of data that have diffused for a while already."""
    start = 0.004
    model = Exact(process, start=start)
    found = sample(model, 2000, steps=250, seed=0)
    has_law(found, draw(50_000, start, torch.Generator().manual_seed(0)))


def inside(process: Any):
    return networks.MLP(1, hidden=16), torch.rand(64, 1, generator=torch.Generator().manual_seed(0)), None


def rigid_law(process: Any) -> None:
    """Log(H̃_t H_t⁻¹) is normal, with the deviations of rotations and translations."""
    start = se3_exp(torch.randn(1, 6, generator=torch.Generator().manual_seed(1)).double()).expand(N, 4, 4)
    std = torch.tensor([process.rotation_std] * 3 + [process.translation_std] * 3).double()
    for i, t in enumerate(TIMES):
        noisy = process.perturb(start, t, generator=Noise(i))
        twist = se3_log(noisy @ rigid_inverse(process.between(start, t)))
        has_law(twist / (process.schedule.values(t)[2] * std), "norm")


def rigid_reverse(process: Any) -> None:
    """Translations commute: the steps are those of a diffusion in space, whose exact answer for N(0, s²) is linear."""
    s, n, eye = 0.05, 2000, torch.eye(3).double()
    still = type(process)(process.schedule, rotation_std=0.0, translation_std=process.translation_std)
    now = rigid(eye.expand(n, 3, 3), still.translation_std * Noise(0).draw(torch.empty(n, 3).double(), 0))
    for k in range(120, 0, -1):
        alpha, _, gamma = still.schedule.values(k / 120)
        share = alpha * s**2 / ((alpha * s) ** 2 + (gamma * still.translation_std) ** 2)
        answer = rigid(now[:, :3, :3], share * now[:, :3, 3])
        last = now if k == 1 else None
        now = still.reverse(now, answer, k / 120, (k - 1) / 120, noise=True, key=k, generator=Noise(1))
    assert last is not None and torch.equal(now, answer)  # the last step is the answer, and so without noise
    has_law(now[:, :3, 3] / s, "norm")


# --- processes on physical time


def own_simulation(process: Any) -> None:
    """Paths seen at five times have the laws of paths seen at a hundred: steps of any length are exact."""
    fine = torch.linspace(0, 1, 101).double()
    few, many = (simulate(process, n=3000, times=times, seed=i) for i, times in enumerate((CLOCK, fine)))
    for i, t in enumerate(TIMES, 1):
        for state in (slice(None), (..., 0)) if few.ndim > 2 else (slice(None),):
            has_law(few[:, i][state], many[:, round(100 * t)][state])


ONE_SIDED = Kind(driven_law, one_sided_reverse, vectors)
FRACTIONAL = Kind(fractional_law, fractional_reverse, vectors)
STABLE = Kind(driven_law, stable_reverse, vectors)
STUDENT = Kind(drawn_law, points_reverse, vectors)
ANCHORED = Kind(driven_law, anchored_reverse, vectors)
TWO_SIDED = Kind(two_sided_law, two_sided_reverse, vectors)
CLOSED = Kind(closed_law, closed_reverse, angles)
MASKED = Kind(masked_law, masked_reverse, words)
CONSTRAINED = Kind(constrained_law, constrained_reverse, inside)
RIGID = Kind(rigid_law, rigid_reverse, None)
ON_ITS_OWN = Kind(own_simulation, None, None)
