"""Posterior samplers against the exact posterior: ours and those of deepinv, same prior, measurements and calls.

P1: mixtures of 25 Gaussians in 2, 8 and 80 dimensions under random matrices with 1, 2 and 4 rows; P2: the mixture
fitted to scikit-learn's digits, with the left half hidden, blocks of 2×2, and a blur. The posterior is an explicit
mixture. Error: the sliced 2-Wasserstein distance of the draws to exact ones, less that of other exact draws (the
floor), in the mean over measurements. Every sampler makes 100 network calls for a draw, particles counted; a call may
be followed by one gradient through it. The coefficients of each are chosen on other measurements by the same error.
Coverage is the share of coordinates of the truth inside the central 90 % of the draws.

    python benchmarks/inverse.py [--json] [--table] [P1] [P2]
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov import data
from girsanov.denoiser import AbstractDenoiser
from girsanov.exact import GaussianMixture
from girsanov.inverse import (
    BlockDownsampling,
    CircularBlur,
    DenseOperator,
    Inpainting,
    Measurement,
)
from girsanov.inverse.operators import MeasurementOperator
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise, uniform
from girsanov.processes import EDM

CALLS, BAR = 100, 0.5
TUNED_ON, JUDGED_ON = 4, 16
"""Measurements of each problem."""
PROCESS = EDM(sigma_max=80.0)
Draw = Callable[[AbstractDenoiser, Measurement, int], Tensor]
"""(model, measurements, n) to (B, n, *shape)."""


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
    for d, rows, draws in ((2, 1, 1000), (8, 2, 1000), (80, 4, 200)):
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
    law, truths = data.digits_mixture(), x[1500 : 1500 + TUNED_ON + JUDGED_ON].double()
    mask = torch.ones(1, 8, 8)
    mask[..., :4] = 0
    shape = (1, 8, 8)
    operators = {
        "left half": Inpainting(mask),
        "2×2 blocks": BlockDownsampling(shape, 2),
        "blur": CircularBlur.gaussian(1.0, shape),
    }
    return [Problem(name, law, a, 0.05, truths, 128) for name, a in operators.items()]


def judge(problem: Problem, draw: Draw, *, judged: bool) -> Score:
    """Run a sampler and score it."""
    m, truths = problem.measurements(judged)
    x = draw(problem.law.denoiser(PROCESS), m, problem.draws)
    if not bool(x.isfinite().all()):
        return Score(math.inf, 0.0, math.inf)
    return score(problem, m, truths, x)


def score(problem: Problem, m: Measurement, truths: Tensor, x: Tensor) -> Score:
    """Of draws x (B, n, *shape)."""
    exact, other = references(problem, m.y.shape[0] == JUDGED_ON)
    pairs = [(a, b, c) for a, b, c in zip(x, exact, other, strict=True)]
    far = [float(sliced_wasserstein(a, b, generator=Noise(5))) for a, b, _ in pairs]
    floor = [float(sliced_wasserstein(c, b, generator=Noise(5))) for _, b, c in pairs]
    low, high = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=x.dtype), dim=1)
    inside = ((truths >= low) & (truths <= high)).double().mean()
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


def chosen(problems: Sequence[Problem], candidates: Sequence[Draw]) -> Draw:
    """The candidate with the least mean error on the measurements that tune."""

    def error(draw: Draw) -> float:
        return sum(judge(p, draw, judged=False).excess for p in problems)

    return min(candidates, key=error) if len(candidates) > 1 else candidates[0]
