"""Restorations that outline what is possible, instead of near copies from the bulk of the posterior.

While the draws of a measurement are made together, each data prediction is moved from its nearest neighbour,

    x̂_0ⁱ ← x̂_0ⁱ + η s (x̂_0ⁱ - x̂_0ʲ)    if  |x̂_0ⁱ - x̂_0ʲ|/√size ≤ D,

s the time after the step, so that it fades; then the sampler makes it consistent with y (`DDNM(apart=Apart(...))`). Over
inpainting the distance counts the hidden pixels. D here is of the root mean square, so that it does not depend on the
size; the paper divides the norm by the size. Draws so made are no draws from the posterior: their frequencies mean
nothing, and `posterior` with another sampler says what is likely.

From a large set of draws the same is had without the model: `furthest_points`, `representatives`, `uniformized`.
Source: Cohen, Manor, Bahat & Michaeli (2024), From posterior sampling to meaningful diversity in image restoration, arXiv
2310.16047, sections 4 and 5.
Oracle: two draws of Gaussian data without a measurement; points on a line (tests/inverse/test_diversity.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import extra, require, require_finite
from girsanov.inverse.linear import Inpainting
from girsanov.inverse.measurement import Measurement
from girsanov.noise import Randomness, as_source, uniform


@dataclass(frozen=True)
class Apart:
    """Moves the predictions of one measurement apart; see the head of the module.

    Args:
        strength: η, at least 0; some 0.1 to 0.8.
        radius: D, at least 0: neighbours further away than this are left.
    """

    strength: float = 0.4
    radius: float = math.inf

    def __post_init__(self) -> None:
        require(0 <= self.strength < math.inf, f"strength is {self.strength}; give at least 0")
        require(self.radius >= 0, f"radius is {self.radius}; give at least 0")

    def __call__(self, data: Tensor, measurement: Measurement, s: float) -> Tensor:
        """Predictions (R, *shape) moved, runs of `measurement.draws` being those of one measurement.

        Raises:
            InputError: a single draw for each measurement.
        """
        n = measurement.draws
        require(n >= 2, "one draw has no neighbour; ask posterior for n = 2 or more")
        flat = data.reshape(-1, n, data[0].numel())
        seen = flat
        if isinstance(measurement.operator, Inpainting):
            seen = flat[..., ~measurement.operator.known.flatten().to(flat.device)]
        far = torch.cdist(seen, seen) / math.sqrt(seen.shape[2])
        far.diagonal(dim1=1, dim2=2).fill_(math.inf)
        distance, nearest = far.min(2)
        away = flat - flat.gather(1, nearest[..., None].expand_as(flat))
        moved = flat + (self.strength * s) * (distance <= self.radius)[..., None] * away
        return moved.reshape(data.shape)


def furthest_points(x: Tensor, n: int, *, first: int | None = None) -> Tensor:
    """n of the points x (N, *shape), each the furthest from those before it, (n,) indices.

    Args:
        x: draws, or features of draws.
        n: at most N.
        first: where it starts; the two furthest points if None.

    Raises:
        InputError: more points than there are, or NaN.
    """
    flat = _points(x, n)
    far = torch.cdist(flat, flat)
    chosen = [int(far.argmax()) // len(flat) if first is None else first]
    least = far[chosen[0]]
    while len(chosen) < n:
        chosen.append(int(least.argmax()))
        least = torch.minimum(least, far[chosen[-1]])
    return torch.tensor(chosen)


def representatives(x: Tensor, n: int, *, seed: int = 0) -> Tensor:
    """The points nearest to the centres of n clusters by k-means, (n,) indices; fewer where clusters coincide.

    Raises:
        InputError: more clusters than points, or NaN.
        MissingExtra: scikit-learn is not installed.
    """
    flat = _points(x, n)
    cluster = extra("sklearn.cluster", "data")
    found = cluster.KMeans(n, n_init=4, random_state=seed).fit(flat.numpy())
    return torch.cdist(torch.from_numpy(found.cluster_centers_).to(flat), flat).argmin(1).unique()


def uniformized(x: Tensor, n: int, *, outliers: float = 0.02, generator: Randomness = None) -> Tensor:
    """n of the points, drawn with weights that undo their density, (n,) indices without repetition.

    The weight of a point is r^d, r the distance to its k-th neighbour, k = N^{2/(d+2)} (log N)^{d/(d+2)}; the share of
    outliers with the largest r is left out. Reduce d first, by principal components: r^d knows no moderation.

    Raises:
        InputError: more points than there are, a share outside [0, 1), or NaN.
    """
    flat = _points(x, n)
    size, d = flat.shape
    require(0 <= outliers < 1, f"outliers is {outliers}; give a share from 0 to below 1")
    k = min(size - 1, max(1, round(size ** (2 / (d + 2)) * math.log(size) ** (d / (d + 2)))))
    radius = torch.cdist(flat, flat).kthvalue(k + 1, dim=1).values.double()
    log_w = d * radius.clamp(min=1e-300).log()
    kept = max(n, size - int(outliers * size))
    log_w[radius.argsort(descending=True)[: size - kept]] = -math.inf
    u = as_source(generator).draw(log_w[:, None], 0, uniform)[:, 0]
    return (log_w - (-u.log()).log()).topk(n).indices  # Gumbel's top n: draws one after the other by weight


def _points(x: Tensor, n: int) -> Tensor:
    """x flattened, after checks."""
    require(x.ndim >= 2 and 1 <= n <= len(x), f"n is {n} of {len(x)} points; give 1 to {len(x)}")
    require_finite(x, "x")
    return x.detach().flatten(1).cpu()
