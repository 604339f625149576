"""Scores against their limits, the greedy order of a Gaussian, and a loop that takes each candidate once."""

import pytest
import torch

from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture
from girsanov.inverse import (
    DPS,
    ActiveSubsampling,
    BlockDownsampling,
    Fourier,
    Identity,
    acquisition_score,
    columns,
    pixels,
)
from girsanov.noise import Noise
from girsanov.processes import VP

PIXELS = torch.eye(4)
ROOT = Noise(3).draw(torch.empty(4, 4, dtype=torch.float64), 0)
COVARIANCE = ROOT @ ROOT.T / 4 + 0.05 * torch.eye(4)


def draw(*shape, seed=0):
    return Noise(seed).draw(torch.empty(*shape, dtype=torch.float64), 0)


def pivoted(c):
    """Greedy maximum-entropy order: the largest variance left, one after the other."""
    c, order = c.clone(), []
    for _ in range(len(c)):
        left = c.diagonal().clone()
        left[order] = -1
        k = int(left.argmax())
        order.append(k)
        c = c - torch.outer(c[:, k], c[k]) / c[k, k]
    return order


def test_scores_of_large_sigma_rank_as_the_variance():
    guesses = draw(3, 8, 4)
    wide = acquisition_score(guesses, PIXELS, "variance")
    pairs = (guesses[:, :, None] - guesses[:, None]).square().sum((1, 2))
    torch.testing.assert_close(wide, pairs)
    for criterion in ("entropy", "mixture-entropy"):
        found = acquisition_score(guesses, PIXELS, criterion, 1e3)
        assert torch.equal(found.argsort(1), wide.argsort(1))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        acquisition_score(guesses[:, order], PIXELS), acquisition_score(guesses, PIXELS)
    )


def test_a_candidate_of_several_entries_adds_them_up():
    guesses = draw(2, 5, 4)
    pairs = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
    single = acquisition_score(guesses, PIXELS, "variance")
    torch.testing.assert_close(acquisition_score(guesses, pairs, "variance"), single @ pairs.T.double())


def test_scores_are_those_of_the_definition_and_tell_particles_apart_that_agree():
    guesses = draw(2, 5, 4)
    apart = (guesses[:, :, None] - guesses[:, None]).square()
    by_hand = (apart / (2 * 0.7**2)).exp().mean(2).log().sum(1)
    torch.testing.assert_close(acquisition_score(guesses, PIXELS, "entropy", 0.7), by_hand)
    by_hand = -(-apart / (4 * 0.7**2)).exp().mean(2).log().sum(1)
    torch.testing.assert_close(acquisition_score(guesses, PIXELS, "mixture-entropy", 0.7), by_hand)
    # Early in a run predictions differ by little; sums of exponentials in float32 would all be the same.
    close = (1e-3 * guesses).float()
    expected = acquisition_score(guesses, PIXELS, "variance").argsort(1)
    for criterion in ("entropy", "mixture-entropy"):
        assert torch.equal(acquisition_score(close, PIXELS, criterion, 10.0).argsort(1), expected)
    assert acquisition_score(100 * guesses, PIXELS, "entropy", 0.1).isfinite().all()


def test_pixels_and_columns_are_groups_of_entries():
    x = torch.arange(2 * 3 * 4).reshape(2, 3, 4)
    groups = [x.flatten()[row > 0].tolist() for row in pixels((2, 3, 4))]
    assert len(groups) == 12 and groups[5] == x[:, 1, 1].tolist()
    groups = [x.flatten()[row > 0].tolist() for row in columns((2, 3, 4))]
    assert len(groups) == 4 and groups[3] == x[:, :, 3].flatten().tolist()


@pytest.mark.parametrize("criterion", ["entropy", "variance"])
def test_exact_particles_give_the_order_of_pivoted_cholesky(criterion):
    """Posterior draws of N(0, C) given the entries taken so far, without noise."""
    prior, order = Gaussian(torch.zeros(4), COVARIANCE), []
    truth = prior.sample(1, generator=Noise(5))[0]
    for _ in range(3):
        law = prior if not order else prior.posterior(torch.eye(4).double()[order], truth[order], noise=1e-4)
        guesses = law.sample(600, generator=Noise(6))[None]
        score = acquisition_score(guesses, PIXELS, criterion, 100.0)
        score[:, order] = -torch.inf
        order.append(int(score.argmax()))
    assert order == pivoted(COVARIANCE)[:3]


