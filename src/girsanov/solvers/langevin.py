"""Predictor-corrector sampling: a sampler whose steps depend on the state, so it has its own loop.

At each time Langevin steps towards p_t (the corrector), then one step of a solver (the predictor):

    x ← x + e score + √(2e) ξ,   e = 2a (snr · ratio)²

with a = α_s²/α_t² of the predictor's step from s to t on a one-sided process, and a = 1 with an anchor.

step "norms" takes ratio = mean ‖ξ‖ / mean ‖score‖ over the batch, as Song et al. (2021) do: a sample then
depends on the batch it is in. step "annealed" takes ratio = γ(t), as Song & Ermon (2019) do: no such
dependence, and the same where noise dominates; Richter et al. (2023) take it for speech, with snr = 0.5.
Norms of each sample by itself would make the step a function of the state, which changes the stationary law
to p‖score‖² (measured on a Gaussian in 24 dimensions: variance 0.36 in place of 0.30).

The corrector runs before the predictor, and the last step is the data answer, without noise.
Source: Song et al. (2021), algorithms 2-5; Richter et al. (2023), arXiv 2208.05830, for anchors.
Oracle: a Gaussian, pairs of Gaussians and a ring of modes (tests/solvers, papers/processes/score_sde).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, choose, require
from girsanov.noise import Randomness, as_source
from girsanov.processes import Interpolant
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.named import reverse_diffusion
from girsanov.solvers.plan import Plan
from girsanov.solvers.run import run
from girsanov.typing import Tree


@dataclass(frozen=True)
class PredictorCorrector:
    """Predictor-corrector sampling; called like a plan.

    Args:
        process: a one-sided or an anchored process.
        grid: decreasing times.
        predictor: a one-step solver (process, grid) -> Plan, or None for the corrector alone.
        corrections: Langevin steps at each time; 0 is the predictor alone.
        snr: the target ratio r of the corrector, above 0.
        step: "norms" or "annealed"; see the head of the module.
    """

    process: Interpolant
    grid: Times
    predictor: Callable[[Interpolant, Times], Plan] | None = reverse_diffusion
    corrections: int = 1
    snr: float = 0.16
    step: Literal["norms", "annealed"] = "norms"

    def __post_init__(self) -> None:
        require(
            self.process.end != "marginal",
            f"PredictorCorrector needs a process with one random end, and {self.process!r} has two",
            Unsuitable,
        )
        require(0 < self.snr < math.inf, f"snr is {self.snr}; give a number above 0, such as 0.16")
        whole = isinstance(self.corrections, int) and self.corrections >= 0
        require(whole, f"corrections is {self.corrections}; give a whole number of at least 0")
        choose(self.step, dict.fromkeys(("norms", "annealed")), "step")
        require(self.predictor is not None or self.corrections > 0, "give a predictor, corrections, or both")
        require(
            self.process.gamma(self.times[0]) > 0,
            f"PredictorCorrector follows the score, and {self.process!r} has no noise at t = {self.times[0]:g}; "
            "start the grid below, or use ancestral",
            Unsuitable,
        )

    @cached_property
    def times(self) -> tuple[float, ...]:
        """The grid's times."""
        return resolve(self.grid, self.process)

    @cached_property
    def predictions(self) -> tuple[Plan, ...]:
        """The predictor's plan of each step."""
        make = self.predictor or reverse_diffusion
        return tuple(make(self.process, step) for step in pairwise(self.times))

    @cached_property
    def _recasts(self) -> dict[tuple[int, tuple[str, ...]], Plan]:
        """The predictions in the words of the models met so far: to recast one takes longer than to run it."""
        return {}

    def _prediction(self, i: int, stored: tuple[str, ...]) -> Plan:
        if (i, stored) not in self._recasts:
            self._recasts[i, stored] = self.predictions[i].recast(stored)
        return self._recasts[i, stored]

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        steps, to_zero = len(self.times) - 1, self.times[-1] == 0
        return steps * self.corrections + (steps if self.predictor else to_zero)

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
        edit: Callable[[float, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Sample from x (B, *shape), a draw of the reference law; anchor (B, *shape) is x_1 if there is one.

        `edit(t, x)` is called after every update; what it returns takes the place of x.
        """
        require(model.process == self.process, "the sampler was made for another process", Unsuitable)
        source = as_source(generator)
        corrector = source.child(1)
        for i, (s, t) in enumerate(pairwise(self.times)):
            for k in range(self.corrections):
                score = model.score(x, s, cond=cond, anchor=anchor)
                x = self._correct(x, score, corrector.draw(x, i * self.corrections + k), s, t)
                x = x if edit is None else edit(s, x)
            if self.predictor is None and t > 0:
                continue
            plan = self._prediction(i, model.stored)
            x = run(plan, model, x, cond=cond, anchor=anchor, generator=source.child(2 + i))
            x = x if edit is None else edit(t, x)
        return x

    def _correct(self, x: Tensor, score: Tensor, noise: Tensor, s: float, t: float) -> Tensor:
        shrink = self.process.transition(t, s).state ** 2 if self.process.end == "noise" else 1.0
        if self.step == "norms":
            ratio = _mean_norm(noise) / _mean_norm(score).clamp(min=1e-20)
        else:
            ratio = self.process.gamma(s)
        size = 2 * shrink * (self.snr * ratio) ** 2
        return x + size * score + (2 * size) ** 0.5 * noise


def _mean_norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).mean()
