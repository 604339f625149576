"""Time shift: ask the network at the time whose noise level the state really has, not at the grid's.

A sampler with few steps leaves states that are not those of training. For a variance preserving process the
pixels of x_t have the variance var(t) = γ_t² + α_t² v, where v is the variance of the data's pixels, and the
pixels of one sample tell it. So after a step from a time above `cutoff` to t the network is asked, sample by sample, at

    t_s = argmin |variance of the pixels of x - var(t + k/1000)|  over whole k, |k| ≤ window/2, inside the table

and its noise E(x, t_s) takes the place of E(x, t) in the plan, whose coefficients stay those of the grid. So do
the authors' samplers of several steps. Their algorithm for DDPM and DDIM takes the coefficients at t_s too, which
is not offered here. They take v = 0, as if data had no variance, which suits noisy times only.

The pixels' variance has the relative standard deviation √(2/(d - 1)): with few pixels d it is mostly chance, and
var(t) is flat near t = 1, so that the ends of the window are often chosen. Not for small samples.
Source: Li et al. (2023), arXiv 2305.15583, algorithm 2 and the authors' code.
Oracle: window 0 is the plan bit for bit; white data show their own time (tests/solvers/test_time_shift.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.processes import Interpolant
from girsanov.solvers.plan import Plan
from girsanov.solvers.run import check_finite, steps
from girsanov.typing import Tree

TABLE = 1000
"""Times in the table of variances: 1/1000, 2/1000, ..., 1."""


@dataclass(frozen=True)
class TimeShift:
    """A plan whose network is asked at shifted times; called like a plan.

    Args:
        plan: calls the denoiser at states of its grid only: one step at a time, with or without memory.
        window: the width of the search, in thousandths of time, at least 0.
        cutoff: states left by a step from a time above it are shifted; in [0, 1].
        data_variance: v, the variance of the data's pixels; 0 is the authors' choice.

    Raises:
        Unsuitable: the plan calls at inner stages, or its process is not variance preserving and one-sided.
    """

    plan: Plan
    window: int
    cutoff: float
    data_variance: float = 0.0

    def __post_init__(self) -> None:
        require(
            isinstance(self.plan, Plan),
            f"plan is {type(self.plan).__name__}; give a Plan, such as solvers.ddim(process, grid)",
            Unsuitable,
        )
        whole = isinstance(self.window, int) and self.window >= 0
        require(whole, f"window is {self.window}; give a whole number of at least 0, such as 30")
        require(0 <= self.cutoff <= 1, f"cutoff is {self.cutoff}; give a time in [0, 1], such as 0.3")
        known = 0 <= self.data_variance < math.inf
        require(known, f"data_variance is {self.data_variance}; give a number of at least 0")
        process = self.plan.process
        kept = all(
            abs(process.alpha(t) ** 2 + process.gamma(t) ** 2 - 1) < 1e-6 for t in (0.1, 0.5, 0.9, 1.0)
        )
        require(
            kept and process.end == "noise",
            f"a time shift needs a variance preserving process with one end, such as VP, and not {process!r}",
            Unsuitable,
        )
        stages = [row.t for row in self.plan.rows if row.call and row.node < 0]
        require(
            not stages,
            f"{self.plan.name} calls the denoiser at {len(stages)} inner stages; give a plan with one call a step",
            Unsuitable,
        )

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return self.plan.calls

    @cached_property
    def candidates(self) -> dict[float, tuple[Tensor, Tensor]]:
        """For each time at which the network is asked elsewhere: the times to choose from, and var there."""
        asked = [row.t for row in self.plan.rows if row.call]
        shifted = [t for s, t in pairwise(asked) if s > self.cutoff] if self.window >= 2 else []
        return {t: table(self.plan.process, t, self.window, self.data_variance) for t in shifted}

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from x (B, *shape), a draw of the reference law.

        Raises:
            Unsuitable: the model reverses another process, or samples of one element, which have no variance.
            NotFinite: the model answered with NaN or infinity.
        """
        require(model.process == self.plan.process, "the plan was made for another process", Unsuitable)
        self.plan.process.check_anchor(anchor)
        require(
            x.shape[1:].numel() > 1,
            f"a sample has the shape {tuple(x.shape[1:])}; one element has no variance",
            Unsuitable,
        )
        plan = self.plan.recast(model.stored)
        loop, answers = steps(plan, x, as_source(generator)), None
        while True:
            try:
                row, live = loop.send(answers)
            except StopIteration as done:
                check_finite(done.value, f"after {plan.calls} calls")
                return done.value.to(x.dtype)
            state = live.state.to(x.dtype)
            if not row.call:
                answers = None
            elif row.t in self.candidates:
                noise = model.noise(state, choose_times(state, *self.candidates[row.t]), cond=cond)
                answers = words(plan.process, model.stored, state, noise, row.t)
            else:
                answers = model(state, row.t, cond=cond)


def table(process: Interpolant, t: float, window: int, data_variance: float = 0.0) -> tuple[Tensor, Tensor]:
    """The times t + k/1000 within the window and within [1/1000, 1], and the variances there, (K,) each."""
    offsets = (k / TABLE for k in range(-(window // 2), window // 2 + 1))
    times = [t + k for k in offsets if k == 0 or 1 / TABLE <= t + k <= 1]
    variances = [process.gamma(u) ** 2 + process.alpha(u) ** 2 * data_variance for u in times]
    return torch.tensor(times, dtype=torch.float64), torch.tensor(variances, dtype=torch.float64)


def choose_times(x: Tensor, times: Tensor, variances: Tensor) -> Tensor:
    """For each sample of x (B, *shape) the time whose variance is nearest to that of its pixels, (B,)."""
    wide = torch.promote_types(x.dtype, torch.float32)
    found = x.flatten(1).to(wide).var(1)
    nearest = (found[:, None] - variances.to(found)).abs_().argmin(1)
    return times.to(found)[nearest]


def words(
    process: Interpolant, stored: Sequence[str], x: Tensor, noise: Tensor, t: float
) -> tuple[Tensor, ...]:
    """The stored words that go with this noise at (x, t)."""
    found = (process.coefficients(word, ("noise",), t) for word in stored)
    return tuple(float(c.words[0]) * noise + float(c.state) * x for c in found)
