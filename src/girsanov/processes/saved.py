"""Processes on disk: names and numbers, from which `process_from` rebuilds them; no code is run.

A configuration without a `kind` is an `Interpolant`. A kind of process joins the table below with a class that
has `to_config`, whose dictionary says its `kind`, and `from_config`.
"""

from __future__ import annotations

from typing import Any, Protocol

from girsanov.errors import choose
from girsanov.processes.constrained import Constrained
from girsanov.processes.interpolant import Interpolant
from girsanov.processes.masked import Masked
from girsanov.processes.remembering import Remembering


class Saved(Protocol):
    """A process that can be saved."""

    def to_config(self) -> dict: ...
    @classmethod
    def from_config(cls, config: dict) -> Any: ...


KINDS: dict[str, type[Saved]] = {
    "interpolant": Interpolant,
    "remembering": Remembering,
    "masked": Masked,
    "constrained": Constrained,
}
"""The kinds of process by the name they are saved under."""


def process_from(config: dict) -> Any:
    """Rebuild a process from its configuration.

    Raises:
        UnknownName: a kind that does not exist.
        InputError: numbers that the kind refuses.
    """
    fields = dict(config)
    return choose(str(fields.pop("kind", "interpolant")), KINDS, "process").from_config(fields)
