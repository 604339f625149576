"""Masked samplers against a table of all sequences: the joint law, the times, the counts."""

import pytest
import torch
from scipy import stats

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import SequenceTable
from girsanov.noise import Noise
from girsanov.processes import VP, Masked
from girsanov.solvers import AncestralMasked, FirstHitting, masked_bound

N = 20_000


def law(places=5, classes=3):
    g = torch.Generator().manual_seed(places)
    probs = torch.rand([classes] * places, generator=g, dtype=torch.float64) ** 3
    return SequenceTable(probs / probs.sum())


def counts(table, x):
    return torch.bincount(table.index(x), minlength=table.probs.numel())


def p_value(table, x):
    """Pearson's test of the joint law, sequences expected less than 5 times taken together."""
    expected, found = table.probs.flatten() * len(x), counts(table, x).double()
    rare = expected < 5
    pooled = [torch.cat([v[~rare], v[rare].sum()[None]]) for v in (found, expected)]
    return stats.chisquare(pooled[0].numpy(), pooled[1].numpy()).pvalue


def test_the_joint_law_tells_parallel_draws_apart():
    """All places in one call are independent draws, and the test above sees that."""
    table, start = law(), Masked(3).reference(torch.empty(N, 5))
    x = FirstHitting(5, together=5)(table.denoiser(Masked(3)), start, generator=Noise(0))
    assert p_value(table, x) < 1e-6
    for place in range(5):
        exact = table.probs.sum([d for d in range(5) if d != place]) * N
        assert stats.chisquare(torch.bincount(x[:, place], minlength=3).numpy(), exact.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("cached", [False, True])
def test_ancestral_has_the_same_law_with_many_steps(cached):
    table, start = law(), Masked(3).reference(torch.empty(5_000, 5))
    done = AncestralMasked(300, cached=cached).decode(table.denoiser(Masked(3)), start, generator=Noise(1))
    assert p_value(table, done.x) > 1e-4
    assert int(done.calls.max()) <= (5 if cached else 300)


@pytest.mark.parametrize("schedule", ["linear", "cosine", (1.0, 0.7, 0.0)])
def test_hitting_times_are_order_statistics(schedule):
    process = Masked(3, schedule)
    start = process.reference(torch.empty(4000, 5))
    done = FirstHitting(5).decode(law().denoiser(process), start, generator=Noise(2))
    ordered = (1 - process.alpha(done.times)).sort(1).values.numpy()
    for n in range(5):
        assert stats.kstest(ordered[:, n], stats.beta(n + 1, 5 - n).cdf).pvalue > 1e-4
    assert stats.kstest(ordered[:, 4], stats.beta(4, 2).cdf).pvalue < 1e-6  # and the test can fail
    first = done.times.argmax(1)
    assert stats.chisquare(torch.bincount(first, minlength=5).numpy()).pvalue > 1e-4


def test_what_is_known_stays_and_samples_take_their_own_time():
    table, process = law(), Masked(3)
    x = torch.tensor([[0, 3, 2, 3, 3], [0, 1, 2, 0, 1], [3, 3, 3, 3, 3]]).repeat(3000, 1)
    for sampler in (FirstHitting(5), AncestralMasked(200, cached=True)):
        done = sampler.decode(table.denoiser(process), x, generator=Noise(3))
        known = x != 3
        assert torch.equal(done.x[known], x[known]) and not bool((done.x == 3).any())
        some = done.x[::3]
        given = table.probs[0, :, 2] / table.probs[0, :, 2].sum()
        codes = some[:, 1] * 9 + some[:, 3] * 3 + some[:, 4]
        found = torch.bincount(codes, minlength=27).double()
        keep = given.flatten() * 3000 > 5
        z = (found - given.flatten() * 3000)[keep] / (given.flatten()[keep] * 3000).sqrt()
        assert float(z.abs().max()) < 4.5
    calls = FirstHitting(5).decode(table.denoiser(process), x, generator=Noise(3))
    assert calls.calls[:3].tolist() == calls.draws[:3].tolist() == [3, 0, 5]


def test_draws_and_calls_are_counted():
    """N = L ancestral steps draw for every masked place: L(N + 1)/2 in the mean, and first hitting L."""
    places = 24
    process = Masked(2)
    model = gv.Denoiser(
        gv.networks.TokenTransformer(2, places, width=8, depth=1, heads=1), process, predicts="logits",
        data_std=None, shape=(places,),
    )  # fmt: skip
    start = process.reference(torch.empty(300, places))
    usual = AncestralMasked(places, cached=True).decode(model, start, generator=Noise(0))
    ours = FirstHitting(places).decode(model, start, generator=Noise(0))
    assert set(ours.draws.tolist()) == set(ours.calls.tolist()) == {places} == {FirstHitting(places).calls}
    assert float(usual.draws.double().mean()) == pytest.approx(places * (places + 1) / 2, rel=0.03)
    assert float(usual.draws.sum() / ours.draws.sum()) >= 10
    few = FirstHitting(places, together=5).decode(model, start, generator=Noise(0))
    assert set(few.calls.tolist()) == {5} and set(few.draws.tolist()) == {places}


def test_a_batch_is_its_parts():
    table = law()
    whole = gv.sample(table.denoiser(Masked(3)), 10, seed=4)
    assert torch.equal(whole, gv.sample(table.denoiser(Masked(3)), 10, seed=4, batch_size=3))


def test_graphs_are_sampled_too():
    process = Masked(2)
    network = gv.networks.TokenTransformer(2, 16, width=8, depth=1, heads=1)
    model = gv.Denoiser(network, process, predicts="logits", data_std=None, shape=(4, 4))
    x = gv.sample(model, 200, seed=0)
    assert x.shape == (200, 4, 4) and float(x.double().mean()) == pytest.approx(0.5, abs=0.04)


def test_what_does_not_fit_is_refused():
    model = law().denoiser(Masked(3))
    gaussian = gv.exact.Gaussian(torch.zeros(2), 1.0).denoiser(VP())
    for sampler in (FirstHitting(5), AncestralMasked(3)):
        with pytest.raises(Unsuitable, match="Masked"):
            sampler(gaussian, torch.zeros(2, 2))
        with pytest.raises(InputError, match="0 to 3"):
            sampler(model, torch.full((1, 5), 4))
        with pytest.raises(InputError, match="no x_1"):
            sampler(model, torch.full((1, 5), 3), anchor=torch.zeros(1, 5))
    with pytest.raises(InputError, match="is for 4"):
        FirstHitting(4)(model, torch.full((1, 5), 3))
    with pytest.raises(InputError, match="together"):
        FirstHitting(4, together=5)
    with pytest.raises(InputError, match="steps"):
        AncestralMasked(0)
    with pytest.raises(InputError, match="draws"):
        masked_bound(model, torch.zeros(1, 5, dtype=torch.int64), 0)
    with pytest.raises(Unsuitable):
        gv.sample(model, 2, solver="ddim")
