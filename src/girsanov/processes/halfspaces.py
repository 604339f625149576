"""Linear programs over A x ≤ b: the box around it, and the largest ball within.

Oracle: corners known in closed form, sets that are empty, flat or unbounded (tests/processes/test_sets.py).
Source: Boyd & Vandenberghe (2004), Convex optimization, section 8.5.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from girsanov.errors import InputError, require


def extent(rows: Tensor, right: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The box around A x ≤ b, by linear programs.

    Raises:
        InputError: it is empty, has no interior, or is unbounded.
    """
    radius = float(largest_ball(rows, right)[1])
    require(
        radius > 0,
        f"the polytope is empty or has no interior: the largest ball inside has radius {radius:.3g}. Loosen b, or "
        "write what an equation leaves free in coordinates of its own",
    )
    ends: list[tuple[float, ...]] = []
    for sign in (1.0, -1.0):
        found = []
        for i in range(rows.shape[1]):
            cost = [0.0] * rows.shape[1]
            cost[i] = sign
            solved = _minimum(cost, rows, right)
            if solved is None:
                raise InputError(
                    f"the polytope is unbounded {'below' if sign > 0 else 'above'} along coordinate {i}; add facets, "
                    "such as bounds on every coordinate"
                )
            found.append(solved[i])
        ends.append(tuple(found))
    return ends[0], ends[1]


def largest_ball(rows: Tensor, right: Tensor) -> tuple[tuple[float, ...], float]:
    """The Chebyshev centre of A x ≤ b and its distance to the boundary; below 0 if the set is empty.

    Source: Boyd & Vandenberghe (2004), Convex optimization, section 8.5.1.
    """
    wide = torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)
    cap = torch.zeros(1, wide.shape[1], dtype=torch.float64)
    cap[0, -1] = 1  # an unbounded set holds balls of any radius
    limit = torch.cat([right, right.abs().max().reshape(1) + 1])
    found = _minimum([0.0] * rows.shape[1] + [-1.0], torch.cat([wide, cap]), limit)
    return (found[:-1], found[-1]) if found is not None else ((), -math.inf)


def _minimum(cost: list[float], rows: Tensor, right: Tensor) -> tuple[float, ...] | None:
    """The minimizer of cost · x over A x ≤ b, or None where there is none."""
    from scipy.optimize import linprog  # slow to import

    solved = linprog(cost, A_ub=rows.numpy(), b_ub=right.numpy(), bounds=(None, None))
    return tuple(float(v) for v in solved.x) if solved.status == 0 else None
