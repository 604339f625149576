"""Accuracy of the recommended rule against the best configuration of diffusers, with exact scores.

Problem: 16-dimensional mixtures of 8 Gaussians, three seeds, the DDPM chain (1,000 βs from 1e-4 to 2e-2)
from its last to its first ᾱ. Error: root-mean-square distance to the exact solution of the probability
flow (2,000 steps of order 4), per coordinate. The peer is the best of DDIM, Heun, DEIS, DPM-Solver++ 2M and
3M and UniPC with every σ option, spacing and last σ; each is asked at its own σ, unrounded, which favours it.

    python benchmarks/solver_accuracy.py [--json]
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from itertools import product

import torch
from common import Result, main
from torch import Tensor

from girsanov import exact, processes, solvers
from girsanov.denoiser import AbstractDenoiser

BETAS = torch.linspace(1e-4, 2e-2, 1000, dtype=torch.float64)
PROCESS = processes.DiscreteVP(torch.cumprod(1 - BETAS, 0).tolist())
BARS = {10: 1.0, 20: 0.7, 50: 0.3}
SIGMAS = ("none", "karras", "exponential", "beta", "lu")
SPACINGS = ("linspace", "leading", "trailing")
PEERS = {
    "DDIMScheduler": {},
    "HeunDiscreteScheduler": {},
    "DEISMultistepScheduler": {"solver_order": 3},
    "DPMSolverMultistepScheduler 2M": {"solver_order": 2},
    "DPMSolverMultistepScheduler 3M": {"solver_order": 3},
    "UniPCMultistepScheduler": {"solver_order": 3},
}


def mixture(seed: int, dim: int = 16, components: int = 8) -> exact.GaussianMixture:
    """Means of unit variance, covariances of random shape and about a quarter of that scale."""
    g = torch.Generator().manual_seed(seed)
    means = torch.randn(components, dim, generator=g, dtype=torch.float64)
    root = torch.randn(components, dim, dim, generator=g, dtype=torch.float64) / math.sqrt(dim)
    covariances = 0.05 * root @ root.mT + 0.01 * torch.eye(dim, dtype=torch.float64)
    return exact.GaussianMixture(means, covariances, torch.rand(components, generator=g) + 0.5)


class Problem:
    """A mixture, the initial noises, and where the exact flow takes them."""

    def __init__(self, seed: int, n: int = 256) -> None:
        self.model = mixture(seed).denoiser(PROCESS)
        self.x = torch.randn(n, 16, generator=torch.Generator().manual_seed(1000 + seed), dtype=torch.float64)
        fine = solvers.exponential(PROCESS, solvers.grid("log-snr", 2000, to_zero=False), order=4)
        with torch.inference_mode():
            self.end = solvers.run(fine, self.model, self.x)

    def error(self, found: Tensor) -> float:
        return (found - self.end).square().mean().sqrt().item()


def ours(problem: Problem, calls: int) -> float:
    """The recommended rule, ended at the first ᾱ as the problem asks."""
    plan = solvers.recommended(PROCESS, calls, to_zero=False)
    assert plan.calls == calls
    with torch.inference_mode():
        return problem.error(solvers.run(plan, problem.model, problem.x))


def schedulers(calls: int, *, to_zero: bool = False) -> Iterator[tuple[str, Callable[[], object], int]]:
    """(label, factory, steps) of every peer that spends at most `calls` calls.

    With `to_zero` only those that end with the denoiser's answer, else those too.
    """
    import diffusers

    common = {"trained_betas": BETAS.numpy(), "prediction_type": "epsilon"}
    for (name, own), sigma, spacing in product(PEERS.items(), SIGMAS, SPACINGS):
        kind = name.split()[0]
        options = {**common, **own, "timestep_spacing": spacing}
        steps = (calls + 1) // 2 if kind.startswith("Heun") else calls
        if to_zero and kind.startswith("DEIS"):
            continue  # it has no last σ of 0
        ends = ("zero",) if to_zero else ("sigma_min", "zero")
        finals = [{}] if kind[:4] in ("DDIM", "Heun", "DEIS") else [{"final_sigmas_type": f} for f in ends]
        if kind.startswith("DDIM"):
            if sigma != "none":
                continue
            options.update(clip_sample=False, set_alpha_to_one=to_zero)
        elif sigma != "none":
            options["use_lu_lambdas" if sigma == "lu" else f"use_{sigma}_sigmas"] = True
        for final in finals:
            make = lambda k=kind, o={**options, **final}: getattr(diffusers, k)(**o)  # noqa: E731
            yield f"{name} {sigma} {spacing} {final.get('final_sigmas_type', '')}".strip(), make, steps


def peer_end(model: AbstractDenoiser, x: Tensor, scheduler: object, steps: int) -> Tensor:
    """Where a scheduler of diffusers takes x (B, *shape), asking an exact model at its own noise levels."""
    scheduler.set_timesteps(steps)
    ve = type(scheduler).__name__.startswith("Heun")  # k-diffusion's coordinates x/α
    ddim = type(scheduler).__name__.startswith("DDIM")
    if ve:
        x = x * math.sqrt(1 + float(scheduler.sigmas[0]) ** 2)
    for i, t in enumerate(scheduler.timesteps):
        sigma = (
            ((1 - scheduler.alphas_cumprod[t]) / scheduler.alphas_cumprod[t]) ** 0.5
            if ddim
            else scheduler.sigmas[i]
        )
        sigma = float(sigma)
        alpha = 1 / math.sqrt(1 + sigma**2)
        at = min(max(PROCESS.time_at(-math.log(sigma)), PROCESS.t_min), 1.0)
        noise = model.noise(alpha * x if ve else x, at)
        x = scheduler.step(noise, t, x).prev_sample.to(torch.float64)
    return x


def measure(seeds: tuple[int, ...] = (0, 1, 2)) -> list[Result]:
    import diffusers

    torch.set_num_threads(1)
    rows = []
    for seed, (calls, bar) in product(seeds, BARS.items()):
        problem, best = Problem(seed), (math.inf, "")
        for label, make, steps in schedulers(calls):
            with (
                contextlib.suppress(ValueError, NotImplementedError, TypeError, IndexError),
                torch.inference_mode(),
            ):
                found = peer_end(problem.model, problem.x, make(), steps)
                best = min(best, (problem.error(found), label))
        mine = ours(problem, calls)
        name = f"{calls} calls D16 seed{seed}"
        rows.append(
            Result(name, mine, best[0], f"diffusers {best[1]}", diffusers.__version__, bar, "rms error")
        )
    return rows


if __name__ == "__main__":
    main(measure)
