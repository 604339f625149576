"""What searching for a plan gains, on noises and spectra other than those it was searched on.

P1: Gaussian data with the spectrum of 32×32 colour patches, where the Wasserstein error relative to the exact map is
closed form; searched on some photographs, judged on others. P2: a mixture of 64 Gaussians fitted to Fashion-MNIST in
32 principal components. Peer of both: the best named solver on its best grid, chosen on the very noises or spectrum
that judge. Mixtures: nine of dimension 2, 16 and 64 against the best of diffusers (solver_accuracy.py), likewise
chosen. Digits: 6 calls of the trained model of papers/digits.py against DPM-Solver++(2M) at 10 on its best grid; its
samples against held-out digits. Errors are distances to the end of the exact or fine flow, the same noise for all.

    python benchmarks/search.py [--json] [patches] [garments] [mixtures] [digits]
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import solver_accuracy as accuracy
import torch
from common import Result, main, table
from problems import JUDGED_ON, SEARCHED_ON, garments, searched, spectrum
from torch import Tensor

import girsanov
from girsanov import processes, solvers
from girsanov.metrics import energy_distance, sliced_wasserstein
from girsanov.noise import Noise
from girsanov.solvers import Endpoints, Plan, grid
from girsanov.solvers.search import named_plans, ranked, search

VP = processes.VP()
P1_BARS = {3: 0.7, 5: 0.35, 7: 0.15, 8: 0.15, 10: 0.15}
P2_BARS = {5: (0.45, 0.75), 7: (0.45, 0.75), 10: (0.45, 0.75)}
OTHER = 2**20
"""The seed of the noises that judge."""


def row(name: str, ours: float, peer: float, bar: float, unit: str, by: str) -> Result:
    """One comparison with a plan of our own library."""
    return Result(name, ours, peer, by, f"girsanov {girsanov.__version__}", bar, unit)


def told(started: tuple[float, float]) -> None:
    """Say on stderr how long a search took."""
    wall, own = time.monotonic() - started[0], time.process_time() - started[1]
    print(f"searched in {wall:.0f} s, {own:.0f} s of them its own", file=sys.stderr, flush=True)


def now() -> tuple[float, float]:
    """The two clocks."""
    return time.monotonic(), time.process_time()


# P1.


def patches() -> Iterator[Result]:
    ours, other = (spectrum(photographs, VP) for photographs in (SEARCHED_ON, JUDGED_ON))
    for calls, bar in P1_BARS.items():
        started = now()
        plan = searched(ours, calls)
        told(started)
        with torch.no_grad():
            peer = min((other.error(plan), plan.name) for plan in named_plans(VP, calls))
            mine = other.error(plan)
        yield row(f"patches, {calls} calls", mine, peer[0], bar, "relative W2", peer[1])


# P2.


def errors(plan: Plan, ends: Endpoints) -> tuple[float, float]:
    """(mean, root-mean-square) distance."""
    with torch.no_grad():
        found = ends.distances(plan.recast("data"))
    return float(found.mean()), float(found.square().mean().sqrt())


def fashion() -> Iterator[Result]:
    model = garments().denoiser(VP)
    fine = solvers.exponential(VP, grid("log-snr", 300), order=4)
    judge = Endpoints.of(model, fine, 192, noise=Noise(OTHER))
    for calls, bars in P2_BARS.items():
        started = now()
        found = search(model, calls, noises=256, steps=500)
        told(started)
        best = [(errors(plan, judge), plan.name) for _, plan in ranked(named_plans(VP, calls), judge)]
        for k, (unit, bar, mine) in enumerate(zip(("mean", "rms"), bars, errors(found.plan, judge))):
            peer = min((e[k], name) for e, name in best)
            name = f"Fashion-MNIST mixture, {calls} calls, {unit}"
            yield row(name, mine, peer[0], bar, f"{unit} error", peer[1])


# Mixtures against diffusers.


class Distances:
    """A problem of solver_accuracy.py whose error is a mean distance, or the root of the mean square."""

    def __init__(self, seed: int, dim: int, n: int = 256) -> None:
        self.model = accuracy.mixture(seed, dim).denoiser(accuracy.PROCESS)
        fine = solvers.exponential(accuracy.PROCESS, grid("log-snr", 1000, to_zero=False), order=4)
        self.ends = Endpoints.of(self.model, fine, n, noise=Noise(OTHER + seed))
        self.x, self.end = self.ends.x, self.ends.end

    def error(self, found: Tensor) -> tuple[float, float]:
        gap = (found - self.end).square().mean(1).sqrt() / self.ends.scale
        return float(gap.mean()), float(gap.square().mean().sqrt())


def mixtures(seeds: tuple[int, ...] = (40, 41, 42), dims: tuple[int, ...] = (2, 16, 64)) -> Iterator[Result]:
    import diffusers

    teacher = solvers.exponential(accuracy.PROCESS, grid("log-snr", 300, to_zero=False), order=4)
    ratios: dict[int, list[tuple[float, float]]] = {5: [], 10: []}
    for seed, calls, dim in product(seeds, ratios, dims):
        problem, started = Distances(seed, dim), now()
        found = search(problem.model, calls, teacher=teacher)
        told(started)
        peers = []
        for label, make, steps in accuracy.schedulers(calls):
            failures = (ValueError, NotImplementedError, TypeError, IndexError)
            with contextlib.suppress(*failures), torch.inference_mode():
                peers.append(
                    (problem.error(accuracy.peer_end(problem.model, problem.x, make(), steps)), label)
                )
        peers = [peer for peer in peers if all(map(math.isfinite, peer[0]))]
        mine = errors(found.plan, problem.ends)
        for k, unit, bar in ((0, "mean", 0.5), (1, "rms", 0.8)):
            best = min((peer[k], label) for peer, label in peers)
            name = f"mixture D{dim} seed{seed}, {calls} calls, {unit}"
            made = Result(
                name, mine[k], best[0], f"diffusers {best[1]}", diffusers.__version__, bar, f"{unit} error"
            )
            yield made
            if k == 0:
                ratios[calls].append((mine[0], best[0]))
    for calls, pairs in ratios.items():
        ours, peer = (math.exp(np.mean(np.log([pair[k] for pair in pairs]))) for k in (0, 1))
        name = f"{len(pairs)} mixtures, geometric mean, {calls} calls"
        yield Result(name, ours, peer, "diffusers, best each", diffusers.__version__, 0.3, "mean error")


# The digits.


def digits() -> Iterator[Result]:
    from girsanov.papers import digits as trained

    model = trained.model(processes.EDM())
    fine = solvers.exponential(model.process, grid("ddpm", 200), order=4, variable="ddpm")
    judge = Endpoints.of(model, fine, 256, noise=Noise(OTHER))
    started = now()
    found = search(model, 6)
    told(started)
    grids = [grid(kind, 10, to_zero=z) for kind, z in product(solvers.grids.SPACINGS, (True, False))]
    rivals = [
        (errors(plan := solvers.dpm_multistep(model.process, times), judge)[0], times.kind, plan)
        for times in grids
    ]
    peer = min(rivals, key=lambda rival: rival[0])
    by = f"2M at 10 calls, {peer[1]}"
    yield row("digits, 6 calls", errors(found.plan, judge)[0], peer[0], 0.8, "mean error", by)
    fresh = trained.split().fresh.flatten(1)
    mine, theirs = (
        solvers.sample(model, 2000, plan=plan, seed=OTHER).flatten(1) for plan in (found.plan, peer[2])
    )
    for name, metric in (
        ("energy distance", energy_distance),
        ("sliced Wasserstein", partial(sliced_wasserstein, generator=Noise(0))),
    ):
        yield row(
            f"digits, 6 calls, {name} to held-out",
            float(metric(mine, fresh)),
            float(metric(theirs, fresh)),
            1.02,
            name,
            by,
        )


PARTS: dict[str, Callable[[], Iterator[Result]]] = {
    "patches": patches, "garments": fashion, "mixtures": mixtures, "digits": digits
}  # fmt: skip


def measure() -> list[Result]:
    torch.set_num_threads(1)
    asked = [name for name in PARTS if name in sys.argv[1:]] or list(PARTS)
    results = []
    for result in (result for name in asked for result in PARTS[name]()):
        results.append(result)
        print(table([result]).splitlines()[-1], file=sys.stderr, flush=True)
    return results


if __name__ == "__main__":
    main(measure)
