"""The reverse of a process that steps back by itself: from t = 1 to 0 in equal steps of time, one call each.

    x_{t_k}  →  reverse(x_{t_k}, answer(x_{t_k}, t_k), t_k, t_{k-1}, ξ_k),     t_k = k/N

Oracle: finite sets of points with their exact answers (tests/processes/test_every_process.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.noise import Randomness, as_source
from girsanov.processes import Reversible, need
from girsanov.processes.base import refuse_end
from girsanov.typing import Tree


@dataclass(frozen=True)
class OwnSteps:
    """The steps of the process itself; see the head of the module.

    Args:
        steps: N, one network call each.
    """

    steps: int = 100

    def __post_init__(self) -> None:
        require(isinstance(self.steps, int) and self.steps >= 1, f"steps is {self.steps}; give at least 1")

    @property
    def calls(self) -> int:
        """Network calls a sample."""
        return self.steps

    @property
    def name(self) -> str:
        """For tables and reports."""
        return f"own steps of the process, {self.steps}"

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Samples (B, *shape) from x, the states at t = 1.

        Raises:
            Unsuitable: a process that is not `Reversible`.
            InputError: an anchor.
        """
        process, source = need(model.process, Reversible, "OwnSteps"), as_source(generator)
        refuse_end(process, anchor, "anchor")
        for k in range(self.steps, 0, -1):
            s, t = k / self.steps, (k - 1) / self.steps
            (answer,) = model(x, s, cond=cond)
            x = process.reverse(x, answer, s, t, source.draw(x, k))
        return x
