"""`girsanov restore`: fill in or colour a picture."""

from __future__ import annotations

from girsanov.cli.options import RunFolder, Seed


def restore(run: RunFolder, seed: Seed = 0) -> None:
    """Fill in what is missing in a picture, or give it colour."""
