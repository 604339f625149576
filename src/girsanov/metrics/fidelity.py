"""What a generative model gets wrong: copies, holes, strangers, and the usual one-number summary.

    nearest_distance     min over j of |x_i − r_j|
    nearest_train_ratio  median of that for samples / median for held-out data, both to the training data
    precision            share of samples inside the balls of the data (radius: distance to the k-th nearest)
    recall               share of the data inside the balls of the samples
    frechet              |m_x − m_y|² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^{1/2}), of Gaussian fits

Oracle: a loop over the points, closed forms (tests/metrics/test_fidelity.py).
Source: Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing generative models;
Heusel et al. (2017), GANs trained by a two time-scale update rule (Fréchet distance).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.transport import gaussian_w2
from girsanov.transport.points import blocks, matched_points


@dataclass(frozen=True)
class PrecisionRecall:
    """precision: share of samples that look like data; recall: share of the data that is covered."""

    precision: float
    recall: float


@torch.no_grad()
def nearest_distance(x: Tensor, reference: Tensor) -> Tensor:
    """The distance of every sample to the nearest point of a reference set.

    Not a perceptual distance: for images, a shift by a pixel is far and a grey average near.

    Args:
        x: (N, *shape).
        reference: (M, *shape).

    Returns:
        (N,) float64, in the units of x; 0 for copies.

    Raises:
        InputError: bad samples.
    """
    a, b = matched_points(x, reference, names=("x", "reference"))
    return torch.cat([squared.min(1).values for _, squared in blocks(a, b)]).sqrt()


def nearest_train_ratio(samples: Tensor, train: Tensor, heldout: Tensor) -> float:
    """How near samples lie to the training data, in units of how near held-out data lie.

    About 1 for new draws of the law, toward 0 for copies. Well above 1 means bad samples and not
    originality. A median: not for a model that copies rarely; look at the lower end of `nearest_distance`.

    Args:
        samples: (N, *shape).
        train: (M, *shape), what the model was trained on.
        heldout: (L, *shape), data of the same law that it was not trained on.

    Raises:
        InputError: bad samples, or held-out data that repeat the training data.
    """
    ours, _ = matched_points(samples, train, names=("samples", "train"))
    known, fresh = matched_points(train, heldout, names=("train", "heldout"))
    usual = float(nearest_distance(fresh, known).quantile(0.5))
    require(
        usual > 0,
        "at least half of heldout is also in train, so there is no distance to compare with. "
        "Give data that the model has not seen, or remove repeated rows first.",
    )
    return float(nearest_distance(ours, known).quantile(0.5)) / usual


@torch.no_grad()
def precision_recall(x: Tensor, y: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall of samples x against data y.

    Two samples of one law score alike but below 1, by an amount that depends on size and dimension: compare
    with two halves of the data. Not with unequal sizes, which favour one of the two, and not with outliers in
    the data, whose balls are large.

    Args:
        x: (N, *shape), the samples.
        y: (M, *shape), the data.
        k: which neighbour gives the radius, from 1 to below N and M.

    Raises:
        InputError: bad samples, or k out of its range.
    """
    a, b = matched_points(x, y, least=2)
    most = min(len(a), len(b)) - 1
    require(1 <= k <= most, f"k is {k} for {len(a)} and {len(b)} samples; give a number from 1 to {most}")
    return PrecisionRecall(_share_inside(a, b, k), _share_inside(b, a, k))


def frechet_distance(x: Tensor, y: Tensor) -> Tensor:
    """The Fréchet distance of Gaussian fits, squared as FID is reported.

    Give features of a network for FID; on raw data it compares means and covariances only, and is blind to
    everything else. Biased upward by about (1/N + 1/M) times the total variance and more in many
    dimensions: compare at equal sizes, with many more samples than dimensions.

    Args:
        x: (N, *shape), N at least 2; features (N, D) for the usual meaning.
        y: (M, *shape), M at least 2.

    Returns:
        0-d float64, in squared units of x; without gradient.

    Raises:
        InputError: bad samples.
    """
    a, b = matched_points(x, y, least=2)
    return gaussian_w2(*_gaussian_fit(a), *_gaussian_fit(b)).square()


def _gaussian_fit(points: Tensor) -> tuple[Tensor, Tensor]:
    mean = points.mean(0)
    centred = points - mean
    return mean, centred.T @ centred / (len(points) - 1)


def _share_inside(a: Tensor, b: Tensor, k: int) -> float:
    """Share of a: (N, D) inside a ball around a point of b: (M, D) that reaches its k-th neighbour in b."""
    # each point is its own nearest at distance 0, hence k + 1
    radius = torch.cat([squared.kthvalue(k + 1, dim=1).values for _, squared in blocks(b, b)])
    inside = torch.cat([(squared <= radius).any(1) for _, squared in blocks(a, b)])
    return float(inside.to(torch.float64).mean())
