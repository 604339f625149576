"""What has a denoiser learned? Whether its score is a gradient, what no potential explains, how many dimensions.

For noisy data x_t at several times: the asymmetry of the score's Jacobian and its circulation (0 for a score), and

    rotation = 1 − (E|s|² − E|s − ∇h|²)/E|s|²,    h fitted on every second point and judged on the others,

the share of the score that no potential of `metrics.helmholtz_projection` explains: what may be a gauge field,
harmless to samples, with what the potentials cannot express. Small asymmetry with a large rotation means the
latter. Then the dimension of the data by the singular values of the flow, and fresh samples with the variance of
their denoised answers, the filter against samples between modes.

Oracle: exact denoisers, and one with a gauge field added (tests/solvers/test_diagnosis.py).
Source: Horvat & Pfister (2024), Vuong et al. (2025), Aithal et al. (2024); see `metrics.fields` and `solvers.watch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.metrics import (
    circles,
    circulation,
    estimate_dimension,
    flow_singular_values,
    helmholtz_projection,
    jacobian_asymmetry,
)
from girsanov.metrics.fields import EXACT_UP_TO
from girsanov.noise import Noise, Randomness, Source, as_source
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.solvers.sampling import make_plan
from girsanov.solvers.watch import TrajectoryVariance

TIMES = (0.8, 0.6, 0.4, 0.2, 0.1)
NOISES = (0.3, 0.05)
"""γ/α between which the decay of singular values is measured, in standard deviations of the data."""

RADIUS = 0.5
"""Of the circles, in units of γ."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        times: (T,) floats, where the score was looked at.
        asymmetry: (T, points), ‖J − Jᵀ‖/‖J + Jᵀ‖.
        circulation: (T, points), |∮ s·dl|/∮|s||dl| on circles of half the noise.
        rotation: (T,), the share of E|s|² that no potential explains.
        singular_values: (points, S, D) along the flow from noise, or None for more than 64 coordinates.
        dimension: (points,), or None.
        samples: (N, *shape), fresh ones.
        variance: (N,), of their denoised answers: large where a sample lies between modes.
    """

    times: tuple[float, ...]
    asymmetry: Tensor
    circulation: Tensor
    rotation: Tensor
    singular_values: Tensor | None
    dimension: Tensor | None
    samples: Tensor
    variance: Tensor


def diagnose(
    model: AbstractDenoiser,
    x: Tensor,
    *,
    cond: Tensor | None = None,
    times: Sequence[float] = TIMES,
    points: int = 8,
    projections: int | None = None,
    samples: int = 64,
    generator: Randomness = None,
) -> Diagnosis:
    """Look at a denoiser of a one-sided process.

    Args:
        model: with a differentiable network.
        x: (N, *shape), clean data at the model's scale, N at least 8; 500 or more for the rotation.
        cond: (N,), the class of each row, if the model has classes.
        times: between t_min and 1.
        points: how many points are differentiated at each time.
        projections: random directions in place of exact Jacobians; needed beyond 64 coordinates, where the
            dimension is not estimated.
        samples: how many are drawn for the filter.
        generator: of noise, circles and samples.

    Raises:
        InputError: too few data, bad times, or more than 64 coordinates without projections.
        Unsuitable: a process with two ends.
    """
    process, d = _checked(model, x, times, projections), x[0].numel()
    require(points >= 1 and samples >= 2, f"points is {points} and samples {samples}; give at least 1 and 2")
    source, was_training = as_source(Noise(0) if generator is None else generator), model.training
    model.eval()
    try:
        found = [
            _at(model, process, x, cond, t, points, projections, source.child(i)) for i, t in enumerate(times)
        ]
        values = dimension = None
        if d <= EXACT_UP_TO and d >= 2:
            values, dimension = _dimension(model, process, x, cond, points, source.child(100))
        rows = torch.arange(samples) % len(x)
        plan = TrajectoryVariance(make_plan(model, 50))
        begin = process.reference(torch.empty_like(x[rows]), generator=source.child(101))
        drawn = plan(model, begin, cond=None if cond is None else cond[rows], generator=source.child(102))
    finally:
        model.train(was_training)
    asymmetry, turning, rotation = (torch.stack([f[i] for f in found]) for i in range(3))
    return Diagnosis(tuple(times), asymmetry, turning, rotation, values, dimension, drawn.x, drawn.variance)


def _checked(
    model: AbstractDenoiser, x: Tensor, times: Sequence[float], projections: int | None
) -> Interpolant:
    """The process, once the arguments of `diagnose` fit."""
    process: Interpolant = need(model.process, GaussianConditional, "diagnose")
    require(process.end == "noise", f"diagnose needs data and noise, not {process!r}", Unsuitable)
    require(
        x.ndim >= 2 and len(x) >= 8, f"x has shape {tuple(x.shape)}; give (N, *shape) with N of at least 8"
    )
    require_finite(x, "x")
    require(
        all(process.t_min <= t <= 1 for t in times) and len(times) > 0,
        f"times are {tuple(times)}; give some in [t_min, 1] = [{process.t_min:.4g}, 1]",
    )
    d = x[0].numel()
    require(
        projections is not None or d <= EXACT_UP_TO,
        f"a sample has {d} coordinates, and exact Jacobians stop at {EXACT_UP_TO}; give projections=16, random "
        "directions in their place",
    )
    return process


def _at(
    model: AbstractDenoiser,
    process: Interpolant,
    x: Tensor,
    cond: Tensor | None,
    t: float,
    points: int,
    projections: int | None,
    source: Source,
) -> tuple[Tensor, Tensor, Tensor]:
    """Asymmetry (points,), circulation (points,) and rotation () at one time."""
    x_t, _ = process.perturb(x, t, generator=source)

    def score(y: Tensor) -> Tensor:
        """At the points, as often as they come, each with its own class."""
        if cond is None:
            return model.score(y, t)
        return model.score(y, t, cond=cond[: len(few)].repeat_interleave(len(y) // len(few)))

    few = x_t[:points]
    asymmetry = jacobian_asymmetry(score, few, projections=projections, generator=source.child(1))
    with torch.no_grad():
        turning = torch.full_like(asymmetry, float("nan"))
        if x[0].numel() >= 2:
            loops = circles(few, RADIUS * process.gamma(t), points=16, generator=source.child(2))
            turning = circulation(score, loops, quadrature=3)
        s = model.score(x_t, t, cond=cond)
        unseen = x_t[1::2]
        part = helmholtz_projection(lambda y: s[::2], x_t[::2], waves=128)
        left = (s[1::2] - part(unseen)).square().sum() / s[1::2].square().sum()
    return asymmetry, turning, left


def _dimension(
    model: AbstractDenoiser, process: Interpolant, x: Tensor, cond: Tensor | None, points: int, source: Source
) -> tuple[Tensor, Tensor]:
    """Singular values along the flow from noise, and how many survive the last decade of noise."""
    std = float((x - x.mean(0)).square().mean().sqrt())
    n = min(points, len(x))
    ends = [process.log_snr(1.0), *(-float(torch.tensor(std * g).log()) for g in NOISES)]
    last = process.log_snr(process.t_min)
    top = [min(max(e, ends[0]), last) for e in ends[1:]]
    first = max(ends[0], top[0] - 5.0)
    require(first < top[0] < top[1], f"{process!r} has no range of noise in which to look for a dimension")
    levels = torch.cat([torch.linspace(first, top[0], 9), torch.linspace(top[0], top[1], 7)[1:]]).tolist()
    times = [process.time_at(v) for v in levels]
    begin, _ = process.perturb(x[:n], times[0], generator=source)
    labels = None if cond is None else cond[:n]
    values = flow_singular_values(lambda y, t: model.velocity(y, t, cond=labels), begin, times)
    # The scale of x_t is α: what is compared with the noise is the flow of x_t/α.
    alphas = torch.tensor([process.alpha(t) for t in times], dtype=torch.float64, device=values.device)
    values = values / alphas[:, None]
    return values, estimate_dimension(values[:, 8:], noise_ratio=NOISES[1] / NOISES[0])
