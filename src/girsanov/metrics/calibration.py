"""Does a stated uncertainty mean what it says? Per-element variances and intervals against the errors made.

    uncertainty calibration error   Σ_b n_b/N · |mean of e² in bin b − mean of σ² in bin b|            (1)
    coverage                        share of the truth inside its interval
    correlation                     Pearson's r, of σ and |e| for instance
    AUROC                           P(score of a stranger > score of a usual case), ties counted half  (2)

The bins of (1) have equal width in σ², from its least value to its largest.
Oracle: variances that are right by construction, scipy's r, a loop over the pairs of (2)
(tests/metrics/test_calibration.py).
Source: Laves et al. (2020), Well-calibrated regression uncertainty in medical imaging, eq. 11 (1);
Upadhyay et al. (2022), BayesCap, arXiv 2207.06873, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import InputError, extra, require, require_finite

BINS = 100
"""Bins of the uncertainty calibration error, as published."""


@torch.no_grad()
def uncertainty_calibration_error(error: Tensor, variance: Tensor, *, bins: int = BINS) -> Tensor:
    """The uncertainty calibration error (UCE) of equation (1); 0 is perfect.

    Few large variances stretch the bins, and most elements then share the first: look at `correlation`
    and `coverage` beside it. It grows with the square of the units.

    Args:
        error: any shape, prediction − truth.
        variance: of the same shape, at least 0.
        bins: their number, at least 1.

    Returns:
        0-d float64, in squared units of the error.

    Raises:
        InputError: shapes that differ, no elements, NaN, infinity, negative variances, bins below 1.
    """
    e, v = _alike(error, variance, ("error", "variance"))
    require(bins >= 1, f"bins is {bins}; give at least 1")
    require(float(v.min()) >= 0, f"variance goes down to {float(v.min()):.3g}; give values of at least 0")
    low, high = v.min(), v.max()
    width = (high - low).clamp(min=torch.finfo(v.dtype).tiny)
    where = ((v - low) / width * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins, dtype=v.dtype, device=v.device).index_add_(0, where, e.square() - v)
    return gap.abs().sum() / len(v)


@torch.no_grad()
def coverage(lower: Tensor, upper: Tensor, truth: Tensor) -> Tensor:
    """The share of the truth inside its interval, the ends included; 0-d float64.

    Args:
        lower, upper, truth: of one shape; lower ≤ upper everywhere.

    Raises:
        InputError: shapes that differ, no elements, NaN, infinity, an interval whose ends are swapped.
    """
    low, high = _alike(lower, upper, ("lower", "upper"))
    _, y = _alike(lower, truth, ("lower", "truth"))
    require(bool((low <= high).all()), "an interval has its lower end above its upper one; swap the two")
    return ((low <= y) & (y <= high)).to(torch.float64).mean()


@torch.no_grad()
def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's r of two tensors of one shape, over all their elements; 0-d float64.

    Raises:
        InputError: shapes that differ, NaN, infinity, fewer than 2 elements, a tensor of one value.
    """
    a, b = _alike(x, y, ("x", "y"))
    a, b = a - a.mean(), b - b.mean()
    for values, name in ((a, "x"), (b, "y")):
        require(
            bool(values.any()), f"{name} holds one value only, and has no correlation; give varied numbers"
        )
    return (a @ b) / (a.norm() * b.norm())


def auroc(usual: Tensor, strange: Tensor) -> float:
    """How well a score tells strangers from usual cases: equation (2). 1 is perfect, ½ is chance.

    Needs scikit-learn (`pip install 'girsanov[data]'`).

    Args:
        usual: (N,), scores of what is like the training data.
        strange: (M,), scores of what is not; larger ones are wanted here.

    Raises:
        InputError: not two vectors of finite numbers with at least one element.
        MissingExtra: scikit-learn is not installed.
    """
    for scores, name in ((usual, "usual"), (strange, "strange")):
        require(
            scores.ndim == 1 and len(scores) > 0,
            f"{name} is {tuple(scores.shape)}; give one score a case, (N,)",
        )
        require_finite(scores, name)
    score = extra("sklearn.metrics", "data").roc_auc_score
    label = torch.cat([torch.zeros(len(usual)), torch.ones(len(strange))])
    return float(score(label.numpy(), torch.cat([usual, strange]).double().numpy(force=True)))


def _alike(x: Tensor, y: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """Both as float64 vectors, checked."""
    if x.shape != y.shape or x.numel() == 0:
        raise InputError(
            f"{names[0]} is {tuple(x.shape)} and {names[1]} {tuple(y.shape)}; give one shape, with elements"
        )
    for values, name in zip((x, y), names, strict=True):
        require_finite(values, name)
    return x.detach().flatten().double(), y.detach().flatten().double()
