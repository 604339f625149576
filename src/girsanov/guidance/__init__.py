"""Denoisers that hold a denoiser: guidance towards a class, thresholding; edits of regions; a filter of samples."""

from girsanov.guidance.classifier_free_guidance import ClassifierFree, classifier_free
from girsanov.guidance.classifier_guidance import Classified, classifier
from girsanov.guidance.editing import Editor
from girsanov.guidance.filters import reject_high_variance
from girsanov.guidance.region import Region, Regions, move
from girsanov.guidance.thresholding import Thresholded, thresholded

__all__ = [
    "Classified",
    "ClassifierFree",
    "Editor",
    "Region",
    "Regions",
    "Thresholded",
    "classifier",
    "classifier_free",
    "move",
    "reject_high_variance",
    "thresholded",
]
