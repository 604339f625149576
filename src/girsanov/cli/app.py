"""The commands in one place, and what all of them share: how they end.

A command ends with 0 when it did what was asked, with 2 and one message when the input was refused (a
`GirsanovError`, or what the system says of a file), with 130 after Ctrl-C. Any other exception is a fault of
ours and keeps its traceback. A reader that goes away (`| head`) ends the command in silence.

Oracle: the command is run as a user runs it, in a process of its own (tests/cli/test_edges.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from girsanov.cli import (
    demo,
    diagnose,
    evaluate,
    impute,
    likelihood,
    papers,
    plan,
    restore,
    runinfo,
    sample,
    search,
    simulate,
    speech,
    train,
)
from girsanov.cli.console import fail, say

app = typer.Typer(
    name="girsanov",
    help="Stochastic processes in machine learning: learn from data, sample, score, restore.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line in `sys.argv`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None where it was closed, something else in a notebook
            stream.reconfigure(errors="backslashreplace")
    for place, argument in enumerate(sys.argv[1:], 1):
        if "\0" in argument:
            fail(f"argument {place} contains a NUL byte: {argument!r}. Give it without.")
            sys.exit(2)
    app(prog_name="girsanov")


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with refusals turned into one message and an exit code."""

    @wraps(command)
    def _run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt as stop:
            fail(str(stop) or "stopped")
            raise typer.Exit(130) from None
        except Exception as error:
            if not refusal(error):
                raise
            fail(message(error))
            raise typer.Exit(2) from None

    return _run


def refusal(error: Exception) -> bool:
    """Whether the error is about what was given, rather than a fault of ours."""
    errors = sys.modules.get("girsanov.errors")  # importing it here would load torch
    if errors is not None and isinstance(error, errors.GirsanovError):
        return True
    return isinstance(error, OSError) and not isinstance(error, BrokenPipeError)


def message(error: Exception) -> str:
    """What an error says; for one of the system, the file and the reason."""
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.strerror:
        file = "" if error.filename is None else f"{error.filename}: "
        return f"{file}{error.strerror}. Give another file or folder."
    return str(error)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from girsanov import __version__

        say(f"girsanov {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Stochastic processes in machine learning: learn from data, sample, score, restore."""


for command in (
    demo.demo,
    train.train,
    sample.sample,
    search.search,
    likelihood.likelihood,
    restore.restore,
    impute.impute,
    diagnose.diagnose,
    speech.enhance,
    evaluate.evaluate,
    plan.plan,
    runinfo.info,
    papers.papers,
    papers.reproduce,
):
    app.command()(guarded(command))

# the parameters of a process are options that only it knows
open_ended = {"allow_extra_args": True, "ignore_unknown_options": True}
app.command(context_settings=open_ended)(guarded(simulate.simulate))
