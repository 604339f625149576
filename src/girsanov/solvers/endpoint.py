"""How far a sampler ends from a fine one that starts at the same noise: what searches for samplers minimize.

A plan follows the probability flow from x_1 to x_0. The flow's own end is found once, by a fine *teacher*
plan; a candidate is then judged sample by sample, without any noise of estimation:

    d_i = ‖plan(x_i) - end_i‖ / (√dim · s),    s the standard deviation of the ends,                    (1)
    loss = mean_i √(d_i² + c²) - c.                                                                     (2)

The pseudo-Huber loss (2) is nearly the mean distance; with squares instead, the few samples that
fall between two modes of the data would rule the search.
Source: Song & Dhariwal (2023), section 3.3, for the loss; Liu et al. (2023), USF, for the search.
Oracle: the teacher is at distance 0 from itself; distances by hand (tests/solvers/test_search.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, require, require_finite
from girsanov.noise import Noise, uniform
from girsanov.solvers.plan import Plan
from girsanov.solvers.sampling import Sampler
from girsanov.solvers.tensorplan import TensorPlan
from girsanov.typing import Time, Tree

ROWS = 1
"""The scope of the draws that give every noise its condition."""

CHUNK = 256
"""Samples that the teacher moves at a time."""


class AnswersData(AbstractDenoiser):
    """A model that answers with `data` whatever it stores, so that one plan in data form suits it."""

    stored = ("data",)

    def __init__(self, model: AbstractDenoiser) -> None:
        super().__init__()
        self.model, self.process, self.shape = model, model.process, model.shape

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.model.data(x, t, cond=cond, anchor=anchor),)


@dataclass(frozen=True, eq=False)
class Endpoints:
    """Noises, and where the flow takes them.

    Attributes:
        model: answers with `data`.
        x: (B, *shape), draws of the reference law.
        end: (B, *shape), where the teacher takes them.
        cond, anchor: of each sample, or None.
        scale: s of equation (1).
    """

    model: AnswersData
    x: Tensor
    end: Tensor
    cond: Tree = None
    anchor: Tensor | None = None
    scale: float = 1.0

    @classmethod
    def of(
        cls,
        model: AbstractDenoiser,
        teacher: Sampler,
        n: int,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        noise: Noise,
    ) -> Endpoints:
        """Draw n noises and run the teacher on them.

        Args:
            model: of known `shape`; exact ones are run in float64.
            teacher: a sampler of many calls, deterministic.
            n: how many, at least 1.
            cond: rows of conditions, of which every noise is given one at random; None for none.
            anchor: (rows, *shape) likewise, drawn together with cond.
            noise: where the draws come from.

        Raises:
            InputError: the shape of a sample is not known, or cond and anchor differ in their rows.
        """
        require(n >= 1, f"noises is {n}; give at least 1")
        require(
            model.shape is not None, "the model does not know the shape of a sample; set model.shape first"
        )
        assert model.shape is not None
        some = next(model.parameters(), None)
        dtype, device = (torch.float64, "cpu") if some is None else (some.dtype, some.device)
        rows = _rows(cond, anchor, n, noise.child(ROWS))
        cond, anchor = _pick(cond, rows, device), _pick(anchor, rows, device)
        empty = torch.empty(n, *model.shape, dtype=dtype, device=device)
        x = model.process.reference(empty, anchor=anchor, generator=noise)
        parts = []
        with torch.no_grad():
            for first in range(0, n, CHUNK):
                part = torch.arange(first, min(first + CHUNK, n))
                some_cond, some_anchor = _pick(cond, part, device), _pick(anchor, part, device)
                parts.append(teacher(model, x[part], cond=some_cond, anchor=some_anchor))
        end = torch.cat(parts)
        require_finite(end, "the end of the teacher")
        scale = float(end.double().std()) if end.numel() > 1 else 1.0
        return cls(AnswersData(model), x, end, cond, anchor, scale or 1.0)

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> Endpoints:
        """Some of the samples, under the same scale."""
        device = self.x.device
        cond, anchor = _pick(self.cond, rows, device), _pick(self.anchor, rows, device)
        return replace(self, x=self.x[rows], end=self.end[rows], cond=cond, anchor=anchor)

    def distances(self, plan: Plan | TensorPlan) -> Tensor:
        """d of equation (1) for each sample, (B,), differentiable in a TensorPlan in data words."""
        found = plan(self.model, self.x, cond=self.cond, anchor=self.anchor)
        gap = (found - self.end).flatten(1).double()
        # The norm has no derivative where a plan hits the end exactly, as one of a single point does.
        square = gap.square().mean(1) / self.scale**2
        return (square + torch.finfo(square.dtype).tiny).sqrt()


def pseudo_huber(distances: Tensor, c: float) -> Tensor:
    """Equation (2), a number."""
    return ((distances.square() + c**2).sqrt() - c).mean()


def _rows(cond: Tree, anchor: Tensor | None, n: int, noise: Noise) -> Tensor:
    """Which row of the conditions each noise is given, (n,)."""
    counts = {len(leaf) for leaf in [*_leaves(cond), *_leaves(anchor)]}
    if not counts:
        return torch.arange(n)
    require(
        len(counts) == 1 and min(counts) > 0,
        f"cond and anchor have {' and '.join(map(str, sorted(counts)))} rows; give as many of each, at least one",
    )
    u = noise.draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0]
    return (u * counts.pop()).long()


def _leaves(tree: Tree) -> list[Tensor]:
    if tree is None:
        return []
    if isinstance(tree, Tensor):
        return [tree]
    leaves = list(tree.values() if isinstance(tree, Mapping) else tree)
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise InputError(
            "cond holds something else than tensors; give a tensor, a dictionary or a list of them"
        )
    return leaves


def _pick(tree: Tree, rows: Tensor, device: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return tree[rows.to(tree.device)].to(device)
    if isinstance(tree, Mapping):
        return {name: leaf[rows].to(device) for name, leaf in tree.items()}
    return [leaf[rows].to(device) for leaf in tree]
