"""The dimension of the data, read off a flow: directions across the data's manifold die with the noise.

The flow φ_t that starts at noise x_1 has the Jacobian Y(t) = ∂φ_t/∂x_1, with

    dY/dt = J_v(x_t, t) Y,    Y(1) = I.                                                         (1)

As t → 0 its singular values along the manifold settle, those across it shrink as the noise γ(t). For Gaussian
data of variances λ_k they are √(α²λ_k + γ²)/√(α_1²λ_k + γ_1²).

Both rules count the singular values that do not shrink: at one time those above the widest gap of the
logarithms, between two times those that lost less than half of what the noise lost, in logarithms. The paper
leaves the rule open; these two are ours. A flow with a gauge field turns singular vectors into each other, so
a conservative model is the better one to ask.

Oracle: the Gaussian flow; a plane in ten dimensions (tests/metrics/test_intrinsic_dimension.py).
Source: Horvat & Pfister (2024), arXiv 2402.03845, section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.metrics.fields import EXACT_UP_TO, jacobians


def flow_singular_values(
    velocity: Callable[[Tensor, float], Tensor],
    x: Tensor,
    times: Sequence[float],
    *,
    projections: int | None = None,
) -> Tensor:
    """Singular values of (1) along a flow, by Heun's rule on state and Jacobian together.

    A step costs two Jacobians, so keep to tens of points and of times. In place of the whole Jacobian
    `projections` first columns can be followed: then the values are those of Y on a random subspace.

    Args:
        velocity: v(x, t) of the probability flow, as `denoiser.velocity`.
        x: (B, *shape), noise at times[0].
        times: decreasing; evenly spaced in log γ is best.
        projections: None up to 64 coordinates; beyond, how many directions of noise are followed.

    Returns:
        (B, T, D) float64, decreasing in the last dimension, D the coordinates or the projections.

    Raises:
        InputError: more than 64 coordinates without projections, or times that do not decrease.
    """
    require(x.ndim >= 2 and len(x) > 0, f"x has shape {tuple(x.shape)}; give (B, *shape)")
    require_finite(x, "x")
    d = x[0].numel()
    require(
        len(times) >= 2 and all(t < s for s, t in pairwise(times)),
        f"times are {list(times)}; give at least 2, decreasing from noise to data",
    )
    require(
        projections is not None or d <= EXACT_UP_TO,
        f"a sample has {d} coordinates; the limit of exact Jacobians is {EXACT_UP_TO}. Give projections=32, the "
        "number of random directions to follow.",
    )
    require(projections is None or 1 <= projections <= d, f"projections is {projections}; give 1 to {d}")
    y = torch.eye(d, dtype=x.dtype, device=x.device)
    if projections is not None:
        y = torch.linalg.qr(torch.randn(d, projections, generator=torch.Generator().manual_seed(0)))[0].to(x)
    y = y.expand(len(x), *y.shape)
    found = [_values(y)]
    for s, t in pairwise(times):
        x, y = _heun(velocity, x, y, s, t)
        found.append(_values(y))
    return torch.stack(found, 1)


def estimate_dimension(values: Tensor, *, noise_ratio: float | None = None) -> Tensor:
    """How many singular values do not shrink, for each point.

    Args:
        values: (B, T, D), of `flow_singular_values`.
        noise_ratio: γ(last)/γ(first) of the times in `values`, below 1: counts values that fell by less than
            its square root from the first time to the last. None counts those above the widest gap at the last
            time, which is never 0 nor D.

    Returns:
        (B,) integers.

    Raises:
        InputError: shapes that do not fit, or a ratio outside (0, 1).
    """
    require(
        values.ndim == 3 and values.shape[2] >= 2,
        f"values has shape {tuple(values.shape)}; give (B, T, D) with D of at least 2",
    )
    logs = values.clamp(min=1e-300).log()
    if noise_ratio is None:
        return (logs[:, -1, :-1] - logs[:, -1, 1:]).argmax(1) + 1
    require(
        0 < noise_ratio < 1 and values.shape[1] >= 2,
        f"noise_ratio is {noise_ratio} over {values.shape[1]} times; give a number in (0, 1) and at least 2 times",
    )
    fell = logs[:, -1] - logs[:, 0]
    return (fell > 0.5 * torch.tensor(noise_ratio).log()).sum(1)


def _heun(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, y: Tensor, s: float, t: float
) -> tuple[Tensor, Tensor]:
    h = t - s
    with torch.no_grad():
        v = velocity(x, s)
    jy = jacobians(lambda z: velocity(z, s), x) @ y
    ahead = x + h * v
    with torch.no_grad():
        w = velocity(ahead, t)
    ky = jacobians(lambda z: velocity(z, t), ahead) @ (y + h * jy)
    return x + h / 2 * (v + w), y + h / 2 * (jy + ky)


def _values(y: Tensor) -> Tensor:
    return torch.linalg.svdvals(y.double())
