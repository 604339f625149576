"""Posterior draws in one call: an operator, what it gave, and a sampler by name.

    gv.inverse.dps(model, A, y, n=16, noise=0.01, steps=50).draw("posterior.png")

The same as `posterior` with a `Measurement`, for the three samplers that are asked for most.
Oracle: `posterior` (tests/inverse/test_quick.py).
"""

from __future__ import annotations

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.inverse.guided import DPS, PiGDM
from girsanov.inverse.measurement import Measurement, NoiseModel
from girsanov.inverse.operators import MeasurementOperator
from girsanov.inverse.posterior import PosteriorSampler, posterior
from girsanov.inverse.samples import PosteriorSamples
from girsanov.inverse.smc import SMC


def dps(
    model: AbstractDenoiser,
    operator: MeasurementOperator,
    y: Tensor,
    *,
    n: int = 1,
    noise: NoiseModel | float = 0.0,
    steps: int = 100,
    seed: int | None = None,
) -> PosteriorSamples:
    """Draws by diffusion posterior sampling, for any differentiable operator; see `DPS`.

    Args:
        model: any denoiser of a one-sided process.
        operator: such as `Inpainting(mask)`.
        y: what it gave, (B, *out_shape), or (*out_shape) for one measurement.
        n: draws of each.
        noise: a standard deviation, or a law such as `PoissonNoise(gain)`.
        steps: network calls for a draw.
        seed: an integer for the same draws again.

    Raises:
        InputError: y of another shape or with NaN, numbers out of range.
        Unsuitable: a process, operator or noise that the sampler does not fit.
    """
    return _drawn(model, operator, y, n, noise, DPS(steps), seed)


def pigdm(
    model: AbstractDenoiser,
    operator: MeasurementOperator,
    y: Tensor,
    *,
    n: int = 1,
    noise: NoiseModel | float = 0.0,
    steps: int = 100,
    seed: int | None = None,
) -> PosteriorSamples:
    """Draws by pseudoinverse guidance, for linear operators and normal noise; see `PiGDM`, and `dps` for the rest."""
    return _drawn(model, operator, y, n, noise, PiGDM(steps), seed)


def smc(
    model: AbstractDenoiser,
    operator: MeasurementOperator,
    y: Tensor,
    *,
    n: int = 128,
    noise: NoiseModel | float,
    steps: int = 100,
    seed: int | None = None,
) -> PosteriorSamples:
    """Draws as n particles, which tend to the exact posterior as n grows; see `SMC`, and `dps` for the rest."""
    return _drawn(model, operator, y, n, noise, SMC(steps), seed)


def _drawn(
    model: AbstractDenoiser,
    operator: MeasurementOperator,
    y: Tensor,
    n: int,
    noise: NoiseModel | float,
    sampler: PosteriorSampler,
    seed: int | None,
) -> PosteriorSamples:
    whole = y[None] if tuple(y.shape) == operator.out_shape else y
    return posterior(model, Measurement(operator, whole, noise), n, sampler=sampler, seed=seed)
