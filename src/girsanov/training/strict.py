"""JSON as it is saved here: objects without repeated names, finite numbers, no deep nests.

Python's parser takes NaN, Infinity, 1e999 and repeated names without a word. A file that was altered or made
to harm is refused before any value is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from girsanov.errors import SavedFileError, require

T = TypeVar("T")

LARGEST = 4 * 2**20
DEEPEST = 32


def parse(text: str, where: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: the content.
        where: the file, for messages.

    Raises:
        SavedFileError: it is no JSON object, or breaks one of the rules above.
    """
    require(
        len(text) <= LARGEST,
        f"{where} holds {len(text):,} characters of JSON; at most {LARGEST:,} are read",
        SavedFileError,
    )
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_number, parse_float=_number)
        require(isinstance(found, dict), "it is not an object { … }", SavedFileError)
        require(_depth_fits(found, DEEPEST), f"it is nested deeper than {DEEPEST} levels", SavedFileError)
    except RecursionError as error:
        raise SavedFileError(f"{where} is refused: it is nested deeper than {DEEPEST} levels.") from error
    except (ValueError, SavedFileError) as error:
        raise SavedFileError(f"{where} is refused: {error}. Restore it from a copy.") from error
    return found


def field(found: Mapping[str, Any], name: str, kind: type[T], where: str) -> T:
    """Take a field of a given type out of an object.

    Raises:
        SavedFileError: it is missing, or of another type.
    """
    require(name in found, f"{where} lacks the field {name!r}; restore it from a copy", SavedFileError)
    value = found[name]
    fits = isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)
    require(
        fits,
        f"{name} in {where} is {type(value).__name__}, and must be {kind.__name__}; restore it from a copy",
        SavedFileError,
    )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} stands twice in one object")
    return found


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _depth_fits(value: Any, left: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_depth_fits(item, left - 1) for item in inner)
