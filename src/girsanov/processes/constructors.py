"""The named processes of the field, each one `Interpolant` with its schedule.

Oracle: special cases agree with each other and with their textbook laws (tests/processes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from girsanov.errors import require
from girsanov.noise import Stable, StudentT
from girsanov.processes import schedules
from girsanov.processes.interpolant import Interpolant
from girsanov.processes.remembering import Fractional
from girsanov.processes.residual import ResidualTable, cut_at_half, linear_pro
from girsanov.processes.reverting import ConstantReversion, CosineReversion, ExplodingReversion
from girsanov.processes.twosided import TwoSided


def VP(beta_min: float = 0.1, beta_max: float = 20.0) -> Interpolant:
    """Variance preserving with linear rate: the continuous DDPM (Song et al. 2021, equation 11)."""
    return Interpolant(schedules.LinearVP(beta_min, beta_max))


def CosineVP(offset: float = 0.008) -> Interpolant:
    """Variance preserving, cosine schedule (Nichol & Dhariwal 2021, equation 17)."""
    return Interpolant(schedules.CosineVP(offset))


def SubVP(beta_min: float = 0.1, beta_max: float = 20.0) -> Interpolant:
    """Variance below that of `VP` at every time; made for likelihood (Song et al. 2021, equation 12)."""
    return Interpolant(schedules.LinearSubVP(beta_min, beta_max))


def VE(sigma_min: float = 0.01, sigma_max: float = 50.0) -> Interpolant:
    """Variance exploding, geometric σ (Song et al. 2021, equation 9).

    Take sigma_max about the largest distance between two data points.
    """
    return Interpolant(schedules.VEGeometric(sigma_min, sigma_max), t_min=1e-5)


def EDM(sigma_min: float = 0.002, sigma_max: float = 80.0) -> Interpolant:
    """α = 1, γ = sigma_max · t, sampled down to t_min = sigma_min/sigma_max (Karras et al. 2022)."""
    require(0 < sigma_min < sigma_max, f"sigma_min is {sigma_min}, sigma_max {sigma_max}; give 0 < min < max")
    return Interpolant(schedules.VELinear(sigma_max), t_min=sigma_min / sigma_max)


def Levy(alpha: float = 1.8, offset: float = 0.008) -> Interpolant:
    """Noise that jumps: the cosine schedule with isotropic α-stable noise, α^p + γ^p = 1 (Yoon et al. 2023).

    Heavy tails keep rare modes apart; alpha = 2 is `CosineVP` with √2 times its noise. Sample with the flow
    (any deterministic solver) or `solvers.levy`.
    """
    return Interpolant(schedules.StableCosine(offset, alpha), law=Stable(alpha))


def PoissonFlow(dim: float = 128, sigma_min: float = 0.002, sigma_max: float = 80.0) -> Interpolant:
    """PFGM++: EDM with Student-t noise of `dim` degrees of freedom, r = σ √dim (Xu et al. 2023, section 3).

    dim = 1 is the Poisson flow, dim = inf is `EDM`. Every deterministic solver runs as it is; there is no score
    and no forward equation at finite dim.
    """
    require(
        dim == math.inf or (dim >= 1 and dim == int(dim)),
        f"dim is {dim}, the number of extra dimensions; give a whole number of at least 1, or math.inf",
    )
    process = EDM(sigma_min, sigma_max)
    return process if dim == math.inf else replace(process, law=StudentT(float(dim)))


def Geometric(sigma_min: float = 0.01, sigma_max: float = 3.0) -> Interpolant:
    """Driftless geometric Brownian motion, d log X = s(t) dW with geometric s: noise that multiplies.

    For data above 0, of which it is the `VE` process of the logarithm; samples are above 0 whatever the solver
    (Shetty, Prasath & Seelamantula 2025). The start is that of log-data of mean 0 and unit variance, so divide
    the data by their geometric mean.
    """
    return Interpolant(schedules.VEGeometric(sigma_min, sigma_max), t_min=1e-3, chart="log")


def Bounded(beta_min: float = 0.1, beta_max: float = 20.0) -> Interpolant:
    """`VP` of the log-odds log(x/(1 - x)) of data between 0 and 1, such as shares: no sample is outside.

    Map data of another interval into this one first, and ends that occur away from 0 and 1, as in 0.01 + 0.98 x.
    """
    return Interpolant(schedules.LinearVP(beta_min, beta_max), chart="logit")


def OrnsteinUhlenbeck(rate: float = 5.0, std: float = 1.0) -> Interpolant:
    """dX = -rate X dt + std √(2 rate) dW: relaxation to N(0, std²).

    `rate` is per unit of diffusion time. The default forgets all but e⁻⁵ of the data at t = 1.
    """
    return Interpolant(schedules.Relaxation(rate, std))


def RectifiedFlow() -> Interpolant:
    """x_t = (1 - t) x_0 + t z (Liu, Gong & Liu 2023; flow matching, Lipman et al. 2023)."""
    return Interpolant(schedules.Straight())


def Trigonometric() -> Interpolant:
    """x_t = cos(πt/2) x_0 + sin(πt/2) z (Albergo et al. 2023, section 3.2)."""
    return Interpolant(schedules.QuarterCircle())


def BrownianBridge(volatility: float = 1.0) -> Interpolant:
    """Brownian motion pinned at the data x_0 and at a known anchor x_1."""
    return Interpolant(schedules.PinnedBrownian(volatility), end="anchor")


def MeanReverting(
    rate: float | None = None, std: float = 100 / 255, *, eps: float | None = None
) -> Interpolant:
    """dX = θ (μ - X) dt + √(2θ) std dW around a known anchor μ: IR-SDE (Luo et al. 2023, equation 4).

    Sampling starts from N(μ, std²). The law at t = 1 has α(1) of x_0 left: the mean is off by
    α(1) (x_0 - μ), which eps = 0.005 makes negligible and a constant rate below 3 does not.

    Args:
        rate: a constant θ, per unit of diffusion time; α(1) = e^{-rate}. None is the cosine θ of IR-SDE.
        std: λ, the stationary standard deviation around μ, in the units of the data: 10/255 to 50/255 for
            images in [0, 1], twice that in [-1, 1].
        eps: α(1) of the cosine θ; None is 0.005.

    Raises:
        InputError: numbers out of range, or both rate and eps.
    """
    require(
        rate is None or eps is None,
        f"rate is {rate} and eps {eps}; a constant rate leaves α(1) = e^(-rate), so give one of them",
    )
    if rate is not None:
        return Interpolant(ConstantReversion(rate, std), end="anchor")
    # t_min is the first of the 100 steps of IR-SDE; θ(0) = 0, so γ there is 0.008 std already.
    return Interpolant(CosineReversion(0.005 if eps is None else eps, std), end="anchor", t_min=0.01)


def Residual(steps: int = 12, *, alphas_cumprod: Sequence[float] | None = None) -> Interpolant:
    """x_t = (2a - 1) x_0 + (1 - a) x_1 + √(1 - a²) z, from a = 1 to ½: Resfusion (Shi et al. 2024).

    Sampling starts from ½ x_1 + √¾ z with a degraded image x_1, or x_1 = 0 to generate. It stops at the first
    step of the cut chain, t_min = 1/N; `grid("uniform", N)` has the chain's own times.

    Args:
        steps: T of the whole chain `LinearPro`, at least 3, before it is cut; N = 5 are left of 12.
        alphas_cumprod: ᾱ = a² of each step of a chain of one's own, in place of steps.

    Raises:
        InputError: fewer than 3 steps, or a chain that never reaches a = ½.
    """
    table = cut_at_half(linear_pro(steps) if alphas_cumprod is None else alphas_cumprod)
    return Interpolant(ResidualTable(table), end="anchor", t_min=1 / len(table))


def OUVE(rate: float = 1.5, sigma_min: float = 0.05, sigma_max: float = 0.5) -> Interpolant:
    """dX = θ (x_1 - X) dt + σ_min (σ_max/σ_min)^t √(2 log(σ_max/σ_min)) dW: SGMSE+ (Richter et al. 2023).

    Sampling starts from N(x_1, γ(1)²) and stops at t = 0.03. The law at t = 1 has α(1) = e^{-rate} of x_0
    left: the mean is off by that share of x_0 - x_1, by design.

    Args:
        rate: θ, per unit of diffusion time.
        sigma_min, sigma_max: of the growing noise, in the units of the data, for each real number. Complex
            noise of unit variance, as in the paper, has half of it in each part: divide its values by √2.

    Raises:
        InputError: numbers out of range.
    """
    return Interpolant(ExplodingReversion(rate, sigma_min, sigma_max), end="anchor", t_min=0.03)


def StochasticInterpolant(
    path: Literal["linear", "trigonometric", "encoding-decoding"] = "linear",
    latent: Literal["none", "brownian", "quadratic", "sine-squared"] = "brownian",
    scale: float = 1.0,
) -> Interpolant:
    """A path between two marginals smoothed by a latent noise (Albergo et al. 2023); see `TwoSided`."""
    return Interpolant(TwoSided(path, latent, scale), end="marginal")


def DiscreteVP(alphas_cumprod: list[float]) -> Interpolant:
    """The chain of DDPM with signal power ᾱ_i at step i of N, as a process: step i is t = (i + 1)/N.

    Sampling stops at the first step, t_min = 1/N.
    """
    require(len(alphas_cumprod) > 1, "alphas_cumprod needs at least two steps")
    require(
        all(0 < a < 1 for a in alphas_cumprod),
        "alphas_cumprod must lie strictly between 0 and 1; rescale a zero-terminal-SNR chain to end above 0",
    )
    table = tuple(math.log(a) / 2 for a in alphas_cumprod)
    return Interpolant(schedules.TabulatedVP(table), t_min=1 / len(table))


PROCESSES: dict[str, Callable[..., Interpolant]] = {
    constructor.__name__: constructor
    for constructor in (
        VP, CosineVP, SubVP, VE, EDM, OrnsteinUhlenbeck, RectifiedFlow, Trigonometric, Levy, PoissonFlow, Geometric,
        Bounded, Fractional, BrownianBridge, MeanReverting, OUVE, Residual, StochasticInterpolant,
    )
}  # fmt: skip
"""The constructors by name, for the command line."""
