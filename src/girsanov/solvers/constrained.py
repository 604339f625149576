"""The reverse of a constrained process: a walk that is drawn towards the data and never leaves the set.

From t_k to t_(k-1), over h = τ(t_k) - τ(t_(k-1)), with ξ standard normal, the Metropolis walk goes to

    y = x + h s(x, t_k) + √h ξ,    and stays at x where y is outside,                                (1)

and the others go as the head of `processes.walks` says. It starts inside and accepts only what is inside, so every
state of it is. The steps of a walk depend on where they
lead, so this is a loop of its own and no plan.

Source: Fishman et al. (2023), arXiv 2307.05439, algorithm 2.
Oracle: data of a closed law on an interval, the bars of the set itself (tests/solvers/test_constrained.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import NotFinite, Unsuitable, require
from girsanov.noise import Randomness, as_source
from girsanov.processes import Constrained
from girsanov.processes.base import refuse_end
from girsanov.processes.sets import require_inside
from girsanov.typing import Tree


@dataclass(frozen=True)
class ReverseWalk:
    """The walk of the process backwards, in steps uniform in t; see the head of the module.

    Args:
        steps: from t = 1 to t = 0, one network call each.
    """

    steps: int = 100

    def __post_init__(self) -> None:
        require(isinstance(self.steps, int) and self.steps >= 1, f"steps is {self.steps}; give at least 1")

    @property
    def name(self) -> str:
        """For tables and reports."""
        return f"reverse walk, {self.steps} steps"

    @property
    def calls(self) -> int:
        """Network calls a sample."""
        return self.steps

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Samples (B, features), all inside.

        Args:
            model: a denoiser of a `Constrained` process.
            x: (B, features), the states at t = 1, inside.
            cond: what is known beside x, batch first.
            anchor: leave it out.
            generator: source of the noise.

        Raises:
            InputError: a state outside, or an anchor.
            Unsuitable: another process.
            NotFinite: the model answered with NaN or infinity.
        """
        return self.path(model, x, cond=cond, anchor=anchor, generator=generator)[-1]

    def path(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> list[Tensor]:
        """All states from t = 1 to t = 0, steps + 1 of (B, features)."""
        process: Any = model.process
        require(
            isinstance(process, Constrained),
            f"ReverseWalk reverses a Constrained process, and the model is of {process!r}; use solver=",
            Unsuitable,
        )
        refuse_end(process, anchor, "anchor")
        require_inside(process.inside, x, "x")
        source, states = as_source(generator), [x]
        for k in range(self.steps, 0, -1):
            t = k / self.steps
            h = process.clock(t) - process.clock((k - 1) / self.steps)
            score = model.score(x, t, cond=cond)
            # A move that is not finite is outside, so it would be turned down in silence.
            finite = bool(score.isfinite().all())
            require(finite, f"the model's score at t = {t:g} is NaN or infinite", NotFinite)
            x = process.walk.step(process.inside, x, h, source.draw(x, k), score)
            states.append(x)
        return states
