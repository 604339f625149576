"""Coordinates in which a process lives: data come in by `into`, samples go out by `out_of`.

    log      x > 0        u = log x              geometric noise: updates multiply, signs never flip
    logit    0 < x < 1    u = log(x/(1 - x))     shares and probabilities

Elementwise, with log|du/dx| for densities. Oracle: round trips, and log-densities against autograd
(tests/processes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from girsanov.errors import InputError


class Chart(NamedTuple):
    """An elementwise bijection; all three take and give (B, *shape)."""

    into: Callable[[Tensor], Tensor]
    out_of: Callable[[Tensor], Tensor]
    log_slope: Callable[[Tensor], Tensor]
    """log du/dx at x."""


def _log(x: Tensor) -> Tensor:
    _inside(x, x > 0, "above 0", "add an offset, as in (x - x.min()) + 1")
    return x.log()


def _logit(x: Tensor) -> Tensor:
    _inside(x, (x > 0) & (x < 1), "between 0 and 1", "rescale, as in 0.01 + 0.98 x")
    return x.logit()


def _inside(x: Tensor, legal: Tensor, where: str, advice: str) -> None:
    if not legal.all():  # a message is for the batch that fails
        raise InputError(
            f"{int((~legal).sum())} of {x.numel()} values lie outside the chart (the least is "
            f"{float(x.min()):.4g}, the largest {float(x.max()):.4g}); it needs values {where}: {advice}"
        )


CHARTS: dict[str, Chart] = {
    "identity": Chart(lambda x: x, lambda u: u, lambda x: x * 0),
    "log": Chart(_log, lambda u: u.exp(), lambda x: -x.log()),
    "logit": Chart(_logit, lambda u: u.sigmoid(), lambda x: -(x * (1 - x)).log()),
}
"""The charts by name."""
