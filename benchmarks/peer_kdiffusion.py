"""k-diffusion's deterministic samplers, asking an exact model of the DDPM chain.

    pip install --no-deps k-diffusion torchdiffeq

Only its module of samplers is loaded, without the 17 packages that the rest imports. Stochastic samplers that have an η run
at η = 0. Not among them: `sample_dpm_fast` and `sample_dpm_adaptive`, which do not end with the denoiser's answer.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from types import ModuleType

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.processes import GaussianConditional

Sampler = Callable[[AbstractDenoiser, Tensor], Tensor]

ONE_CALL = {"euler": {}, "lms": {}, "dpmpp_2m": {}, "dpmpp_3m_sde": {"eta": 0.0}}
TWO_CALLS = {
    "heun": {},
    "dpm_2": {},
    "dpmpp_2s_ancestral": {"eta": 0.0},
    "dpmpp_sde": {"eta": 0.0},
}
"""Samplers by the calls of a step; the last step of the second kind has one."""
GRIDS = ("karras", "exponential")


def installed() -> str | None:
    """The version, or None."""
    try:
        return version("k-diffusion")
    except PackageNotFoundError:
        return None


@cache
def module() -> ModuleType:
    """k_diffusion.sampling."""
    spec = importlib.util.find_spec("k_diffusion")
    assert spec is not None
    sys.modules["k_diffusion"] = importlib.util.module_from_spec(spec)  # its __init__ is not run
    return importlib.import_module("k_diffusion.sampling")


def samplers(calls: int, process: GaussianConditional) -> Iterator[tuple[str, Sampler]]:
    """Every sampler on every grid from the chain's noisiest level to its least and then 0, of at most `calls` calls."""
    for known, steps in ((ONE_CALL, calls), (TWO_CALLS, (calls + 1) // 2)):
        for (name, options), grid in product(known.items(), GRIDS):
            yield f"{name} {grid}", partial(end, process, name, options, grid, steps)


def end(
    process: GaussianConditional,
    name: str,
    options: dict,
    grid: str,
    steps: int,
    model: AbstractDenoiser,
    x: Tensor,
) -> Tensor:
    """Where a sampler takes x (B, *shape), a draw of the process's reference."""
    low, high = (float(process.gamma(t) / process.alpha(t)) for t in (process.t_min, 1.0))
    make = getattr(module(), f"get_sigmas_{grid}")
    sigmas = make(steps, low, high).double()
    sigmas[0] = high  # rounded to single precision

    def data(scaled: Tensor, sigma: Tensor) -> Tensor:
        size = float(sigma[0])
        t = min(max(process.time_at(-math.log(size)), process.t_min), 1.0)
        return model.data(float(process.alpha(t)) * scaled, t)

    with torch.no_grad():
        return getattr(module(), f"sample_{name}")(
            data, x / float(process.alpha(1.0)), sigmas, disable=True, **options
        )
