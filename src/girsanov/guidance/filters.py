"""Filters: drop samples that the sampler itself was unsure of.

Oracle: order statistics by hand (tests/guidance/test_filters.py).
Source: Aithal et al. (2024), arXiv 2406.09358, section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import require, require_finite


def reject_high_variance(
    variance: Tensor, *, keep: float | None = None, threshold: float | None = None
) -> Tensor:
    """Which samples to keep: those whose denoised answer hardly moved, as `solvers.TrajectoryVariance` measures.

    Not for comparing classes or prompts with each other: what varies more is dropped more.

    Args:
        variance: (B,).
        keep: the share with the least variance, rounded to a number of samples, at least one.
        threshold: the largest variance kept; take a quantile over samples known to be good.

    Returns:
        (B,) bool: `x[mask]` are the samples kept, in their order.

    Raises:
        InputError: both or neither of keep and threshold, or one out of range.
    """
    require(
        variance.ndim == 1 and len(variance) > 0,
        f"variance has shape {tuple(variance.shape)}; give (B,), one number a sample",
    )
    require_finite(variance, "variance")
    require((keep is None) != (threshold is None), "give keep or threshold, and not both")
    if threshold is not None:
        require(threshold >= 0, f"threshold is {threshold}; give at least 0")
        return variance <= threshold
    assert keep is not None
    require(0 < keep <= 1, f"keep is {keep}; give a share in (0, 1], such as 0.95")
    mask = torch.zeros(len(variance), dtype=torch.bool, device=variance.device)
    mask[variance.argsort(stable=True)[: max(1, round(keep * len(variance)))]] = True
    return mask
