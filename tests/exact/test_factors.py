"""Mixtures of factor analysers on incomplete rows: closed forms, the objective, conditionals, repeated rows."""

import itertools

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import FactorMixture, GaussianMixture, fit_factors
from girsanov.exact.factors import KAPPA, RATE, SHAPE
from girsanov.noise import Noise

DOUBLE = torch.float64


def holes(x, share=0.3, seed=1):
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(u < share, torch.nan, x)


def some_mixture(k=3, d=5, q=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    normal = [torch.randn(*s, generator=g, dtype=DOUBLE) for s in ((k, d), (k, d, q), (k, d))]
    weights = torch.arange(1, k + 1, dtype=DOUBLE)
    return FactorMixture(weights / weights.sum(), normal[0], normal[1], 0.2 + normal[2].square())


def observed(x):
    return torch.eye(x.shape[-1], dtype=DOUBLE)[~torch.isnan(x)]


def test_without_factors_the_fit_is_closed():
    x = holes(torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) + 0.5)
    fitted = fit_factors(x, 1, 0, steps=50).mixture
    n = (~torch.isnan(x)).sum(0)
    mean = x.nansum(0) / (n + KAPPA)
    spread = (x - mean).square().nansum(0) + KAPPA * mean.square()
    torch.testing.assert_close(fitted.means[0], mean)
    torch.testing.assert_close(fitted.noise[0], (spread + 2 * RATE) / (n + 1 + 2 * (SHAPE + 1)))


def test_complete_rows_give_the_usual_fit():
    from sklearn.decomposition import FactorAnalysis

    x = some_mixture(k=1, d=6).law.sample(4000, generator=Noise(0))
    x = (x - x.mean(0)) / x.std(0)
    usual = FactorAnalysis(2, tol=1e-8, max_iter=5000).fit(x.numpy())
    ours = fit_factors(x, 1, 2, steps=2000, tolerance=1e-9).mixture
    # the prior is worth a few of 4,000 rows, and it can only lose likelihood
    assert -1e-3 < float(ours.log_prob(x).mean()) - usual.score(x.numpy()) < 1e-9
    torch.testing.assert_close(
        ours.law.covariances[0], torch.from_numpy(usual.get_covariance()), atol=0.01, rtol=0
    )


@pytest.mark.parametrize("components", [1, 3])
def test_the_objective_never_falls(components):
    x = holes(some_mixture().law.sample(300, generator=Noise(0)))
    w = -torch.rand(300, generator=torch.Generator().manual_seed(2), dtype=DOUBLE).log()
    found = fit_factors(x, components, 2, weights=w, steps=60, tolerance=0.0, generator=Noise(0)).objective
    assert len(found) > 20 and min(b - a for a, b in itertools.pairwise(found)) > -1e-8 * abs(found[0])


def test_a_weight_is_a_number_of_copies():
    x = holes(some_mixture().law.sample(80, generator=Noise(0)))
    times = torch.arange(80) % 3
    copies = fit_factors(x.repeat_interleave(times, 0), 1, 2, steps=400, tolerance=1e-12).mixture
    weighted = fit_factors(x, 1, 2, weights=times, steps=400, tolerance=1e-12).mixture
    torch.testing.assert_close(weighted.law.covariances, copies.law.covariances, atol=1e-3, rtol=0)


def test_a_density_with_holes_is_that_of_the_marginal():
    mixture = some_mixture()
    x = holes(mixture.law.sample(20, generator=Noise(0)))
    x[0] = torch.nan
    for row, found in zip(x, mixture.log_prob(x), strict=True):
        a = observed(row)
        if not len(a):
            assert abs(float(found)) < 1e-12
            continue
        means, covariances = mixture.means @ a.T, a @ mixture.law.covariances @ a.T
        marginal = GaussianMixture(means, covariances, mixture.weights)
        torch.testing.assert_close(found, marginal.log_prob(row[~row.isnan()][None])[0])


def test_means_and_draws_are_those_of_the_exact_posterior():
    mixture, n = some_mixture(), 40_000
    row = torch.tensor([0.3, torch.nan, -0.4, torch.nan, torch.nan], dtype=DOUBLE)
    exact = mixture.law.posterior(observed(row), row[~row.isnan()], noise=0.0)
    torch.testing.assert_close(mixture.mean_given(row[None])[0], exact.mean)
    draws = mixture.complete(row.expand(n, -1), generator=Noise(0))
    assert (draws[:, [0, 2]] == row[[0, 2]]).all()
    error = (draws.mean(0) - exact.mean).abs() / (exact.covariance.diagonal() / n).sqrt().clamp(min=1e-12)
    assert error[[1, 3, 4]].max() < 4.5
    torch.testing.assert_close(
        draws.T.cov(), exact.covariance, atol=0.03 * float(exact.covariance.max()), rtol=0
    )


def test_a_mixture_finds_its_clusters():
    law = GaussianMixture(torch.tensor([[-1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]), 0.1, [0.3, 0.7])
    fitted = fit_factors(holes(law.sample(3000, generator=Noise(0))), 2, 1, generator=Noise(1)).mixture
    order = fitted.weights.argsort()
    torch.testing.assert_close(fitted.means[order], law.means, atol=0.05, rtol=0)
    assert float(fitted.weights[order[0]]) == pytest.approx(0.3, abs=0.03)


def test_a_draw_is_the_same_in_any_batch():
    mixture = some_mixture()
    x = holes(mixture.law.sample(100, generator=Noise(0)))
    whole = mixture.complete(x, generator=Noise(3))
    torch.testing.assert_close(whole[:50], mixture.complete(x[:50], generator=Noise(3)))


@pytest.mark.parametrize(
    "change, word",
    [
        ({"components": 0}, "components"), ({"components": 9}, "components"), ({"factors": 4}, "factors"),
        ({"ridge": 0.0}, "ridge"), ({"weights": torch.ones(3)}, "weights"), ({"x": torch.ones(3)}, "shape"),
        ({"x": torch.full((4, 3), torch.inf)}, "infinity"),
    ],
)  # fmt: skip
def test_what_is_refused(change, word):
    given = {"x": torch.randn(8, 3), "components": 2, "factors": 1, **change}
    with pytest.raises(InputError, match=word):
        fit_factors(given.pop("x"), given.pop("components"), given.pop("factors"), **given)
