"""Every solver on two problems: how far it ends from the exact flow, against the number of network calls.

P1, Gaussian data with the covariance of photographs, where errors and the best affine plan are closed forms; P2, a
mixture of 64 Gaussians fitted to Fashion-MNIST, with its exact score. Each solver takes the grid that was best on
other photographs and other noises than it is judged on, and so does the peer, the best configuration of diffusers.

Both run on the DDPM chain that diffusers has, from its last ᾱ to 0, where every solver ends with the denoiser's
answer. k-diffusion's samplers run there too where it is installed (peer_kdiffusion.py). The third problem, pictures, is leaderboard.py.

    python benchmarks/solvers.py [--json] [--docs]      --docs writes docs/solver-benchmark.md and its figure
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.metadata import version

import peer_kdiffusion
import torch
from common import Result, main
from problems import JUDGED_ON, SEARCHED_ON, garments, searched, spectrum
from solver_accuracy import PROCESS, peer_end, schedulers
from torch import Tensor

from girsanov import solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.noise import Noise
from girsanov.solvers import Endpoints, Plan, grid
from girsanov.solvers.search import named_plans

P1_CALLS, P2_CALLS = (3, 4, 5, 6, 7, 8, 10, 15, 20), (5, 7, 10, 20)
DIFFUSERS, K_DIFFUSION = "diffusers, best", "k-diffusion, best"
SEARCHED, AFFINE, RATIONAL = "searched", "best affine plan", "rational bound"
BOUNDS = (DIFFUSERS, K_DIFFUSION, SEARCHED, AFFINE, RATIONAL)

TIE = 1.001
"""Our bar: where the peer has the same solver, its rounding decides."""

Errors = dict[str, dict[int, float]]
"""By solver and number of calls."""

Sampler = Callable[[AbstractDenoiser, Tensor], Tensor]
Judge = Callable[[Sampler], float]


@cache
def plans(calls: int) -> tuple[Plan, ...]:
    """Every deterministic named solver on every grid that ends at 0, of exactly that many calls."""
    return tuple(plan for plan in named_plans(PROCESS, calls) if plan.name.endswith("to zero"))


def solver_of(plan: Plan) -> str:
    """A plan's name without its grid's."""
    return plan.name.partition(" on ")[0]


def table(calls: Iterable[int], known: Judge, fresh: Judge) -> Errors:
    """Errors of every solver on its grid of least error on the known problem, and of the recommended rule."""
    errors: Errors = {}
    for n in calls:
        best: dict[str, tuple[float, int]] = {}
        for i, plan in enumerate(plans(n)):
            error = known(plan)
            if math.isfinite(error):
                name = solver_of(plan)
                best[name] = min(best.get(name, (math.inf, -1)), (error, i))
        for name, (_, i) in best.items():
            errors.setdefault(name, {})[n] = fresh(plans(n)[i])
        errors.setdefault("recommended", {})[n] = fresh(solvers.recommended(PROCESS, n))
    return errors


def peers(calls: int) -> dict[str, dict[str, Sampler]]:
    """Every configuration of every peer, by the peer and its own name."""
    options = {label: (make, steps) for label, make, steps in schedulers(calls, to_zero=True)}

    def run(label: str, model: AbstractDenoiser, x: Tensor) -> Tensor:
        make, steps = options[label]
        return peer_end(model, x, make(), steps)

    found = {DIFFUSERS: {label: partial(run, label) for label in options}}
    if peer_kdiffusion.installed():
        found[K_DIFFUSION] = dict(peer_kdiffusion.samplers(calls, PROCESS))
    return found


def best_of(options: dict[str, Sampler], known: Judge, fresh: Judge) -> tuple[str, float]:
    """The configuration that does best on the known problem, and its error on the fresh one."""
    chosen, least = "", math.inf
    for label, sampler in options.items():
        with contextlib.suppress(ValueError, NotImplementedError, TypeError, IndexError):
            error = known(sampler)
            if error < least:
                chosen, least = label, error
    return chosen, fresh(options[chosen])


Names = dict[tuple[str, int], str]
"""The best configuration of a peer at a number of calls."""


def against(errors: Errors, calls: Iterable[int], known: Judge, fresh: Judge) -> Names:
    """Put the peers' errors beside ours."""
    names: Names = {}
    for n in calls:
        for peer, options in peers(n).items():
            names[peer, n], errors.setdefault(peer, {})[n] = best_of(options, known, fresh)
    return names


@cache
def p1(calls: Iterable[int] = P1_CALLS) -> tuple[Errors, Names]:
    """Wasserstein errors on the judging photographs, with the bounds among them; the names of the best peers."""
    known, fresh = (spectrum(names, PROCESS) for names in (SEARCHED_ON, JUDGED_ON))
    errors = table(calls, known.error, fresh.error)
    names = against(errors, calls, known.error, fresh.error)
    for n in calls:
        errors.setdefault(SEARCHED, {})[n] = fresh.error(searched(known, n))
        errors.setdefault(AFFINE, {})[n] = fresh.best_affine(n)[0]
        errors.setdefault(RATIONAL, {})[n] = fresh.best_affine(n, free=True)[0]
    return errors, names


@cache
def p2(calls: Iterable[int] = P2_CALLS) -> tuple[Errors, Names]:
    """Mean endpoint errors on fresh noises; the names of the best peers."""
    model = garments().denoiser(PROCESS)
    fine = solvers.exponential(PROCESS, grid("log-snr", 300), order=4)
    known, fresh = (mean_distance(model, fine, *given) for given in ((96, 1), (192, 2)))
    errors = table(calls, known, fresh)
    return errors, against(errors, calls, known, fresh)


def mean_distance(model: AbstractDenoiser, fine: Plan, n: int, seed: int) -> Judge:
    """How far a sampler ends from the exact flow, in standard deviations of a coordinate, mean of n noises."""
    ends = Endpoints.of(model, fine, n, noise=Noise(seed))

    def judge(sampler: Sampler) -> float:
        with torch.no_grad():
            gap = sampler(model, ends.x) - ends.end
        return float(gap.square().mean(1).sqrt().mean() / ends.scale)

    return judge


def best(errors: Errors, calls: int) -> tuple[str, float]:
    """The best of our solvers at a number of calls."""
    ours = {name: row[calls] for name, row in errors.items() if name not in BOUNDS and calls in row}
    name = min(ours, key=ours.__getitem__)
    return name, ours[name]


def rows(title: str, unit: str, found: tuple[Errors, Names]) -> list[Result]:
    """One comparison for each peer and number of calls."""
    errors, names = found
    results = []
    for (peer, n), label in names.items():
        name, ours = best(errors, n)
        package = peer.partition(",")[0]
        by, edition = f"{package} {label}", version(package)
        label = f"{title}, {n} calls: {name}"
        results.append(Result(label, ours, errors[peer][n], by, edition, TIE, unit))
    return results


def measure() -> list[Result]:
    torch.set_num_threads(1)
    return [*rows("P1", "relative W2", p1()), *rows("P2", "mean endpoint error", p2())]


if __name__ == "__main__":
    main(measure)
    if "--docs" in sys.argv[1:]:
        import solver_page

        solver_page.write(p1()[0], p2()[0])
