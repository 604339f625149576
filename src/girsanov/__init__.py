"""Girsanov: simulate, learn, reverse, condition, bridge and infer with stochastic processes.

A user picks a process, a network, a solver and, if wanted, a condition:

    import girsanov as gv

Each room (`gv.processes`, `gv.solvers`, …) and each name at the top is loaded at its first use, so that
`import girsanov` costs nothing and a room's optional packages are asked for only by those who enter it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import girsanov.data as data
    import girsanov.errors as errors
    import girsanov.exact as exact
    import girsanov.guidance as guidance
    import girsanov.inverse as inverse
    import girsanov.metrics as metrics
    import girsanov.montecarlo as montecarlo
    import girsanov.networks as networks
    import girsanov.objectives as objectives
    import girsanov.papers as papers
    import girsanov.processes as processes
    import girsanov.solvers as solvers
    import girsanov.training as training
    import girsanov.transfer as transfer
    import girsanov.transport as transport
    from girsanov.classifier import NoisyClassifier
    from girsanov.denoiser import AbstractDenoiser, Denoiser
    from girsanov.metrics import bits_per_dim
    from girsanov.noise import Noise
    from girsanov.processes import simulate
    from girsanov.solvers import log_likelihood, sample
    from girsanov.training import fit, load, save

__version__ = "0.1.0"

_HOMES = {
    "AbstractDenoiser": "denoiser",
    "Denoiser": "denoiser",
    "Noise": "noise",
    "NoisyClassifier": "classifier",
    "bits_per_dim": "metrics",
    "fit": "training",
    "load": "training",
    "log_likelihood": "solvers",
    "sample": "solvers",
    "save": "training",
    "simulate": "processes",
}

__all__ = [
    "AbstractDenoiser",
    "Denoiser",
    "Noise",
    "NoisyClassifier",
    "__version__",
    "bits_per_dim",
    "data",
    "errors",
    "exact",
    "fit",
    "guidance",
    "inverse",
    "load",
    "log_likelihood",
    "metrics",
    "montecarlo",
    "networks",
    "objectives",
    "papers",
    "processes",
    "sample",
    "save",
    "simulate",
    "solvers",
    "training",
    "transfer",
    "transport",
]

if not TYPE_CHECKING:  # a checker sees the imports above, and refuses any other name

    def __getattr__(name: str) -> object:
        """Load a room, or a name from its room, at the first use (PEP 562)."""
        if name in _HOMES:
            value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif name in __all__:
            value = import_module(f"{__name__}.{name}")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)
