"""Maps of a column: there and back, scipy's transform, normal scores, discrete columns, values beyond what was seen."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest, skew, yeojohnson

from girsanov.errors import UnknownName
from girsanov.inverse.marginals import PowerMap, RankMap, ScaleMap, learn_map

SKEWED = np.random.default_rng(0).gamma(1.0, 1.0, 2000) - 1
LEARNED = {kind: learn_map(kind, SKEWED) for kind in ("power", "rank")}


@pytest.mark.parametrize("kind", LEARNED)
def test_there_and_back(kind):
    found = LEARNED[kind]
    np.testing.assert_allclose(found.inverse(found.forward(SKEWED)), SKEWED, rtol=1e-9, atol=1e-9)
    z = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(found.forward(found.inverse(z)), z, atol=1e-6)
    beyond = np.array([SKEWED.min() - 0.1, SKEWED.max() + 0.1])
    np.testing.assert_allclose(found.inverse(found.forward(beyond)), beyond, rtol=1e-6)


@pytest.mark.parametrize("kind", LEARNED)
def test_what_comes_out_is_near_normal(kind):
    z = LEARNED[kind].forward(SKEWED)
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.02
    assert abs(skew(z)) < skew(SKEWED) / 5 and skew(SKEWED) > 1.5


@pytest.mark.parametrize("power", [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0])
def test_the_power_is_scipys(power):
    v = np.linspace(-3, 3, 13)
    wide = PowerMap(power, 0.0, 1.0, -100.0, 100.0)
    np.testing.assert_allclose(wide.forward(v), yeojohnson(v, power), atol=1e-12)
    np.testing.assert_allclose(wide.inverse(wide.forward(v)), v, atol=1e-9)


def test_the_power_is_the_likeliest():
    assert LEARNED["power"].power == pytest.approx(yeojohnson(SKEWED)[1], abs=1e-6)


def test_scores_are_normal_quantiles_of_ranks():
    found = RankMap.learn(np.array([3.0, 1.0, np.nan, 2.0, 2.0]))
    np.testing.assert_allclose(found.forward(np.array([1.0, 2.0, 3.0])), ndtri([1 / 8, 1 / 2, 7 / 8]))
    assert np.isnan(found.forward(np.array([np.nan]))).all()


def test_a_discrete_column_comes_back_with_its_own_values_and_shares():
    values = np.repeat([0.0, 1.0, 5.0], [600, 300, 100])
    back = RankMap.learn(values).inverse(np.random.default_rng(0).normal(size=20_000))
    np.testing.assert_allclose([(back == v).mean() for v in (0, 1, 5)], [0.6, 0.3, 0.1], atol=0.02)


def test_draws_of_a_continuous_column_follow_its_law():
    back = LEARNED["rank"].inverse(np.random.default_rng(1).normal(size=500))
    assert kstest(back, SKEWED).pvalue > 1e-5


def test_a_feature_that_hardly_varies_is_not_blown_up():
    assert ScaleMap.learn(np.r_[np.zeros(999), 1.0]).scale == 0.05


def test_an_unknown_map_is_refused():
    with pytest.raises(UnknownName, match="rank"):
        learn_map("ranks", SKEWED)
