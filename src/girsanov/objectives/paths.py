"""Implicit score matching along simulated paths, for processes whose law given the clean sample is not closed.

One path of a batch is simulated, from t = 0 to 1, and the score is matched at `times` of its steps,

    L = E Σ_k λ(t_k) [½|s(x_k, t_k)|² + tr ∂s(x_k, t_k)],    λ = w(t)²,

with the trace of `implicit`: exact for up to ten coordinates, else by one Rademacher slice. Integration by parts
inside a set leaves a term on its boundary, which vanishes since the model's score does (`Constrained.finish`).

The steps are drawn for each sample anew, one from each of `times` equal parts of the path.

Oracle: the score of reflected Brownian motion on an interval is the minimizer (tests/objectives/test_paths.py).
Source: Fishman et al. (2023), arXiv 2307.05439, section on training; Hyvärinen (2005); the weights are ours, and
make the terms equally large.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.noise import Randomness, as_source, rademacher, uniform
from girsanov.objectives.base import TIME, check_batch
from girsanov.objectives.implicit import SLICE, exact_trace, quadratic
from girsanov.processes import Constrained
from girsanov.typing import Tree

EXACT = 10
"""Coordinates up to which the trace is exact."""


@dataclass(frozen=True)
class PathScoreMatching:
    """See the head of the module and `path_score_matching`."""

    times: int = 16

    def __post_init__(self) -> None:
        require(isinstance(self.times, int) and self.times >= 1, f"times is {self.times}; give at least 1")

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`."""
        check_batch(x0)
        process: Any = getattr(model, "process", None)
        require(
            isinstance(process, Constrained),
            f"path_score_matching trains a denoiser of a Constrained process, and this is of {process!r}; use "
            "score_matching() for a process with a closed law",
            Unsuitable,
        )
        source, keep = as_source(generator), torch.is_grad_enabled()
        clock = torch.linspace(0, 1, process.steps + 1, dtype=torch.float64)
        path = process.simulate(x0, clock, end=end, generator=source.child(0))
        count = min(self.times, process.steps)
        u = source.draw(torch.empty(len(x0), count, dtype=torch.float64, device=x0.device), TIME, uniform)
        part = torch.arange(count, dtype=torch.float64, device=x0.device)
        steps = 1 + ((part + u) * (process.steps / count)).long().clamp(max=process.steps - 1)
        t = (steps.to(x0.dtype) / process.steps).flatten()
        x = path.gather(1, steps[:, :, None].expand(-1, -1, x0.shape[1])).flatten(0, 1)
        with torch.enable_grad():  # validation runs without gradients, and the trace needs them
            x = x.detach().requires_grad_()
            (score,) = model(x, t, cond=_each(cond, count))
            if prod(x0.shape[1:]) <= EXACT:
                trace = exact_trace(score, x)
            else:
                trace = quadratic(
                    score, x, source.draw(path[:, 0], SLICE, rademacher).repeat_interleave(count, 0)
                )
            terms = score.square().flatten(1).sum(1) / 2 + trace
            loss = (process.width(t) ** 2 * terms).reshape(-1, count).mean(1) / prod(x0.shape[1:])
        return loss if keep else loss.detach()


def path_score_matching(times: int = 16) -> PathScoreMatching:
    """Implicit score matching along the paths of a `Constrained` process.

    The network must be smooth (SiLU, tanh; not ReLU), since the trace differentiates it once more.

    Args:
        times: steps of each path that the score is matched at; a path costs the same whatever they are.

    Raises:
        InputError: times below 1. In the call: data outside the set, or an `end`.
        Unsuitable: in the call: another process.
    """
    return PathScoreMatching(times)


def _each(cond: Tree, count: int) -> Tree:
    """Every row of a batch-first tree `count` times over."""
    if cond is None or isinstance(cond, Tensor):
        return None if cond is None else cond.repeat_interleave(count, 0)
    if isinstance(cond, dict):
        return {name: leaf.repeat_interleave(count, 0) for name, leaf in cond.items()}
    return [leaf.repeat_interleave(count, 0) for leaf in cond]  # type: ignore[union-attr]
