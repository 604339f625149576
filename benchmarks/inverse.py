"""Posterior samplers against the exact posterior: ours and those of deepinv, same prior, measurements and calls.

P1: mixtures of 25 Gaussians in 2, 8 and 80 dimensions under random matrices with 1, 2 and 4 rows; P2: the mixture
fitted to scikit-learn's digits, with the left half hidden, blocks of 2×2, and a blur. The posterior is an explicit
mixture. Error: the sliced 2-Wasserstein distance of the draws to exact ones, less that of other exact draws (the
floor), in the mean over measurements. Every sampler makes 100 network calls for a draw, particles counted; a call may
be followed by one gradient through it. The coefficients of each are chosen on other measurements by the same error.
Coverage is the share of coordinates of the truth inside the central 90 % of the draws, of those that y leaves open.

    python benchmarks/inverse.py [--json] [--table] [P1] [P2]
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from common import Result, main
from torch import Tensor

from girsanov import data
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import GirsanovError
from girsanov.exact import GaussianMixture
from girsanov.inverse import (
    DDRM,
    DPS,
    SMC,
    BlockDownsampling,
    CircularBlur,
    DenseOperator,
    DiffPIR,
    Inpainting,
    Measurement,
    PiGDM,
    PosteriorSampler,
    REDDiff,
    RePaint,
    posterior,
)
from girsanov.inverse.operators import MeasurementOperator
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise, uniform
from girsanov.processes import EDM

CALLS, BAR = 100, 0.5
TUNED_ON, JUDGED_ON = 2, 8
"""Measurements of each problem."""
PROCESS = EDM(sigma_max=80.0)
Draw = Callable[[AbstractDenoiser, Measurement], Tensor]
"""(model, B measurements repeated) to (R, *shape)."""


@dataclass(frozen=True)
class Problem:
    """A prior, an operator and its noise; `truths` are what is measured."""

    name: str
    law: GaussianMixture
    operator: MeasurementOperator
    noise: float
    truths: Tensor
    draws: int

    def measurements(self, judged: bool) -> tuple[Measurement, Tensor]:
        """Those that tune or those that judge, and their truths."""
        rows = slice(TUNED_ON, TUNED_ON + JUDGED_ON) if judged else slice(0, TUNED_ON)
        x = self.truths[rows]
        return Measurement.of(self.operator, x, self.noise, generator=Noise(rows.start)), x

    def exact(self, m: Measurement, seed: int) -> Tensor:
        """Exact draws, (B, n, *shape)."""
        laws = [self.law.posterior(self.operator.forward, y, noise=self.noise) for y in m.y]
        return torch.stack(
            [law.sample(self.draws, generator=Noise(seed).child(i)) for i, law in enumerate(laws)]
        )


class Score(NamedTuple):
    """Of one sampler on one problem: error above the floor, coverage, and the residual |y - A x|/(σ √m)."""

    excess: float
    coverage: float
    residual: float


@functools.cache
def mixtures() -> list[Problem]:
    """P1."""
    found = []
    for d, rows, draws in ((2, 1, 500), (8, 2, 500), (80, 4, 100)):
        source = Noise(d)
        means = 1.6 * source.draw(torch.empty(25, 1, 1, d, dtype=torch.float64), 0, uniform) - 0.8
        widths = 0.05 + 0.05 * source.draw(torch.empty(25, 1, dtype=torch.float64), 1, uniform)[:, 0]
        law = GaussianMixture(means, widths**2)
        u, _, vh = torch.linalg.svd(
            source.draw(torch.empty(rows, d, dtype=torch.float64), 2), full_matrices=False
        )
        values = source.draw(torch.empty(rows, 1, dtype=torch.float64), 3, uniform)[:, 0]
        operator = DenseOperator(u @ (values[:, None] * vh), (1, 1, d))
        truths = law.sample(TUNED_ON + JUDGED_ON, generator=source.child(1))
        found.append(Problem(f"d = {d}, m = {rows}", law, operator, 0.1 * float(values.max()), truths, draws))
    return found


@functools.cache
def digits() -> list[Problem]:
    """P2; measured are digits that the mixture was not fitted to."""
    x, _ = data.digits()
    law, truths = GaussianMixture(*data.digits_mixture()), x[1500 : 1500 + TUNED_ON + JUDGED_ON].double()
    mask = torch.ones(1, 8, 8)
    mask[..., :4] = 0
    shape = (1, 8, 8)
    operators = {
        "left half": Inpainting(mask),
        "2×2 blocks": BlockDownsampling(shape, 2),
        "blur": CircularBlur.gaussian(1.0, shape),
    }
    return [Problem(name, law, a, 0.05, truths, 100) for name, a in operators.items()]


def judge(problem: Problem, draw: Draw, *, judged: bool) -> Score:
    """Run a sampler and score it."""
    m, truths = problem.measurements(judged)
    x = draw(problem.law.denoiser(PROCESS), m.repeat(problem.draws)).unflatten(0, (len(m), -1))
    if not bool(x.isfinite().all()):
        return Score(math.inf, 0.0, math.inf)
    return score(problem, m, truths, x)


def score(problem: Problem, m: Measurement, truths: Tensor, x: Tensor) -> Score:
    """Of draws x (B, n, *shape)."""
    exact, other = references(problem, m.y.shape[0] == JUDGED_ON)
    pairs = list(zip(x, exact, other, strict=True))
    far = [float(sliced_wasserstein(a, b, generator=Noise(5))) for a, b, _ in pairs]
    floor = [float(sliced_wasserstein(c, b, generator=Noise(5))) for _, b, c in pairs]
    low, high = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=x.dtype), dim=1)
    inside = ((truths >= low) & (truths <= high)).double()
    open_ = torch.ones_like(truths, dtype=torch.bool)
    if isinstance(problem.operator, Inpainting):
        open_ = ~problem.operator.known.expand_as(truths)
    inside = inside[open_].mean()
    many = m.repeat(x.shape[1])
    left = many.residual(x.flatten(0, 1)).flatten(1)
    size = left.square().mean(1).sqrt().mean() / problem.noise
    return Score((sum(far) - sum(floor)) / len(far), float(inside), float(size))


@functools.cache
def _references(name: str, judged: bool) -> tuple[Tensor, Tensor]:
    (problem,) = [p for p in (*mixtures(), *digits()) if p.name == name]
    m, _ = problem.measurements(judged)
    return problem.exact(m, 1), problem.exact(m, 2)


def references(problem: Problem, judged: bool) -> tuple[Tensor, Tensor]:
    """Two independent sets of exact draws."""
    return _references(problem.name, judged)


def ours() -> dict[str, list[Draw]]:
    """Our samplers with the coefficients they are tuned over."""
    widths = list(product((0.3, 1.0), (0.5, 1.0)))
    made: dict[str, list[PosteriorSampler]] = {
        "SMC": [SMC(CALLS, data_std=s, width=w) for s, w in widths],
        "PiGDM": [PiGDM(CALLS, data_std=s, width=w, eta=e) for (s, w), e in product(widths, (1.0, 1.3, 1.6))],
        "DPS": [DPS(CALLS, scale=z) for z in (0.1, 0.3, 1.0, 3.0)],
        "DDRM": [DDRM(CALLS, eta=e) for e in (0.5, 0.85, 0.95)],
        "DiffPIR": [
            DiffPIR(CALLS, weight=w, zeta=z) for w, z in product((0.3, 1.0, 3.0, 7.0), (0.1, 0.5, 1.0))
        ],
        "RePaint": [RePaint(50, jump=5, repeats=2), RePaint(20, jump=4, repeats=5)],
        "REDDiff": [REDDiff(CALLS, weight=w, lr=r) for w, r in product((0.03, 0.1, 0.25, 1.0), (0.1, 0.5))],
    }
    return {name: [partial(run, sampler=one) for one in some] for name, some in made.items()}


def run(model: AbstractDenoiser, m: Measurement, *, sampler: PosteriorSampler) -> Tensor:
    """One of ours."""
    plain = Measurement(m.operator, m.y[:: m.draws], m.noise)
    found = posterior(model, plain, m.draws, sampler=sampler, batch_size=100_000, seed=0)
    return found.x.flatten(0, 1).double()


def chosen(problem: Problem, candidates: Sequence[Draw]) -> Draw:
    """The candidate with the least error on the measurements that tune."""
    return min(candidates, key=lambda draw: judge(problem, draw, judged=False).excess)


def scores(problem: Problem, samplers: Mapping[str, Sequence[Draw]]) -> dict[str, Score]:
    """Every sampler, tuned and judged on a problem; one that fails is infinitely far."""
    found = {}
    for name, candidates in samplers.items():
        with contextlib.suppress(GirsanovError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name] = judge(problem, chosen(problem, candidates), judged=True)
    return found


def growth(problem: Problem, particles: Sequence[int] = (8, 32, 128, 512)) -> list[float]:
    """The error of SMC's draws, not less the floor, with the number of particles; always 512 draws are compared."""
    m, _ = problem.measurements(True)
    m = m[:4]
    exact = [a[:512] for a in references(problem, True)[0][:4]]
    errors = []
    for n in particles:
        model, sampler = problem.law.denoiser(PROCESS), SMC(CALLS)
        runs = [
            posterior(model, m, n, sampler=sampler, batch_size=4 * n, seed=k).x
            for k in range(max(1, 128 // n))
        ]
        far = [
            float(sliced_wasserstein(x.double(), e, generator=Noise(5)))
            for run in runs
            for x, e in zip(run, exact)
        ]
        errors.append(sum(far) / len(far))
    return errors


def table(found: Mapping[str, Mapping[str, Score]]) -> str:
    """All scores as Markdown: error above the floor, coverage of 90 % intervals, residual."""
    problems = list(found)
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    lines = ["| | " + " | ".join(problems) + " |", "|---" * (len(problems) + 1) + "|"]
    for name in names:
        cells = []
        for problem in problems:
            s = found[problem].get(name)
            cells.append(
                "n/a" if s is None else f"{s.excess:.3f} · {100 * s.coverage:.0f} % · {s.residual:.2f}"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure() -> list[Result]:
    """The best of ours against the best of theirs on P1 and P2."""
    import peer_deepinv as peer

    asked = [word for word in sys.argv[1:] if word in ("P1", "P2")] or ["P1", "P2"]
    sets = {"P1": mixtures, "P2": digits}
    results, whole = [], {}
    for name in asked:
        rows = []
        for problem in sets[name]():
            mine, theirs = scores(problem, ours()), scores(problem, peer.candidates())
            rows.append((mine, theirs))
            whole[f"{name}, {problem.name}"] = mine | {f"deepinv: {k}": v for k, v in theirs.items()}
            print(table({problem.name: whole[f"{name}, {problem.name}"]}), file=sys.stderr, flush=True)
        best = [sum(one[side][pick].excess for one in rows) / len(rows) for side, pick in _best(rows)]
        for kind, a, b in zip(("mean over problems",), best[:1], best[1:], strict=True):
            names = [pick for _, pick in _best(rows)]
            label = f"{name}: {names[0]} against {names[1]}, {kind}"
            results.append(
                Result(label, max(a, 0.0), b, "deepinv", peer.deepinv.__version__, BAR, "excess of SW2")
            )
    if "P1" in asked:
        eight = mixtures()[1]
        print("SMC, d = 8, particles 8 to 512:", [f"{e:.3f}" for e in growth(eight)], file=sys.stderr)
    if "--table" in sys.argv:
        print(table(whole), file=sys.stderr)
    return results


def _best(rows: Sequence[tuple[Mapping[str, Score], Mapping[str, Score]]]) -> list[tuple[int, str]]:
    """For ours and theirs the sampler with the least mean error over the problems that all of its kind can do."""
    found = []
    for side in (0, 1):
        names = set.intersection(*(set(row[side]) for row in rows))
        found.append((side, min(names, key=lambda name: sum(row[side][name].excess for row in rows))))
    return found


if __name__ == "__main__":
    main(measure)
