"""Which x_1 goes with which x_0 in a training batch, and where the flow starts for it.

A flow or two-sided interpolant is trained on pairs (x_0, x_1). Any coupling of the two marginals trains a
flow between them; pairs that are close give straighter paths and fewer network calls.

A conditional model learns a flow for every label c, from the law of x_1 to that of x_0 given c. Transport
over the whole batch would bend this: noise near a class would go to that class, so the noise seen with
a label would no longer have the law that sampling starts from. Transport is therefore solved inside every
class, where x_1 keeps its law because a row's label is independent of its x_1.

A flow that restores starts from an estimate, f(x_1) + σ z, of the x_0 that x_1 was made of.

Oracle: all permutations of few points; the law of the noise given a label (tests/transport/
test_couplings.py).
Source: Pooladian et al. (2023), Multisample flow matching; Tong et al. (2024), Improving and generalizing
flow-based generative models with minibatch optimal transport; Ohayon et al. (2024), Posterior-mean rectified
flow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from girsanov.errors import InputError, require
from girsanov.noise import Randomness, as_source
from girsanov.transport.exact import optimal_plan, require_pairs
from girsanov.transport.points import matched_points, squared_distances
from girsanov.typing import Tree


class Coupling(Protocol):
    """Chooses or makes the partner of every row of x0, which stays in place with its cond.

    Called as `x1 = coupling(x0, x1, cond=cond, generator=generator)` with x0: (B, *shape) and
    x1: (B, *shape); returns (B, *shape), the partners. `generator` is for couplings that draw.
    """

    def __call__(
        self, x0: Tensor, x1: Tensor, *, cond: Tree = None, generator: Randomness = None
    ) -> Tensor: ...


@dataclass(frozen=True)
class Independent:
    """Leaves the rows as they were drawn: x1 independent of x0, as noise is.

    Aligned data (row i of x1 belongs to row i of x0) stay aligned. Fits every `cond`.
    """

    def __call__(self, x0: Tensor, x1: Tensor, *, cond: Tree = None, generator: Randomness = None) -> Tensor:
        """Return x1: (B, *shape) as it is.

        Raises:
            InputError: x0 and x1 have different numbers of rows.
        """
        _require_pairs_of_rows(x0, x1)
        return x1


@dataclass(frozen=True)
class MinibatchOT:
    """Permutes x1 to the least total squared distance, inside every class if there are labels.

    Needs POT (`pip install 'girsanov[ot]'`). Of 256 pairs it takes 3 ms, of 1,024 it takes 0.1 s. Not for
    continuous conditions, and of little use where a batch holds only a few rows of each class: the gain
    grows with their number. Pooladian et al. (2023), section 3.
    """

    def __call__(self, x0: Tensor, x1: Tensor, *, cond: Tree = None, generator: Randomness = None) -> Tensor:
        """Return x1 permuted; deterministic, `generator` is not used.

        Args:
            x0: (B, *shape).
            x1: (B, *shape).
            cond: None, or integer labels (B,) or (B, k); rows with equal labels form a class.

        Raises:
            InputError: bad samples, unequal sizes, or a `cond` that is not labels.
            MissingExtra: POT is not installed.
        """
        _require_pairs_of_rows(x0, x1)
        with torch.no_grad():
            a, b = matched_points(x0, x1, names=("x0", "x1"))
            everyone = torch.arange(len(a), device=a.device)
            partner = torch.empty_like(everyone)
            for rows in _classes(cond, everyone):
                require_pairs(len(rows), len(rows))
                plan = optimal_plan(squared_distances(a[rows], b[rows]))
                partner[rows] = rows[plan.argmax(1)]  # equal weights: the plan is a permutation
        return x1[partner]


@dataclass(frozen=True)
class RestorationCoupling:
    """Puts the estimate f(x1) + σ z of x0 in the place of x1, what x0 was degraded to: pairs (x, f(y) + σ z).

    The noise gives the start of the flow a density, where estimates lie on a thinner set than the data.
    Ohayon et al. (2024), arXiv 2410.00418.

    Args:
        predictor: x1 (B, *shape) to estimates (B, *shape). A module must be frozen, since it is no part of what
            is trained: `predictor.eval().requires_grad_(False)`.
        std: σ, at least 0. The paper takes 0.1 for images in [0, 1], and 0.025 to remove noise.

    Raises:
        InputError: a predictor that still learns, σ below 0; when called, an estimate of another shape.
    """

    predictor: Callable[[Tensor], Tensor]
    std: float = 0.1

    def __post_init__(self) -> None:
        require(callable(self.predictor), f"predictor is {self.predictor!r}; give a function or a module")
        require(0 <= self.std < math.inf, f"std is {self.std}; give a number of at least 0, such as 0.1")
        if isinstance(self.predictor, nn.Module):
            learns = self.predictor.training or any(p.requires_grad for p in self.predictor.parameters())
            require(
                not learns,
                "the predictor still learns, and its estimates are the start of the flow; train it first, then "
                "freeze it: predictor.eval().requires_grad_(False)",
            )

    def __call__(self, x0: Tensor, x1: Tensor, *, cond: Tree = None, generator: Randomness = None) -> Tensor:
        """Where the flow starts for each row, (B, *shape); `cond` is not used."""
        _require_pairs_of_rows(x0, x1)
        return self.start(x1, generator=generator)

    @torch.no_grad()
    def start(self, x1: Tensor, *, generator: Randomness = None) -> Tensor:
        """f(x1) + σ z, (B, *shape), for x1 (B, *shape) alone, as sampling needs it."""
        estimate = self.predictor(x1)
        require(
            estimate.shape == x1.shape,
            f"the predictor answered {tuple(estimate.shape)} to {tuple(x1.shape)}; it must keep the shape, so "
            "enlarge or expand x1 before",
        )
        return estimate if self.std == 0 else estimate + self.std * as_source(generator).draw(estimate, 0)


def _require_pairs_of_rows(x0: Tensor, x1: Tensor) -> None:
    for x, name in ((x0, "x0"), (x1, "x1")):
        require(isinstance(x, Tensor) and x.ndim > 0, f"{name} is not a batch; give a tensor (B, *shape)")
    require(len(x0) == len(x1), f"x0 has {len(x0)} rows and x1 {len(x1)}; give one x1 for every x0")


def _classes(cond: Tree, rows: Tensor) -> list[Tensor]:
    """Split the row numbers (B,) by label."""
    if cond is None:
        return [rows]
    if not isinstance(cond, Tensor) or cond.is_floating_point() or cond.is_complex():
        what = f"a {cond.dtype} tensor" if isinstance(cond, Tensor) else f"a {type(cond).__name__}"
        raise InputError(
            f"cond is {what}; MinibatchOT pairs inside classes and takes integer labels (B,) or (B, k). "
            "Use Independent() for other conditions."
        )
    require(
        cond.ndim > 0 and len(cond) == len(rows),
        f"cond has shape {tuple(cond.shape)} for {len(rows)} rows; give one label for every row of x0",
    )
    _, label = torch.unique(cond.reshape(len(rows), -1), dim=0, return_inverse=True)
    label = label.to(rows.device)
    return [rows[label == k] for k in label.unique()]
