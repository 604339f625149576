"""Markov chains against the matrix exponential and what it says of bridges."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import expm

from girsanov import Noise, simulate
from girsanov.errors import InputError
from girsanov.processes.jumps import MarkovChain

N = 20_000
ALPHA = 1e-5
RATES = ((-3.0, 2.0, 1.0), (0.5, -0.6, 0.1), (0.0, 4.0, -4.0))
CHAIN = MarkovChain(RATES)
Q = np.array(RATES)
TIMES = torch.tensor([1.0, 1.2, 1.9, 4.0]).double()


@pytest.mark.parametrize("t", [0.0, 1e-3, 0.7, 5.0, 300.0])
def test_uniformization_is_the_matrix_exponential(t):
    assert np.abs(CHAIN.transition_matrix(t).numpy() - expm(Q * t)).max() < 1e-12


def test_the_stationary_law():
    assert torch.allclose(CHAIN.stationary @ CHAIN.matrix, torch.zeros(3).double(), atol=1e-12)
    assert torch.allclose(CHAIN.transition_matrix(500.0)[0], CHAIN.stationary, atol=1e-12)


def assert_law(states, law):
    """Counts of states against a law, by chi-square."""
    counts, law = np.bincount(states.numpy(), minlength=len(law)), np.asarray(law)
    assert counts[law < 1e-12].sum() == 0
    seen = law > 1e-12
    assert (
        seen.sum() == 1
        or stats.chisquare(counts[seen], law[seen] / law[seen].sum() * counts.sum()).pvalue > ALPHA
    )


@pytest.mark.parametrize("state", [0, 1, 2])
def test_states_on_a_grid_have_the_law_of_the_matrix_exponential(state):
    paths = simulate(CHAIN, torch.full((N,), state), TIMES, seed=0)
    assert paths.shape == (N, 4) and (paths[:, 0] == state).all()
    for i in (1, 2, 3):
        assert_law(paths[:, i], expm(Q * (TIMES[i] - 1).item())[state])
    pairs = 3 * paths[:, 1] + paths[:, 3]
    joint = expm(Q * 0.2)[state][:, None] * expm(Q * 2.8)
    assert_law(pairs, joint.ravel())


def test_the_natural_start_is_stationary():
    paths = simulate(CHAIN, n=N, times=TIMES, seed=0)
    for i in (0, 3):
        assert_law(paths[:, i], CHAIN.stationary.numpy())


def test_a_path_stays_for_exponential_times_and_leaves_by_the_rates():
    found = CHAIN.jumps(torch.zeros(2000).long(), 50.0, start=20.0, generator=Noise(0))
    assert (found.times[:, 0] == 20).all() and found.mask[:, 0].all() and (found.stop == 50).all()
    for i in range(3):
        # The first stay in i of each path, of those that surely end in the window: the window is long.
        here = found.mask[:, :-1] & (found.values[:, :-1] == i) & found.mask[:, 1:]
        row, column = here.nonzero().T
        first = torch.cat([torch.tensor([True]), row.diff() > 0])
        row, column = row[first], column[first]
        stay = found.times[row, column + 1] - found.times[row, column]
        assert stats.kstest(stay.numpy(), "expon", (0, -1 / Q[i, i])).pvalue > ALPHA
        assert_law(found.values[row, column + 1], np.where(np.arange(3) == i, 0, Q[i]) / -Q[i, i])


@pytest.mark.parametrize("a, b", [(0, 1), (2, 0), (1, 1)])
def test_bridges_have_the_number_of_jumps_and_the_time_that_the_ends_imply(a, b):
    """E[time in k | a, b] and E[jumps k → l | a, b] are integrals of e^{Qs} E e^{Q(T - s)}: one block exponential."""
    length = 1.5
    found = CHAIN.bridge(torch.full((N,), a), torch.full((N,), b), 3.5, start=2.0, generator=Noise(0))
    assert (found.at(torch.tensor([2.0, 3.5])) == torch.tensor([a, b])).all()

    def expected(unit):
        block = np.block([[Q, unit], [np.zeros_like(Q), Q]])
        return expm(block * length)[a, 3 + b] / expm(Q * length)[a, b]

    stop = torch.where(found.mask, found.times, found.stop[:, None])
    stays = torch.cat([stop, found.stop[:, None]], 1).diff(dim=1) * found.mask
    for k in range(3):
        time = (stays * (found.values == k)).sum(1)
        unit = np.zeros_like(Q)
        unit[k, k] = 1
        assert abs(time.mean().item() - expected(unit)) < 5 * time.std().item() / math.sqrt(N) + 1e-12
        for j in set(range(3)) - {k}:
            moves = (found.values[:, :-1] == k) & (found.values[:, 1:] == j) & found.mask[:, 1:]
            count = moves.sum(1).double()
            unit = np.zeros_like(Q)
            unit[k, j] = Q[k, j]
            assert abs(count.mean().item() - expected(unit)) < 5 * count.std().item() / math.sqrt(N) + 1e-12


def test_a_bridge_has_the_law_of_its_middle():
    times = torch.tensor([0.0, 0.4, 1.5]).double()
    paths = simulate(CHAIN, torch.full((N,), 2), times, end=torch.zeros(N).long(), seed=1)
    assert_law(paths[:, 1], expm(Q * 0.4)[2] * expm(Q * 1.1)[:, 0] / expm(Q * 1.5)[2, 0])


def test_free_paths_that_end_in_a_state_are_its_bridges():
    """Two independent programs: Gillespie, kept where it ends in 1, and the bridge."""
    free = CHAIN.jumps(torch.zeros(N).long(), 1.0, generator=Noise(0))
    kept = free[free.at(torch.tensor([1.0]))[:, 0] == 1]
    tied = CHAIN.bridge(torch.zeros(len(kept)).long(), torch.ones(len(kept)).long(), 1.0, generator=Noise(1))
    first = [events.times[events.counts == 2, 1] for events in (kept, tied)]
    assert stats.ks_2samp(*(t.numpy() for t in first)).pvalue > ALPHA
    counts = [np.bincount(events.counts.clamp(max=6).numpy(), minlength=7)[2:] for events in (kept, tied)]
    assert stats.chi2_contingency(counts).pvalue > ALPHA


def test_an_absorbing_state_is_never_left():
    chain = MarkovChain([[-1.0, 1.0], [0.0, 0.0]])
    found = chain.jumps(torch.zeros(N).long(), 2.0, generator=Noise(0))
    assert found.counts.max() == 2
    assert_law(found.at(torch.tensor([2.0]))[:, 0], [math.exp(-2), 1 - math.exp(-2)])
    with pytest.raises(InputError, match="cannot reach"):
        chain.bridge(torch.ones(1).long(), torch.zeros(1).long(), 1.0)


def test_a_path_does_not_depend_on_its_batch():
    x0, end = torch.arange(70) % 3, (torch.arange(70) + 1) % 3
    whole = simulate(CHAIN, x0, TIMES, seed=4)
    assert torch.equal(whole[66:], CHAIN.simulate(x0[66:], TIMES, generator=Noise(4, first=66)))
    tied = simulate(CHAIN, x0, TIMES, end=end, seed=4)
    for i in range(66, 70):  # each by itself: the batch's largest number of moves must not matter
        alone = CHAIN.simulate(x0[i : i + 1], TIMES, end=end[i : i + 1], generator=Noise(4, first=i))
        assert torch.equal(tied[i : i + 1], alone)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: MarkovChain([[-1.0, 1.0]]), "square"),
        (lambda: MarkovChain([[-1.0, 1.0], [-1.0, 1.0]]), r"rates\[1\]\[0\] is -1"),
        (lambda: MarkovChain([[-1.0, 1.0], [1.0, -2.0]]), "row 1 of rates sums to -1"),
        (lambda: MarkovChain([[0.0, 0.0], [0.0, 0.0]]), "nothing moves"),
        (lambda: MarkovChain([[math.nan, 1.0], [0.0, 0.0]]), "finite"),
        (
            lambda: simulate(
                MarkovChain([[0.0, 0.0, 0.0], [1.0, -2.0, 1.0], [0.0, 0.0, 0.0]]), n=2, times=TIMES
            ),
            "several",
        ),
        (lambda: simulate(CHAIN, torch.tensor([0, 3]), TIMES), "states are 0 to 2"),
        (lambda: simulate(CHAIN, torch.zeros(2), TIMES), "give integer states"),
        (lambda: CHAIN.jumps(torch.tensor([0]), 1.0, start=1.0), "stop must be after start"),
        (lambda: CHAIN.transition_matrix(-1.0), "t is -1"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
