"""Registration by diffusion: denoise the motion, starting from the identity.

From t = 1 in equal steps: the network registers the moved source to the target, Ĥ_0 = F(H X, Y) H, and H takes
the reverse step of `SE3Diffusion` towards it; the last Ĥ_0 is the answer. `steps = 1` is the network alone.
Source: Jiang et al. (2023), arXiv 2310.17359, section 3.3.
Oracle: a network that knows the motion is right after any number of steps (tests/solvers/test_registration.py).
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.noise import Randomness
from girsanov.processes.lie import SE3Diffusion, move

SCALES = (0.3, 3.0)
"""The largest distances from the centroid that count as unit-scaled."""


class Registrar(Protocol):
    """(B, N, 3) and (B, M, 3) to motions (B, 4, 4), such as `networks.PointMatcher`."""

    def __call__(self, source: Tensor, target: Tensor, /) -> Tensor: ...


@torch.no_grad()
def register(
    network: Registrar,
    source: Tensor,
    target: Tensor,
    *,
    steps: int = 5,
    diffusion: SE3Diffusion | None = None,
    noise: bool = False,
    generator: Randomness = None,
) -> Tensor:
    """The rigid motions that take source to target.

    Args:
        network: a one-shot registration network.
        source, target: (B, N, 3) and (B, M, 3), scaled to about the unit ball.
        steps: network calls, at least 1.
        diffusion: the process that the network was trained with; SE3Diffusion() if None.
        noise: draw from each posterior in place of taking its mean; the paper leaves the choice.
        generator: of that noise.

    Returns:
        (B, 4, 4).

    Raises:
        InputError: bad shapes, NaN, or a cloud of fewer than 3 points not on a line.
    """
    return path(network, source, target, steps=steps, diffusion=diffusion, noise=noise, generator=generator)[
        -1
    ]


@torch.no_grad()
def path(
    network: Registrar,
    source: Tensor,
    target: Tensor,
    *,
    steps: int = 5,
    diffusion: SE3Diffusion | None = None,
    noise: bool = False,
    generator: Randomness = None,
) -> list[Tensor]:
    """The answer Ĥ_0 of every call of `register`, steps times (B, 4, 4)."""
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    require(whole and steps >= 1, f"steps is {steps!r}; give a whole number of at least 1")
    for name, cloud in (("source", source), ("target", target)):
        check_cloud(name, cloud)
    require(len(source) == len(target), f"{len(source)} sources for {len(target)} targets; give as many")
    process = diffusion or SE3Diffusion()
    now = torch.eye(4, dtype=source.dtype, device=source.device).expand(len(source), 4, 4)
    answers = list[Tensor]()
    for i, (s, t) in enumerate(pairwise([1 - k / steps for k in range(steps)] + [0.0])):
        answer = network(move(now, source), target) @ now
        answers.append(answer)
        now = process.reverse(now, answer, s, t, noise=noise, key=i, generator=generator)
    return answers


def check_cloud(name: str, cloud: Tensor) -> None:
    """Refuse what determines no motion; warn of another scale. Raises InputError."""
    require(
        cloud.ndim == 3 and cloud.shape[-1] == 3 and cloud.is_floating_point(),
        f"{name} is {tuple(cloud.shape)} of {cloud.dtype}; give a floating-point cloud (B, N, 3)",
    )
    require(cloud.shape[1] >= 3, f"{name} has {cloud.shape[1]} points; a motion needs at least 3")
    require_finite(cloud, name)
    if len(cloud) == 0:
        return
    centred = cloud - cloud.mean(1, keepdim=True)
    spread = torch.linalg.svdvals(centred)
    require(
        bool((spread[:, 1] > 1e-5 * spread[:, 0]).all()),
        f"the points of a cloud in {name} lie on a line, about which they may turn; give 3 that do not",
    )
    radius = centred.norm(dim=-1).amax(1)
    low, high = radius.min().item(), radius.max().item()
    if low < SCALES[0] or high > SCALES[1]:
        warnings.warn(
            f"clouds in {name} reach {low:.3g} to {high:.3g} from their centroid; networks are trained on about "
            "1. Divide both clouds by one scale, and multiply the translation by it afterwards.",
            stacklevel=3,
        )
