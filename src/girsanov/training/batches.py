"""Which rows a step sees: a function of (seed, step), so that a resumed run needs no state of a generator.

The rows are visited in epochs, each in a keyed random order; step k takes the places k·B to (k+1)·B - 1 of
the endless sequence. The noise of a step is keyed by (seed, step) and numbered by the place in the batch, so
that processes which share a batch draw what one process would have drawn.

Oracle: every epoch is a permutation, and parts of batches join to the whole (tests/training/test_batches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite
from girsanov.noise import Noise, uniform
from girsanov.typing import Tree

TRAIN, ORDER, SPLIT, VALIDATION, TRIAL, PARTNERS = range(6)
"""Scopes of a seed: what is random in a training, and must not share its draws with the rest."""


@dataclass(frozen=True)
class Batch:
    """The rows of one call of the objective, and its randomness."""

    x: Tensor
    cond: Tree
    end: Tensor | None
    rows: Tensor
    noise: Noise


class Order:
    """An endless sequence over `rows`, one keyed permutation after the other."""

    def __init__(self, rows: Tensor, source: Noise) -> None:
        self.rows, self.source = rows, source
        self._epochs: dict[int, Tensor] = {}

    def take(self, start: int, stop: int) -> Tensor:
        """The rows at the places start, …, stop - 1."""
        n, parts = len(self.rows), []
        for epoch in range(start // n, -(-stop // n)):
            offset = epoch * n
            parts.append(self._epoch(epoch)[max(start - offset, 0) : stop - offset])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {epoch: self.rows[permutation(len(self.rows), self.source, epoch)]}
        return self._epochs[epoch]


@dataclass(frozen=True)
class Data:
    """What is trained on, checked; `end` may be a second population of another size."""

    x: Tensor
    cond: Tree
    end: Tensor | None
    batch_size: int
    seed: int
    train: Tensor
    held_out: Tensor
    order: Order = field(repr=False)
    partners: Order | None = field(repr=False)

    @classmethod
    def checked(
        cls, x: Tensor, cond: Tree, end: Tensor | None, *, batch_size: int, validation: float, seed: int
    ) -> Data:
        """Refuse what cannot be trained on, and split the rows."""
        require(isinstance(x, Tensor), f"x is {type(x).__name__}; give a tensor (N, *shape)")
        require(
            x.ndim > 0 and (x.is_floating_point() or x.dtype == torch.int64),
            f"x is {x.dtype} {tuple(x.shape)}; give floating point numbers (N, *shape), scaled to about 1, "
            "or int64 for a process on discrete data",
        )
        require(
            x.shape[0] > 0 and x.numel() > 0, f"x is {tuple(x.shape)}, which is empty; give at least one row"
        )
        require_finite(x, "x")
        check_tree(cond, "cond", len(x))
        check_end(end, x)
        train, held_out = split(len(x), validation, seed)
        rows = len(x) if end is None else len(end)
        source = Noise(seed)
        # A second population of another size has an order of its own; one of equal size is paired by row.
        partners = None if rows == len(x) else Order(torch.arange(rows), source.child(PARTNERS))
        order = Order(train, source.child(ORDER))
        return cls(x.detach(), cond, end, batch_size, seed, train, held_out, order, partners)

    def batch(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The part of a step's batch that one of `ranks` processes works on."""
        share = self.batch_size // ranks
        start = step * self.batch_size + rank * share
        rows = self.order.take(start, start + share)
        others = rows if self.partners is None else self.partners.take(start, start + share)
        return self._batch(rows, others, Noise(self.seed).child(TRAIN).child(step).shifted(rank * share))

    def probe(self, scope: int, start: int, stop: int) -> Batch:
        """Held-out rows start, …, stop - 1 (training rows, to try) with noise that is always the same."""
        rows = (self.held_out if scope == VALIDATION else self.train)[start:stop]
        others = rows
        if self.partners is not None:
            others = torch.arange(start, start + len(rows)) % len(self.partners.rows)
        return self._batch(rows, others, Noise(self.seed).child(scope).shifted(start))

    def _batch(self, rows: Tensor, others: Tensor, noise: Noise) -> Batch:
        end = None if self.end is None else self.end[others]
        return Batch(self.x[rows], pick(self.cond, rows), end, rows, noise)


def split(n: int, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Which rows of n are trained on and which are held out; a function of its arguments alone.

    Args:
        n: the number of rows.
        fraction: the part to hold out, from 0 to below 1. At least one row is held out unless it is 0,
            and at least one is left to train on.
        seed: that of the training.

    Returns:
        The training rows and the held-out rows, each increasing, int64.

    Raises:
        InputError: nothing to split, or a fraction outside [0, 1).
    """
    require(0 <= fraction < 1, f"fraction is {fraction}; give a number from 0 to below 1")
    require(n >= 1, f"there are {n} rows; give at least one")
    require(
        n > 1 or fraction == 0, "one row cannot be split; give more rows, or hold out nothing: validation=0"
    )
    count = min(max(1, round(fraction * n)), n - 1) if fraction else 0
    shuffled = permutation(n, Noise(seed).child(SPLIT), 0)
    return shuffled[count:].sort().values, shuffled[:count].sort().values


def permutation(n: int, source: Noise, index: int) -> Tensor:
    """A keyed random order of 0, …, n - 1."""
    keys = source.draw(torch.empty(1, n, dtype=torch.float64), index, uniform)[0]
    return keys.argsort(stable=True)


def pick(tree: Tree, rows: Tensor) -> Tree:
    """The rows of every tensor of a tree."""
    return mapped(lambda tensor: tensor[rows], tree)


def mapped(change: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Change every tensor of a tree."""
    if tree is None or isinstance(tree, Tensor):
        return None if tree is None else change(tree)
    if isinstance(tree, Mapping):
        return {key: change(tensor) for key, tensor in tree.items()}
    return [change(tensor) for tensor in tree]


def leaves(tree: Tree, name: str) -> dict[str, Any]:
    """The tensors of a tree by name."""
    if tree is None or isinstance(tree, Tensor):
        return {} if tree is None else {name: tree}
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    return {f"{name}[{key!r}]": tensor for key, tensor in pairs}


def check_end(end: Tensor | None, x: Tensor) -> None:
    """Refuse an x_1 that is not shaped like x, but for the number of rows."""
    if end is not None:
        require(isinstance(end, Tensor), f"end is {type(end).__name__}; give a tensor like x")
        require(
            end.shape[1:] == x.shape[1:] and len(end) > 0 and end.is_floating_point(),
            f"end is {end.dtype} {tuple(end.shape)} and x is {x.dtype} {tuple(x.shape)}; give the same kind "
            "of samples, at least one",
        )
        require_finite(end, "end")


def check_tree(tree: Tree, name: str, length: int) -> None:
    """Refuse what is no batch-first tree of finite tensors, one row for each of `length` samples."""
    if not isinstance(tree, Tensor | Mapping | list | tuple | None):
        raise InputError(
            f"{name} is {type(tree).__name__}; give a tensor, or a dictionary or list of tensors"
        )
    for place, tensor in leaves(tree, name).items():
        require(isinstance(tensor, Tensor), f"{place} is {type(tensor).__name__}; give a tensor")
        require(tensor.ndim > 0, f"{place} is a single number; give one for each row of x")
        require(
            len(tensor) == length,
            f"{place} has {len(tensor)} rows and x has {length}; give one row for each, in the same order",
        )
        require_finite(tensor, place)
    require(tree is None or bool(leaves(tree, name)), f"{name} is empty; leave it out")
