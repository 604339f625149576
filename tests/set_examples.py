"""One set of every kind, and an independent test of membership for each."""

from itertools import combinations

import numpy as np
import torch

from girsanov.processes import Box, Polygon, Polytope, Simplex, SPDTrace, Union

STAR = Polygon(
    [(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (1.2, 0.6), (0.0, 2.0)], holes=[[(0.2, 0.2), (0.6, 0.2), (0.4, 0.5)]]
)
CUT = Polytope(
    [[-1.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, -1.0], [1.0, 2.0, 3.0], [1.0, 0.0, 0.0]],
    [0.0, 0.0, 0.0, 6.0, 2.0],
)
APART = Union((Box([0.0, 0.0], [1.0, 1.0]), Box([0.5, 0.5], [2.0, 1.5])))
SETS = {
    "box": Box([-1.0, 0.0, 2.0], [1.0, 0.5, 5.0]),
    "simplex": Simplex(10),
    "polytope": CUT,
    "polygon": STAR,
    "matrices": SPDTrace(2, 1.5),
    "matrices 3": SPDTrace(3, 2.0),
    "union": APART,
}


def within(name, x):
    """Membership by another formula, (B,) bool, in float64."""
    y = x.double().numpy()
    if name == "box":
        return (np.abs((y - [0.0, 0.25, 3.5]) / [1.0, 0.25, 1.5]) <= 1).all(1)
    if name == "simplex":
        return np.abs(y).sum(1) + np.abs(1 - y.sum(1)) <= 1 + 1e-12  # all terms of one sign
    if name == "polytope":
        return (y >= 0).all(1) & (y[:, 0] <= 2) & (y @ [1.0, 2.0, 3.0] <= 6)
    if name == "polygon":
        return even_odd(y)
    if name == "union":
        return ((y >= 0) & (y <= 1)).all(1) | ((y >= 0.5) & (y <= [2.0, 1.5])).all(1)
    n, bound = (2, 1.5) if name == "matrices" else (3, 2.0)
    S = np.zeros((len(y), n, n))
    S[:, range(n), range(n)] = y[:, :n]
    for k, (i, j) in enumerate(combinations(range(n), 2)):
        S[:, i, j] = S[:, j, i] = y[:, n + k] / 2**0.5
    values = np.linalg.eigvalsh(S)
    return (values[:, 0] > 0) & (values.sum(1) <= bound + 1e-12)


def even_odd(y):
    """The number of edges that a ray to the right crosses is odd."""
    crossed = np.zeros(len(y), int)
    for ring in (STAR.vertices, *STAR.holes):
        for (ax, ay), (bx, by) in zip(ring, (*ring[1:], ring[0]), strict=True):
            if ay != by:
                between = (ay > y[:, 1]) != (by > y[:, 1])
                crossed += between & (y[:, 0] < ax + (y[:, 1] - ay) * (bx - ax) / (by - ay))
    return crossed % 2 == 1


def around(inside, n, seed=0):
    """Uniform points of a box a tenth larger on all sides than the set's, float64."""
    low, high = (torch.tensor(end, dtype=torch.float64) for end in inside.bounds)
    u = torch.rand(n, inside.features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (1.2 * u - 0.1) * (high - low)
