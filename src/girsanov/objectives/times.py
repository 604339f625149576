"""At which times to train: laws of t, and draws that fill them evenly.

A law is a function (u, process, data_std) -> t that turns uniform numbers u into times by its quantile
function, truncated to the times that the process has. The log-SNR laws are laws of log(σ/s), with
σ = γ/α the noise level of x_t/α and s the standard deviation of the data, so one law serves every schedule:

    uniform       t uniform                                             (Song et al. 2021)
    logit-normal  log(t/(1-t)) ~ N(0, 1)                                (Esser et al. 2024)
    log-normal    log(σ/s) ~ N(-0.51, 1.2²): log σ ~ N(-1.2, 1.2²) at s = 0.5  (Karras et al. 2022)
    logistic      log(σ/s) logistic around -0.5 of scale 1: the same centre, wider tails; the default
    likelihood    log(1 + s²/σ²) uniform: with unit weight on the residual, the likelihood weighting

Draws are stratified: sample i of the batch takes u_i = U + iφ modulo 1, with one U for the batch and φ the
golden ratio. Each u_i is uniform, so the loss has the same mean, and any run of successive samples fills
[0, 1] evenly, which cuts the variance that the choice of times adds. Because i is the number of the sample
and not its place in a batch, every split of a batch gives the same times; i/B in place of iφ would not.

Oracle: Kolmogorov-Smirnov tests, and the variance of a batch mean (tests/objectives/test_times.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.noise import uniform as uniform_law
from girsanov.objectives.base import TIME, Source
from girsanov.processes import GaussianConditional

GOLDEN = (math.sqrt(5) - 1) / 2
NEAR_ONE = 1 - 1e-6
"""The last time where α(1) = 0: at 1 itself a weight may be 0/0."""

TimeLaw = Callable[[Tensor, GaussianConditional, float], Tensor]


def draw_times(
    law: TimeLaw,
    process: GaussianConditional,
    data_std: float,
    like: Tensor,
    source: Source,
    stratified: bool = True,
) -> Tensor:
    """Times (B,) on the device of `like` (B, *shape), computed in float64 on the CPU."""
    first, last = limits(process)
    t = law(uniforms(len(like), source, stratified), process, data_std).clamp(first, last)
    return t.to(like.device, like.dtype)


def uniforms(n: int, source: Source, stratified: bool) -> Tensor:
    """n uniform numbers in [0, 1), float64; see the head of the module."""
    if not stratified:
        return source.draw(torch.empty(n, 1, dtype=torch.float64), TIME, uniform_law)[:, 0]
    first = source.first if isinstance(source, Noise) else 0
    start = source.shifted(-first).draw(torch.empty(1, 1, dtype=torch.float64), TIME, uniform_law)[0]
    return torch.arange(first, first + n, dtype=torch.float64).mul_(GOLDEN).add_(start).frac_()


def limits(process: GaussianConditional) -> tuple[float, float]:
    """The first and last time to train at: away from ends where the noise or the data vanish."""
    alpha, _, gamma = process.values(1.0)
    if gamma == 0:
        return process.t_min, 1 - process.t_min
    return process.t_min, NEAR_ONE if alpha == 0 else 1.0


def uniform(u: Tensor, process: GaussianConditional, data_std: float) -> Tensor:
    """t uniform between the limits of the process."""
    first, last = limits(process)
    return first + u * (last - first)


def logit_normal(
    u: Tensor, process: GaussianConditional, data_std: float, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """log(t/(1-t)) ~ N(mean, std²): most of the times in the middle (Esser et al. 2024, section 3.1)."""
    first, last = (torch.tensor(t, dtype=torch.float64).logit() for t in limits(process))
    return _truncated(u, mean, std, first, last, torch.special.ndtr, torch.special.ndtri).sigmoid()


def log_normal(
    u: Tensor, process: GaussianConditional, data_std: float, mean: float = -1.2, std: float = 1.2
) -> Tensor:
    """log(σ · 0.5/s) ~ N(mean, std²) (Karras et al. 2022, table 1, where s = 0.5)."""
    middle = mean + math.log(data_std / 0.5)
    first, last = log_noise_limits(process)
    y = _truncated(u, middle, std, first, last, torch.special.ndtr, torch.special.ndtri)
    return process.time_at(-y)


def logistic(
    u: Tensor, process: GaussianConditional, data_std: float, mean: float = -0.5, scale: float = 1.0
) -> Tensor:
    """log(σ/s) logistic: every noise level that sampling meets is seen, as a normal's tails are not.

    With mean 0, for data with s = 1, it is the uniform law of rectified flow.
    """
    first, last = log_noise_limits(process)
    y = _truncated(u, mean + math.log(data_std), scale, first, last, torch.sigmoid, torch.logit)
    return process.time_at(-y)


def likelihood(u: Tensor, process: GaussianConditional, data_std: float) -> Tensor:
    """Importance sampling for the likelihood: p(t) ∝ the likelihood weight of the unit-variance residual.

    That weight is -λ'α²s²/v² up to a factor, the derivative of log(1 + s²/σ²) in t, so this quantity is
    uniform. After Song et al. (2021b), who sample by g²/γ².
    """
    first, last = log_noise_limits(process)
    most, least = (torch.log1p((data_std / y.exp()) ** 2) for y in (first, last))
    return process.time_at((torch.expm1(most + u * (least - most)).log() - 2 * math.log(data_std)) / 2)


TIMES: dict[str, TimeLaw] = {
    "uniform": uniform,
    "logit-normal": logit_normal,
    "log-normal": log_normal,
    "logistic": logistic,
    "likelihood": likelihood,
}
"""The time laws by name."""


def log_noise_limits(process: GaussianConditional) -> tuple[Tensor, Tensor]:
    """log σ = log(γ/α) at the first and the last time.

    Raises:
        Unsuitable: a two-sided process, whose x_1 is random too.
    """
    if process.end == "marginal":
        raise Unsuitable(
            f"this law of times is one of noise levels, and {process!r} joins two laws. "
            "Use times='uniform' or 'logit-normal'."
        )
    first, last = (torch.tensor(-process.log_snr(t), dtype=torch.float64) for t in limits(process))
    return first, last


def _truncated(
    u: Tensor, middle: float, scale: float, low: Tensor, high: Tensor, cdf: Callable, quantile: Callable
) -> Tensor:
    """Quantiles of middle + scale · (a standard law), given that it falls between low and high."""
    a, b = cdf((low - middle) / scale), cdf((high - middle) / scale)
    if not b - a > 1e-6:
        raise InputError(
            f"the law of times, of middle {middle:.3g} and scale {scale:.3g}, has no mass between the limits "
            f"{float(low):.3g} and {float(high):.3g} of this process; take another law, or rescale the data"
        )
    return middle + scale * quantile(a + u * (b - a))
