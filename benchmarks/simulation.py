"""Exact simulators beside the packages people use now: seconds for the same paths, the law of ours tested first.

Both sides do the same work on one thread: fractional Brownian motion by Davies and Harte's method; Brownian increments
asked forward and back, of torchsde's objects too; Hawkes processes by thinning (hawkesbook compiles as well), and by a
plain loop; Markov chains a path at a time; stable draws of scipy. Ours draw from a torch.Generator here; with keyed
noise, `seed=`, the first two take up to three times as long (a row each says so). Peers that are not installed are
left out; `stochastic` asks for NumPy below 2, and is in no extra of ours. Its bar, a fifth, is missed: the 2n normals a
path that the method needs take 0.13 of its time by torch.Generator alone, and the inverse transform and the sums the rest.

    python benchmarks/simulation.py [--json]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise

import numpy as np
import torch
from common import Result, main, seconds
from scipy import stats
from torch import Tensor

import girsanov as gv
from girsanov import Noise, processes
from girsanov.processes.hawkes import hawkes_log_likelihood

ALPHA = 1e-5
HURST = 0.3


def law(values: Tensor | np.ndarray, cdf: str | Callable[[np.ndarray], np.ndarray]) -> None:
    """Refuse to time a program that draws another law."""
    found = stats.kstest(np.asarray(values).ravel(), cdf).pvalue
    assert found > ALPHA, f"the law is another one: p = {found:.2g}"


def there(package: str) -> bool:
    """Whether a peer is installed; says so where it is not."""
    try:
        version(package)
    except PackageNotFoundError:
        print(f"{package} is not installed: its rows are left out", file=sys.stderr)
        return False
    return True


def row(name: str, ours: float, peer: float, peer_name: str, bar: float, package: str = "") -> Result:
    """One comparison in milliseconds; without a package the peer is code of this file."""
    told = version(package) if package else f"girsanov {gv.__version__}"
    return Result(name, 1e3 * ours, 1e3 * peer, peer_name, told, bar, "ms")


def fractional() -> Iterator[Result]:
    motion, generator = processes.FractionalBrownianMotion(HURST), torch.Generator().manual_seed(0)
    many, one = torch.linspace(0, 1, 1025), torch.linspace(0, 1, 2**16 + 1)
    law(gv.simulate(motion, n=5000, times=torch.linspace(0, 1, 65), seed=0)[:, -1], "norm")

    def ours() -> Tensor:
        return gv.simulate(motion, n=100, times=many, generator=generator)

    def keyed() -> Tensor:
        return gv.simulate(motion, n=100, times=many, seed=0)

    def long() -> Tensor:
        return gv.simulate(motion, n=1, times=one, generator=generator)

    if there("fbm"):
        from fbm import FBM

        short, lengthy = FBM(1024, HURST, 1, "daviesharte"), FBM(2**16, HURST, 1, "daviesharte")
        mine, theirs = seconds(ours, lambda: [short.fbm() for _ in range(100)], repeats=2)
        yield row("fractional, 100 paths of 1,024", mine, theirs, "fbm", 1 / 5, "fbm")
        mine, theirs = seconds(long, lengthy.fbm, repeats=3)
        yield row("fractional, one path of 65,536", mine, theirs, "fbm", 1.0, "fbm")
    if there("stochastic"):
        from stochastic.processes.continuous import FractionalBrownianMotion

        peer = FractionalBrownianMotion(HURST)
        mine, key, theirs = seconds(ours, keyed, lambda: [peer.sample(1024) for _ in range(100)], repeats=15)
        yield row("fractional, 100 paths of 1,024", mine, theirs, "stochastic", 1 / 5, "stochastic")
        yield row("the same with seed=", key, theirs, "stochastic", 1.0, "stochastic")


def markov() -> Iterator[Result]:
    """A step of the Markov approximation beside a step of exact conditional simulation at its 2,000th time."""
    motion = processes.MarkovFractionalBrownianMotion(HURST, factors=5, fastest=36.0)
    exact = [t ** (2 * HURST) / (2 * HURST * math.gamma(HURST + 0.5) ** 2) for t in np.linspace(0.1, 1, 50)]
    errors = [abs(motion.variance(t) / v - 1) for t, v in zip(np.linspace(0.1, 1, 50), exact, strict=True)]
    here = f"girsanov {gv.__version__}"
    yield Result(
        "Markov fractional, variance on [0.1, 1]", max(errors), 1.0, "exact", here, 0.03, "relative error"
    )
    times, generator = torch.linspace(0, 1, 2001), torch.Generator().manual_seed(0)
    walk = processes.FractionalBrownianMotion(HURST)
    factor = torch.linalg.cholesky(walk.covariance(times.double())[1:, 1:])
    past, start = torch.randn(100, 2000, dtype=torch.float64), torch.zeros(100)

    def conditional() -> None:  # the 2,000th value given 1,999 others, of 100 paths
        for _ in range(100):
            past @ factor[-1]

    mine, theirs = seconds(lambda: motion.simulate(start, times, generator=generator), conditional, repeats=3)
    yield row("Markov fractional, a step of 100 paths", mine / 2000, theirs / 100, "exact step at 2,000", 0.2)


KNOWN = torch.linspace(0, 1, 101, dtype=torch.float64)
GRID = KNOWN.tolist()


def walk(path: Callable[[float, float], Tensor]) -> None:
    """100 steps forward and back."""
    for s, t in (*pairwise(GRID), *((a, b) for b, a in pairwise(GRID[::-1]))):
        path(s, t)


def brownian() -> Iterator[Result]:
    if not there("torchsde"):
        return
    path = processes.BrownianPath(torch.empty(50_000), KNOWN, generator=Noise(0))
    law(path(GRID[3], GRID[40]) / math.sqrt(GRID[40] - GRID[3]), "norm")
    for shape in ((128, 5), (256, 128)):
        yield from asked(shape)


def asked(shape: tuple[int, int]) -> Iterator[Result]:
    """One size."""
    from torchsde import BrownianInterval, BrownianTree

    like, entropy, generator = torch.empty(shape), iter(range(10**6)), torch.Generator().manual_seed(0)

    def interval(dt: float | None = None) -> None:
        walk(BrownianInterval(0.0, 1.0, size=shape, entropy=next(entropy), dt=dt))

    def tree() -> None:
        walk(BrownianTree(t0=0.0, w0=torch.zeros(shape), t1=1.0, entropy=next(entropy), tol=1e-5))

    a, b, c, i, p, t = seconds(
        lambda: walk(processes.BrownianPath(like, KNOWN, generator=generator)),
        lambda: walk(processes.BrownianPath(like, KNOWN, generator=Noise(0))),
        lambda: walk(processes.BrownianPath(like, generator=generator)),
        interval,
        lambda: interval(0.01),
        tree,
        repeats=3,
    )
    size, peer = f"{shape[0]} × {shape[1]}", "torchsde.BrownianInterval"
    yield row(f"Brownian, {size}, known grid", a, i, peer, 1 / 3, "torchsde")
    yield row(f"Brownian, {size}, known grid, told", a, p, f"{peer}(dt=)", 1 / 3, "torchsde")
    yield row(f"Brownian, {size}, known grid, seed=", b, i, peer, 1.0, "torchsde")
    yield row(f"Brownian, {size}, asked as one goes", c, i, peer, 1 / 1.2, "torchsde")
    yield row(f"Brownian, {size}, asked as one goes", c, t, "torchsde.BrownianTree", 1 / 5, "torchsde")


BASE, JUMP, DECAY, LONG = 1.0, 1.2, 2.0, 40_000.0
"""Branching ratio 0.6: 10⁵ events."""


def thinned(stop: float) -> list[float]:
    """Ogata's thinning as one writes it in Python."""
    rng, t, rate, found = np.random.default_rng(0), 0.0, BASE, []
    while True:
        wait = rng.exponential() / rate
        t += wait
        if t > stop:
            return found
        faded = BASE + (rate - BASE) * math.exp(-DECAY * wait)
        if rng.random() * rate <= faded:
            found.append(t)
            faded += JUMP
        rate = faded


