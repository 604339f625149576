"""Hawkes processes: exact draws against time change, means, branching and thinning; likelihood against its double sum."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import expm

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.events import Events
from girsanov.processes.hawkes import Hawkes, hawkes_log_likelihood

pytest.importorskip("numba")
ALPHA = 1e-5
ONE = Hawkes(0.8, 1.2, 2.0)
TWO = Hawkes((0.5, 0.2), ((0.6, 0.9), (0.3, 0.1)), 1.5)
MU, A, BETA = np.array(TWO.base), np.array(TWO.jump), TWO.decay


def compensated(times, types, window):
    """Λ_k between the events of type k, by sums over all pairs: independent unit exponentials."""
    for k in range(2):
        own = times[types == k]

        def total(t, k=k):
            past = times < t
            return MU[k] * t + (A[k, types[past]] * -np.expm1(-BETA * (t - times[past])) / BETA).sum()

        yield np.diff([0.0, *(total(t) for t in own)])


def test_gaps_on_the_clock_of_the_compensator_are_exponential():
    found = TWO.events(1, 1500.0, generator=Noise(0))
    times, types = found.times[0].numpy(), found.values[0].numpy()
    for gaps in compensated(times, types, 1500.0):
        assert len(gaps) > 500
        assert stats.kstest(gaps, "expon").pvalue > ALPHA
        assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 5 / math.sqrt(len(gaps))


def test_without_children_gaps_are_exponential():
    gaps = np.diff(
        Hawkes(2.0, 0.0, 1.0).events(1, 400_000.0, generator=Noise(1)).times[0].numpy(), prepend=0.0
    )
    assert stats.kstest(gaps, "expon", (0, 0.5)).pvalue > ALPHA


def mean_counts(t, a=A):
    """E N_t from an empty past: m' = (A - βI) m + Aμ for the excess m, and E N' = μ + m."""
    k = len(MU)
    block = np.zeros((2 * k + 1, 2 * k + 1))
    block[:k, :k], block[:k, -1] = a - BETA * np.eye(k), a @ MU
    block[k : 2 * k, :k], block[k : 2 * k, -1] = np.eye(k), MU
    return expm(block * t)[k : 2 * k, -1]


def test_mean_counts_from_an_empty_past():
    n, times = 20_000, torch.tensor([3.0, 3.7, 8.0]).double()
    counts = simulate(TWO, n=n, times=times, seed=1)
    assert counts.shape == (n, 3, 2) and (counts[:, 0] == 0).all()
    for i in (1, 2):
        error = counts[:, i].std(0).numpy() / math.sqrt(n)
        gap = counts[:, i].mean(0).numpy() - mean_counts((times[i] - 3).item())
        assert (np.abs(gap) < 5 * error).all()


WILD = Hawkes(TWO.base, tuple(map(tuple, 4 * A)), BETA, explosive=True, most=3000)


def test_an_explosive_process_has_the_law_of_its_equation():
    assert WILD.spectral_radius == pytest.approx(4 * TWO.spectral_radius)
    n, stop = 20_000, 1.5
    counts = simulate(WILD, n=n, times=torch.tensor([0.0, stop]).double(), seed=2)[:, 1]
    error = counts.std(0).numpy() / math.sqrt(n)
    assert (np.abs(counts.mean(0).numpy() - mean_counts(stop, 4 * A)) < 5 * error).all()


def test_a_window_that_is_full_stops_at_its_last_event():
    found = WILD.events(40, 1000.0, start=10.0, generator=Noise(0))
    assert (found.counts == 3000).all()
    assert torch.equal(found.stop, found.times[:, -1]) and (found.start == 10).all()
    gaps = [np.diff(row, prepend=10.0) for row in found.times.numpy()]
    assert stats.kstest([row[0] for row in gaps], "expon", (0, 1 / MU.sum())).pvalue > ALPHA
    # Less room, the same path: what was drawn does not depend on where it was written.
    less = Hawkes(WILD.base, WILD.jump, BETA, explosive=True, most=100).events(
        40, 1000.0, start=10.0, generator=Noise(0)
    )
    assert torch.equal(less.times, found.times[:, :100])
    with pytest.raises(InputError, match="its 3,000th event"):
        simulate(WILD, n=2, times=torch.tensor([0.0, 1000.0]), seed=0)
    short = WILD.events(3, 0.01, generator=Noise(0))
    assert (short.stop == 0.01).all() and short.counts.max() < 10


def by_branching(stop, rng):
    """Immigrants, and the children of each event, by their definition."""
    pending = [(t, k) for k in range(2) for t in rng.uniform(0, stop, rng.poisson(MU[k] * stop))]
    found = []
    while pending:
        t, j = pending.pop()
        found.append((t, j))
        for k in range(2):
            born = t + rng.exponential(1 / BETA, rng.poisson(A[k, j] / BETA))
            pending += [(s, k) for s in born if s < stop]
    return found


def by_thinning(stop, rng):
    """Ogata: the intensity only falls until the next event, so its value now bounds it."""
    t, excess, found = 0.0, np.zeros(2), []
    while True:
        bound = MU.sum() + excess.sum()
        wait = rng.exponential(1 / bound)
        t, excess = t + wait, excess * math.exp(-BETA * wait)
        if t > stop:
            return found
        u, rates = rng.uniform(0, bound), np.cumsum(MU + excess)
        if u < rates[-1]:
            k = int(u > rates[0])
            found.append((t, k))
            excess = excess + A[:, k]


@pytest.mark.parametrize("other", [by_branching, by_thinning])
def test_other_constructions_have_the_same_law(other):
    n, stop, rng = 3000, 4.0, np.random.default_rng(0)
    theirs = [other(stop, rng) for _ in range(n)]
    ours = TWO.events(n, stop, generator=Noise(2))
    for k in range(2):
        counts = [
            (ours.mask & (ours.values == k)).sum(1).numpy(),
            [sum(j == k for _, j in path) for path in theirs],
        ]
        most = np.bincount(counts[0]).size + 5
        table = np.array([np.bincount(np.minimum(c, most), minlength=most + 1) for c in counts])
        keep = table.sum(0) >= 10
        pooled = np.column_stack([table[:, keep], table[:, ~keep].sum(1)])
        assert stats.chi2_contingency(pooled[:, pooled.sum(0) > 0]).pvalue > ALPHA
    seconds = [sorted(path)[1][0] for path in theirs if len(path) > 1]
    assert stats.ks_2samp(ours.times[ours.counts > 1, 1].numpy(), seconds).pvalue > ALPHA


def test_the_long_run():
    found = ONE.events(1, 20_000.0, generator=Noise(0))
    assert ONE.mean_rates == (pytest.approx(0.8 / (1 - 0.6)),)
    # The variance of counts per unit of time is μ/(1 - n)³ in the long run.
    error = math.sqrt(0.8 / 0.4**3 / 20_000)
    assert abs(int(found.counts[0]) / 20_000 - 2.0) < 5 * error


def double_sum(times, types, window, mu, a, beta):
    """log L by its definition, over all pairs."""
    value = -mu.sum() * window
    for i, (t, k) in enumerate(zip(times, types)):
        value = value + torch.log(
            mu[k] + sum(a[k, types[j]] * torch.exp(-beta * (t - times[j])) for j in range(i))
        )
        value = value - a[:, k].sum() * (1 - torch.exp(-beta * (window - t))) / beta
    return value


def parameters():
    return [torch.tensor(p).double().requires_grad_() for p in ((0.7, 0.3), ((0.5, 0.4), (0.6, 0.2)), 1.1)]


def test_the_likelihood_and_its_gradient_are_those_of_the_double_sum():
    found = TWO.events(5, 26.0, start=20.0, generator=Noise(3))
    fast, slow = parameters(), parameters()
    weights = torch.arange(1.0, 6.0).double()
    value = hawkes_log_likelihood(found, *fast)
    exact = torch.stack(
        [
            double_sum(found.times[b, :n] - 20, found.values[b, :n].tolist(), 6.0, *slow)
            for b, n in enumerate(found.counts)
        ]
    )
    torch.testing.assert_close(value, exact)
    (value @ weights).backward()
    (exact @ weights).backward()
    for p, q in zip(fast, slow):
        torch.testing.assert_close(p.grad, q.grad)
    assert torch.equal(TWO.log_likelihood(found[:2]), TWO.log_likelihood(found)[:2])


def test_the_score_of_the_truth_is_zero_on_average():
    """E ∇ log L = 0 at the true parameters: draws, likelihood and gradient at once."""
    truth = [
        torch.from_numpy(MU).requires_grad_(),
        torch.from_numpy(A).requires_grad_(),
        torch.tensor(BETA).requires_grad_(),
    ]
    n = 4000
    found = TWO.events(n, 5.0, generator=Noise(4))
    scores = []
    for part in range(40):
        value = hawkes_log_likelihood(found[part * 100 : part * 100 + 100], *truth).mean()
        scores.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, truth)]))
    scores = torch.stack(scores)
    assert (scores.mean(0).abs() < 5 * scores.std(0) / math.sqrt(40)).all()


def test_no_event_at_all():
    none = torch.zeros(2, 0)
    empty = Events(none, none.long(), none.bool(), torch.zeros(2), torch.tensor([1.0, 3.0]))
    assert torch.allclose(ONE.log_likelihood(empty), torch.tensor([-0.8, -2.4]).double())


def test_a_window_does_not_depend_on_its_batch():
    whole, part = TWO.events(70, 9.0, generator=Noise(3)), TWO.events(4, 9.0, generator=Noise(3, first=66))
    assert torch.equal(whole[66:].counts, part.counts)
    assert torch.equal(whole[66:].times[:, : part.times.shape[1]], part.times)


def test_one_type_counts_in_a_plain_tensor():
    assert simulate(ONE, n=3, times=torch.linspace(0, 5, 11), seed=0).shape == (3, 11)


@pytest.mark.parametrize(
    "call, says",
    [
        (
            lambda: Hawkes(1.0, 2.0, 2.0),
            r"radius of jump/decay is 1, so events explode.* or give explosive=True",
        ),
        (lambda: Hawkes(1.0, 3.0, 2.0, explosive=True, most=0), "most is 0"),
        (lambda: Hawkes(1.0, 3.0, 2.0, explosive=True).mean_rates, "radius of 1.5 the rates grow"),
        (lambda: Hawkes((1.0, 1.0), 0.5, 2.0), "give K and K × K"),
        (lambda: Hawkes(-1.0), "base holds -1"),
        (lambda: Hawkes(0.0), "nothing ever happens"),
        (lambda: Hawkes(1.0, 0.5, 0.0), "decay is 0"),
        (lambda: ONE.events(1, 0.0), "stop must be after start"),
        (lambda: ONE.log_likelihood(TWO.events(3, 9.0, generator=Noise(0))), "types up to 1"),
        (lambda: simulate(TWO, torch.zeros(3), torch.tensor([0.0, 1.0])), "give counts"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
