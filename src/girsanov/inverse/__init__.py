"""Restoring what was measured: operators, posterior samplers, regeneration of a guess, and speech."""

from girsanov.inverse.guided import DPS, PiGDM
from girsanov.inverse.linear import (
    BlockDownsampling,
    CircularBlur,
    Colorization,
    DenseOperator,
    Inpainting,
    MaskedFourier,
    dense,
)
from girsanov.inverse.measurement import GaussianNoise, Measurement, PoissonNoise
from girsanov.inverse.nonlinear import ClippedRange, DifferentiableForwardModel, PhaseRetrieval
from girsanov.inverse.operators import Linear, MeasurementOperator, Spectral
from girsanov.inverse.posterior import PosteriorSampler, posterior
from girsanov.inverse.posterior_mean_flow import PosteriorMeanFlow
from girsanov.inverse.regeneration import Regeneration, Regenerator, regeneration
from girsanov.inverse.replacement import colorize, inpaint
from girsanov.inverse.samples import PosteriorSamples
from girsanov.inverse.smc import SMC
from girsanov.inverse.spectral import DDRM
from girsanov.inverse.speech import enhance, speech_sampler
from girsanov.inverse.splitting import DDNM, DiffPIR, RePaint
from girsanov.inverse.variational import REDDiff

__all__ = [
    "DDNM",
    "DDRM",
    "DPS",
    "SMC",
    "BlockDownsampling",
    "CircularBlur",
    "ClippedRange",
    "Colorization",
    "DenseOperator",
    "DiffPIR",
    "DifferentiableForwardModel",
    "GaussianNoise",
    "Inpainting",
    "Linear",
    "MaskedFourier",
    "Measurement",
    "MeasurementOperator",
    "PhaseRetrieval",
    "PiGDM",
    "PoissonNoise",
    "PosteriorMeanFlow",
    "PosteriorSampler",
    "PosteriorSamples",
    "REDDiff",
    "RePaint",
    "Regeneration",
    "Regenerator",
    "Spectral",
    "colorize",
    "dense",
    "enhance",
    "inpaint",
    "posterior",
    "regeneration",
    "speech_sampler",
]
