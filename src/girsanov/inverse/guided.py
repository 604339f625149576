"""Posterior samplers that add a likelihood gradient to the reverse diffusion: DPS, ΠGDM and PSLD.

DPS and ΠGDM approximate ∇ log p(y | x_t) by a gradient through the denoiser. DPS takes x_0 for x̂_0(x_t) and steps along the
norm of the residual with a length of its own,

    x_s ← x_s - ζ ∇ |y - A(x̂_0(x_t))|,

in the coordinates of a variance-preserving process. ΠGDM takes x_0 ~ N(x̂_0, r²) given x_t, so that for linear A

    ∇ log p(y | x_t) = Jᵀ Aᵀ (r² A Aᵀ + σ_y²)⁻¹ (y - A x̂_0),    J = ∂x̂_0/∂x_t,

and moves the data prediction by γ²/α of it, as the score does. r² is that of data with standard deviation s, times a
width: s² = 1 and width 1 are the paper's for a variance-preserving process. Smaller widths suit data on a thin set.
A `DataCovariance` takes the place of r², which then knows which pixels go together.
Song et al. add the gradient after the step; here it is part of the score, which is exact for Gaussian data.

PSLD is DPS for a diffusion of latents z with decoder D and encoder E, and a term that glues what was measured to what
was decoded: the latent has to be that of its own picture, corrected by the measurement,

    z_s ← z_s - ∇ (ζ |y - A D(ẑ_0)| + ω |ẑ_0 - E(Aᵀy + (1 - AᵀA) D(ẑ_0))|).

Where the rows of A are orthonormal, as those of inpainting, Aᵀy + (1 - AᵀA) is a projection onto what was measured.
Source: Chung et al. (2023), Diffusion posterior sampling, arXiv 2209.14687, algorithm 1; Song et al. (2023),
Pseudoinverse-guided diffusion models, equation 7; Rout et al. (2023), Solving linear inverse problems provably via
posterior sampling with latent diffusion models, arXiv 2307.00619, algorithm 2, with norms as in its code.
Oracle: ∇ log p(y | x_t) of Gaussian data (tests/inverse/test_posterior_samplers.py); a decoder that turns
(tests/inverse/test_second_order.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.inverse.covariance import DataCovariance
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.nonlinear import Coder, LatentOperator
from girsanov.inverse.operators import Linear
from girsanov.inverse.steps import (
    LevelSampler,
    Pull,
    Way,
    answer,
    data_variance,
    linear,
    pulled,
    spans,
    steepest,
    step,
    unit,
)
from girsanov.noise import Source
from girsanov.processes import Interpolant
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
        data, gradient = steepest(model, x, t, lambda _, data: residual(data).flatten(1).norm(dim=1), cond)
        new = step(process, x, data, span, self.eta, draw)
        # ζ is a length where α² + γ² = 1; elsewhere both ends of the step are brought there.
        return new - (self.scale * unit(process, t) * unit(process, s)) * gradient, data


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
        covariance: of the data, as `DataCovariance.of(x)`, instead of s².
    """

    steps: int = 100
    scale: float = 1.0
    data_std: float = 1.0
    width: float = 1.0
    eta: float = 1.0
    grid: Times | None = None
    covariance: DataCovariance | None = None

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"scale is {self.scale}; give at least 0")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")
        require(min(self.data_std, self.width) > 0, "data_std and width are above 0")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator that is not linear, or noise that is not normal.
            InputError: a covariance of signals of another shape.
        """
        model, measurement, times, source, cond = way
        push = self._pushes(measurement, model.process)
        process = model.process
        for i, (t, s) in spans(times):
            if self.scale == 0:
                data = answer(model, x, t, cond)
            else:
                data, back = pulled(model, x, t, cond, push(t))
                data = data + (self.scale * process.gamma(t) ** 2 / process.alpha(t)) * back
            x = step(process, x, data, (t, s), self.eta, (source, i))
        return x

    def _pushes(self, measurement: Measurement, process: Interpolant) -> Callable[[float], Pull]:
        """At each time, x̂_0 to the gradient of log p(y | x̂_0)."""
        operator, std, y = linear(measurement, "PiGDM"), measurement.std("PiGDM"), measurement.y
        if self.covariance is None:
            return lambda t: partial(
                towards, operator, y, r2=data_variance(process, t, self.data_std, self.width), std=std
            )
        gain = self.covariance.gains(operator, std)
        return lambda t: partial(gain((process.gamma(t) / process.alpha(t)) ** 2, self.width), y)


@dataclass(frozen=True)
class PSLD(LevelSampler):
    """Posterior sampling with latent diffusion, for linear A and a `LatentOperator` with an encoder; see the head.

    Args:
        steps: network calls, each with a gradient.
        scale: ζ, as in DPS.
        gluing: ω.
        eta: the noise of a step; 0 is DDIM, 1 DDPM.
        grid: times of one's own, instead of steps.
    """

    steps: int = 200
    scale: float = 1.0
    gluing: float = 0.1
    eta: float = 0.0
    grid: Times | None = None

    def __post_init__(self) -> None:
        require(self.scale >= 0, f"scale is {self.scale}; give at least 0")
        require(self.gluing >= 0, f"gluing is {self.gluing}; give at least 0")
        require(self.eta >= 0, f"eta is {self.eta}; give at least 0")

    def descend(self, way: Way, x: Tensor) -> Tensor:
        """Latents (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator that is not a linear one of decoded latents, with an encoder.
        """
        energy = partial(self.energy, way.measurement.y, *latent_parts(way.measurement))
        process = way.model.process
        for i, (t, s) in spans(way.times):
            data, gradient = steepest(way.model, x, t, energy, way.cond)
            new = step(process, x, data, (t, s), self.eta, (way.source, i))
            x = new - (unit(process, t) * unit(process, s)) * gradient
        return x

    def energy(
        self, y: Tensor, decoder: Coder, encoder: Coder, operator: Linear, _: Tensor, latent: Tensor
    ) -> Tensor:
        """ζ |y - A D(ẑ_0)| + ω |ẑ_0 - E(...)|, (R,)."""
        picture = decoder(latent)
        left = y - operator.forward(picture)
        glued = latent - encoder(picture + operator.adjoint(left))
        return self.scale * left.flatten(1).norm(dim=1) + self.gluing * glued.flatten(1).norm(dim=1)


def latent_parts(measurement: Measurement) -> tuple[Coder, Coder, Linear]:
    """Decoder, encoder and the linear operator of pictures.

    Raises:
        Unsuitable: one of them is missing.
    """
    found = measurement.operator
    if not isinstance(found, LatentOperator) or found.encoder is None:
        raise Unsuitable(
            f"PSLD needs a LatentOperator with an encoder, and {type(found).__name__} has none. Give "
            "LatentOperator(decoder, operator, shape, encoder=...), or use DPS or STSL."
        )
    if not isinstance(found.operator, Linear):
        raise Unsuitable(
            f"PSLD needs a linear operator, and {type(found.operator).__name__} is not. Use DPS or STSL."
        )
    return found.decoder, found.encoder, found.operator


def towards(operator: Linear, y: Tensor, data: Tensor, *, r2: float, std: float) -> Tensor:
    """Aᵀ (r² A Aᵀ + σ²)⁻¹ (y - A x̂_0), (B, *shape), by the proximal map: r² of it is prox(x̂_0; y, σ²/r²) - x̂_0."""
    if std == 0:
        return (operator.pinv(y - operator.forward(data))) / r2
    return (operator.prox(data, y, std**2 / r2) - data) / r2
