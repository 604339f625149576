"""Diffusion driven by fractional noise: increments that remember, in a Markov state (X, Y¹, …, Y^K).

Each coordinate X of the data has K memories Y^k, all moved by one Brownian motion W:

    dX = μ(t) X dt + g(t) dB̂,    B̂ = Σ_k ω_k Y^k,    dY^k = -γ_k Y^k dt + dW,

so that dX = [μ X - g Σ ω_k γ_k Y^k] dt + g (Σ ω_k) dW, with μ and g of an ordinary process, VP or VE. The
weights ω are those of `markov_weights`, times one number that gives X_1 the variance of the ordinary process for
every Hurst exponent. Given x_0 the covariance Σ_t of (X, Y) is the same for all coordinates; its last row solves
a linear equation, integrated once in float64.

Only X has to be learned. With η = Σ_YY⁻¹ Σ_YX and σ² = Σ_XX - Σ_XY η,

    x_t - η·Y_t = α x_0 + σ z,

an interpolant like any other, independent of Y_t: networks, objectives and all solvers see it as one, and
`solvers.augmented` reverses X with its memories as in the paper. These start from N(0, 10⁻⁴), which keeps Σ_YY
regular at t = 0.

Oracle: Σ_t against simulated paths; H = ½ without memories is VP or VE (tests/processes/test_remembering.py).
Source: Nobis et al. (2024), Generative fractional diffusion models, sections 3 and 4.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from girsanov.errors import InputError, choose, require
from girsanov.noise import Randomness, as_source
from girsanov.processes.fractional import geometric_rates, markov_weights
from girsanov.processes.functions import exp, log
from girsanov.processes.interpolant import Interpolant, check_times
from girsanov.processes.saved import kept_as
from girsanov.processes.schedules import LinearVP, Schedule, VEGeometric
from girsanov.typing import Scalar

BASES: dict[str, type[LinearVP] | type[VEGeometric]] = {"vp": LinearVP, "ve": VEGeometric}
START_VARIANCE = 1e-4
FIRST, NODES = 1e-6, 2001
"""The table of log σ² has equal steps of log t from here to 1; before it σ² is proportional to t."""


@dataclass(frozen=True)
class MemorySchedule(Schedule):
    """α and the conditional σ of `Fractional`, and the law of its memories.

    Args:
        hurst: H in (0, 1); above ½ increments persist, below they turn back.
        factors: K ≥ 1 memories.
        fastest: the largest γ_k.
        base: whose μ and g, "vp" or "ve".
    """

    hurst: float = 0.7
    factors: int = 2
    fastest: float = 20.0
    base: str = "vp"

    def __post_init__(self) -> None:
        choose(self.base, BASES, "base")
        assert self._weights is not None  # numbers out of range are refused here, not at the first use

    # The interpolant of x - η·y.

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        return self._base.values(t)[0], 0.0, exp(self._log_variance(t)[0] / 2)

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        value, slope = self._log_variance(t)
        return self._base.rates(t)[0], 0.0, exp(value / 2) * slope / (2 * t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        levels, log_times = self._inverse
        if isinstance(log_snr, Tensor):
            found = np.interp(-log_snr.detach().cpu().double().numpy(), levels, log_times)
            t: Scalar = torch.as_tensor(found, dtype=log_snr.dtype, device=log_snr.device).exp()
        else:
            t = exp(np.interp(-np.asarray(log_snr), levels, log_times))
            t = float(t) if isinstance(log_snr, float | int) else t
        for _ in range(3):  # Newton on log t, from a neighbour of the table
            (alpha, _, gamma), (d_alpha, _, d_gamma) = self.values(t), self.rates(t)
            t = t * exp((log_snr - log(alpha) + log(gamma)) / (t * (d_alpha / alpha - d_gamma / gamma)))
        return t

    def _log_variance(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """log σ² and its derivative in log t, by cubic interpolation."""
        nodes: Any
        slopes: Any
        nodes, slopes, step = *self._table, -math.log(FIRST) / (NODES - 1)
        place = (log(t) - math.log(FIRST)) / step
        if isinstance(t, float | int):
            i: Any = min(max(math.floor(place) if place > 0 else 0, 0), NODES - 2)
        elif isinstance(t, Tensor):
            i = place.clamp(0, NODES - 2).long()
            nodes, slopes = (torch.as_tensor(v, dtype=t.dtype, device=t.device) for v in (nodes, slopes))
        else:
            i = np.clip(np.nan_to_num(place), 0, NODES - 2).astype(int)
        u, left, right, rise, fall = place - i, nodes[i], nodes[i + 1], slopes[i] * step, slopes[i + 1] * step
        a, b = 3 * (right - left) - 2 * rise - fall, rise + fall - 2 * (right - left)
        inside = left + u * (rise + u * (a + u * b)), (rise + u * (2 * a + 3 * u * b)) / step
        before = left + u * rise, rise / step  # linear in log t
        if isinstance(t, float | int):
            value, slope = before if place < 0 else inside
            return float(value), float(slope)
        where = torch.where if isinstance(t, Tensor) else np.where
        return tuple(where(place < 0, x, y) for x, y in zip(before, inside))  # type: ignore[return-value]

    # The state with its memories.

    @cached_property
    def _base(self) -> LinearVP | VEGeometric:
        return BASES[self.base]()

    @cached_property
    def memory_rates(self) -> np.ndarray:
        """γ_k, (K,)."""
        return np.asarray(geometric_rates(self.factors, self.fastest))

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.asarray(markov_weights(self.hurst, self.memory_rates.tolist())[0])

    @property
    def cost(self) -> float:
        """The share of the variance of fractional Brownian motion that the memories do not represent."""
        return markov_weights(self.hurst, self.memory_rates.tolist())[1]

    @cached_property
    def weights(self) -> np.ndarray:
        """ω_k, (K,), scaled to the variance of the ordinary process at t = 1."""
        return self._weights * self._gain

    def drift(self, t: float) -> tuple[float, float]:
        """(μ, g) at t."""
        t = max(t, 1e-12)  # γ' is infinite at 0, and γγ' is not
        alpha, _, gamma = self._base.values(t)
        mu = self._base.rates(t)[0] / alpha
        return mu, math.sqrt(2 * self._base.half_square_rate(t) - 2 * mu * gamma**2)

    def covariance(self, t: float) -> np.ndarray:
        """Σ_t of (X, Y¹, …, Y^K) given x_0, (K + 1, K + 1)."""
        row = self._solution(t)
        full = np.empty((self.factors + 1, self.factors + 1))
        full[0, 0], full[0, 1:], full[1:, 0] = (
            row[0] * self._gain**2,
            row[1:] * self._gain,
            row[1:] * self._gain,
        )
        full[1:, 1:] = self._memory_covariance(t)
        return full

    def regression(self, t: float) -> np.ndarray:
        """η = Σ_YY⁻¹ Σ_YX at t, (K,)."""
        full = self.covariance(t)
        return np.linalg.solve(full[1:, 1:], full[1:, 0])

    def _memory_covariance(self, t: float) -> np.ndarray:
        pairs = self.memory_rates[:, None] + self.memory_rates
        return -np.expm1(-pairs * t) / pairs + np.diag(START_VARIANCE * np.exp(-2 * self.memory_rates * t))

    @cached_property
    def _gain(self) -> float:
        return float(self._base.values(1.0)[2]) / math.sqrt(self._solution(1.0)[0])

    @cached_property
    def _solution(self) -> Any:
        """t -> (Σ_XX, Σ_XY) before scaling, by one integration."""
        from scipy.integrate import solve_ivp

        omega, gamma = self._weights, self.memory_rates

        def rate(t: float, row: np.ndarray) -> np.ndarray:
            mu, g = self.drift(t)
            pull, push = g * omega * gamma, g * omega.sum()
            cross = (mu - gamma) * row[1:] - self._memory_covariance(t) @ pull + push
            return np.concatenate([[2 * mu * row[0] - 2 * pull @ row[1:] + push**2], cross])

        found = solve_ivp(
            rate, (0.0, 1.0), np.zeros(self.factors + 1), "DOP853", dense_output=True, rtol=1e-12, atol=1e-18,
            max_step=0.01,
        )  # fmt: skip
        return found.sol

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """log σ² at the nodes, and its derivatives in log t."""
        from scipy.interpolate import CubicSpline

        log_times = np.linspace(math.log(FIRST), 0.0, NODES)
        covariances = [self.covariance(math.exp(s)) for s in log_times]
        values = [math.log(c[0, 0] - c[0, 1:] @ np.linalg.solve(c[1:, 1:], c[1:, 0])) for c in covariances]
        spline = CubicSpline(log_times, values)
        return np.asarray(values), spline(log_times, 1)

    @cached_property
    def _inverse(self) -> tuple[np.ndarray, np.ndarray]:
        log_times = np.linspace(math.log(FIRST), 0.0, NODES)
        levels = self._table[0] / 2 - np.log(self._base.values(np.exp(log_times))[0])
        require(bool((np.diff(levels) > 0).all()), f"the signal-to-noise ratio of {self!r} is not monotone")
        return levels, log_times


@kept_as("remembering")
@dataclass(frozen=True)
class Remembering(Interpolant):
    """An interpolant whose state has memories beside it: `Fractional` makes one.

    As an interpolant it is x_t - η·Y_t; `simulate` draws X itself.
    """

    schedule: MemorySchedule

    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw paths of X, each with memories of its own, from the exact joint steps.

        Args:
            x0: (B, *shape), the state at times[0] = 0.
            times: (T,), increasing, in [0, 1], from 0.

        Returns:
            (B, T, *shape).
        """
        self.check_end(end)
        clock, source = check_times(times), as_source(generator)
        require(clock[0] == 0, f"times start at {clock[0]}; memories are known at 0 only, so start there")
        z = torch.cat(
            [x0.double()[..., None], math.sqrt(START_VARIANCE) * self._normals(x0, source, -2)[..., 1:]], -1
        )
        path = [x0]
        for i, (s, t) in enumerate(pairwise(clock)):
            move, root = (torch.from_numpy(m).to(x0.device) for m in self._step(s, t))
            z = z @ move.mT + self._normals(x0, source, i) @ root.mT
            path.append(z[..., 0].to(x0.dtype))
        return torch.stack(path, 1)

    def _normals(self, x: Tensor, source: Any, index: int) -> Tensor:
        wide = x.double()[..., None].expand(*x.shape, self.schedule.factors + 1)
        return source.draw(wide, index)

    def _step(self, s: float, t: float) -> tuple[np.ndarray, np.ndarray]:
        """(Φ, R): z_t = Φ z_s + R ξ, from Σ_t = Φ Σ_s Φᵀ + R Rᵀ and the propagator of the drift."""
        from scipy.integrate import solve_ivp

        size = self.schedule.factors + 1

        def rate(u: float, flat: np.ndarray) -> np.ndarray:
            return (self.generator(u) @ flat.reshape(size, size)).ravel()

        move = solve_ivp(rate, (s, t), np.eye(size).ravel(), "DOP853", rtol=1e-10, atol=1e-14).y[:, -1]
        move = move.reshape(size, size)
        start = np.diag([0.0, *[START_VARIANCE] * (size - 1)]) if s == 0 else self.schedule.covariance(s)
        values, vectors = np.linalg.eigh(self.schedule.covariance(t) - move @ start @ move.T)
        return move, vectors * np.sqrt(np.maximum(values, 0.0))

    def generator(self, t: float) -> np.ndarray:
        """F(t) of dZ = F Z dt + G dW, Z = (X, Y), (K + 1, K + 1)."""
        mu, g = self.schedule.drift(t)
        matrix = np.diag([mu, *(-self.schedule.memory_rates)])
        matrix[0, 1:] = -g * self.schedule.weights * self.schedule.memory_rates
        return matrix

    def to_config(self) -> dict:
        return {"kind": "remembering", **asdict(self.schedule), "t_min": self.t_min}

    @classmethod
    def from_config(cls, config: dict) -> Remembering:
        numbers = dict(config)
        t_min = numbers.pop("t_min", 1e-3)
        try:
            return cls(MemorySchedule(**numbers), t_min=t_min)
        except TypeError as error:
            raise InputError(f"the saved process cannot be rebuilt: {error}") from error


