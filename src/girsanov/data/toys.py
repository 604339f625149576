"""Two-dimensional toy laws: the usual pictures on which a generative model is tried first.

Every function draws (n, 2) float32 points of order one. `noise` is the standard deviation of the Gaussian
that is added to each coordinate; with noise = 0 the points lie on the curve or in the region that the
docstring states, which is the oracle (tests/data/test_toys.py). Point i is keyed by its number: with a
`Noise` it does not depend on n.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.noise import Randomness, as_source, uniform


def moons(n: int, *, noise: float = 0.1, generator: Randomness = None) -> Tensor:
    """Two interlocking half circles: (cos a, sin a) and (1 − cos a, 1/2 − sin a), a uniform on [0, π].

    Args:
        n: number of points.
        noise: standard deviation per coordinate, at least 0.

    Returns:
        (n, 2) float32.

    Raises:
        InputError: n or noise below 0.
    """
    u, z = _draws(n, noise, generator)
    upper, angle = u[:, 0] < 0.5, math.pi * u[:, 1]
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    return torch.stack([x, y], dim=1) + noise * z


def circles(n: int, *, noise: float = 0.05, generator: Randomness = None) -> Tensor:
    """Two circles around 0, of radius 1 and 1/2, half of the points on each. Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    return _polar(torch.where(u[:, 0] < 0.5, 1.0, 0.5), 2 * math.pi * u[:, 1]) + noise * z


def checkerboard(n: int, *, noise: float = 0.0, generator: Randomness = None) -> Tensor:
    """Uniform on the squares with even i + j of the 4 × 4 board on [−2, 2]². Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    x, y = 4 * u[:, 0], 4 * u[:, 1]
    # y keeps its place within its square; its row is moved to the parity of the column.
    row = 2 * (y / 2).floor() + (x.floor() % 2)
    return torch.stack([x, row + (y / 2).frac()], dim=1) - 2 + noise * z


def swiss_roll(n: int, *, noise: float = 0.02, generator: Randomness = None) -> Tensor:
    """The spiral r = a / 4.5π, a uniform on [1.5π, 4.5π]. Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    angle = 1.5 * math.pi * (1 + 2 * u[:, 0])
    return _polar(angle / (4.5 * math.pi), angle) + noise * z


def spirals(n: int, *, noise: float = 0.02, generator: Randomness = None) -> Tensor:
    """Two spirals r = √u, at angles 3π r and 3π r + π with u uniform. Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    radius = u[:, 1].sqrt()
    return _polar(radius, 3 * math.pi * radius + math.pi * (u[:, 0] < 0.5)) + noise * z


def pinwheel(n: int, *, noise: float = 0.05, generator: Randomness = None) -> Tensor:
    """Five bent arms: r uniform on [0.2, 1], angle 2π k / 5 + r, k uniform. Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    radius = 0.2 + 0.8 * u[:, 1]
    return _polar(radius, 2 * math.pi / 5 * (5 * u[:, 0]).floor() + radius) + noise * z


def ring(n: int, *, noise: float = 0.05, generator: Randomness = None) -> Tensor:
    """The unit circle. Arguments as for `moons`."""
    u, z = _draws(n, noise, generator)
    return _polar(torch.ones(n), 2 * math.pi * u[:, 0]) + noise * z


def ring_of_gaussians(n: int, *, noise: float = 0.1, modes: int = 8, generator: Randomness = None) -> Tensor:
    """Equal Gaussians of standard deviation `noise`, centred at angles 2π k / modes of the unit circle.

    Args:
        n: number of points.
        noise: standard deviation of each mode, at least 0.
        modes: at least 1.

    Returns:
        (n, 2) float32.
    """
    require(modes >= 1, f"modes is {modes}; give 1 or more")
    u, z = _draws(n, noise, generator)
    return _polar(torch.ones(n), 2 * math.pi / modes * (modes * u[:, 0]).floor()) + noise * z


Toy = Callable[..., Tensor]

TOYS: dict[str, Toy] = {
    toy.__name__: toy
    for toy in (moons, circles, checkerboard, swiss_roll, spirals, pinwheel, ring, ring_of_gaussians)
}
"""The toys by name."""


def _draws(n: int, noise: float, generator: Randomness) -> tuple[Tensor, Tensor]:
    """Two uniform and two normal numbers for each point."""
    require(isinstance(n, int) and n >= 0, f"n is {n}; give a number of points, 0 or more")
    require(math.isfinite(noise) and noise >= 0, f"noise is {noise}; give a standard deviation, 0 or more")
    source, like = as_source(generator), torch.empty(n, 2)
    return source.draw(like, 0, uniform), source.draw(like, 1)


def _polar(radius: Tensor, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
