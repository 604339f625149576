"""`simulate`: paths of any process that can be drawn, with one signature."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.noise import Noise, Randomness, as_source
from girsanov.processes.base import Ended, Simulable, Started, need
from girsanov.processes.brownian import BrownianMotion
from girsanov.processes.diffusions import (
    CoxIngersollRoss,
    GeometricBrownianMotion,
    ReflectedBrownianMotion,
    SquaredBessel,
    Vasicek,
)
from girsanov.processes.fractional import FractionalBrownianMotion, MarkovFractionalBrownianMotion
from girsanov.processes.hawkes import Hawkes
from girsanov.processes.jumps import MarkovChain
from girsanov.processes.poisson import Poisson
from girsanov.processes.random_clocks import (
    GammaProcess,
    InverseGaussianProcess,
    NormalInverseGaussian,
    NormalTemperedStable,
    TemperedStableProcess,
    VarianceGamma,
)
from girsanov.processes.stable import CompoundPoisson, StableMotion


def simulate(
    process: Simulable,
    x0: Tensor | None = None,
    times: Tensor | None = None,
    *,
    n: int | None = None,
    end: Tensor | None = None,
    seed: int | None = None,
    generator: Randomness = None,
) -> Tensor:
    """Draw paths of a process: one from each row of x0, or n from its natural start.

    Args:
        process: any `Simulable`.
        x0: (B, *shape), the states at times[0].
        times: (T,), increasing.
        n: how many paths, in place of x0; the paths then have the dtype and device of `times`.
        end: (B, *shape), the other end of a bridge.
        seed: an integer, for the same paths again; or give `generator`.

    Returns:
        (B, T, *shape).

    Raises:
        InputError: bad times, NaN in x0, both or none of x0 and n, or an end that is missing or not wanted.
        Unsuitable: the process cannot be simulated, has no natural start, or cannot be tied to an end.
    """
    require(seed is None or generator is None, "give seed or generator, not both")
    if times is None:
        raise InputError(
            "times is missing; give the times of the path (T,), such as torch.linspace(0, 1, 101)"
        )
    source = as_source(generator if seed is None else Noise(seed))
    need(process, Simulable, "simulate")
    if (x0 is None) == (n is None):
        raise InputError(
            "give the states at times[0], x0 (B, *shape), or the number of paths, n: one of the two"
        )
    if x0 is None:
        x0 = natural_start(process, int(n or 0), times, source)
    else:
        require_finite(x0, "x0")
    if end is None:
        return process.simulate(x0, times, generator=source)
    return need(process, Ended, "simulate(end=...)").simulate(x0, times, end=end, generator=source)


def natural_start(process: Simulable, n: int, times: Tensor, generator: Randomness) -> Tensor:
    """n states from where the process starts by itself: (n, *shape), of the dtype and device of `times`."""
    require(n > 0, f"n is {n}; give the number of paths, at least 1")
    dtype = times.dtype if times.is_floating_point() else torch.get_default_dtype()
    like = torch.zeros(n, dtype=dtype, device=times.device)
    started = need(process, Started, "simulate(n=...)")
    return started.start(like, generator=generator)


SIMULATORS: dict[str, Callable[..., Started]] = {
    "Brownian": BrownianMotion,
    "GeometricBrownian": GeometricBrownianMotion,
    "ReflectedBrownian": ReflectedBrownianMotion,
    "Vasicek": Vasicek,
    "CoxIngersollRoss": CoxIngersollRoss,
    "SquaredBessel": SquaredBessel,
    "Fractional": FractionalBrownianMotion,
    "MarkovFractional": MarkovFractionalBrownianMotion,
    "Stable": StableMotion,
    "Gamma": GammaProcess,
    "InverseGaussian": InverseGaussianProcess,
    "TemperedStable": TemperedStableProcess,
    "VarianceGamma": VarianceGamma,
    "NormalInverseGaussian": NormalInverseGaussian,
    "NormalTemperedStable": NormalTemperedStable,
    "CompoundPoisson": CompoundPoisson,
    "Poisson": Poisson,
    "Hawkes": Hawkes,
    "MarkovChain": MarkovChain,
}
"""Processes on physical time by name, for the command line."""
