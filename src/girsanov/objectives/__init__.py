"""What is minimized: score matching, flow matching, interpolant losses, classification of noisy samples."""

from girsanov.objectives.base import Objective
from girsanov.objectives.classification import Classification, classification
from girsanov.objectives.implicit import ScoreOfSamples, implicit_score_matching, sliced_score_matching
from girsanov.objectives.interpolant import (
    InterpolantLoss,
    denoiser_loss,
    interpolant_loss,
    score_loss,
    velocity_loss,
)
from girsanov.objectives.matching import Matching, flow_matching, score_matching
from girsanov.objectives.multiplicative import (
    MultiplicativeDSM,
    NonnegativeScoreMatching,
    multiplicative_dsm,
    nonnegative_score_matching,
)
from girsanov.objectives.posterior import PosteriorMean, posterior_mean_matching
from girsanov.objectives.times import TIMES
from girsanov.objectives.weightings import WEIGHTINGS

__all__ = [
    "TIMES",
    "WEIGHTINGS",
    "Classification",
    "InterpolantLoss",
    "Matching",
    "MultiplicativeDSM",
    "NonnegativeScoreMatching",
    "Objective",
    "PosteriorMean",
    "ScoreOfSamples",
    "classification",
    "denoiser_loss",
    "flow_matching",
    "implicit_score_matching",
    "interpolant_loss",
    "multiplicative_dsm",
    "nonnegative_score_matching",
    "posterior_mean_matching",
    "score_loss",
    "score_matching",
    "sliced_score_matching",
    "velocity_loss",
]
