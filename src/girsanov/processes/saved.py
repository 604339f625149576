"""Processes on disk: names and numbers, from which `process_from` rebuilds them; no code is run.

A configuration without a `kind` is an `Interpolant`. The module of a process enters it here, by `kept_as`, with
`to_config`, whose dictionary says its `kind`, and `from_config`, which is given the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, Protocol, TypeVar

from girsanov.errors import InputError, choose, require


class Saved(Protocol):
    """A process that can be saved."""

    def to_config(self) -> dict: ...
    @classmethod
    def from_config(cls, config: dict) -> Any: ...


T = TypeVar("T")
S = TypeVar("S", bound=type[Saved])

KINDS: dict[str, type[Saved]] = {}
"""The kinds of process by the name they are saved under."""


def kept_as(kind: str) -> Callable[[S], S]:
    """Let processes of a class be saved and loaded under a name. A class decorator."""

    def enter(process: S) -> S:
        KINDS[kind] = process
        return process

    return enter


def process_from(config: dict) -> Any:
    """Rebuild a process from its configuration.

    Raises:
        UnknownName: a kind that does not exist.
        InputError: numbers that the kind refuses.
    """
    told = dict(config)
    return choose(str(told.pop("kind", "interpolant")), KINDS, "process").from_config(told)


def fields_of(process: Any, kind: str) -> dict[str, Any]:
    """The configuration of a dataclass of numbers."""
    return {"kind": kind, **asdict(process)}


def from_fields(process: type[T], config: dict[str, Any]) -> T:
    """Rebuild a dataclass of numbers.

    Raises:
        InputError: fields that it lacks, or values that are no finite numbers.
    """
    known = {field.name for field in fields(process)}  # type: ignore[arg-type]
    require(
        set(config) <= known,
        f"the saved process has {sorted(config)}; {process.__name__} has {sorted(known)}",
    )
    for name, value in config.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number:
            raise InputError(f"{name} of the saved process is {value!r}; it must be a finite number")
    return process(**config)
