"""Laws with closed forms: score, likelihood, posterior. The oracles of the library, for users too."""

from girsanov.exact.classifiers import LabelClassifier, LevelClassifier
from girsanov.exact.interpolant import MixtureInterpolant
from girsanov.exact.mixture import ExactDenoiser, Gaussian, GaussianMixture

__all__ = [
    "ExactDenoiser",
    "Gaussian",
    "GaussianMixture",
    "LabelClassifier",
    "LevelClassifier",
    "MixtureInterpolant",
]