def test_the_loop_takes_each_candidate_once_and_meets_what_it_took():
    means = torch.tensor([[1.0, 1, 1, 1], [-1.0, -1, 1, -1], [1.0, -1, -1, 1]])
    law = GaussianMixture(means, 0.02)
    truth = law.sample(6, generator=Noise(7)).float()
    asked = []

    def acquire(chosen):
        asked.append(chosen)
        return truth

    sampler = ActiveSubsampling(budget=3, particles=8, guidance=DPS(steps=60, scale=0.5))
    found = sampler(law.denoiser(VP()), Identity((4,)), PIXELS, acquire, 6, generator=Noise(0))
    assert found.x.shape == (6, 8, 4) and found.order.shape == (6, 3) and len(asked) == 3
    assert all(len(row.unique()) == 3 for row in found.order)
    seen = found.x.gather(2, found.order[:, None].expand(-1, 8, -1)) - truth.gather(1, found.order)[:, None]
    assert seen.abs().mean() < 0.25
    prior = law.sample(2000, generator=Noise(8)).var(0).mean()
    assert found.variance.shape == (6, 4) and (found.variance[:, -1] < 0.1 * prior).all()


def test_some_may_be_taken_before():
    law, truth = Gaussian(torch.zeros(4), COVARIANCE), draw(2, 4).float()
    sampler = ActiveSubsampling(budget=2, particles=4, guidance=DPS(steps=20))
    model = law.denoiser(VP())
    first = torch.tensor([1])
    found = sampler(model, Identity((4,)), PIXELS, lambda k: truth, 2, first=first, generator=Noise(0))
    assert (found.order != 1).all() and found.known.sum(1).tolist() == [3, 3]


def test_without_a_budget_a_mask_for_each_signal_is_fixed():
    law, truth = Gaussian(torch.zeros(4), COVARIANCE), draw(2, 4).float()
    sampler = ActiveSubsampling(budget=0, particles=4, guidance=DPS(steps=20), consistent=True)
    model, first = law.denoiser(VP()), torch.tensor([[0, 1], [3, 2]])
    found = sampler(model, Identity((4,)), PIXELS, lambda k: truth, 2, first=first, generator=Noise(0))
    assert found.order.shape == (2, 0) and found.variance.shape == (2, 1)
    assert found.known.tolist() == [[True, True, False, False], [False, False, True, True]]
    known = found.known[:, None].expand_as(found.x)
    torch.testing.assert_close(found.x[known], truth[:, None].expand_as(found.x)[known])
    with pytest.raises(InputError, match="numbers of candidates"):
        sampler(model, Identity((4,)), PIXELS, lambda k: truth, 2, first=first + 1)


def test_columns_of_k_space_start_at_the_centre_line_and_are_met_at_the_end():
    shape = (2, 4, 4)
    law = Gaussian(torch.zeros(32), 1.0)
    operator, truth = Fourier(shape), draw(3, *shape).float()
    y = operator(truth)
    sampler = ActiveSubsampling(budget=2, particles=4, guidance=DPS(steps=10), consistent=True)

    class Images(torch.nn.Module):
        process = VP()

        def data(self, x, t, cond=None):
            return law.denoiser(self.process).data(x.flatten(1), t).reshape(x.shape)

    found = sampler(
        Images(), operator, columns(shape), lambda k: y, 3, first=torch.tensor([0]), generator=Noise(0)
    )
    lines = found.known[:, 0].any(1)
    assert lines.sum(1).tolist() == [3, 3, 3] and lines[:, 0].all()
    assert torch.equal(found.known, lines[:, None, None].expand(3, *shape))
    spectra = operator(found.x.flatten(0, 1)).reshape(3, 4, *shape)
    error = (spectra - y[:, None]).abs() * found.known[:, None]
    assert error.max() < 1e-5 and (spectra - y[:, None]).abs().max() > 0.5


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ActiveSubsampling(-1), "budget is -1"),
        (lambda: ActiveSubsampling(1, particles=1), "two are needed"),
        (lambda: ActiveSubsampling(50, guidance=DPS(steps=20)), "do not fit"),
        (lambda: ActiveSubsampling(1, window=(0.5, 0.2)), "rising"),
        (
            lambda: ActiveSubsampling(5)(
                Gaussian(torch.zeros(4), 1.0).denoiser(VP()),
                Identity((4,)),
                PIXELS,
                lambda k: torch.zeros(1, 4),
                1,
            ),
            "of 4 candidates",
        ),
        (
            lambda: ActiveSubsampling(1)(
                Gaussian(torch.zeros(4), 1.0).denoiser(VP()),
                Identity((4,)),
                torch.eye(3),
                lambda k: torch.zeros(1, 4),
                1,
            ),
            "4 entries",
        ),
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_an_unknown_criterion():
    with pytest.raises(UnknownName):
        ActiveSubsampling(1, criterion="luck")


def test_what_was_measured_is_put_in_by_an_orthogonal_operator_only():
    law = Gaussian(torch.zeros(1, 2, 2), 1.0)
    sampler = ActiveSubsampling(1, consistent=True)
    with pytest.raises(Unsuitable, match="orthogonal"):
        sampler(law.denoiser(VP()), BlockDownsampling((1, 2, 2), 2), torch.ones(1, 1), torch.zeros_like, 1)
