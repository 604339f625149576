"""Scores against their limits, the greedy order of a Gaussian, and a loop that takes each candidate once."""

import pytest
import torch

from girsanov.errors import InputError, UnknownName
from girsanov.exact import Gaussian, GaussianMixture
from girsanov.inverse.active import ActiveSubsampling, acquisition_score
from girsanov.inverse.linear import Identity
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
    columns = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]])
    single = acquisition_score(guesses, PIXELS, "variance")
    torch.testing.assert_close(acquisition_score(guesses, columns, "variance"), single @ columns.T.double())


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

    sampler = ActiveSubsampling(budget=3, particles=8, steps=60, scale=0.5)
    found = sampler(law.denoiser(VP()), Identity((4,)), PIXELS, acquire, 6, generator=Noise(0))
    assert found.x.shape == (6, 8, 4) and found.order.shape == (6, 3) and len(asked) == 3
    assert all(len(row.unique()) == 3 for row in found.order)
    seen = found.x.gather(2, found.order[:, None].expand(-1, 8, -1)) - truth.gather(1, found.order)[:, None]
    assert seen.abs().mean() < 0.25
    prior = law.sample(2000, generator=Noise(8)).var(0).mean()
    assert found.variance.shape == (6, 4) and (found.variance[:, -1] < 0.1 * prior).all()


def test_some_may_be_taken_before():
    law, truth = Gaussian(torch.zeros(4), COVARIANCE), draw(2, 4).float()
    sampler = ActiveSubsampling(budget=2, particles=4, steps=20)
    found = sampler(
        law.denoiser(VP()),
        Identity((4,)),
        PIXELS,
        lambda k: truth,
        2,
        first=torch.tensor([1]),
        generator=Noise(0),
    )
    assert (found.order != 1).all()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ActiveSubsampling(0), "budget is 0"),
        (lambda: ActiveSubsampling(1, particles=1), "two are needed"),
        (lambda: ActiveSubsampling(50, steps=20), "do not fit"),
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
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_an_unknown_criterion():
    with pytest.raises(UnknownName):
        ActiveSubsampling(1, criterion="luck")
