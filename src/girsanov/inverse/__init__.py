"""Restoring what was measured: inpainting, colorization, regeneration of a guess, speech, tables with holes."""

from girsanov.inverse.imputation import LAGS, Imputation, TableImputer, impute
from girsanov.inverse.regeneration import Regeneration, Regenerator, regeneration
from girsanov.inverse.replacement import colorize, inpaint
from girsanov.inverse.selection import Prior
from girsanov.inverse.speech import enhance, speech_sampler

__all__ = [
    "LAGS",
    "Imputation",
    "Prior",
    "Regeneration",
    "Regenerator",
    "TableImputer",
    "colorize",
    "enhance",
    "impute",
    "inpaint",
    "regeneration",
    "speech_sampler",
]
