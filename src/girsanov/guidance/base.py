"""What guided denoisers share: checks at construction, and an honest count of network calls.

A guided denoiser is a denoiser that holds a denoiser, so a solver cannot tell it from a learned one.
`calls_per_call` says how often one call of it asks the network.

Oracle: mixtures with labelled components, whose conditional denoiser is exact (tests/guidance).
"""

from __future__ import annotations

import math

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.processes import GaussianConditional, need


def check_denoiser(model: AbstractDenoiser) -> None:
    """Refuse a bare network."""
    require(
        isinstance(model, AbstractDenoiser),
        f"guidance acts on a denoiser, and this is {type(model).__name__}; "
        "wrap the network: Denoiser(network, process)",
        Unsuitable,
    )


def check_one_random_end(model: AbstractDenoiser, by: str) -> None:
    """Refuse a process whose other predictions do not follow from the one that is changed."""
    process = need(model.process, GaussianConditional, by)
    require(
        process.end != "marginal",
        f"{by} changes one prediction and needs the others to follow; {process!r} has two random ends. "
        "Use guidance.classifier_free, which changes them all",
        Unsuitable,
    )


def check_scale(scale: float) -> None:
    """Refuse a guidance scale that is not a finite number."""
    require(
        isinstance(scale, float | int) and math.isfinite(scale),
        f"scale is {scale!r}; give a finite number, 1 for the rule of probability",
    )
