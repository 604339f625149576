"""Densities on the line, carried through a Markov chain without sampling.

A density ρ on equally spaced points y_i is taken through x → m(x) + N(0, v) by the matrix of the kernel,

    ρ'(y_j) = Σ_i N(y_j; m(y_i), v) ρ(y_i) / Σ_k N(y_k; m(y_i), v),

whose columns sum to one, so no mass is lost at the ends of the grid. An Euler-Maruyama step is of this kind, with
m(x) = x + h · drift and v = h · volatility²; so the law of a sampler is known where the noise of samples would hide
it. The sum is exact to rounding while √v is at least the spacing of the points.
Oracle: a Gaussian under an affine map is Gaussian (tests/exact).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.errors import require


def push_density(density: Tensor, points: Tensor, mean: Tensor, variance: float) -> Tensor:
    """The density after one step x → mean(x) + N(0, variance), (G,).

    Args:
        density: (G,) at the points.
        points: (G,), equally spaced.
        mean: (G,), where each point goes.
        variance: of the noise.

    Raises:
        InputError: the noise is narrower than the spacing of the points.
    """
    spacing = float(points[1] - points[0])
    require(
        variance >= spacing**2,
        f"the noise has standard deviation {variance**0.5:.3g}, less than the spacing {spacing:.3g} of the points; "
        "give finer points or longer steps",
    )
    kernel = (-(points[:, None] - mean).square() / (2 * variance)).exp()
    return (kernel / kernel.sum(0).clamp(min=torch.finfo(kernel.dtype).tiny)) @ density


def kullback_leibler(density: Tensor, other: Tensor, points: Tensor) -> Tensor:
    """∫ p log(p/q), nats; densities (..., G) at equally spaced points (G,).

    Where p vanishes nothing is added; where only q does, q is taken as the smallest number there is.
    """
    tiny = torch.finfo(density.dtype).tiny
    logs = density.clamp(min=tiny).log() - other.clamp(min=tiny).log()
    return (density * logs).sum(-1) * (points[1] - points[0])
