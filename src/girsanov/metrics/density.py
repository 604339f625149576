"""How lonely a point is among the data: stand-ins for a low density where none is known.

    average kNN distance     mean over the k nearest data of |x - r|
    local outlier factor     the mean density of the k nearest data over that of x, by reachability distances;
                             about 1 inside the data, larger outside, whatever the scale of the cluster next to it

Both compare with data that do not hold x itself. Distances in many dimensions say little: give features.
Source: Sehwag et al. (2022) for the first as a judge of samples; Breunig, Kriegel, Ng & Sander (2000), LOF.
Oracle: a loop over points; scikit-learn's own factors (tests/metrics/test_density.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import extra, require
from girsanov.transport.points import blocks, matched_points


@torch.no_grad()
def average_knn(x: Tensor, reference: Tensor, k: int = 5) -> Tensor:
    """The mean distance of every sample to its k nearest points of a reference set.

    Args:
        x: (N, *shape).
        reference: (M, *shape), which does not hold x itself.
        k: from 1 to M.

    Returns:
        (N,) float64, in the units of x.

    Raises:
        InputError: bad samples, or k out of its range.
    """
    a, b = matched_points(x, reference, names=("x", "reference"))
    require(1 <= k <= len(b), f"k is {k} for {len(b)} reference points; give a number from 1 to {len(b)}")
    return torch.cat(
        [squared.topk(k, dim=1, largest=False).values.sqrt().mean(1) for _, squared in blocks(a, b)]
    )


def local_outlier_factor(x: Tensor, reference: Tensor, k: int = 20) -> Tensor:
    """The local outlier factor of every sample, judged by a reference set.

    Args:
        x: (N, *shape).
        reference: (M, *shape), which does not hold x itself.
        k: from 1 to below M.

    Returns:
        (N,) float64; about 1 inside the data.

    Raises:
        InputError: bad samples, or k out of its range.
        MissingExtra: scikit-learn is not installed.
    """
    a, b = matched_points(x, reference, names=("x", "reference"), least=2)
    require(1 <= k < len(b), f"k is {k} for {len(b)} reference points; give a number from 1 to {len(b) - 1}")
    found = extra("sklearn.neighbors", "data").LocalOutlierFactor(n_neighbors=k, novelty=True)
    return torch.from_numpy(-found.fit(b.numpy(force=True)).score_samples(a.numpy(force=True)))
