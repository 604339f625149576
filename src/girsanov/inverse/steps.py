"""What posterior samplers share: the levels they visit, a reverse step, and gradients through the denoiser.

With κ = γ/α the noise in units of the data, levels run from κ = 20 (or t = 1) down to 0.01 as ρ = 7 of Karras et al.
(2022) and end at 0. A step from t to s draws

    x_s = α_s x̂_0 + √(γ_s² - q²) ẑ + q ξ,    ẑ = (x_t - α_t x̂_0)/γ_t,    q = η σ̃ ≤ γ_s,

σ̃ the standard deviation of the ancestral step: DDIM at η = 0, DDPM at 1; above 1 more noise is replaced, which undoes
errors of earlier steps. For every η the law of x_s is right where x̂_0 = x_0.
Oracle: a Gaussian's law is kept (tests/inverse/test_posterior_samplers.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import NotFinite, Unsuitable, require
from girsanov.inverse.measurement import Measurement
from girsanov.inverse.operators import Linear
from girsanov.noise import Randomness, Source, as_source
from girsanov.processes import Interpolant
from girsanov.solvers.grids import Grid, Times, resolve
from girsanov.typing import Tree

HIGHEST, LOWEST = 20.0, 0.01
"""The levels κ between which the default grid runs."""

Pull = Callable[[Tensor], Tensor]
"""∂x̂_0/∂x_t applied from the left: u (B, *shape) to Jᵀ u."""

Energy = Callable[[Tensor, Tensor], Tensor]
"""What a sampler descends: (x_t, x̂_0), (R, *shape) both, to (R,)."""


def levels(process: Interpolant, steps: int, grid: Times | None = None) -> tuple[float, ...]:
    """The times of a posterior sampler, decreasing to 0.

    Raises:
        InputError: fewer than two steps, or a grid of one's own that does not end at 0 or starts without signal.
    """
    if grid is not None:
        times = resolve(grid, process)
        require(
            times[-1] == 0, f"the grid ends at {times[-1]:g}; posterior samplers end with an answer, at 0"
        )
        check_signal(process, times[0])
        return times
    start = min(1.0, float(process.time_at(-math.log(HIGHEST))))
    last = min(-math.log(LOWEST), float(process.log_snr(process.t_min)))
    return Grid("karras", steps, True, start, last).times(process)


class Way(NamedTuple):
    """What a sampler is given on its way down the levels."""

    model: AbstractDenoiser
    measurement: Measurement
    times: tuple[float, ...]
    source: Source
    cond: Tree


class LevelSampler(ABC):
    """A posterior sampler that goes down levels, one denoiser call each; `steps` and `grid` say which.

    A sampler checks what it needs of the measurement in `descend`, before its first call.
    """

    steps: int
    grid: Times | None

    @property
    def joint(self) -> bool:
        """Whether the draws of a measurement depend on each other."""
        return False

    @property
    def calls(self) -> int:
        """Network calls for a draw."""
        return count(self.steps, self.grid)

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        measurement: Measurement,
        *,
        cond: Tree = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Draws (R, *shape) from the states x of the reference law.

        Raises:
            Unsuitable: an operator or noise that the sampler does not fit.
        """
        times = levels(model.process, self.steps, self.grid)
        way = Way(model, measurement, times, as_source(generator).child(1), cond)
        return self.descend(way, begin(model.process, x, times[0]))

    @abstractmethod
    def descend(self, way: Way, x: Tensor) -> Tensor:
        """From states x of the first time to draws."""


def check_signal(process: Interpolant, t: float) -> None:
    """Refuse a first time where the state is noise alone."""
    require(
        process.alpha(t) > 0,
        f"a state at t = {t:g} holds no signal; start the grid below, as with start=0.99",
    )


def count(steps: int, grid: Times | None) -> int:
    """The denoiser calls of `levels`: one for each time above 0."""
    if grid is None or isinstance(grid, Grid):
        return steps if grid is None else grid.steps + (not grid.to_zero)
    return sum(t > 0 for t in grid)


def begin(process: Interpolant, x: Tensor, t: float) -> Tensor:
    """A draw of the reference law as a state of the first time."""
    scale = math.hypot(process.alpha(t), process.gamma(t)) / process.reference_std
    return x if scale == 1 else scale * x


