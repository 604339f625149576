"""Restoring what was measured: operators, posterior samplers, regeneration of a guess, and speech."""

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
from girsanov.inverse.uncertainty import (
    BayesCap,
    BayesCapLoss,
    Estimate,
    InputPerturbation,
    MCDropout,
    TestTimeAugmentation,
    Uncertain,
    bayescap,
    generalized_gaussian_nll,
    generalized_gaussian_variance,
)

__all__ = [
    "BayesCap",
    "BayesCapLoss",
    "BlockDownsampling",
    "CircularBlur",
    "ClippedRange",
    "Colorization",
    "DenseOperator",
    "DifferentiableForwardModel",
    "Estimate",
    "GaussianNoise",
    "Inpainting",
    "InputPerturbation",
    "Linear",
    "MCDropout",
    "MaskedFourier",
    "Measurement",
    "MeasurementOperator",
    "PhaseRetrieval",
    "PoissonNoise",
    "PosteriorMeanFlow",
    "PosteriorSampler",
    "Regeneration",
    "Regenerator",
    "Spectral",
    "TestTimeAugmentation",
    "Uncertain",
    "bayescap",
    "colorize",
    "dense",
    "enhance",
    "generalized_gaussian_nll",
    "generalized_gaussian_variance",
    "inpaint",
    "posterior",
    "regeneration",
    "speech_sampler",
]
