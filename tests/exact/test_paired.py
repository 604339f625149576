"""The denoiser of a joint law of data and anchor, against the posterior of that law."""

import math

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, mixture, seeded

from girsanov import exact
from girsanov.errors import InputError

DOUBLE = torch.float64


def pairs(dim=2, components=3, seed=3):
    """A mixture on (2, dim)."""
    law = mixture(2 * dim, components, seed)
    return exact.GaussianMixture(law.means.reshape(-1, 2, dim), law.covariances, law.weights)


@pytest.mark.parametrize("process", ANCHORED.values(), ids=ANCHORED)
@pytest.mark.parametrize("t", [0.02, 0.4, 0.9])
def test_it_is_the_posterior_mean_given_state_and_anchor(process, t):
    joint = pairs()
    model = exact.PairedDenoiser(joint, process)
    both = joint.sample(4, generator=seeded(0))
    x0, end = both[:, 0], both[:, 1]
    x, _ = process.perturb(x0, t, end=end, generator=seeded(1))
    answers = model.data(x, t, anchor=end)
    times = torch.full((4,), t, dtype=DOUBLE)
    torch.testing.assert_close(model.data(x, times, anchor=end), answers)
    alpha, beta, gamma = process.schedule.values(t)
    eye, zero = torch.eye(2, dtype=DOUBLE), torch.zeros(2, 2, dtype=DOUBLE)
    for i in range(4):
        told = joint.posterior(torch.cat([zero, eye], 1), end[i], noise=1e-6)
        told = told.posterior(torch.cat([alpha * eye, beta * eye], 1), x[i], noise=gamma)
        torch.testing.assert_close(answers[i], told.mean[0], atol=1e-6, rtol=1e-6)


def test_the_posterior_law_is_that_of_pairs_with_that_anchor():
    joint, anchor = pairs(dim=1), torch.tensor([0.3], dtype=DOUBLE)
    law = exact.PairedDenoiser(joint, ANCHORED["MeanReverting"]).posterior(anchor)
    n = 400_000
    both = joint.sample(n, generator=seeded(2))[..., 0]
    near = both[(both[:, 1] - 0.3).abs() < 0.02, 0]
    spread = law.covariance.item() ** 0.5
    assert abs(near.mean().item() - law.mean.item()) < 5 * spread / math.sqrt(len(near)) + 0.01
    assert near.std().item() == pytest.approx(spread, rel=0.05)


def test_an_anchor_that_tells_nothing_leaves_the_law_of_the_data():
    law, process = mixture(2), ANCHORED["MeanReverting"]
    zero = torch.zeros(4, 2, 2, dtype=DOUBLE)
    other = 0.3 * torch.eye(2, dtype=DOUBLE).expand(4, 2, 2)
    both = torch.cat([torch.cat([law.covariances, zero], 2), torch.cat([zero, other], 2)], 1)
    means = torch.stack([law.means, torch.ones(4, 2, dtype=DOUBLE)], 1)
    model = exact.PairedDenoiser(exact.GaussianMixture(means, both, law.weights), process)
    x, anchor = torch.randn(2, 5, 2, generator=seeded(4), dtype=DOUBLE)
    expected = law.denoiser(process).data(x, 0.5, anchor=anchor)
    torch.testing.assert_close(model.data(x, 0.5, anchor=anchor), expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: exact.PairedDenoiser(pairs(), ONE_SIDED["VP"]),
        lambda: exact.PairedDenoiser(mixture(2), ANCHORED["MeanReverting"]),
        lambda: exact.PairedDenoiser(
            exact.GaussianMixture(torch.zeros(1, 2, 2), 0.0), ANCHORED["MeanReverting"]
        ),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_missing_anchor_is_refused():
    with pytest.raises(InputError, match="anchor"):
        exact.PairedDenoiser(pairs(), ANCHORED["MeanReverting"]).data(torch.zeros(1, 2), 0.5)