def pairs_likelihood(times: np.ndarray, stop: float) -> tuple[float, float, float, float]:
    """log L and its gradient over all pairs, a thousand events at a time."""
    value, slopes = -BASE * stop, np.array([-stop, 0.0, 0.0])
    for first in range(0, len(times), 1000):
        now = times[first : first + 1000, None]
        age = now - times[: first + 1000]
        kernel = np.where(age > 0, np.exp(-DECAY * np.abs(age)), 0.0)
        memory, aged = kernel.sum(1), (kernel * age).sum(1)
        rate = BASE + JUMP * memory
        value += np.log(rate).sum()
        slopes += [(1 / rate).sum(), (memory / rate).sum(), -(JUMP * aged / rate).sum()]
    left = stop - times
    gone = -np.expm1(-DECAY * left) / DECAY
    slopes -= [0.0, gone.sum(), JUMP * ((left * np.exp(-DECAY * left) - gone) / DECAY).sum()]
    return value - JUMP * gone.sum(), *slopes.tolist()


def hawkes() -> Iterator[Result]:
    process, generator = processes.Hawkes(BASE, JUMP, DECAY), torch.Generator().manual_seed(0)
    found = process.events(1, LONG, generator=generator).times[0].numpy()
    memory, gaps, before = 0.0, np.diff(found, prepend=0.0), np.empty(len(found))
    for i, gap in enumerate(gaps):
        before[i] = memory
        memory = memory * math.exp(-DECAY * gap) + 1
    law(BASE * gaps + JUMP / DECAY * before * -np.expm1(-DECAY * gaps), "expon")  # the compensator's clock

    def ours() -> object:
        return process.events(1, LONG, generator=generator)

    mine, loop = seconds(ours, lambda: thinned(LONG / 10), repeats=3)
    yield row("Hawkes, 100,000 events", mine, 10 * loop, "Python loop, thinning", 1 / 20)
    if there("hawkesbook"):
        import hawkesbook

        theta = np.array([BASE, JUMP, DECAY])
        mine, peer = seconds(ours, lambda: hawkesbook.exp_simulate_by_thinning(theta, LONG), repeats=7)
        yield row("Hawkes, 100,000 events", mine, peer, "hawkesbook, thinning", 1.0, "hawkesbook")
    stop = LONG / 10
    events = process.events(1, stop, generator=generator)
    times = events.times[0].numpy()
    given = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in ([BASE], [[JUMP]], DECAY)]

    def gradient() -> list[Tensor]:
        value = hawkes_log_likelihood(events, *given)
        return [value, *torch.autograd.grad(value.sum(), given)]

    exact = pairs_likelihood(times, stop)
    assert np.allclose([v.item() for v in gradient()], exact, rtol=1e-8)
    mine, peer = seconds(gradient, lambda: pairs_likelihood(times, stop), repeats=2)
    yield row(
        f"Hawkes, likelihood and gradient, {len(times):,} events", mine, peer, "all pairs, numpy", 1 / 100
    )


