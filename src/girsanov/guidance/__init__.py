"""Denoisers that hold a denoiser: guidance towards a class, thresholding; samplers that follow a reward; a filter."""

from girsanov.guidance.classifier_free_guidance import ClassifierFree, classifier_free
from girsanov.guidance.classifier_guidance import Classified, classifier
from girsanov.guidance.filters import reject_high_variance
from girsanov.guidance.minority import minority_classes, minority_score
from girsanov.guidance.thresholding import Thresholded, thresholded
from girsanov.guidance.twisted import TwistedSMC
from girsanov.guidance.value import BestOfN, PosteriorMeanValue, SoftValueDecoding, Value
from girsanov.guidance.value_model import ValueModel, fit_value

__all__ = [
    "BestOfN",
    "Classified",
    "ClassifierFree",
    "PosteriorMeanValue",
    "SoftValueDecoding",
    "Thresholded",
    "TwistedSMC",
    "Value",
    "ValueModel",
    "classifier",
    "classifier_free",
    "fit_value",
    "minority_classes",
    "minority_score",
    "reject_high_variance",
    "thresholded",
]
