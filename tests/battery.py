"""Every process of the library, one line each: how it is made, how its law and its reverse are known, what it refuses.

`line(make, kind, *arguments, bad=[...])`: the process is `make(*arguments)`, `kind` is one of `process_laws`, and each
entry of `bad` is a tuple of arguments, or a dictionary of them by name, that `make` has to refuse. `test_every_process`
runs over the list, and so do the batteries of schedules, conversions and solvers over the parts of it in `oracles`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any, NamedTuple

import torch
from interval import process as constrained_interval
from process_laws import (
    ANCHORED,
    CLOSED,
    CONSTRAINED,
    FRACTIONAL,
    MASKED,
    ON_ITS_OWN,
    ONE_SIDED,
    RIGID,
    STABLE,
    STUDENT,
    TWO_SIDED,
    Kind,
)

from girsanov import processes as p
from girsanov.processes.schedules import Straight


class Line(NamedTuple):
    """One process."""

    make: Callable[..., Any]
    kind: Kind
    process: Any
    bad: list[tuple | dict]


def line(make: Callable[..., Any], kind: Kind, *arguments: Any, bad: list[tuple | dict]) -> Line:
    return Line(make, kind, make(*arguments), bad)


CHAIN = torch.cumprod(1 - torch.linspace(1e-4, 2e-2, 1000).double(), 0).tolist()
SLOW = [4 ** (-i / 200) for i in range(1, 202)]
RATES = ((-3.0, 2.0, 1.0), (0.5, -0.6, 0.1), (0.0, 4.0, -4.0))
UNPAIRED = [("lineal",), ("encoding-decoding", "none"), ("trigonometric", "quadratic", 8.0)]
HAWKES = ((1.0, 0.5), ((0.3, 0.1), (0.2, 0.4)), 1.5)

BATTERY: dict[str, Line] = {
    "VP": line(p.VP, ONE_SIDED, bad=[(0.0, 20.0), (20.0, 0.1), (0.1, inf), (nan, 1.0)]),
    "CosineVP": line(p.CosineVP, ONE_SIDED, bad=[(0.0,), (-1.0,), (nan,)]),
    "SubVP": line(p.SubVP, ONE_SIDED, bad=[(0.0, 20.0), (20.0, 0.1)]),
    "VE": line(p.VE, ONE_SIDED, bad=[(50.0, 0.01), (0.0, 1.0), (1.0, 1.0), (0.1, inf)]),
    "EDM": line(p.EDM, ONE_SIDED, bad=[(-1.0, 80.0), (80.0, 80.0), (0.1, nan)]),
    "OrnsteinUhlenbeck": line(p.OrnsteinUhlenbeck, ONE_SIDED, bad=[(0.0,), {"std": -0.0}, (inf,)]),
    "RectifiedFlow": line(p.RectifiedFlow, ONE_SIDED, bad=[]),
    "Trigonometric": line(p.Trigonometric, ONE_SIDED, bad=[]),
    "DDPM": line(p.DiscreteVP, ONE_SIDED, CHAIN, bad=[([0.9, 0.95],), ([0.9, 0.0],), ([0.9],)]),
    "Geometric": line(p.Geometric, ONE_SIDED, bad=[(0.0, 1.0), (3.0, 0.1)]),
    "Bounded": line(p.Bounded, ONE_SIDED, bad=[(0.0, 20.0), (20.0, 0.1)]),
    "Fractional": line(p.Fractional, FRACTIONAL, bad=[(0.0,), (1.0,), (0.7, -1), (0.7, 0), {"fastest": 1.0}]),
    "Levy": line(p.Levy, STABLE, 1.8, bad=[(0,), (0.5,), (2.1,), (nan,)]),
    "PoissonFlow": line(p.PoissonFlow, STUDENT, 8, bad=[(0,), (0.5,), (2.5,), (-3,), (nan,)]),
    "BrownianBridge": line(p.BrownianBridge, ANCHORED, 0.7, bad=[(0.0,), (inf,)]),
    "MeanReverting": line(p.MeanReverting, ANCHORED, bad=[{"eps": 0.0}, {"eps": 1.0}, {"std": 0.0}]),
    "MeanReverting/constant": line(p.MeanReverting, ANCHORED, 2.0, 0.3, bad=[(-1.0,), {"rate": 2.0, "eps": 0.01}]),
    "Residual": line(p.Residual, ANCHORED, 1000, bad=[(2,), (12.0,), {"alphas_cumprod": [0.9, 0.6]}]),
    "Residual/constant": line(lambda: p.Residual(alphas_cumprod=SLOW), ANCHORED, bad=[]),
    "OUVE": line(p.OUVE, ANCHORED, bad=[(0.0,), {"sigma_min": 0.5, "sigma_max": 0.05}]),
    **{
        f"{path}/{latent}": line(p.StochasticInterpolant, TWO_SIDED, path, latent, 0.8, bad=UNPAIRED)
        for path in ("linear", "trigonometric", "encoding-decoding")
        for latent in ("none", "brownian", "quadratic", "sine-squared")
        if (path, latent) != ("encoding-decoding", "none")
    },
    "Wrapped": line(p.Wrapped, CLOSED, bad=[(0.0,), (4.0, 3.5), {"sigma_max": 2.0}, {"sigma_max": nan}]),
    "Masked": line(p.Masked, MASKED, 3, "cosine", bad=[(1,), (2.0,), (3, "linaer"), (3, (1.0, 0.5, 0.6, 0.0))]),
    "Constrained": line(constrained_interval, CONSTRAINED, 300, bad=[(0,), (10, -1.0), (10, nan)]),
    "SE3Diffusion": line(p.SE3Diffusion, RIGID, bad=[{"rotation_std": -0.1}, {"translation_std": nan}, (Straight(),)]),
    "Brownian": line(p.BrownianMotion, ON_ITS_OWN, 0.3, 0.8, bad=[(nan,), (0.0, 0.0)]),
    "GeometricBrownian": line(p.GeometricBrownianMotion, ON_ITS_OWN, 0.3, 0.6, bad=[(inf,), (0.0, -1.0)]),
    "ReflectedBrownian": line(p.ReflectedBrownianMotion, ON_ITS_OWN, -1.0, 2.0, bad=[(1.0, 1.0), (0.0, nan)]),
    "Vasicek": line(p.Vasicek, ON_ITS_OWN, 0.8, 2.0, 1.5, bad=[(0.0,), (1.0, nan), (1.0, 0.0, 0.0)]),
    "CoxIngersollRoss": line(p.CoxIngersollRoss, ON_ITS_OWN, 1.1, 0.9, 1.6, bad=[(0.0,), (1.0, -1.0)]),
    "SquaredBessel": line(p.SquaredBessel, ON_ITS_OWN, 1.5, bad=[(0.0,), (-1.0,), (nan,)]),
    "FractionalBrownian": line(p.FractionalBrownianMotion, ON_ITS_OWN, 0.3, bad=[(0.0,), (1.0,), (nan,)]),
    "MarkovFractional": line(p.MarkovFractionalBrownianMotion, ON_ITS_OWN, 0.7, bad=[(0.0,), (1.0,)]),
    "Stationary": line(p.StationaryGaussian, ON_ITS_OWN, lambda lag: torch.exp(-lag), bad=[]),
    "Stable": line(p.StableMotion, ON_ITS_OWN, 1.3, 0.5, bad=[(0.0,), (2.1,), (1.5, 1.1), (1.5, 0.0, 0.0)]),
    "IsotropicStable": line(p.IsotropicStableMotion, ON_ITS_OWN, 1.3, bad=[(0.0,), (1.5, -1.0)]),
    "VarianceGamma": line(p.VarianceGamma, ON_ITS_OWN, 0.2, 1.0, 0.5, bad=[(nan,), (0.0, 0.0), (0.0, 1.0, 0.0)]),
    "NormalInverseGaussian": line(p.NormalInverseGaussian, ON_ITS_OWN, 0.2, bad=[(nan,), (0.0, 0.0)]),
    "NormalTemperedStable": line(p.NormalTemperedStable, ON_ITS_OWN, 0.7, 0.2, bad=[(1.0,), (0.01,), (0.7, nan)]),
    "Gamma": line(p.GammaProcess, ON_ITS_OWN, 2.0, 0.5, bad=[(0.0,), (1.0, 0.0)]),
    "InverseGaussian": line(p.InverseGaussianProcess, ON_ITS_OWN, 2.0, 0.5, bad=[(0.0,), (1.0, nan)]),
    "TemperedStable": line(p.TemperedStableProcess, ON_ITS_OWN, 0.7, 2.0, 0.5, bad=[(1.0,), (0.0,), (0.7, 0.0)]),
    "CompoundPoisson": line(p.CompoundPoisson, ON_ITS_OWN, 3.0, bad=[(-1.0,), (nan,)]),
    "Poisson": line(p.Poisson, ON_ITS_OWN, 3.0, bad=[(0.0,), (nan,)]),
    "Hawkes": line(p.Hawkes, ON_ITS_OWN, *HAWKES, bad=[(1.0, 2.0, 1.5), (-1.0,), (1.0, 0.5, 0.0)]),
    "MarkovChain": line(p.MarkovChain, ON_ITS_OWN, RATES, bad=[([[0.0]],), ([[-1.0, 2.0], [1.0, -1.0]],)]),
}  # fmt: skip
