"""Denoisers that hold a denoiser, samplers that follow a reward, edits of regions, minorities, and a filter."""

from girsanov.guidance.classifier_free_guidance import ClassifierFree, classifier_free
from girsanov.guidance.classifier_guidance import Classified, classifier
from girsanov.guidance.editing import Editor
from girsanov.guidance.filters import reject_high_variance
from girsanov.guidance.minority import minority_classes, minority_score
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
    "PosteriorMeanValue",
    "Region",
    "Regions",
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
    "move",
    "reject_high_variance",
    "thresholded",
]
