"""Every solver on three problems: how far it ends from the exact flow, against the number of network calls.

P1, Gaussian data with the covariance of photographs, where errors and the best affine plan are closed forms;
P2, a mixture of 64 Gaussians fitted to Fashion-MNIST, with its exact score; P3, a small U-Net trained on
Fashion-MNIST, by the Fréchet distance of its samples. Each solver takes the grid that was best on other
photographs and other noises than it is judged on. The rows compare the best of ours with the best of diffusers.

P1 and P2 run on the DDPM chain that diffusers has, from its last ᾱ to 0, where every solver ends with the
denoiser's answer. P3 is measured where `python benchmarks/fashion.py` has trained its model.

    python benchmarks/solvers.py [--json | --docs]      --docs writes docs/solver-benchmark.md and its figure
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import problems
import torch
from common import Result, main
from problems import JUDGED_ON, SEARCHED_ON, Spectrum, spectrum
from solver_accuracy import PROCESS, peer_end, schedulers
from torch import Tensor

from girsanov import solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.solvers import SOLVERS, Plan

DOCS = Path(__file__).parent.parent / "docs"
GRIDS = ("uniform", "quadratic", "log-snr", "karras", "ddpm", "sinh")
P1_CALLS, P2_CALLS = (3, 4, 5, 6, 7, 8, 10, 15, 20), (5, 7, 10, 20)

Errors = dict[str, dict[int, float]]
"""By solver and number of calls."""


def of_calls(name: str, grid: str, calls: int) -> Plan | None:
    """The plan with the most steps that spends at most that many calls; None where it needs more."""
    for steps in range(calls, 0, -1):
        with contextlib.suppress(InputError):
            plan = SOLVERS[name](PROCESS, solvers.grid(grid, steps))
            if plan.calls <= calls:
                return None if plan.stochastic else plan
    return None


def best_grids(calls: int, error: Callable[[Plan], float]) -> dict[str, Plan]:
    """For every deterministic solver its plan on the grid of least error."""
    found = {}
    for name in SOLVERS:
        plans = [plan for grid in GRIDS if (plan := of_calls(name, grid, calls)) is not None]
        finite = [(value, i) for i, plan in enumerate(plans) if math.isfinite(value := error(plan))]
        if finite:
            found[name] = plans[min(finite)[1]]
    return found


def table(
    calls: Iterable[int], choose_by: Callable[[Plan], float], judge_by: Callable[[Plan], float]
) -> Errors:
    """Errors of every deterministic solver, and of the recommended rule."""
    errors: Errors = {}
    for n in calls:
        for name, plan in best_grids(n, choose_by).items():
            errors.setdefault(name, {})[n] = judge_by(plan)
        errors.setdefault("recommended", {})[n] = judge_by(solvers.recommended(PROCESS, n))
    return errors


def best_of_diffusers(
    calls: int, choose_by: Callable[[Callable], float], judge_by: Callable[[Callable], float]
) -> tuple[str, float]:
    """The configuration that does best on the choosing problem, and its error on the judging one."""
    options = {label: (make, steps) for label, make, steps in schedulers(calls, to_zero=True)}
    chosen, least = "", math.inf
    for label, (make, steps) in options.items():
        with contextlib.suppress(ValueError, NotImplementedError, TypeError, IndexError):
            error = choose_by(lambda model, x, m=make, s=steps: peer_end(model, x, m(), s))
            if error < least:
                chosen, least = label, error
    make, steps = options[chosen]
    return chosen, judge_by(lambda model, x: peer_end(model, x, make(), steps))


# P1.


def wasserstein(problem: Spectrum) -> Callable[[Callable], float]:
    """The error of a sampler (model, x) -> end on Gaussian data."""
    ones = torch.ones(len(problem.variances), 1, dtype=torch.float64)
    return lambda sampler: problem.error(sampler(problem.model, ones)[:, 0])


def p1(calls: Iterable[int] = P1_CALLS) -> tuple[Errors, dict[int, str]]:
    """Errors on the judging photographs, with the bounds among them; the names of the best peers."""
    known, fresh = (wasserstein(spectrum(names, PROCESS)) for names in (SEARCHED_ON, JUDGED_ON))
    errors, names = table(calls, known, fresh), {}
    problem = spectrum(JUDGED_ON, PROCESS)
    for n in calls:
        names[n], error = best_of_diffusers(n, known, fresh)
        errors.setdefault("diffusers, best", {})[n] = error
        errors.setdefault("best affine plan", {})[n] = problem.best_affine(n)[0]
        errors.setdefault("rational bound", {})[n] = problem.best_affine(n, free=True)[0]
    return errors, names


# P2.


def distances(model: AbstractDenoiser, seed: int, n: int = 256) -> Callable[[Callable], Tensor]:
    """(n,): how far a sampler ends from the exact flow, in standard deviations of a coordinate."""
    x = Noise(seed).draw(torch.empty(n, *model.shape, dtype=torch.float64), 0)
    end = problems.endpoint(model, x)
    scale = end.std() * math.sqrt(x[0].numel())

    def of(sampler: Callable) -> Tensor:
        with torch.no_grad():
            return (sampler(model, x) - end).flatten(1).norm(dim=1) / scale

    return of


def p2(calls: Iterable[int] = P2_CALLS) -> tuple[Errors, dict[int, str]]:
    """Mean endpoint errors on fresh noises; the names of the best peers."""
    model = problems.garments().denoiser(PROCESS)
    known, fresh = distances(model, 1, 96), distances(model, 2)
    mean_known, mean_fresh = (lambda sampler, d=d: float(d(sampler).mean()) for d in (known, fresh))
    errors, names = table(calls, mean_known, mean_fresh), {}
    for n in calls:
        names[n], errors.setdefault("diffusers, best", {})[n] = best_of_diffusers(n, mean_known, mean_fresh)
    return errors, names


def best(errors: Errors, calls: int) -> tuple[str, float]:
    """The best of our solvers at a number of calls."""
    others = ("diffusers, best", "best affine plan", "rational bound")
    ours = {name: row[calls] for name, row in errors.items() if name not in others and calls in row}
    name = min(ours, key=ours.__getitem__)
    return name, ours[name]


def rows(title: str, unit: str, found: tuple[Errors, dict[int, str]]) -> list[Result]:
    import diffusers

    errors, names = found
    results = []
    for n, peer in names.items():
        name, ours = best(errors, n)
        theirs = errors["diffusers, best"][n]
        results.append(
            Result(
                f"{title} {n} calls, {name}",
                ours,
                theirs,
                f"diffusers {peer}",
                diffusers.__version__,
                1.0,
                unit,
            )
        )
    return results


def measure() -> list[Result]:
    torch.set_num_threads(1)
    return [*rows("P1", "relative Wasserstein error", p1()), *rows("P2", "mean endpoint error", p2())]


if __name__ == "__main__":
    if "--docs" in sys.argv[1:]:
        import solver_page

        solver_page.write()
    else:
        main(measure)
