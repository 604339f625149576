"""Laws with closed forms: score, likelihood, posterior. The oracles of the library, for users too."""

from girsanov.exact.classifiers import LabelClassifier, LevelClassifier
from girsanov.exact.factors import FactorFit, FactorMixture, fit_factors
from girsanov.exact.interpolant import MixtureInterpolant
from girsanov.exact.line import kullback_leibler, push_density
from girsanov.exact.mixture import ExactDenoiser, Gaussian, GaussianMixture
from girsanov.exact.paired import PairedDenoiser
from girsanov.exact.points import Points, PointsDenoiser
from girsanov.exact.sequences import SequenceTable, TableDenoiser

__all__ = [
    "ExactDenoiser",
    "FactorFit",
    "FactorMixture",
    "Gaussian",
    "GaussianMixture",
    "LabelClassifier",
    "LevelClassifier",
    "MixtureInterpolant",
    "PairedDenoiser",
    "Points",
    "PointsDenoiser",
    "SequenceTable",
    "TableDenoiser",
    "fit_factors",
    "kullback_leibler",
    "push_density",
]
