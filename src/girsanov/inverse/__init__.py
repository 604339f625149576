"""Restoring what was measured: inpainting, colorization, regeneration of a guess, and speech."""

from girsanov.inverse.regeneration import Regeneration, Regenerator, regeneration
from girsanov.inverse.replacement import colorize, inpaint
from girsanov.inverse.speech import enhance, speech_sampler

__all__ = [
    "Regeneration",
    "Regenerator",
    "colorize",
    "enhance",
    "inpaint",
    "regeneration",
    "speech_sampler",
]
