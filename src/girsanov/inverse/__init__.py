"""Restoring what was measured: inpainting and colorization with a learned prior."""

from girsanov.inverse.replacement import colorize, inpaint

__all__ = ["colorize", "inpaint"]
