"""Text files as rows of letters: windows of equal length, numbered by the letters that occur.

The text is cut into windows one after the other, without overlap, so that held-out windows are unseen; what is left at
the end is dropped. Line ends are letters like all others, those of Windows read as those of Unix.

Oracle: decode(encode(text)) is the text (tests/data/test_texts.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from girsanov.data.checks import field
from girsanov.errors import SavedFileError, require
from girsanov.typing import Shape

WINDOW = 64
"""Letters of a row."""
MOST_LETTERS = 4096
"""Different ones: more is no alphabet."""


@dataclass(frozen=True)
class TextCodec:
    """Rows of `length` letters out of `letters`, in order; int64 from 0."""

    kind: ClassVar[str] = "text"
    letters: str
    length: int

    def __post_init__(self) -> None:
        require(self.length >= 1, f"length is {self.length}; give at least 1")
        require(
            len(set(self.letters)) == len(self.letters) and 2 <= len(self.letters) <= MOST_LETTERS,
            f"the text has {len(self.letters)} letters; give 2 to {MOST_LETTERS:,} different ones",
        )

    @property
    def shape(self) -> Shape:
        """(length,)."""
        return (self.length,)

    @classmethod
    def learn(cls, text: str, length: int = WINDOW) -> TextCodec:
        """The alphabet of a text, sorted. Raises InputError where there is only one letter, or thousands."""
        return cls("".join(sorted(set(text))), length)

    def encode(self, text: str, name: str = "the text") -> Tensor:
        """Windows of a text, (N, length), int64.

        Raises:
            InputError: fewer letters than a window, or a letter that is not among `letters`.
        """
        require(
            len(text) >= self.length,
            f"{name} has {len(text)} letters, and one window takes {self.length}. Give a longer text.",
        )
        known = np.array([ord(letter) for letter in self.letters])
        order = known.argsort()
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4").astype(np.int64)
        place = order[np.searchsorted(known[order], codes).clip(max=len(order) - 1)]
        strange = np.unique(codes[known[place] != codes])
        require(
            len(strange) == 0,
            f"{name} has the letters {''.join(map(chr, strange[:20]))!r}, which the model's text had not. "
            "Leave them out.",
        )
        rows = len(place) // self.length
        return torch.from_numpy(place[: rows * self.length].reshape(rows, self.length))

    def decode(self, x: Tensor) -> list[str]:
        """The text of each row (N, length) of numbers."""
        require(
            tuple(x.shape[1:]) == self.shape and not x.is_floating_point(),
            f"x is {x.dtype} {tuple(x.shape)}; this codec decodes integers (N, {self.length})",
        )
        low, high = (int(end) for end in x.aminmax()) if x.numel() else (0, 0)
        require(
            low >= 0 and high < len(self.letters),
            f"x runs from {low} to {high}; there are {len(self.letters)} letters, numbered from 0",
        )
        return ["".join(self.letters[i] for i in row) for row in x.tolist()]

    def to_config(self) -> dict[str, Any]:
        """The fields, as JSON takes them."""
        return {"kind": self.kind, "letters": self.letters, "length": self.length}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TextCodec:
        """The inverse of `to_config`. Raises SavedFileError or InputError."""
        return cls(field(config, "letters", str), field(config, "length", int))


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        SavedFileError: it cannot be read, is empty, or is in another encoding; the first bad byte is told.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise SavedFileError(f"{path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SavedFileError(
            f"{path} is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}. Save it as UTF-8, as with "
            "iconv -f latin1 -t utf-8."
        ) from error
    require(text != "", f"{path} is empty. Give a text.", SavedFileError)
    return text.replace("\r\n", "\n").replace("\r", "\n")
