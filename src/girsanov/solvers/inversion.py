"""Inversion: the noise that a deterministic sampler takes to given data, and the states between.

    x_s = α_s x̂_0(x_t, t) + γ_s ẑ(x_t, t),    t < s,

DDIM's step with rising times. Back through the same times the round trip is exact in the limit of many steps; its error
falls like 1/steps. A cond given here should be the one that the way back is given, without guidance: guidance and
inversion do not undo each other.
Source: Song, Meng & Ermon (2021), Denoising diffusion implicit models, section 5.4.
Oracle: the flow of a Gaussian, which is linear (tests/solvers/test_inversion.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.processes import GaussianConditional, need
from girsanov.typing import Tree


@torch.no_grad()
def invert(model: AbstractDenoiser, x: Tensor, times: Sequence[float], *, cond: Tree = None) -> list[Tensor]:
    """The states at the given times on the way from data to noise.

    Args:
        model: a denoiser of a one-sided process.
        x: (B, *shape), data, taken as the state at the first time.
        times: rising, from `process.t_min` or above to at most 1.
        cond: as for the model.

    Returns:
        One (B, *shape) for each time; the first is x.

    Raises:
        InputError: NaN, or times that do not rise or leave [t_min, 1].
        Unsuitable: a process with a second end.
    """
    process = need(model.process, GaussianConditional, "invert")
    require(process.end == "noise", f"invert needs a one-sided process, not {process!r}", Unsuitable)
    require_finite(x, "x")
    rising = all(a < b for a, b in pairwise(times))
    require(
        len(times) > 0 and rising and process.t_min <= times[0] and times[-1] <= 1,
        f"times run from {times[0] if times else '?'} to {times[-1] if times else '?'}; give rising ones from "
        f"{process.t_min} to 1",
    )
    states = [x]
    for t, s in pairwise(times):
        states.append(ddim(model, states[-1], t, s, cond=cond))
    return states


def ddim(model: AbstractDenoiser, x: Tensor, t: float, s: float, *, cond: Tree = None) -> Tensor:
    """One deterministic step from time t to s, in either direction."""
    process = model.process
    noise = model.noise(x, t, cond=cond)
    data = (x - process.gamma(t) * noise) / process.alpha(t)
    return process.alpha(s) * data + process.gamma(s) * noise
