"""A measurement: an operator, what it gave, and how noisy that is.

    y = A(x) + σ_y z                         GaussianNoise(σ_y)
    y ~ Poisson(gain · A(x)) / gain          PoissonNoise(gain)

Oracle: `torch.distributions` (tests/inverse/test_measurement.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from girsanov.errors import InputError, Unsuitable, require, require_finite
from girsanov.inverse.operators import MeasurementOperator
from girsanov.noise import Randomness, as_source, uniform


class NoiseModel(Protocol):
    """The law of y given A(x)."""

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor: ...

    def variance(self, y: Tensor) -> Tensor: ...

    def draw(self, clean: Tensor, generator: Randomness = None) -> Tensor: ...


@dataclass(frozen=True)
class GaussianNoise:
    """Independent normal noise of standard deviation std, in the unit of y; 0 for none."""

    std: float

    def __post_init__(self) -> None:
        require(0 <= self.std < math.inf, f"the noise is {self.std}; give a standard deviation of at least 0")

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """log p(y | A(x)), (B,), differentiable.

        Raises:
            Unsuitable: without noise there is no density.
        """
        require(
            self.std > 0,
            "a measurement without noise has no likelihood; give a small noise, such as 0.01",
            Unsuitable,
        )
        left = ((y - clean) / self.std).flatten(1)
        return -0.5 * left.square().sum(1) - left.shape[1] * math.log(self.std * math.sqrt(2 * math.pi))

    def variance(self, y: Tensor) -> Tensor:
        """That of each entry of y."""
        return torch.full_like(y, self.std**2)

    def draw(self, clean: Tensor, generator: Randomness = None) -> Tensor:
        """A noisy y for A(x) (B, *out)."""
        return clean + self.std * as_source(generator).draw(clean, 0)


@dataclass(frozen=True)
class PoissonNoise:
    """Counts: y = n/gain, n ~ Poisson(gain · A(x)); `gain` photons for one unit of A(x) ≥ 0."""

    gain: float

    def __post_init__(self) -> None:
        require(0 < self.gain < math.inf, f"gain is {self.gain}; give a number above 0")

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """log p(y | A(x)), (B,), differentiable; rates below 1e-6 photons are raised to it."""
        rate, count = (self.gain * clean).clamp(min=1e-6), self.gain * y
        return (count * rate.log() - rate - (count + 1).lgamma()).flatten(1).sum(1)

    def variance(self, y: Tensor) -> Tensor:
        """That of each entry of y, about: its own estimate by the count, of at least one photon."""
        return y.clamp(min=1 / self.gain) / self.gain

    def draw(self, clean: Tensor, generator: Randomness = None) -> Tensor:
        """A noisy y for A(x) (B, *out), by inversion of the count's law at a uniform draw.

        Raises:
            InputError: a negative A(x).
        """
        require(bool((clean >= 0).all()), "A(x) is negative somewhere, and counts have rates of at least 0")
        from scipy.stats import poisson  # takes half a second

        share = as_source(generator).draw(clean.double(), 0, uniform)
        counts = poisson.ppf(share.cpu().numpy(), (self.gain * clean.double()).cpu().numpy())
        return (torch.from_numpy(counts) / self.gain).to(clean)


@dataclass(frozen=True)
class Measurement:
    """What is known of B signals: y = A(x) + noise.

    Args:
        operator: A.
        y: (B, *out_shape).
        noise: its law; a number is a standard deviation.
        draws: rows come in runs of this many with the same y (see `posterior`).

    Raises:
        InputError: y of another shape, with NaN or infinity; negative noise.
    """

    operator: MeasurementOperator
    y: Tensor
    noise: NoiseModel | float = 0.0
    draws: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.operator, MeasurementOperator):
            raise InputError(f"operator is {type(self.operator).__name__}; give one of girsanov.inverse")
        require(
            tuple(self.y.shape[1:]) == self.operator.out_shape and self.y.ndim > 0,
            f"y has the shape {tuple(self.y.shape)}, and the operator gives (B, *{self.operator.out_shape})",
        )
        require_finite(self.y, "y")
        if isinstance(self.noise, float | int):
            object.__setattr__(self, "noise", GaussianNoise(float(self.noise)))

    @classmethod
    def of(
        cls,
        operator: MeasurementOperator,
        x: Tensor,
        noise: NoiseModel | float = 0.0,
        *,
        generator: Randomness = None,
    ) -> Measurement:
        """A simulated measurement of known x (B, *shape)."""
        law = GaussianNoise(float(noise)) if isinstance(noise, float | int) else noise
        return cls(operator, law.draw(operator(x), generator), law)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice) -> Measurement:
        """Some of the measurements."""
        return replace(self, y=self.y[rows])

    def repeat(self, n: int) -> Measurement:
        """Each y n times, one after the other."""
        return replace(self, y=self.y.repeat_interleave(n, 0), draws=n)

    def to(self, like: Tensor) -> Measurement:
        """On the device and with the type of a tensor."""
        return replace(self, y=self.y.to(like))

    def residual(self, x: Tensor) -> Tensor:
        """y - A(x), (B, *out_shape), differentiable."""
        return self.y - self.operator.forward(x)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(y | x), (B,), differentiable.

        Raises:
            Unsuitable: a measurement without noise.
        """
        assert not isinstance(self.noise, float)
        return self.noise.log_likelihood(self.y, self.operator.forward(x))

    def std(self, by: str) -> float:
        """σ_y, for a sampler that takes the noise as normal.

        Raises:
            Unsuitable: another noise model.
        """
        require(
            isinstance(self.noise, GaussianNoise),
            f"{by} takes the noise as normal, and this measurement has {self.noise!r}. Use SMC, which asks for "
            "the likelihood alone.",
            Unsuitable,
        )
        assert isinstance(self.noise, GaussianNoise)
        return self.noise.std
