"""The shape of sampling trajectories: flat, and coarse features first.

    planarity(i) = (s_1² + s_2²) / Σ_k s_k²,   s_k the singular values of path i minus its own mean     (1)
    v_k(t) = variance over the batch of u_k · x̂_0(t),   emerged at t_k: v_k ≥ ½ v_k(end) from t_k on     (2)
    Hal = mean over coordinates of the variance of x̂_0 along a window of the path                       (3)

For Gaussian data and the probability flow, u_k an eigenvector of variance λ_k, v_k(t)/v_k(end) is
α_t² λ_k / (α_t² λ_k + γ_t²), so (2) gives the time at which α_t² λ_k = γ_t².

Oracle: circles and helices; the Gaussian formula (tests/metrics/test_trajectories.py).
Source: Wang & Vastola (2023), Diffusion models generate images like painters; for (3) Aithal et al. (2024),
Understanding hallucinations in diffusion models through mode interpolation, section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.transport.points import as_points


@torch.no_grad()
def planarity(path: Tensor) -> Tensor:
    """The share of a trajectory's variance inside its best plane, equation (1).

    The plane is affine: it need not hold the origin, and the path's own mean is subtracted first. (A plane
    through the origin would count the distance from it as explained.) Three times, or two dimensions, always
    give 1. Not for stochastic samplers, whose noise is in all dimensions.

    Args:
        path: (B, T, *shape), T at least 2; any spacing of the times, each state counts alike.

    Returns:
        (B,) float64, from 0 to 1.

    Raises:
        InputError: bad paths, or one that does not move.
    """
    paths = _paths(path, "path", least=1)
    variances = torch.linalg.svdvals(paths - paths.mean(1, keepdim=True)).square()
    total = variances.sum(1)
    still = total <= 1e-24 * paths.square().sum((1, 2))
    require(
        not bool(still.any()),
        f"path {int(still.int().argmax())} does not move, so it has no plane; leave out such paths",
    )
    return variances[:, :2].sum(1) / total


@torch.no_grad()
def emergence_times(answers: Tensor, times: Tensor, directions: Tensor) -> Tensor:
    """When each feature of the denoised answer appears along sampling, equation (2).

    A direction has emerged once the variance of the answers along it has reached half of its final value
    for good; between two times it is interpolated. Not for directions along which the final answers hardly
    vary, and not with a handful of samples: the variance is over the batch.

    Args:
        answers: (B, T, *shape), B at least 2: the denoiser's `data` answer at each time of the path.
        times: (T,), decreasing: diffusion time, from noise to data.
        directions: (K, *shape), such as principal components; their length does not matter.

    Returns:
        (K,) float64: the time of each direction; times[0] if it was there from the start.

    Raises:
        InputError: bad inputs, times that do not decrease, or a direction without variance at the end.
    """
    paths = _paths(answers, "answers", least=2)
    features = as_points(directions, "directions")
    require(
        directions.shape[1:] == answers.shape[2:],
        f"directions have shape {tuple(directions.shape[1:])} and answers {tuple(answers.shape[2:])}; "
        "give directions (K, *shape) for answers (B, T, *shape)",
    )
    clock = as_points(times, "times")[:, 0]
    require(
        times.shape == (paths.shape[1],) and bool((clock.diff() < 0).all()),
        f"times have shape {tuple(times.shape)} for {paths.shape[1]} states; give one per state, decreasing "
        "from noise to data",
    )
    variance = (paths @ features.T).var(0)  # (T, K)
    final = variance[-1]
    flat = final <= 1e-24 * features.square().sum(1) * paths[:, -1].square().sum(1).mean()
    if bool(flat.any()):
        raise InputError(
            f"direction {int(flat.int().argmax())} has no variance in the final answers, so it never "
            "emerges; leave it out"
        )
    return _last_crossing(variance / final - 0.5, clock.to(final.device))


@torch.no_grad()
def prediction_variance(answers: Tensor) -> Tensor:
    """How much the denoised answer still moves along a window of sampling, equation (3).

    A sample that ends between two modes has seen its answer change from one to the other.
    `solvers.TrajectoryVariance` computes the same while sampling, without storing the path.

    Args:
        answers: (B, T, *shape), the denoiser's `data` answers at the T ≥ 2 times of the window.

    Returns:
        (B,) float64, over T and not T − 1.

    Raises:
        InputError: bad answers, or a single time.
    """
    return _paths(answers, "answers", least=1).var(1, correction=0).mean(1)


def _last_crossing(excess: Tensor, clock: Tensor) -> Tensor:
    """The time after which each column of excess: (T, K) stays at or above 0; its last row is above."""
    index = torch.arange(1, len(clock), device=clock.device)[:, None]
    after = (index * (excess[:-1] < 0)).amax(0)  # the first row after the last one below 0; 0 if none is
    before = (after - 1).clamp(min=0)
    low, high = (excess.gather(0, i[None])[0] for i in (before, after))
    part = torch.where(after > 0, -low / (high - low).clamp_min(torch.finfo(low.dtype).tiny), 0.0)
    return clock[before] + part * (clock[after] - clock[before])


def _paths(path: Tensor, name: str, least: int) -> Tensor:
    """Check and flatten to (B, T, D) float64."""
    points = as_points(path, name, least)
    require(
        path.ndim >= 2 and path.shape[1] >= 2,
        f"{name} has shape {tuple(path.shape)}; give (B, T, *shape) with at least 2 times",
    )
    return points.reshape(path.shape[0], path.shape[1], -1)
