"""`simulate`: paths of any process that can be drawn, with one signature."""

from __future__ import annotations

from torch import Tensor

from girsanov.errors import require, require_finite
from girsanov.noise import Noise, Randomness
from girsanov.processes.base import Simulable, need


def simulate(
    process: Simulable,
    x0: Tensor,
    times: Tensor,
    *,
    end: Tensor | None = None,
    seed: int | None = None,
    generator: Randomness = None,
) -> Tensor:
    """Draw one path of the process from each row of x0.

    Args:
        process: any `Simulable`.
        x0: (B, *shape), the states at times[0].
        times: (T,), increasing.
        end: (B, *shape), the other end of a bridge.
        seed: an integer, for the same paths again; or give `generator`.

    Returns:
        (B, T, *shape).

    Raises:
        InputError: bad times, NaN in x0, or an end that is missing or not wanted.
        Unsuitable: the process cannot be simulated.
    """
    require(seed is None or generator is None, "give seed or generator, not both")
    require_finite(x0, "x0")
    source = generator if seed is None else Noise(seed)
    return need(process, Simulable, "simulate").simulate(x0, times, end=end, generator=source)