def chain() -> Iterator[Result]:
    """6 states, about 50 jumps a path; the loop runs 200 paths, and counts for 10,000."""
    rates = np.random.default_rng(0).uniform(0.2, 1.8, (6, 6))
    np.fill_diagonal(rates, 0)
    rates *= 5 / rates.sum(1, keepdims=True)
    np.fill_diagonal(rates, -rates.sum(1))
    process, generator = processes.MarkovChain(rates.tolist()), torch.Generator().manual_seed(0)
    x0, stop = torch.zeros(10_000, dtype=torch.long), 10.0
    ends = process.jumps(x0, stop, generator=generator).at(torch.tensor([stop]))
    counts = np.bincount(ends[:, 0].numpy(), minlength=6)
    assert stats.chisquare(counts, process.transition_matrix(stop)[0].numpy() * 10_000).pvalue > ALPHA
    rng, leave, chance = np.random.default_rng(1), -np.diag(rates), rates / -np.diag(rates)[:, None]
    np.fill_diagonal(chance, 0)
    steps = chance.cumsum(1)

    def loop() -> None:
        for _ in range(200):
            t, state, path = 0.0, 0, []
            while True:
                t += rng.exponential() / leave[state]
                if t > stop:
                    break
                state = min(int(np.searchsorted(steps[state], rng.random())), 5)
                path.append((t, state))

    mine, peer = seconds(lambda: process.jumps(x0, stop, generator=generator), loop, repeats=3)
    yield row("Markov chain, 10,000 paths of 50 jumps", mine, 50 * peer, "numpy loop", 1 / 20)


def stable() -> Iterator[Result]:
    generator, count = torch.Generator().manual_seed(0), 10**6
    rng, alpha, beta = np.random.default_rng(0), 1.5, 0.3
    import scipy

    some = processes.alpha_stable((100_000,), alpha, beta, generator=generator)
    theirs = stats.levy_stable.rvs(alpha, beta, size=100_000, random_state=rng)
    assert stats.ks_2samp(some.numpy(), theirs).pvalue > ALPHA
    mine, peer = seconds(
        lambda: processes.alpha_stable((count,), alpha, beta, generator=generator),
        lambda: stats.levy_stable.rvs(alpha, beta, size=count, random_state=rng),
        repeats=3,
    )
    made = row("stable, 1,000,000 draws", mine, peer, "scipy levy_stable.rvs", 1 / 2)
    yield made._replace(peer_version=scipy.__version__)


PARTS = (fractional, markov, brownian, hawkes, chain, stable)


def measure() -> list[Result]:
    """All rows."""
    torch.set_num_threads(1)
    return [result for part in PARTS for result in part()]


if __name__ == "__main__":
    main(measure)
