"""Problems from and to deepinv, whose images live in [0, 1] and whose operators are called physics.

A prior here is trained on x in [-1, 1], so that u = (x + 1)/2 is their image. A linear A then measures

    y' = 2y - A(1) = A(x) + 2σ z,    y = A(u) + σ z,

so `from_deepinv` gives a `Measurement` of x with twice the noise. Operators without a linear map measure u(x) as it is.
`to_deepinv` hands over an operator in its own units; a `Spectral` one keeps its decomposition, which their DDRM asks for.
Needs the extra: pip install 'girsanov[deepinv]'.
Oracle: there and back, and their own adjoint and pseudo-inverse (tests/inverse/test_deepinv.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from girsanov.errors import extra, require
from girsanov.inverse.measurement import GaussianNoise, Measurement, NoiseModel, PoissonNoise
from girsanov.inverse.nonlinear import DifferentiableForwardModel
from girsanov.inverse.operators import Linear, MeasurementOperator, Spectral, inverse_values
from girsanov.typing import Shape


class Physics(Linear):
    """A linear physics of deepinv as an operator on its own units; see `from_deepinv`."""

    def __init__(self, physics: Any, shape: Shape) -> None:
        self.physics, self.shape = physics, tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.physics.A(x)
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        x: Tensor = self.physics.A_adjoint(y)
        return x


def from_deepinv(
    physics: Any, y: Tensor, shape: Shape, noise: NoiseModel | float | None = None
) -> Measurement:
    """A measurement by a deepinv physics, for a prior of signals in [-1, 1].

    Args:
        physics: theirs, acting on images in [0, 1].
        y: (B, *out), what it gave.
        shape: of one image.
        noise: of y in their units; by default the physics' own Gaussian or Poisson noise model.

    Raises:
        InputError: y of another shape, or a noise model that is neither and is not given.
        MissingExtra: deepinv is not installed.
    """
    dinv = extra("deepinv", "deepinv")
    law = noise if noise is not None else _noise(physics)
    if isinstance(physics, dinv.physics.LinearPhysics):
        operator = Physics(physics, shape)
        require(
            not isinstance(law, PoissonNoise),
            "photon counts of an image in [0, 1] are no counts of one in [-1, 1]; give noise=, a standard deviation",
        )
        std = law.std if isinstance(law, GaussianNoise) else float(law)  # type: ignore[arg-type]
        white = operator.forward(y.new_ones(1, *shape))
        return Measurement(operator, 2 * y - white, 2 * std)
    return Measurement(DifferentiableForwardModel(lambda x: physics.A((x + 1) / 2), shape), y, law)


def to_deepinv(operator: MeasurementOperator, noise: float = 0.0) -> Any:
    """The operator as a deepinv physics, in the operator's own units.

    Args:
        operator: a `Spectral` one becomes a DecomposablePhysics, a `Linear` one a LinearPhysics.
        noise: the standard deviation of Gaussian noise.

    Raises:
        InputError: negative noise.
        MissingExtra: deepinv is not installed.
    """
    dinv = extra("deepinv", "deepinv").physics
    law = dinv.GaussianNoise(sigma=GaussianNoise(noise).std)
    if isinstance(operator, Spectral):
        values = operator.singular_values.to(torch.get_default_dtype())
        inverse = inverse_values(operator.singular_values)
        return dinv.DecomposablePhysics(
            U=lambda v: operator.forward(operator.out_of(v.flatten(1) * inverse.to(v))),
            U_adjoint=lambda y: operator.coordinates(y).reshape(-1, *operator.shape),
            V=lambda v: operator.out_of(v.flatten(1)),
            V_adjoint=lambda x: operator.into(x).reshape(-1, *operator.shape),
            mask=values.reshape(1, *operator.shape),
            img_size=operator.shape,
            noise_model=law,
        )
    if isinstance(operator, Linear):
        return dinv.LinearPhysics(
            A=lambda x, **_: operator.forward(x),
            A_adjoint=lambda y, **_: operator.adjoint(y),
            noise_model=law,
        )
    return dinv.Physics(A=lambda x, **_: operator.forward(x), noise_model=law)


def _noise(physics: Any) -> NoiseModel:
    """The noise model of a physics in our words."""
    model = physics.noise_model
    name = type(model).__name__
    if name == "GaussianNoise":
        return GaussianNoise(float(model.sigma))
    if name == "PoissonNoise":
        return PoissonNoise(1 / float(model.gain))
    require(name in ("ZeroNoise", "NoneType"), f"the noise model {name} is not known here; give noise=")
    return GaussianNoise(0.0)
