"""Denoisers that hold a denoiser: guidance towards a class, thresholding; and a filter of samples."""

from girsanov.guidance.classifier_free_guidance import ClassifierFree, classifier_free
from girsanov.guidance.classifier_guidance import Classified, classifier
from girsanov.guidance.filters import reject_high_variance
from girsanov.guidance.thresholding import Thresholded, thresholded

__all__ = [
    "Classified",
    "ClassifierFree",
    "Thresholded",
    "classifier",
    "classifier_free",
    "reject_high_variance",
    "thresholded",
]