def spread(process: Interpolant, t: float, s: float, eta: float) -> float:
    """q of a step from t to s."""
    after, before = process.gamma(s), process.gamma(t)
    kept = process.alpha(t) / process.alpha(s) * after
    ancestral = after / before * math.sqrt(max(0.0, before**2 - kept**2))
    return float(min(eta * ancestral, after))


def mean(process: Interpolant, x: Tensor, data: Tensor, t: float, s: float, q: float) -> Tensor:
    """α_s x̂_0 + √(γ_s² - q²) ẑ."""
    share = math.sqrt(max(0.0, process.gamma(s) ** 2 - q**2)) / process.gamma(t)
    return (process.alpha(s) - share * process.alpha(t)) * data + share * x


def step(
    process: Interpolant,
    x: Tensor,
    data: Tensor,
    span: tuple[float, float],
    eta: float,
    draw: tuple[Source, int],
) -> Tensor:
    """One reverse step over (t, s) with the given x̂_0."""
    (t, s), (source, index) = span, draw
    if s == 0:
        return data
    q = spread(process, t, s, eta)
    moved = mean(process, x, data, t, s, q)
    return moved if q == 0 else moved.add_(source.draw(x, index), alpha=q)


def spans(times: tuple[float, ...]) -> list[tuple[int, tuple[float, float]]]:
    """(index, (t, s)) of every step."""
    return list(enumerate(pairwise(times)))


def answer(model: AbstractDenoiser, x: Tensor, t: float, cond: Tree) -> Tensor:
    """x̂_0 without a graph.

    Raises:
        NotFinite: the network answered with NaN or infinity.
    """
    data = model.data(x, t, cond=cond)
    check(data, t)
    return data


def pulled(
    model: AbstractDenoiser, x: Tensor, t: float, cond: Tree, push: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """(x̂_0, Jᵀ u): one call of the denoiser and one gradient through it, u = push(x̂_0), (B, *shape)."""
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        data = model.data(point, t, cond=cond)
        still = data.detach()
        check(still, t)
        (back,) = torch.autograd.grad(data, point, push(still))
    return still, back


def steepest(
    model: AbstractDenoiser, x: Tensor, t: float, energy: Energy, cond: Tree = None
) -> tuple[Tensor, Tensor]:
    """(x̂_0, ∇_x Σ energy), (R, *shape) both and without a graph; one gradient through all calls that energy makes.

    Args:
        model: asked with `cond`.
        x: (R, *shape).
        t: the time of x.
        energy: given (x, x̂_0) with a graph, (R,).
        cond: of the model.
    """
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        data = model.data(point, t, cond=cond)
        check(data.detach(), t)
        (gradient,) = torch.autograd.grad(energy(point, data).sum(), point)
    return data.detach(), gradient


def misfit(measurement: Measurement, data: Tensor) -> Tensor:
    """|y - A(x̂_0)|, (R,)."""
    return measurement.residual(data).flatten(1).norm(dim=1)


def unit(process: Interpolant, t: float) -> float:
    """√(α² + γ²): a length of 1 in states of a variance-preserving process is this long in those of another."""
    return float((process.alpha(t) ** 2 + process.gamma(t) ** 2) ** 0.5)


def check(data: Tensor, t: float) -> None:
    """Refuse what is not finite."""
    require(
        bool(torch.isfinite(data).all()), f"the network answered with NaN or infinity at t = {t:g}", NotFinite
    )


def linear(measurement: Measurement, by: str) -> Linear:
    """The operator, if it is linear.

    Raises:
        Unsuitable: it is not; the message says what fits.
    """
    operator = measurement.operator
    if not isinstance(operator, Linear):
        raise Unsuitable(
            f"{by} needs a linear operator, and {type(operator).__name__} is not. Use DPS, REDDiff or SMC."
        )
    return operator


def data_variance(process: Interpolant, t: float, data_std: float, width: float) -> float:
    """r², the variance that x_0 is taken to have given x_t: width · κ² s²/(κ² + s²), s the data's standard deviation."""
    kappa2, s2 = (process.gamma(t) / process.alpha(t)) ** 2, data_std**2
    return float(width * kappa2 * s2 / (kappa2 + s2))
