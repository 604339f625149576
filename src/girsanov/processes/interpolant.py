"""The interpolant x_t = α(t) x_0 + β(t) x_1 + γ(t) z, one class for most of the field.

t runs from 0 (data) to 1; z is standard normal, or of another isotropic law (see `laws`). What x_1 is makes
the difference:

    end = "noise"     β = 0, all randomness is in z: diffusion models and rectified flow
    end = "anchor"    x_1 is known while sampling: bridges to a degraded image, noisy speech
    end = "marginal"  x_1 is drawn from a second law: stochastic interpolants

Given both ends the process is Gaussian and Markov, with forward equation

    dX = (f X + (β' - fβ) x_1) dt + g dW,   f = α'/α,   g² = 2γγ' - 2fγ²,

and transitions, exact for any s < t,

    X_t = r X_s + (β_t - rβ_s) x_1 + √(γ_t² - r²γ_s²) ξ,   r = α_t/α_s.

With α-stable noise of index p the same holds with p in place of 2: γ_t^p - r^p γ_s^p, and g^p = (γ^p)' - pfγ^p,
driven by a Lévy motion. All of it may live in other coordinates of the data (see `charts`): then x_t, and what
a network sees, are u = chart(x), and data come in by `into` and go out by `out_of`.

Oracle: transitions compose, moments of `simulate` match α, β, γ, and α, γ match the numerical
integration of f and g² (tests/processes).
Source: Albergo, Boffi & Vanden-Eijnden (2023); Song et al. (2021), sections 3 and appendix B.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

from girsanov.errors import InputError, choose, require
from girsanov.noise import Law, Randomness, as_source, normal
from girsanov.processes import schedules
from girsanov.processes.base import Affine, Conversion, like_batch
from girsanov.processes.charts import CHARTS
from girsanov.processes.conversion import row, solve
from girsanov.processes.functions import sqrt
from girsanov.processes.laws import law_config, law_from, stability
from girsanov.processes.residual import ResidualTable
from girsanov.processes.reverting import ConstantReversion, CosineReversion, ExplodingReversion
from girsanov.processes.saved import kept_as
from girsanov.processes.schedules import Schedule
from girsanov.processes.twosided import TwoSided
from girsanov.typing import Scalar, Time

SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        schedules.LinearVP, schedules.CosineVP, schedules.StableCosine, schedules.TabulatedVP, schedules.LinearSubVP,
        schedules.VEGeometric, schedules.VELinear, schedules.Relaxation, schedules.Straight,
        schedules.QuarterCircle, schedules.PinnedBrownian, ConstantReversion, CosineReversion,
        ExplodingReversion, ResidualTable, TwoSided,
    )
}  # fmt: skip


@kept_as("interpolant")
@dataclass(frozen=True, repr=False)
class Interpolant:
    """A Gaussian interpolant; see the head of the module, and the named constructors.

    Args:
        schedule: α, β, γ and their derivatives.
        end: what x_1 is: "noise" (absent), "anchor" (known) or "marginal" (drawn from a second law).
        t_min: where sampling stops and training starts, above 0 because a score blows up at 0.
        law: of z: `noise.normal`, `noise.Stable(index)` or `noise.StudentT(df)`.
        chart: the coordinates it lives in, a name of `charts.CHARTS`.

    Raises:
        UnknownName: no such chart.
        InputError: the schedule does not have the ends that `end` needs, or t_min leaves (0, 1).
    """

    schedule: Schedule
    end: Literal["noise", "anchor", "marginal"] = "noise"
    t_min: float = 1e-3
    law: Law = normal
    chart: str = "identity"

    def __post_init__(self) -> None:
        choose(self.chart, CHARTS, "chart")
        choose(self.end, dict.fromkeys(("noise", "anchor", "marginal")), "end")
        require(0 < self.t_min < 1, f"t_min is {self.t_min}; give a number between 0 and 1, such as 1e-3")
        start, stop = self.schedule.values(0.0), self.schedule.values(1.0)
        require(
            math.dist(start, (1.0, 0.0, 0.0)) < 1e-6,
            f"α, β, γ at t = 0 are {start}; data needs (1, 0, 0)",
        )
        if self.end == "noise":
            require(stop[1] == 0 < stop[2], f"α, β, γ at t = 1 are {stop}; with end='noise' β = 0 and γ > 0")
        elif self.end == "marginal":
            require(
                math.dist(stop, (0.0, 1.0, 0.0)) < 1e-6,
                f"α, β, γ at t = 1 are {stop}; a second marginal needs (0, 1, 0)",
            )

    def __repr__(self) -> str:
        law = "" if self.law is normal else f", law={self.law!r}"
        chart = "" if self.chart == "identity" else f", chart={self.chart!r}"
        return f"{type(self).__name__}(schedule={self.schedule!r}, end={self.end!r}, t_min={self.t_min}{law}{chart})"

    def values(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(α, β, γ)."""
        return self.schedule.values(t)

    def alpha(self, t: Scalar) -> Scalar:
        """The weight of x_0."""
        return self.schedule.values(t)[0]

    def beta(self, t: Scalar) -> Scalar:
        """The weight of x_1."""
        return self.schedule.values(t)[1]

    def gamma(self, t: Scalar) -> Scalar:
        """The standard deviation of the noise."""
        return self.schedule.values(t)[2]

    def rates(self, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """(α', β', γ')."""
        return self.schedule.rates(t)

    def log_snr(self, t: Scalar) -> Scalar:
        """λ = log(α/γ)."""
        return self.schedule.log_snr(t)

    def time_at(self, log_snr: Scalar) -> Scalar:
        """The time at which λ is `log_snr`."""
        return self.schedule.time_at(log_snr)

    def coefficients(self, want: str, stored: tuple[str, ...], t: Scalar) -> Conversion:
        """Write the prediction `want` on the state, the stored predictions and the anchor."""
        return solve(self, want, stored, t)

    def row(self, word: str, t: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        """The coefficients of a prediction over (x_0, x_1, z)."""
        return row(self, word, t)

    @property
    def noiseless(self) -> bool:
        """Whether γ vanishes everywhere."""
        return isinstance(self.schedule, TwoSided) and self.schedule.latent == "none"

    # The forward equation.

    def transition(self, s: Scalar, t: Scalar) -> Affine:
        """The law of X_t given X_s and x_1, for s < t; its ξ has the law of the process.

        Raises:
            Unsuitable: a law that no motion has for its increments, such as Student's t.
        """
        alpha_s, beta_s, gamma_s = self.schedule.values(s)
        alpha_t, beta_t, gamma_t = self.schedule.values(t)
        r, power = alpha_t / alpha_s, stability(self.law)
        left = _floor(gamma_t**power - (r * gamma_s) ** power)
        return Affine(r, beta_t - r * beta_s, sqrt(left) if power == 2 else left ** (1 / power))

    def linear_drift(self, t: Scalar) -> tuple[Scalar, Scalar]:
        """(f, β' - fβ): the drift of X is f X + (β' - fβ) x_1."""
        alpha, beta, _ = self.schedule.values(t)
        d_alpha, d_beta, _ = self.schedule.rates(t)
        return d_alpha / alpha, d_beta - beta * d_alpha / alpha

    def volatility(self, t: Scalar) -> Scalar:
        """g(t) of the forward equation, per square root of time; per time^(1/p) with stable noise of index p."""
        alpha, _, gamma = self.schedule.values(t)
        d_alpha, _, d_gamma = self.schedule.rates(t)
        power = stability(self.law)
        left = _floor(power * gamma ** (power - 1) * d_gamma - power * gamma**power * d_alpha / alpha)
        return sqrt(left) if power == 2 else left ** (1 / power)

    def drift(self, x: Tensor, t: Time, *, anchor: Tensor | None = None) -> Tensor:
        """The drift of the forward equation at x (B, *shape)."""
        f, pull = self.linear_drift(like_batch(t, x))
        self.check_end(anchor, "anchor")
        return f * x if anchor is None else f * x + pull * anchor

    # Laws and draws.

    def perturb(
        self, x0: Tensor, t: Time, *, end: Tensor | None = None, generator: Randomness = None
    ) -> tuple[Tensor, Tensor]:
        """Draw x_t given the ends.

        Args:
            x0: (B, *shape) clean samples.
            t: (B,) or a float, in [0, 1].
            end: (B, *shape), x_1; needed unless end = "noise".

        Returns:
            (x_t, z), both (B, *shape): the noisy sample, in the coordinates of the chart, and the noise in it.
        """
        self.check_end(end)
        x0, end = self.into(x0), None if end is None else self.into(end)
        z = as_source(generator).draw(x0, 0, self.law)
        alpha, beta, gamma = self.schedule.values(like_batch(t, x0))
        x = alpha * x0 + gamma * z
        return (x if end is None else x + beta * end), z

    def reference(
        self, like: Tensor, *, anchor: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw from the law at t = 1, where sampling starts.

        Args:
            like: (B, *shape), for its shape, dtype and device.
            anchor: (B, *shape), x_1; needed unless end = "noise".

        Returns:
            (B, *shape), in the coordinates of the chart: `reference_std` · noise, plus x_1 with the weight of
            `Schedule.reference`, which is β(1) but for processes that start from their stationary law.
        """
        self.check_end(anchor, "anchor")
        x = self.reference_std * as_source(generator).draw(like, REFERENCE, self.law)
        return x if anchor is None else x + self.schedule.reference()[0] * anchor

    @property
    def reference_std(self) -> float:
        """√(α² + γ²) at t = 1: the second moment is right for data of unit variance.

        With an x_1, the noise that `Schedule.reference` says; γ with a law that need not have a variance.
        """
        alpha, _, gamma = self.schedule.values(1.0)
        if self.law is not normal:
            return float(gamma)
        return math.hypot(alpha, gamma) if self.end == "noise" else self.schedule.reference()[1]

    def simulate(
        self, x0: Tensor, times: Tensor, *, end: Tensor | None = None, generator: Randomness = None
    ) -> Tensor:
        """Draw paths of the forward equation from its exact transitions.

        Args:
            x0: (B, *shape), the state at times[0].
            times: (T,), increasing, in [0, 1].
            end: (B, *shape), x_1; needed unless end = "noise".

        Returns:
            (B, T, *shape).
        """
        self.check_end(end)
        x0, end = self.into(x0), None if end is None else self.into(end)
        source, path = as_source(generator), [x0]
        clock = check_times(times)
        for i, (s, t) in enumerate(pairwise(clock)):
            state, anchor, std = self.transition(s, t)
            x = state * path[-1] + std * source.draw(x0, i, self.law)
            path.append(x if end is None else x + anchor * end)
        return self.out_of(torch.stack(path, dim=1))

    def into(self, x: Tensor) -> Tensor:
        """Data (B, *shape) in the coordinates of the chart.

        Raises:
            InputError: values outside the chart.
        """
        return x if self.chart == "identity" else CHARTS[self.chart].into(x)

    def out_of(self, u: Tensor) -> Tensor:
        """Back from the coordinates of the chart."""
        return u if self.chart == "identity" else CHARTS[self.chart].out_of(u)

    def check_end(self, end: Tensor | None, name: str = "end") -> None:
        """Refuse a missing x_1 where the process has one, and one given where it has none."""
        if self.end == "noise" and end is not None:
            raise InputError(f"{name} was given, and {self!r} has no x_1; leave {name} out")
        if self.end != "noise" and end is None:
            raise InputError(f"{self!r} needs x_1; give {name}=, shaped like the samples")

    def check_anchor(self, anchor: Tensor | None) -> None:
        """The same for a denoiser, which knows x_1 only where it is an anchor."""
        if self.end == "marginal":
            if anchor is not None:
                raise InputError(f"anchor was given, and x_1 of {self!r} is hidden; leave anchor out")
        else:
            self.check_end(anchor, "anchor")

    # Saving.

    def to_config(self) -> dict:
        """The process as JSON: names and numbers."""
        numbers = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self.schedule).items()}  # type: ignore[call-overload]
        config = {"schedule": type(self.schedule).__name__, **numbers, "end": self.end, "t_min": self.t_min}
        if self.law is not normal:
            config["law"] = law_config(self.law)
        return config if self.chart == "identity" else {**config, "chart": self.chart}

    @classmethod
    def from_config(cls, config: dict) -> Interpolant:
        """Rebuild a process from `to_config`; only known names, only their own fields."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
        kind = choose(str(fields.pop("schedule", "(none)")), SCHEDULES, "schedule")
        end, t_min = fields.pop("end", "noise"), fields.pop("t_min", 1e-3)
        law, chart = law_from(fields.pop("law", None)), fields.pop("chart", "identity")
        for name, value in (*fields.items(), ("t_min", t_min)):
            legal = isinstance(value, str | tuple) or (
                isinstance(value, int | float) and math.isfinite(value)
            )
            require(legal, f"{name} of the saved process is {value!r}; it must be a finite number or a name")
        try:
            return cls(kind(**fields), end=end, t_min=t_min, law=law, chart=chart)
        except TypeError as error:
            raise InputError(f"the saved process {kind.__name__} cannot be rebuilt: {error}") from error


REFERENCE = -1
"""The key of the draw that starts a sample; rows of a plan count from 0."""


def check_times(times: Tensor) -> list[float]:
    """Increasing times in [0, 1] as floats, or a refusal."""
    clock = [float(t) for t in times]
    require(len(clock) >= 1, "times is empty; give at least one")
    require(
        all(b > a for a, b in pairwise(clock)),
        f"times run {clock[0]} → {clock[-1]} and must increase without repeats; sort them",
    )
    require(clock[0] >= 0 and clock[-1] <= 1, f"times run {clock[0]} → {clock[-1]}; they must lie in [0, 1]")
    return clock


def _floor(variance: Scalar) -> Scalar:
    """Clamp the rounding error of a variance that is 0 in exact arithmetic."""
    return max(variance, 0.0) if isinstance(variance, float | int) else variance.clip(min=0.0)
