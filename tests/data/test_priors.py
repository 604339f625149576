"""The reference prior, against the moments of the digits it was fitted to and one step of the fit."""

import pytest
import torch

import girsanov as gv


@pytest.fixture(scope="module")
def law():
    return gv.exact.GaussianMixture(*gv.data.digits_mixture())


def digits():
    return gv.data.digits()[0][: gv.data.priors.TRAINED].double()


def test_it_is_a_law_of_images(law):
    assert law.shape == (1, 8, 8) and law.weights.sum() == pytest.approx(1, abs=1e-12)
    assert float(law.variances.min()) >= 3e-3 - 1e-9


def test_its_moments_are_those_of_the_digits(law):
    """A step of expectation maximization keeps the mean, and the covariance but for what is added to it."""
    x = digits().flatten(1)
    assert torch.allclose(law.mean.flatten(), x.mean(0), atol=1e-9)
    added = law.covariance - (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)
    assert torch.allclose(added, 3e-3 * torch.eye(64, dtype=torch.float64), atol=1e-9)


def test_expectation_maximization_has_settled(law):
    """Another step, written here with the densities of `exact`, changes the likelihood by less than 0.01 a digit."""
    x = digits()
    share = torch.softmax(law.log_joint(x.flatten(1), 1.0, 0.0)[0], 1)
    weights = share.mean(0)
    means = share.T @ x.flatten(1) / share.sum(0)[:, None]
    centred = x.flatten(1)[:, None] - means
    covariances = torch.einsum("nk,nki,nkj->kij", share, centred, centred) / share.sum(0)[:, None, None]
    covariances += 3e-3 * torch.eye(64, dtype=torch.float64)
    better = gv.exact.GaussianMixture(means.reshape(-1, 1, 8, 8), covariances, weights)
    assert float((better.log_prob(x) - law.log_prob(x)).mean().abs()) < 0.01


def test_a_caller_cannot_change_it_for_the_next():
    gv.data.digits_mixture().means.zero_()
    assert gv.data.digits_mixture().means.abs().max() > 0.5
