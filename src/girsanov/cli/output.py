"""Samples as files: what `data.write` does, with the column of classes put back into a table.

Oracle: what is written is read again with the column that was split off (tests/cli/test_sample.py).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from girsanov.cli.runs import Run
from girsanov.data import TableCodec
from girsanov.data import write as write_rows
from girsanov.data.columns import CategoryColumn
from girsanov.data.dataset import dtype_of
from girsanov.data.writing import FORMATS
from girsanov.errors import choose


def prepare(path: Path, run: Run) -> None:
    """Make sure that samples can be written there, before they are drawn; the folder is made.

    Raises:
        UnknownName: an ending that is no format.
        InputError: a format that cannot hold such samples.
    """
    encode = choose(path.suffix.lower(), FORMATS, "file ending")
    encode(torch.zeros(1, *run.codec.shape, dtype=dtype_of(run.codec)), run.codec)
    path.parent.mkdir(parents=True, exist_ok=True)


def write(path: Path, x: Tensor, run: Run, cond: Tensor | None) -> None:
    """Write samples (n, *shape) of classes cond (n,) in the units of the data."""
    codec, label = run.codec, None if run.origin is None else run.origin.label
    if cond is not None and label is not None and isinstance(codec, TableCodec):
        codec = TableCodec((*codec.columns, CategoryColumn(label, "object", run.classes)))
        x = torch.cat([x, 2.0 * F.one_hot(cond, len(run.classes)) - 1.0], 1)
    write_rows(path, x, codec)
