"""Laws fitted to real data, as the numbers that a closed form needs: a prior of images without a network.

`GaussianMixture(*digits_mixture())` is a law whose denoiser is exact at every level of noise and whose posterior
under a linear measurement is a mixture again, so a sampler can be judged on images without any error of learning.

Oracle: weights, means and covariances of scikit-learn's own fit (tests/data/test_priors.py).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.data.sets import digits
from girsanov.errors import extra

TRAINED = 1500
"""Digits that the mixture was fitted to; the other 297 of `digits` are held out."""


class Mixture(NamedTuple):
    """Σ_k w_k N(m_k, C_k), in the order of the arguments of `exact.GaussianMixture`.

    Args:
        means: (K, *shape), float64.
        covariances: (K, d, d), float64.
        weights: (K,), float64, summing to 1.
    """

    means: Tensor
    covariances: Tensor
    weights: Tensor


def digits_mixture() -> Mixture:
    """The reference prior of images: 20 full Gaussians fitted to the first 1,500 of `digits`, (20, 1, 8, 8).

    Expectation maximization by scikit-learn with 0.003 added to the variances and a fixed seed; about a second, once.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    return Mixture(*(part.clone() for part in _fitted()))


@cache
def _fitted() -> Mixture:
    mixture, threadpoolctl = extra("sklearn.mixture", "data"), extra("threadpoolctl", "data")
    x = digits()[0][:TRAINED]
    model = mixture.GaussianMixture(20, covariance_type="full", reg_covar=3e-3, random_state=0)
    with threadpoolctl.threadpool_limits(
        1
    ):  # many small matrices: threads that wait for each other take minutes
        model.fit(x.flatten(1).double().numpy())
    means, covariances, weights = (
        torch.from_numpy(a) for a in (model.means_, model.covariances_, model.weights_)
    )
    covariances = (covariances + covariances.mT) / 2
    return Mixture(means.reshape(-1, *x.shape[1:]), covariances, weights / weights.sum())
