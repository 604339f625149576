"""Poisson processes against their counts."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.poisson import Poisson

N = 10_000
ALPHA = 1e-5
TIMES = torch.tensor([1.0, 1.5, 4.0]).double()


def wave(t):
    return 2 + 2 * torch.sin(t)


def wave_integral(a, b):
    return 2 * (b - a) + 2 * (math.cos(a) - math.cos(b))


def assert_poisson(counts, mean):
    most = int(mean + 6 * math.sqrt(mean) + 3)
    seen = np.bincount(counts.long().clamp(max=most).numpy(), minlength=most + 1)
    law = stats.poisson(mean).pmf(np.arange(most + 1))
    law[-1] = 1 - law[:-1].sum()
    rare = law * len(counts) < 5
    seen, law = np.append(seen[~rare], seen[rare].sum()), np.append(law[~rare], law[rare].sum())
    assert stats.chisquare(seen, law * len(counts)).pvalue > ALPHA


@pytest.mark.parametrize(
    "process, mean",
    [(Poisson(3.0), lambda a, b: 3 * (b - a)), (Poisson(4.0, wave), wave_integral)],
    ids=["constant", "wave"],
)
def test_counts_are_poisson_and_independent(process, mean):
    counts = simulate(process, n=N, times=TIMES, seed=0).diff(dim=1)
    assert_poisson(counts[:, 0], mean(1.0, 1.5))
    assert_poisson(counts[:, 1], mean(1.5, 4.0))
    assert abs(np.corrcoef(counts.T.numpy())[0, 1]) < 5 / math.sqrt(N)


def test_times_have_the_law_of_the_intensity():
    found = Poisson(4.0, wave).events(N, 5.0, start=1.0, generator=Noise(0))
    times = found.times[found.mask].numpy()
    share = (2 * (times - 1) + 2 * (math.cos(1) - np.cos(times))) / wave_integral(1.0, 5.0)
    assert stats.kstest(share, "uniform").pvalue > ALPHA
    assert bool((found.times.diff(dim=1)[found.mask[:, 1:]] > 0).all())


def test_a_window_does_not_depend_on_its_batch():
    whole = Poisson(4.0, wave).events(70, 9.0, generator=Noise(3))
    part = Poisson(4.0, wave).events(4, 9.0, generator=Noise(3, first=66))
    assert torch.equal(whole[66:].times[:, : part.times.shape[1]], part.times)
    assert torch.equal(whole[66:].counts, part.counts)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: Poisson(0.0), "rate is 0"),
        (lambda: Poisson(1.0).events(3, 0.0), "stop must be after start"),
        (lambda: Poisson(1.0).events(0, 1.0), "n is 0"),
        (lambda: Poisson(1.0, wave).events(9, 9.0), "must stay between 0 and 1"),
        (lambda: Poisson(9.0, lambda t: 1.0).events(9, 9.0), "must map times"),
        (lambda: simulate(Poisson(1.0), torch.zeros(2, 2), TIMES), "give the counts"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
