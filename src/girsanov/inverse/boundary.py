"""One good start for all: choose x_1, the boundary condition of the flow, once, and restore every image from it.

A deterministic plan of a conditional denoiser is a map x_0 = h(x_1; y) of the start and of what is known. Some starts
are better than others, and for nearly every y the same ones are. So of K draws of the reference law the one with

    x̃ = argmin_k Σ_i d(h(x_1^k, y_i), x_i)      over M reference pairs (y_i, x_i)

is kept for all images to come. Restoring then has no randomness left, and takes the calls of the plan alone; the
spread of the posterior is lost with it, so where several answers are wanted draw the starts instead.
Source: Ma et al. (2023), Solving diffusion ODEs with optimal boundary conditions for better image
super-resolution, arXiv 2305.15357, section 3; d is LPIPS there. K and M are ours.
Oracle: data that are normal around y, where h is affine and the best start is the one nearest to a known point
(tests/inverse/test_boundary.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.noise import Randomness, as_source
from girsanov.processes import Interpolant, need
from girsanov.solvers import Plan
from girsanov.typing import Shape, Tree

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of pictures (B, *shape) from the true ones, (B,); smaller is better."""


@dataclass(frozen=True, eq=False)
class FixedStart:
    """A sampler that starts every sample at the same point: `sample(model, n, cond=y, plan=start)`.

    Args:
        plan: a deterministic plan.
        x: (*shape), the start; for images of another size it is cut, or repeated like tiles.
        distances: (K, M), of every candidate on every reference; empty if the start was not selected.
    """

    plan: Plan
    x: Tensor
    distances: Tensor

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return self.plan.calls

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from the start; of x (B, *shape) only the shape is looked at."""
        start = tiled(self.x, tuple(x.shape[1:])).to(x)
        return self.plan(
            model, start.expand_as(x).contiguous(), cond=cond, anchor=anchor, generator=generator
        )


def select_start(
    plan: Plan,
    model: AbstractDenoiser,
    y: Tensor,
    x: Tensor,
    *,
    distance: Distance,
    candidates: int = 256,
    batch_size: int = 256,
    generator: Randomness = None,
) -> FixedStart:
    """The best of several starts on reference pairs; it takes candidates · M · plan.calls calls of the denoiser.

    Args:
        plan: a deterministic plan of the model's process, such as `solvers.dpm_multistep(process, grid(20))`.
        model: a denoiser that is given y as `cond`.
        y: (M, …), what is known of each reference; M of about 16.
        x: (M, *shape), the true images.
        distance: d, best one that agrees with the eye; a squared error prefers blurred images.
        candidates: K, how many starts are tried.
        batch_size: samples per network call; changes speed and memory only.
        generator: of the candidates.

    Raises:
        Unsuitable: a stochastic plan, or a process with a second end.
        InputError: no references, numbers of them that differ, another shape than the model's, NaN, or a distance
            that does not answer one number a picture.
    """
    process = _check(plan, model, y, x)
    require(
        candidates >= 1 and batch_size >= 1,
        f"{candidates} candidates in batches of {batch_size}; give 1 or more",
    )
    like = x.new_empty(candidates, *x.shape[1:])
    starts, found = process.reference(like, generator=as_source(generator)), []
    pairs = torch.cartesian_prod(torch.arange(candidates), torch.arange(len(x)))
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for part in pairs.split(batch_size):
                k, i = part.unbind(1)
                d = distance(plan(model, starts[k], cond=y[i]), x[i])
                require(
                    d.shape == k.shape,
                    f"the distance answered {tuple(d.shape)} to {len(k)} pictures; it must be one number each",
                )
                require_finite(d, "the distances")
                found.append(d)
    finally:
        model.train(was_training)
    distances = torch.cat(found).reshape(candidates, len(x))
    return FixedStart(plan, starts[distances.double().mean(1).argmin()], distances)


def tiled(x: Tensor, shape: Shape) -> Tensor:
    """x repeated along every dimension and cut to the shape."""
    for axis, size in enumerate(shape):
        repeats = -(-size // x.shape[axis])
        x = torch.cat([x] * repeats, axis).narrow(axis, 0, size)
    return x


def _check(plan: Plan, model: AbstractDenoiser, y: Tensor, x: Tensor) -> Interpolant:
    require(
        isinstance(plan, Plan) and not plan.stochastic,
        "select_start needs a map from starts to images: the plan must be deterministic, and "
        f"{plan.name if isinstance(plan, Plan) else type(plan).__name__} is not. Set eta=0, or use "
        "solvers.dpm_multistep.",
        Unsuitable,
    )
    process = need(model.process, Interpolant, "select_start")
    require(
        process.end == "noise",
        f"select_start chooses among starts of pure noise, and {process!r} starts from a known end; use a "
        "conditional model of processes.VP()",
        Unsuitable,
    )
    require(len(x) > 0, "there is no reference; give pairs (y, x), about 16 of them")
    require(len(y) == len(x), f"{len(y)} y for {len(x)} x; give one y for each reference image")
    shape = model.shape or tuple(x.shape[1:])
    require(tuple(x.shape[1:]) == tuple(shape), f"x has shape {tuple(x.shape)}; the model draws (M, {shape})")
    require_finite(y, "y")
    require_finite(x, "x")
    return process
