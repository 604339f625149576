"""Stochastic samplers on a mixture fitted to Fashion-MNIST: how far the law of their samples is from the exact one.

P2 of the solver benchmark, 64 Gaussians in 32 dimensions with the exact score, on the DDPM chain of diffusers down to
0. Error: the sliced 2-Wasserstein distance of 4,000 samples to 20,000 exact ones; that of exact samples and that of
the recommended rule, which draws no noise, are printed beside it. Ours is the best of the named solvers that draw
noise, on the named grids; the peer the best of DDPM, DDIM with η = 1, Euler ancestral, SDE-DPM-Solver++ (1 and 2M)
and SA-Solver of diffusers with every σ option and spacing. Both are chosen by 1,000 samples from other noises than
those that judge.

    python benchmarks/solver_law.py [--json]
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from itertools import product

import torch
from common import Result, main
from problems import garments
from solver_accuracy import BETAS, PROCESS, SIGMAS, SPACINGS
from torch import Tensor

from girsanov import solvers
from girsanov.errors import InputError
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise
from girsanov.solvers import Plan, grid

CALLS, BAR = (10, 20, 40), 1.0
KNOWN, FRESH, EXACT = (1000, 11), (4000, 12), (20_000, 13)
"""Samples and seeds."""

LAW = garments()
MODEL = LAW.denoiser(PROCESS)
VE = ("EulerAncestralDiscreteScheduler",)
"""Those in the coordinates of k-diffusion, x/α."""

PEERS = {
    "DDPMScheduler": {"clip_sample": False},
    "DDIMScheduler": {"clip_sample": False, "set_alpha_to_one": True},
    "EulerAncestralDiscreteScheduler": {},
    "DPMSolverMultistepScheduler SDE 1": {"algorithm_type": "sde-dpmsolver++", "solver_order": 1},
    "DPMSolverMultistepScheduler SDE 2M": {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
    "SASolverScheduler": {},
}
Sampler = Callable[[Tensor, int], Tensor]
"""Initial noises and a seed to samples."""


def named(calls: int) -> Iterator[tuple[str, Sampler]]:
    """Every named solver that draws noise, on every named grid that ends at 0, of exactly that many calls."""
    for make, kind in product(solvers.SOLVERS.values(), solvers.grids.SPACINGS):
        for steps in (calls, calls // 2, (calls + 1) // 2):
            with contextlib.suppress(InputError, ZeroDivisionError, OverflowError):
                plan = make(PROCESS, grid(kind, steps))
                if plan.stochastic and plan.calls == calls:
                    yield f"{plan.name} on {kind}", ours(plan)
                    break


def ours(plan: Plan) -> Sampler:
    """A plan as a sampler."""
    return lambda x, seed: solvers.run(plan, MODEL, x, generator=Noise(seed))


def peers(calls: int) -> Iterator[tuple[str, Sampler]]:
    """Every configuration of diffusers that draws noise and ends with the denoiser's answer."""
    import diffusers

    common = {"trained_betas": BETAS.numpy(), "prediction_type": "epsilon"}
    for (name, own), sigma, spacing in product(PEERS.items(), SIGMAS, SPACINGS):
        kind, options = name.split()[0], {**common, **own, "timestep_spacing": spacing}
        if sigma != "none":
            if not kind.startswith(("DPM", "SA")):
                continue
            options["use_lu_lambdas" if sigma == "lu" else f"use_{sigma}_sigmas"] = True
        if kind.startswith("DPM"):
            options["final_sigmas_type"] = "zero"

        def run(x: Tensor, seed: int, kind: str = kind, options: dict = options) -> Tensor:
            return peer(getattr(diffusers, kind)(**options), calls, x, seed)

        yield f"{name} {sigma} {spacing}", run


def peer(scheduler: object, steps: int, x: Tensor, seed: int) -> Tensor:
    """The samples of a scheduler, asked at its own noise levels, unrounded."""
    scheduler.set_timesteps(steps)
    kind, generator = type(scheduler).__name__, torch.Generator().manual_seed(seed)
    options = {"eta": 1.0} if kind.startswith("DDIM") else {}
    if kind in VE:
        x = x * math.sqrt(1 + float(scheduler.sigmas[0]) ** 2)
    for i, t in enumerate(scheduler.timesteps):
        if kind.startswith(("DDPM", "DDIM")):
            share = float(scheduler.alphas_cumprod[t])
            sigma = math.sqrt((1 - share) / share)
        else:
            sigma = float(scheduler.sigmas[i])
        at = min(max(PROCESS.time_at(-math.log(sigma)), PROCESS.t_min), 1.0)
        if kind in VE:
            scheduler.scale_model_input(x, t)  # it wants to have been asked
            noise = MODEL.noise(x / math.sqrt(1 + sigma**2), at)
        else:
            noise = MODEL.noise(x, at)
        x = scheduler.step(noise, t, x, generator=generator, **options).prev_sample.double()
    return x


def start(n: int, seed: int) -> Tensor:
    """Draws of the reference law."""
    return PROCESS.reference(torch.empty(n, *MODEL.shape, dtype=torch.float64), generator=Noise(seed))


def errors(exact: Tensor) -> Callable[[Sampler, tuple[int, int]], float]:
    """The law error of a sampler, infinite where it leaves the numbers."""

    def error(sampler: Sampler, given: tuple[int, int]) -> float:
        try:
            with torch.no_grad():
                found = sampler(start(*given), given[1])
            return float(sliced_wasserstein(found, exact, generator=Noise(0)))
        except (InputError, ValueError, NotImplementedError, TypeError, IndexError):
            return math.inf

    return error


def measure() -> list[Result]:
    import diffusers

    torch.set_num_threads(1)
    exact = LAW.sample(EXACT[0], generator=Noise(EXACT[1]))
    error, rows = errors(exact), []
    floor = float(
        sliced_wasserstein(LAW.sample(FRESH[0], generator=Noise(FRESH[1])), exact, generator=Noise(0))
    )
    print(f"exact samples: {floor:.4f}", file=sys.stderr)
    for calls in CALLS:
        chosen = []
        for options in (dict(named(calls)), dict(peers(calls))):
            label = min(options, key=lambda label: error(options[label], KNOWN))
            chosen.append((label, error(options[label], FRESH)))
        still = error(ours(solvers.recommended(PROCESS, calls)), FRESH)
        print(f"{calls} calls of the recommended rule, without noise: {still:.4f}", file=sys.stderr)
        (mine, least), (theirs, other) = chosen
        by, version = f"diffusers {theirs}", diffusers.__version__
        rows.append(Result(f"{calls} calls: {mine}", least, other, by, version, BAR, "sliced W2"))
    return rows


if __name__ == "__main__":
    main(measure)