def Fractional(
    hurst: float = 0.7, factors: int = 2, *, base: str = "vp", fastest: float = 20.0
) -> Interpolant:
    """Generative fractional diffusion: VP or VE noise whose increments remember (Nobis et al. 2024).

    Args:
        hurst: H in (0, 1): ½ is nearly the ordinary process, above it paths are smoother and samples more diverse.
        factors: how many memories stand for the fractional noise; 0 is the ordinary process itself.
        base: "vp" or "ve".
        fastest: the largest rate of a memory, above 1.

    Raises:
        InputError: numbers out of range.
        UnknownName: no such base.

    Warns:
        UserWarning: more than 5 % of the variance of the fractional noise is not represented.
    """
    require(factors >= 0, f"factors is {factors}; give at least 0")
    if factors == 0:
        require(
            hurst == 0.5,
            f"hurst is {hurst}; without memories noise is Brownian, so give hurst=0.5 or factors=2",
        )
        return Interpolant(choose(base, BASES, "base")())
    schedule = MemorySchedule(hurst, factors, fastest, base)
    if schedule.cost > 0.05:
        warnings.warn(
            f"{factors} memories up to the rate {fastest:g} represent {1 - schedule.cost:.0%} of fractional noise "
            f"with hurst = {hurst:g}; give more, or a larger fastest",
            stacklevel=2,
        )
    return Remembering(schedule)
