"""Samples as points: flattened, in float64, checked once, compared in blocks.

    |a − b|² = |a|² + |b|² − 2 a·b

after moving the origin to the median of b, so that neither a far origin nor one far point costs
digits. What is left under `COINCIDE` of |a|² + |b|² is rounding and is set to zero: points closer than
3e-7 of their norm coincide, hence copies are at distance exactly 0.

Oracle: `torch.cdist` on differences (tests/transport/test_points.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from girsanov.errors import InputError, require, require_finite

BLOCK = 2**22
"""Most entries of a distance matrix that are alive at once where only its sums or minima are needed."""

COINCIDE = 1e-13
LARGEST = 1e150


def as_points(x: Tensor, name: str = "x", least: int = 1) -> Tensor:
    """Flatten the events of a sample to float64 vectors.

    Args:
        x: (N, *shape), real and finite; integers and booleans pass.
        name: what the user calls it.
        least: the smallest N accepted.

    Returns:
        (N, D), differentiable in x.

    Raises:
        InputError: not a real tensor, too few rows, events without elements, NaN, infinity, or
            values above 1e150.
    """
    if not isinstance(x, Tensor):
        raise InputError(f"{name} is a {type(x).__name__}; give a torch tensor (N, *shape)")
    require(x.ndim > 0, f"{name} is a single number; give a tensor (N, *shape) with one row per sample")
    require(not x.is_complex(), f"{name} is {x.dtype}; give real numbers, such as torch.view_as_real({name})")
    require(x.shape[0] >= least, f"{name} has {x.shape[0]} samples; give at least {least}")
    require(
        x.numel() > 0, f"{name} has shape {tuple(x.shape)}: its events are empty; give at least one element"
    )
    require_finite(x, name)
    points = x.reshape(x.shape[0], -1).to(torch.float64)
    largest = float(points.detach().abs().max())
    require(largest < LARGEST, f"{name} holds {largest:.1e}, whose square overflows; rescale the data first")
    return points


def matched_points(
    x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y"), least: int = 1
) -> tuple[Tensor, Tensor]:
    """Flatten two samples of events of one shape; x: (N, *shape), y: (M, *shape).

    Raises:
        InputError: as `as_points`, and for events of different shapes or devices.
    """
    a, b = as_points(x, names[0], least), as_points(y, names[1], least)
    shapes = tuple(x.shape[1:]), tuple(y.shape[1:])
    require(
        shapes[0] == shapes[1],
        f"events of {names[0]} have shape {shapes[0]} and those of {names[1]} {shapes[1]}; give equal ones",
    )
    require(
        a.device == b.device,
        f"{names[0]} is on {a.device} and {names[1]} on {b.device}; move one with .to(...)",
    )
    return a, b


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """|a_i − b_j|² for a: (N, D), b: (M, D), as (N, M); differentiable."""
    origin = b.detach().median(0).values
    return _expanded(a - origin, b - origin)


def blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of `squared_distances(a, b)`, a block at a time, as (which rows, their values)."""
    origin = b.detach().median(0).values
    a, b = a - origin, b - origin
    size = max(1, BLOCK // b.shape[0])
    for start in range(0, a.shape[0], size):
        rows = slice(start, min(start + size, a.shape[0]))
        yield rows, _expanded(a[rows], b)


def _expanded(a: Tensor, b: Tensor) -> Tensor:
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    squared = torch.addmm(norms, a, b.T, alpha=-2)
    return torch.where(squared > COINCIDE * norms, squared, 0.0)


def root(squared: Tensor) -> Tensor:
    """The square root, with derivative 0 instead of infinity at 0."""
    apart = squared > 0
    return torch.where(apart, squared, 1.0).sqrt() * apart
