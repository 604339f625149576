"""What can go wrong, and how it is said: what was given, what is accepted, what to do.

Every class derives from `GirsanovError`, so the command line can tell a user's mistake (one message,
exit code 2) from a fault of ours (a traceback).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class GirsanovError(Exception):
    """Base of every error raised on purpose."""


class InputError(GirsanovError, ValueError):
    """A value, shape or combination that is refused before any work."""


class UnknownName(InputError, KeyError):
    """A name that is not in a registry; the message offers the nearest ones."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


class Unsuitable(InputError, TypeError):
    """Two things that do not fit together, such as a solver and a process."""


class NotFinite(GirsanovError, ArithmeticError):
    """NaN or infinity met while training or sampling."""


class SavedFileError(GirsanovError, OSError):
    """A saved file that is missing, truncated, foreign, or could not be written."""


class MissingExtra(GirsanovError, ImportError):
    """An optional package is needed and is not installed."""


def require(condition: bool, message: str, error: type[GirsanovError] = InputError) -> None:
    """Raise `error(message)` unless the condition holds."""
    if not condition:
        raise error(message)


def require_finite(values: Tensor, name: str) -> None:
    """Refuse NaN and infinity, naming the index of the first bad element.

    Args:
        values: any shape; integer tensors pass.
        name: what the user calls it.
    """
    if not (values.is_floating_point() or values.is_complex()) or values.numel() == 0:
        return
    if torch.isfinite(values.sum()):  # one pass for good data; a sum may overflow, hence the second look
        return
    bad = ~torch.isfinite(values)
    if bad.any():
        index = tuple(bad.nonzero()[0].tolist())
        raise InputError(
            f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first "
            f"({values[index].item()}) at index {index}. Give finite numbers: drop or fill those rows first."
        )


def choose(name: str, options: Mapping[str, T], kind: str) -> T:
    """Look a name up, or offer the nearest ones."""
    if name in options:
        return options[name]
    raise UnknownName(unknown(name, options, kind))


def unknown(name: str, options: Iterable[str], kind: str) -> str:
    """The message for a name that is not among the options."""
    known = sorted(options)
    near = difflib.get_close_matches(str(name), known, n=2, cutoff=0.4)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"unknown {kind} {name!r}; known are {', '.join(known)}.{hint}"


def extra(module: str, name: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        module: dotted name, such as "diffusers".
        name: the extra of `pip install girsanov[name]` that holds it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise MissingExtra(
            f"this needs the package {module.partition('.')[0]}, which could not be imported ({missing}). "
            f"Install it with: pip install 'girsanov[{name}]'"
        ) from missing
