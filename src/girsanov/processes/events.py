"""Paths that jump at times of their own: one record for chains and for point processes.

The rows of a batch have different numbers of events, so they are padded on the right; `mask` says what is there.
For a point process an entry is an event and its value the type. For a jump process the first entry is the start,
at `start`, and each entry holds the state that the path enters.
Oracle: tests/processes/test_events.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from girsanov.errors import require


@dataclass(frozen=True)
class Events:
    """What happened when, in each of B windows.

    Args:
        times: (B, T), increasing where `mask` is true, infinite where not.
        values: (B, T), the types of the events or the states entered.
        mask: (B, T), true for what happened; true entries come first.
        start, stop: (B,), the window that was observed.

    Raises:
        InputError: shapes that do not belong together.
    """

    times: Tensor
    values: Tensor
    mask: Tensor
    start: Tensor
    stop: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.times.shape)
        require(
            len(shape) == 2 and self.values.shape == self.times.shape == self.mask.shape,
            f"times {shape}, values {tuple(self.values.shape)} and mask {tuple(self.mask.shape)} must all be (B, T)",
        )
        require(
            self.start.shape == self.stop.shape == self.times.shape[:1],
            f"start {tuple(self.start.shape)} and stop {tuple(self.stop.shape)} must be ({shape[0]},), one a row",
        )

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: Any) -> Events:
        """Some of the rows: a slice, or a tensor of indices or of truth values."""
        require(not isinstance(rows, int), f"give events[{rows}:{rows}+1]; a part of a batch is a batch")
        return Events(self.times[rows], self.values[rows], self.mask[rows], self.start[rows], self.stop[rows])

    @property
    def counts(self) -> Tensor:
        """(B,), entries of each row."""
        return self.mask.sum(1)

    def at(self, times: Tensor) -> Tensor:
        """The last value entered by each of `times` (S,): the state of a jump process, (B, S).

        Raises:
            InputError: a row has no entry by the first of the times.
        """
        last = self.count(times) - 1
        require(
            bool((last >= 0).all()), "a row has no entry yet at the first of the times; ask from its first on"
        )
        return self.values.gather(1, last)

    def count(self, times: Tensor) -> Tensor:
        """How many entries each row has by each of `times` (S,), increasing: (B, S)."""
        asked = times.to(self.times).expand(len(self), -1).contiguous()
        return torch.searchsorted(self.times.contiguous(), asked, right=True)


def packed(times: Tensor, values: Tensor, mask: Tensor, start: Tensor, stop: Tensor) -> Events:
    """A record from entries of which some are dropped: what stays moves to the left, in order."""
    width = int(mask.sum(1).max()) if mask.numel() else 0
    times = torch.where(mask, times, torch.inf)
    if not bool((mask[:, 1:] & ~mask[:, :-1]).any()):  # nothing dropped but the end
        return Events(times[:, :width], values[:, :width], mask[:, :width], start, stop)
    order = (~mask).to(torch.uint8).argsort(stable=True, dim=1)
    times = times.gather(1, order)[:, :width]
    return Events(times, values.gather(1, order)[:, :width], mask.gather(1, order)[:, :width], start, stop)
