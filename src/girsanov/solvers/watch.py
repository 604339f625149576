"""What a sampler can say about its samples while it runs, at no further call of the network.

`TrajectoryVariance` runs a plan and adds up, by Welford's rule, the variance of the denoised answer x̂_0 over a
window of its calls: m ← m + (x̂ − m)/k, M ← M + (x̂ − m_old)(x̂ − m_new). Memory does not grow with the window.
A large variance marks samples that end between modes: drop them with `guidance.reject_high_variance`.

Oracle: `metrics.prediction_variance` of the stored answers (tests/solvers/test_watch.py).
Source: Aithal et al. (2024), Understanding hallucinations in diffusion models through mode interpolation, section 5;
Welford (1962), Note on a method for calculating corrected sums of squares and products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser, combine
from girsanov.errors import require
from girsanov.noise import Randomness
from girsanov.processes import Convertible, need
from girsanov.processes.base import like_batch
from girsanov.solvers.plan import Plan
from girsanov.solvers.run import run
from girsanov.typing import Time, Tree


class Watched(NamedTuple):
    """Samples x (B, *shape), and the variance (B,) of their denoised answers over the window."""

    x: Tensor
    variance: Tensor


@dataclass(frozen=True)
class TrajectoryVariance:
    """Sample with a plan and watch the denoised answer; called as a plan is, it answers with `Watched`.

    Args:
        plan: any plan; give it enough calls that a window of them means something, 50 or more.
        window: (first, stop), calls of the plan counted from 0, at least 2 of them. None is the last 5 %, two
            calls at least. The best window depends on the data: choose it on samples whose fate is known.

    Raises:
        InputError: a window outside the plan's calls, or of fewer than 2.
    """

    plan: Plan
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        first, stop = self.calls_watched
        calls = self.plan.calls
        require(
            first >= 0 and stop <= calls and stop - first >= 2,
            f"window is ({first}, {stop}) in a plan of {calls} calls; give (first, stop) within (0, {calls}) with at "
            "least 2 calls, as the variance of one is 0",
        )

    @property
    def calls(self) -> int:
        """Calls of the denoiser: those of the plan."""
        return self.plan.calls

    @property
    def calls_watched(self) -> tuple[int, int]:
        """The window, first and stop."""
        calls = self.plan.calls
        return self.window or (calls - max(2, round(0.05 * calls)), calls)

    @torch.no_grad()
    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Watched:
        """Arguments and errors as those of `run`."""
        watcher = _Watcher(model, self.calls_watched, x)
        found = run(self.plan, watcher, x, cond=cond, anchor=anchor, generator=generator)
        return Watched(found, watcher.variance())


class _Watcher(AbstractDenoiser):
    """The model, adding up what it answers; lives for one run."""

    def __init__(self, model: AbstractDenoiser, window: tuple[int, int], x: Tensor) -> None:
        super().__init__()
        self.model, self.process, self.stored, self.shape = model, model.process, model.stored, model.shape
        self.window, self.count = window, 0
        self.mean = self.squares = torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        answers = self.model(x, t, cond=cond, anchor=anchor)
        first, stop = self.window
        if first <= self.count < stop:
            found = need(self.process, Convertible, "data").coefficients(
                "data", self.stored, like_batch(t, x)
            )
            known = [x, *answers] if anchor is None else [x, *answers, anchor]
            self._add(combine((found.state, *found.words, found.anchor), known), self.count - first + 1)
        self.count += 1
        return answers

    def _add(self, data: Tensor, k: int) -> None:
        before = data - self.mean
        self.mean = self.mean + before / k
        self.squares = self.squares + before * (data - self.mean)

    def variance(self) -> Tensor:
        first, stop = self.window
        return self.squares.flatten(1).mean(1) / (stop - first)
