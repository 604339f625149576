"""Restoring what was measured: operators, posterior samplers, regeneration of a guess, and speech."""

from girsanov.inverse.boundary import FixedStart, select_start
from girsanov.inverse.deep_variational import (
    GammaPrecision,
    ScoreDVI,
    VariationalImage,
    blind_noise_level,
    score_surrogate,
)
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
from girsanov.inverse.speech import enhance, speech_sampler

__all__ = [
    "BlockDownsampling",
    "CircularBlur",
    "ClippedRange",
    "Colorization",
    "DenseOperator",
    "DifferentiableForwardModel",
    "FixedStart",
    "GammaPrecision",
    "GaussianNoise",
    "Inpainting",
    "Linear",
    "MaskedFourier",
    "Measurement",
    "MeasurementOperator",
    "PhaseRetrieval",
    "PoissonNoise",
    "PosteriorMeanFlow",
    "PosteriorSampler",
    "Regeneration",
    "Regenerator",
    "ScoreDVI",
    "Spectral",
    "VariationalImage",
    "blind_noise_level",
    "colorize",
    "dense",
    "enhance",
    "inpaint",
    "posterior",
    "regeneration",
    "score_surrogate",
    "select_start",
    "speech_sampler",
]
