"""Posterior samplers against the exact posterior: ours and those of deepinv, same prior, measurements and calls.

P1: mixtures of 25 Gaussians in 2, 8 and 80 dimensions under random matrices with 1, 2 and 4 rows; P2: the mixture
fitted to scikit-learn's digits, with the left half hidden, blocks of 2×2, and a blur. The posterior is an explicit
mixture. Error: the sliced 2-Wasserstein distance of the draws to exact ones, less that of other exact draws (the
floor), in the mean over measurements. Every sampler makes 100 network calls for a draw, particles counted; a call may
be followed by one gradient through it. The coefficients of each are chosen on other measurements by the same error.
Coverage is the share of coordinates of the truth inside the central 90 % of the draws, of those that y leaves open.
"PiGDM, covariance" is given the covariance of 5,000 draws of the prior, as a user has that of the training data.

    python benchmarks/inverse.py [--json] [--docs] [P1] [P2]      --docs renews the tables of docs/inverse-benchmark.md
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
from pathlib import Path
from typing import NamedTuple

import torch
from common import Result, between, main
from torch import Tensor

from girsanov import data
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import GirsanovError
from girsanov.exact import GaussianMixture
from girsanov.files import write_text
from girsanov.inverse import (
    DDRM,
    DPS,
    SMC,
    BlockDownsampling,
    CircularBlur,
    DataCovariance,
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
TUNED_ON, JUDGED_ON = 8, 8
"""Measurements of each problem."""
PAGE = Path(__file__).parent.parent / "docs" / "inverse-benchmark.md"
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
    return score(problem, m, truths, x, judged)


def score(problem: Problem, m: Measurement, truths: Tensor, x: Tensor, judged: bool) -> Score:
    """Of draws x (B, n, *shape)."""
    exact, other = references(problem.name, judged)
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
def references(name: str, judged: bool) -> tuple[Tensor, Tensor]:
    """Two independent sets of exact draws, for the problem of that name."""
    (problem,) = [p for p in (*mixtures(), *digits()) if p.name == name]
    m, _ = problem.measurements(judged)
    return problem.exact(m, 1), problem.exact(m, 2)


def ours(problem: Problem) -> dict[str, list[Draw]]:
    """Our samplers with the coefficients they are tuned over."""
    known = DataCovariance.of(problem.law.sample(5000, generator=Noise(77)))
    widths = list(product((0.3, 1.0), (0.5, 1.0)))
    made: dict[str, list[PosteriorSampler]] = {
        "SMC": [SMC(CALLS, data_std=s, width=w) for s, w in widths],
        "PiGDM": [PiGDM(CALLS, data_std=s, width=w, eta=e) for (s, w), e in product(widths, (1.0, 1.3, 1.6))],
        "PiGDM, covariance": [
            PiGDM(CALLS, width=w, eta=e, covariance=known)
            for w, e in product((0.25, 0.5, 1.0), (1.0, 1.3, 1.6))
        ],
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


def growth(problem: Problem, particles: Sequence[int]) -> tuple[list[float], float]:
    """The error of SMC's draws for each number of particles, not less the floor, and the floor; on 4 measurements."""
    m, _ = problem.measurements(True)
    m = m[:4]
    exact, other = (a[:4] for a in references(problem.name, True))
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
    floor = [float(sliced_wasserstein(a, b, generator=Noise(5))) for a, b in zip(other, exact)]
    return errors, sum(floor) / len(floor)


def table(found: Mapping[str, Mapping[str, Score]]) -> str:
    """All scores as Markdown: error above the floor, coverage of 90 % intervals, residual; and the mean error."""
    problems = list(found)
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    lines = ["| | " + " | ".join(problems) + " | mean error |", "|---" * (len(problems) + 2) + "|"]
    for name in names:
        done = [found[problem].get(name) for problem in problems]
        cells = [
            "n/a" if s is None else f"{s.excess:.3f} · {100 * s.coverage:.0f} % · {s.residual:.2f}"
            for s in done
        ]
        excesses = [math.nan if s is None else s.excess for s in done]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {sum(excesses) / len(done):.3f} |")
    return "\n".join(lines)


def renew(name: str, text: str) -> None:
    """Put a text between its markers in the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, after = between(PAGE.read_text(encoding="utf-8"), begin, end, PAGE)
    write_text(PAGE, f"{before}{begin}\n\n{text}\n\n{end}{after}")


def measure() -> list[Result]:
    """The best of ours against the best of theirs on P1 and P2."""
    import peer_deepinv as peer

    asked = [word for word in sys.argv[1:] if word in ("P1", "P2")] or ["P1", "P2"]
    sets = {"P1": mixtures, "P2": digits}
    results = []
    for name in asked:
        mine, theirs = {}, {}
        for problem in sets[name]():
            mine[problem.name] = scores(problem, ours(problem))
            theirs[problem.name] = scores(problem, peer.candidates())
            print(f"{problem.name} is judged", file=sys.stderr, flush=True)
        text = table({key: mine[key] | {f"deepinv: {k}": v for k, v in theirs[key].items()} for key in mine})
        print(text, file=sys.stderr, flush=True)
        (ours_name, a), (peer_name, b) = best(mine), best(theirs)
        label = f"{name}: {ours_name} against {peer_name}, mean over problems"
        version = peer.deepinv.__version__
        results.append(Result(label, max(a, 0.0), b, "deepinv", version, BAR, "excess of SW2"))
        if name == "P1":
            text += "\n\n" + grown()
        if "--docs" in sys.argv:
            renew(name, text)
    return results


def grown() -> str:
    """How SMC's error falls with its particles, in 8 dimensions."""
    particles = (8, 32, 128, 512)
    errors, floor = growth(mixtures()[1], particles)
    numbers = ", ".join(f"{e:.3f}" for e in errors)
    text = f"SMC in 8 dimensions with 8, 32, 128 and 512 particles: {numbers}; exact draws have {floor:.3f}."
    print(text, file=sys.stderr, flush=True)
    return text


def best(found: Mapping[str, Mapping[str, Score]]) -> tuple[str, float]:
    """The sampler with the least mean error over the problems, of those that can do all, and that error."""
    names = set.intersection(*(set(one) for one in found.values()))
    means = {name: sum(one[name].excess for one in found.values()) / len(found) for name in names}
    return min(means.items(), key=lambda pair: pair[1])


if __name__ == "__main__":
    main(measure)
