"""What is minimized: score matching, flow matching, interpolant losses, classification of noisy samples."""

from girsanov.objectives.autoencoders import Autoencoding, autoencoder, contractive, denoising_autoencoder
from girsanov.objectives.base import Objective
from girsanov.objectives.classification import Classification, classification
from girsanov.objectives.implicit import ScoreOfSamples, implicit_score_matching, sliced_score_matching
from girsanov.objectives.indirect import IndirectMatching
from girsanov.objectives.interpolant import (
    InterpolantLoss,
    denoiser_loss,
    interpolant_loss,
    score_loss,
    velocity_loss,
)
from girsanov.objectives.masked import MaskedNELBO, masked_nelbo
from girsanov.objectives.matching import Matching, flow_matching, score_matching
from girsanov.objectives.multiplicative import (
    MultiplicativeDSM,
    NonnegativeScoreMatching,
    multiplicative_dsm,
    nonnegative_score_matching,
)
from girsanov.objectives.paths import PathScoreMatching, path_score_matching
from girsanov.objectives.posterior import PosteriorMean, posterior_mean_matching
from girsanov.objectives.recommended import recommended
from girsanov.objectives.times import TIMES
from girsanov.objectives.variational import PixelwiseELBO, SetDistanceELBO
from girsanov.objectives.weightings import WEIGHTINGS

__all__ = [
    "TIMES",
    "WEIGHTINGS",
    "Autoencoding",
    "Classification",
    "IndirectMatching",
    "InterpolantLoss",
    "MaskedNELBO",
    "Matching",
    "MultiplicativeDSM",
    "NonnegativeScoreMatching",
    "Objective",
    "PathScoreMatching",
    "PixelwiseELBO",
    "PosteriorMean",
    "ScoreOfSamples",
    "SetDistanceELBO",
    "autoencoder",
    "classification",
    "contractive",
    "denoiser_loss",
    "denoising_autoencoder",
    "flow_matching",
    "implicit_score_matching",
    "interpolant_loss",
    "masked_nelbo",
    "multiplicative_dsm",
    "nonnegative_score_matching",
    "path_score_matching",
    "posterior_mean_matching",
    "recommended",
    "score_loss",
    "score_matching",
    "sliced_score_matching",
    "velocity_loss",
]
