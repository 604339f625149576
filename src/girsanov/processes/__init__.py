"""Laws of paths: what turns data into noise, and back."""

from girsanov.processes.base import (
    Convertible,
    Diffusion,
    GaussianConditional,
    Perturbable,
    Simulable,
    Transition,
    need,
)
from girsanov.processes.constructors import (
    EDM,
    PROCESSES,
    VE,
    VP,
    BrownianBridge,
    CosineVP,
    DiscreteVP,
    MeanReverting,
    OrnsteinUhlenbeck,
    RectifiedFlow,
    StochasticInterpolant,
    SubVP,
    Trigonometric,
)
from girsanov.processes.interpolant import Interpolant
from girsanov.processes.simulation import simulate

__all__ = [
    "EDM",
    "PROCESSES",
    "VE",
    "VP",
    "BrownianBridge",
    "Convertible",
    "CosineVP",
    "Diffusion",
    "DiscreteVP",
    "GaussianConditional",
    "Interpolant",
    "MeanReverting",
    "OrnsteinUhlenbeck",
    "Perturbable",
    "RectifiedFlow",
    "Simulable",
    "StochasticInterpolant",
    "SubVP",
    "Transition",
    "Trigonometric",
    "need",
    "simulate",
]
