"""Posterior samplers that add a likelihood gradient to the reverse diffusion: DPS and ΠGDM.

Both approximate ∇ log p(y | x_t) by a gradient through the denoiser. DPS takes x_0 for x̂_0(x_t) and steps along the
norm of the residual with a length of its own,

    x_s ← x_s - ζ ∇ |y - A(x̂_0(x_t))|,

in the coordinates of a variance-preserving process. ΠGDM takes x_0 ~ N(x̂_0, r²) given x_t, so that for linear A

    ∇ log p(y | x_t) = Jᵀ Aᵀ (r² A Aᵀ + σ_y²)⁻¹ (y - A x̂_0),    J = ∂x̂_0/∂x_t,

and moves the data prediction by γ²/α of it, as the score does. r² is that of data with standard deviation s, times a
width: s² = 1 and width 1 are the paper's for a variance-preserving process. Smaller widths suit data on a thin set.
Song et al. add the gradient after the step; here it is part of the score, which is exact for Gaussian data.
Source: Chung et al. (2023), Diffusion posterior sampling, arXiv 2209.14687, algorithm 1; Song et al. (2023),
Pseudoinverse-guided diffusion models, equation 7.
Oracle: ∇ log p(y | x_t) of Gaussian data (tests/inverse/test_posterior_samplers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.inverse.operators import Linear
from girsanov.inverse.steps import (
    LevelSampler,
    Way,
    answer,
    check,
    data_variance,
    linear,
    pulled,
    spans,
    step,
)
from girsanov.noise import Source
from girsanov.solvers.grids import Times
from girsanov.typing import Tree


@dataclass(frozen=True)
class DPS(LevelSampler):
    """Diffusion posterior sampling, for any differentiable operator; see the head of the module.

    Args:
        steps: network calls, each with a gradient.
        scale: ζ; the distance a state is moved along the unit vector of steepest descent, before J.
        eta: the noise of a step; 1 is DDPM.
        grid: times of one's own, instead of steps.
    """

    steps: int = 100
    scale: float = 1.0
    eta: float = 1.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"scale is {self.scale}; give at least 0")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law."""
        model, measurement, times, source, cond = way
        for i, span in spans(times):
            x, _ = self.move(model, x, span, measurement.residual, (source, i), cond)
        return x

    def move(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        span: tuple[float, float],
        residual: Callable[[Tensor], Tensor],
        draw: tuple[Source, int],
        cond: Tree = None,
    ) -> tuple[Tensor, Tensor]:
        """One guided step over (t, s), and x̂_0; `residual` takes x̂_0 to what it leaves unexplained, (R, ...)."""
        process, (t, s) = model.process, span
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            data = model.data(point, t, cond=cond)
            check(data.detach(), t)
            size = residual(data).flatten(1).norm(dim=1).sum()
            (gradient,) = torch.autograd.grad(size, point)
        data = data.detach()
        new = step(process, x, data, span, self.eta, draw)
        # ζ is a length where α² + γ² = 1; elsewhere both ends of the step are brought there.
        before = (process.alpha(t) ** 2 + process.gamma(t) ** 2) ** 0.5
        after = (process.alpha(s) ** 2 + process.gamma(s) ** 2) ** 0.5
        return new - (self.scale * before * after) * gradient, data


@dataclass(frozen=True)
class PiGDM(LevelSampler):
    """Pseudoinverse-guided sampling, for linear operators; see the head of the module.

    Args:
        steps: network calls, each with a gradient.
        scale: of the gradient, 1 is Bayes' rule.
        data_std: s, of the data.
        width: of r²; below 1 for data on a thin set.
        eta: the noise of a step; from 1 to 1.6 more noise makes up for the approximation.
        grid: times of one's own, instead of steps.
    """

    steps: int = 100
    scale: float = 1.0
    data_std: float = 1.0
    width: float = 1.0
    eta: float = 1.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"scale is {self.scale}; give at least 0")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")
        require(min(self.data_std, self.width) > 0, "data_std and width are above 0")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator that is not linear, or noise that is not normal.
        """
        model, measurement, times, source, cond = way
        operator, std = linear(measurement, "PiGDM"), measurement.std("PiGDM")
        process = model.process
        for i, (t, s) in spans(times):
            r2 = data_variance(process, t, self.data_std, self.width)
            if self.scale == 0:
                data = answer(model, x, t, cond)
            else:
                push = partial(towards, operator, measurement.y, r2=r2, std=std)
                data, back = pulled(model, x, t, cond, push)
                data = data + (self.scale * process.gamma(t) ** 2 / process.alpha(t)) * back
            x = step(process, x, data, (t, s), self.eta, (source, i))
        return x


def towards(operator: Linear, y: Tensor, data: Tensor, *, r2: float, std: float) -> Tensor:
    """Aᵀ (r² A Aᵀ + σ²)⁻¹ (y - A x̂_0), (B, *shape), by the proximal map: r² of it is prox(x̂_0; y, σ²/r²) - x̂_0."""
    if std == 0:
        return (operator.pinv(y - operator.forward(data))) / r2
    return (operator.prox(data, y, std**2 / r2) - data) / r2
