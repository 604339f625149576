"""Stationary Gaussian processes, exact on a grid.

On a uniform grid of m steps the covariance is a Toeplitz matrix, the corner of a circulant one of size 2m with first
row c = γ(0), …, γ(m), γ(m - 1), …, γ(1). Its eigenvalues λ = FFT(c) are known for the price of one transform, and

    X_k = Σ_j √(λ_j/2m) ζ_j e^{2πijk/2m},    ζ_j = conj ζ_{2m-j} complex standard normal, real and of variance 1 at j = 0 and m,

has covariance c exactly if λ ≥ 0. Where some λ < 0 the circle is doubled, three times, and then refused: a
covariance that has a nonnegative embedding at all mostly has it there. Other grids go through Cholesky's factor, in
T³ operations, up to T = 2,000.

Given X at the first time, the rest is X + (γ(t)/γ(0)) (x_0 - X_0) (Matheron's rule), so that a path may start anywhere.
Source: Davies & Harte (1987), Tests for Hurst effect; Wood & Chan (1994), Simulation of stationary Gaussian processes
in [0, 1]^d; Journel & Huijbregts (1978) for the rule.
Oracle: the covariance of the paths, the Ornstein-Uhlenbeck process, the joint law given the start
(tests/processes/test_gaussian.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import InputError, require
from girsanov.noise import Randomness, Source, as_source
from girsanov.processes.paths import check_clock, check_state, draws, finished, uniform_step

START = -1
"""The key of the draw that starts a path; those of its steps count from 0."""
DOUBLINGS = 3
"""How often the circle grows before a covariance is refused."""
MOST_CHOLESKY = 2000
"""Times of a grid that is not uniform, above which the factor would take seconds."""


@dataclass(frozen=True)
class StationaryGaussian:
    """The Gaussian process of mean 0 with a given autocovariance. Starts from its stationary law.

    Args:
        autocovariance: lags (K,), at least 0, float64, to covariances (K,); such as lambda t: torch.exp(-t).
    """

    autocovariance: Callable[[Tensor], Tensor]

    def start(self, like: Tensor, *, generator: Randomness = None) -> Tensor:
        """A draw of the law at one time, shaped like (B, *shape)."""
        return math.sqrt(self._variance()) * as_source(generator).draw(like, START)

    def simulate(self, x0: Tensor, times: Tensor, *, generator: Randomness = None) -> Tensor:
        """Draw one path from each row of x0, exactly; coordinates are independent.

        Args:
            x0: (B, *shape), the states at times[0].
            times: (T,), increasing, in any unit; uniform, or at most 2,000.

        Returns:
            (B, T, *shape).

        Raises:
            InputError: bad times, or a function that is no covariance.
        """
        check_state(x0)
        clock, source = check_clock(times), as_source(generator)
        variance = self._variance()
        lags = (clock - clock[0]).cpu()
        step = uniform_step(times)
        if step is not None:
            scale = circulant_scale(self._embedding(len(clock) - 1, step))
            path = by_time(circulant_draw(scale, source, x0, len(clock)), x0)
        else:
            require_few(len(clock))
            factor = cholesky(self._at((lags[:, None] - lags).abs().flatten()).reshape(len(lags), -1))
            path = along_time(factor.to(x0.device), draws(source, x0, len(clock)))
        share = (self._at(lags) / variance).to(x0.device).reshape(-1, *[1] * (x0.ndim - 1))
        path += share * (x0.double() - path[:, 0])[:, None]
        return finished(x0, path)

    def _embedding(self, steps: int, step: float) -> Tensor:
        """The eigenvalues of the least circle that works."""
        for doubling in range(DOUBLINGS + 1):
            size = fast_size(steps) << doubling
            eigenvalues = circulant_eigenvalues(self._at(step * torch.arange(size + 1).double()))
            if eigenvalues.min() >= -1e-12 * eigenvalues.max():
                return eigenvalues.clamp_(min=0.0)
        raise InputError(
            f"the autocovariance has no nonnegative circulant embedding on {steps} steps of {step:g}: an eigenvalue "
            f"is {eigenvalues.min().item():.2g}, the largest {eigenvalues.max().item():.2g}. Check that it is positive "
            f"definite; if it is, simulate at fewer than {MOST_CHOLESKY} times that are not evenly spaced"
        )

    def _at(self, lags: Tensor) -> Tensor:
        values = self.autocovariance(lags)
        require(
            isinstance(values, Tensor) and values.shape == lags.shape and bool(torch.isfinite(values).all()),
            "autocovariance must map lags (K,) to as many finite covariances, on tensors",
        )
        return values.double()

    def _variance(self) -> float:
        variance = self._at(torch.zeros(1).double()).item()
        require(variance > 0, f"the autocovariance at lag 0 is {variance:g}; it is a variance, above 0")
        return variance


def fast_size(steps: int) -> int:
    """The least m ≥ steps whose only prime factors are 2, 3 and 5, so that the transform is fast."""
    best = 1 << max(steps - 1, 0).bit_length()
    for odd in (3, 5, 9, 15, 25, 27, 45, 75, 81, 125):
        power = max(-(-steps // odd) - 1, 0).bit_length()
        best = min(best, odd << power)
    return best


def circulant_eigenvalues(covariances: Tensor) -> Tensor:
    """λ_0, …, λ_m of the circle whose first row is γ(0), …, γ(m), γ(m - 1), …, γ(1)."""
    return torch.fft.rfft(torch.cat([covariances, covariances[1:-1].flip(0)])).real


def circulant_scale(eigenvalues: Tensor) -> Tensor:
    """Standard deviations of the real and imaginary parts of √(λ_j/2m) ζ_j, in turns: (2m + 2,) from (m + 1,)."""
    scale = (eigenvalues / (4 * (len(eigenvalues) - 1))).sqrt().repeat_interleave(2)
    scale[[0, -2]] *= math.sqrt(2)  # the two real coefficients
    scale[[1, -1]] = 0.0
    return scale


def circulant_draw(scale: Tensor, source: Source, like: Tensor, count: int, index: int = 0) -> Tensor:
    """The first `count` values of a stationary Gaussian process on its circle, as precise as `like`.

    Args:
        scale: (2m + 2,), what `circulant_scale` makes of the eigenvalues.
        source: where 2m + 2 normals a path come from.
        like: (B, *shape), for its shape and device.
        count: at most m + 1.
        index: the key of the draw.

    Returns:
        (B · numel of shape, count): time runs last, where it lies in memory; `by_time` brings it to its place.
    """
    m, flat = len(scale) // 2 - 1, like.reshape(-1, math.prod(like.shape[1:]))
    rows = flat[..., None].expand(*flat.shape, 2 * m + 2)
    normals = source.draw(rows if like.dtype == torch.float64 else rows.float(), index)
    normals *= scale.to(normals)
    waves = torch.view_as_complex(normals.reshape(-1, m + 1, 2))
    return torch.fft.irfft(waves, n=2 * m, norm="forward")[:, :count]


def by_time(values: Tensor, like: Tensor) -> Tensor:
    """Values (B · numel of shape, T) as (B, T, *shape), shaped like (B, *shape) at every time."""
    return values.unflatten(0, (len(like), -1)).mT.reshape(len(like), -1, *like.shape[1:])


def cholesky(covariance: Tensor) -> Tensor:
    """The lower factor of a covariance matrix (T, T), or a refusal if it is none."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        least = torch.linalg.eigvalsh(covariance)[0].item()
        raise InputError(
            f"the covariance at these times is not positive definite: its least eigenvalue is {least:.2g}. "
            "Check the covariance, or drop times that are too close to each other"
        )
    return factor


def along_time(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix (S, T) applied to values (B, T, *shape) along their times."""
    values = values.double()
    flat = matrix @ values.flatten(2) if values.ndim > 2 else values @ matrix.mT
    return flat.reshape(len(values), len(matrix), *values.shape[2:])


def require_few(count: int) -> None:
    """Refuse a grid that is not uniform and has too many times for Cholesky's factor."""
    require(
        count <= MOST_CHOLESKY,
        f"times has {count} entries that are not evenly spaced; give at most {MOST_CHOLESKY} of them, "
        "or a uniform grid such as torch.linspace(0, 1, n)",
    )
