"""Restoring what was measured: operators, posterior samplers, guesses made better, speech, tables with holes."""

from girsanov.inverse.active import Acquired, ActiveSubsampling, acquisition_score, columns, pixels
from girsanov.inverse.boundary import FixedStart, select_start
from girsanov.inverse.circuits import HiddenChowLiuTree, fit_tree
from girsanov.inverse.covariance import DataCovariance
from girsanov.inverse.deep_variational import (
    GammaPrecision,
    ScoreDVI,
    VariationalImage,
    blind_noise_level,
    score_surrogate,
)
from girsanov.inverse.diversity import Apart, furthest_points, representatives, uniformized
from girsanov.inverse.forward_models import ForwardModelDenoiser, LinearViews, Renderer
from girsanov.inverse.guided import DPS, PSLD, PiGDM
from girsanov.inverse.imputation import LAGS, Imputation, TableImputer, impute
from girsanov.inverse.latent_transport import LatentTransport
from girsanov.inverse.linear import (
    BlockDownsampling,
    CircularBlur,
    Colorization,
    DenseOperator,
    Fourier,
    Identity,
    Inpainting,
    MaskedFourier,
    dense,
)
from girsanov.inverse.measurement import GaussianNoise, Measurement, PoissonNoise
from girsanov.inverse.nonlinear import (
    ClippedRange,
    DifferentiableForwardModel,
    LatentOperator,
    PhaseRetrieval,
)
from girsanov.inverse.operators import Linear, MeasurementOperator, Spectral
from girsanov.inverse.posterior import PosteriorSampler, posterior
from girsanov.inverse.posterior_mean_flow import PosteriorMeanFlow
from girsanov.inverse.quick import dps, pigdm, smc
from girsanov.inverse.regeneration import Regeneration, Regenerator, regeneration
from girsanov.inverse.replacement import colorize, inpaint
from girsanov.inverse.samples import PosteriorSamples
from girsanov.inverse.second_order import STSL
from girsanov.inverse.selection import Prior
from girsanov.inverse.smc import SMC
from girsanov.inverse.spectral import DDRM
from girsanov.inverse.speech import enhance, speech_sampler
from girsanov.inverse.splitting import DDNM, DiffPIR, RePaint
from girsanov.inverse.steering import CircuitSteering, grey_levels
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
from girsanov.inverse.variational import REDDiff

__all__ = [
    "DDNM",
    "DDRM",
    "DPS",
    "LAGS",
    "PSLD",
    "SMC",
    "STSL",
    "Acquired",
    "ActiveSubsampling",
    "Apart",
    "BayesCap",
    "BayesCapLoss",
    "BlockDownsampling",
    "CircuitSteering",
    "CircularBlur",
    "ClippedRange",
    "Colorization",
    "DataCovariance",
    "DenseOperator",
    "DiffPIR",
    "DifferentiableForwardModel",
    "Estimate",
    "FixedStart",
    "ForwardModelDenoiser",
    "Fourier",
    "GammaPrecision",
    "GaussianNoise",
    "HiddenChowLiuTree",
    "Identity",
    "Imputation",
    "Inpainting",
    "InputPerturbation",
    "LatentOperator",
    "LatentTransport",
    "Linear",
    "LinearViews",
    "MCDropout",
    "MaskedFourier",
    "Measurement",
    "MeasurementOperator",
    "PhaseRetrieval",
    "PiGDM",
    "PoissonNoise",
    "PosteriorMeanFlow",
    "PosteriorSampler",
    "PosteriorSamples",
    "Prior",
    "REDDiff",
    "RePaint",
    "Regeneration",
    "Regenerator",
    "Renderer",
    "ScoreDVI",
    "Spectral",
    "TableImputer",
    "TestTimeAugmentation",
    "Uncertain",
    "VariationalImage",
    "acquisition_score",
    "bayescap",
    "blind_noise_level",
    "colorize",
    "columns",
    "dense",
    "dps",
    "enhance",
    "fit_tree",
    "furthest_points",
    "generalized_gaussian_nll",
    "generalized_gaussian_variance",
    "grey_levels",
    "impute",
    "inpaint",
    "pigdm",
    "pixels",
    "posterior",
    "regeneration",
    "representatives",
    "score_surrogate",
    "select_start",
    "smc",
    "speech_sampler",
    "uniformized",
]
