"""Denoisers that hold a denoiser: guidance towards a class, thresholding; edits of regions; a filter of samples."""
"""Denoisers that hold a denoiser: guidance towards a class, thresholding; samplers that follow a reward; a filter."""

from girsanov.guidance.classifier_free_guidance import ClassifierFree, classifier_free
from girsanov.guidance.classifier_guidance import Classified, classifier
from girsanov.guidance.editing import Editor
from girsanov.guidance.filters import reject_high_variance
from girsanov.guidance.region import Region, Regions, move
from girsanov.guidance.thresholding import Thresholded, thresholded
from girsanov.guidance.twisted import TwistedSMC
from girsanov.guidance.value import BestOfN, PosteriorMeanValue, SoftValueDecoding, Value
from girsanov.guidance.value_model import ValueModel, fit_value

__all__ = [
    "BestOfN",
    "Classified",
    "ClassifierFree",
    "Editor",
    "Region",
    "Regions",
    "PosteriorMeanValue",
    "SoftValueDecoding",
    "Thresholded",
    "TwistedSMC",
    "Value",
    "ValueModel",
    "classifier",
    "classifier_free",
    "move",
    "fit_value",
    "reject_high_variance",
    "thresholded",
]
