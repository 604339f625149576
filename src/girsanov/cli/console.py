"""What the command says, and where: results on standard output, progress and complaints on standard error.

Lines are printed as they are, never folded or coloured, so that a path can be copied and a script can read
it; only tables and progress bars know about the terminal. `rich` obeys NO_COLOR, TERM=dumb and COLUMNS.

Oracle: tests/cli/test_edges.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 120
"""Columns of a table that does not go to a terminal."""

Tick = Callable[[int], None]


def say(text: str) -> None:
    """A result, on standard output."""
    print(printable(text), flush=True)


def note(text: str) -> None:
    """A remark, on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def fail(text: str) -> None:
    """What is wrong, on standard error."""
    note(text)


def wrote(*paths: str | Path) -> None:
    """Say where results are."""
    for path in paths:
        say(f"wrote {path}")


def printable(text: str) -> str:
    """The text without what would steer a terminal, or could not be encoded, such as a name that is no Unicode."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output, its first column on the left and the others too, folded to the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console(sys.stdout).print(table)


@contextmanager
def progress(what: str, total: int) -> Iterator[Tick]:
    """A bar on standard error while the block runs, and nothing where that is no terminal.

    Yields:
        A function that takes the number of steps done since it was called last.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    screen = console(sys.stderr)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def console(file: object) -> Console:
    """A rich console on a stream; wide where nobody looks and nobody said how wide."""
    from rich.console import Console

    made = Console(file=file)  # type: ignore[arg-type]
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PLAIN_WIDTH
    return made
