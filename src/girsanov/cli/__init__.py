"""The command `girsanov`. Nothing here loads torch before a command runs, so `--help` answers at once."""

from girsanov.cli.app import main

__all__ = ["main"]
