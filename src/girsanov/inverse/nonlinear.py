"""Measurements that are not linear: only a differentiable forward map.

Oracle: by hand (tests/inverse/test_operators.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.inverse.operators import MeasurementOperator
from girsanov.typing import Shape

Coder = Callable[[Tensor], Tensor]
"""Signals to latents or back, batch first and differentiable."""


class ClippedRange(MeasurementOperator):
    """A sensor that saturates: gain · x, cut to [low, high]."""

    def __init__(self, shape: Shape, *, gain: float = 2.0, low: float = -1.0, high: float = 1.0) -> None:
        require(low < high, f"the range is [{low}, {high}]; give low < high")
        require(gain != 0, "gain is 0: nothing is measured")
        self.shape, self.gain, self.low, self.high = tuple(shape), gain, low, high

    def forward(self, x: Tensor) -> Tensor:
        return (self.gain * x).clamp(self.low, self.high)


class PhaseRetrieval(MeasurementOperator):
    """Moduli of the Fourier transform of the image in a field of zeros, √2 times as wide by default.

    (B, C, H, W) to (B, C, H', W'). Shifted, flipped and negative images have the same moduli.

    Args:
        shape: (C, H, W).
        oversampling: H'/H and W'/W, at least 1; unique up to symmetries from about √2 on.
    """

    def __init__(self, shape: Shape, *, oversampling: float = 2**0.5) -> None:
        require(len(shape) == 3, f"shape is {tuple(shape)}; give (C, H, W)")
        require(oversampling >= 1, f"oversampling is {oversampling}; give at least 1")
        self.shape = tuple(shape)
        self._size = (round(oversampling * shape[1]), round(oversampling * shape[2]))

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.fft2(x, s=self._size, norm="ortho")
        # |·| has no gradient at 0, where a plain abs would give NaN in the second derivative.
        return (spectrum.real.square() + spectrum.imag.square() + 1e-12).sqrt()


class DifferentiableForwardModel(MeasurementOperator):
    """Any differentiable function of the signal, such as a renderer or a network.

    Args:
        function: x (B, *shape) to y (B, *out), differentiable by autograd.
        shape: of one signal.

    Raises:
        InputError: no gradient reaches x, or the function does not keep the batch.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], shape: Shape) -> None:
        self.function, self.shape = function, tuple(shape)
        _, reached = _traced(function, self.shape)
        require(
            reached,
            "no gradient reaches x through this function: take away detach, no_grad or a step through numpy",
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.function(x)
        return y


class LatentOperator(MeasurementOperator):
    """What is measured of a decoded latent, A(D(z)): posterior sampling where the diffusion lives in latents.

    (B, *shape) to (B, *operator.out_shape). The y of a measurement is the operator's; draws are latents, to be decoded.

    Args:
        decoder: D, latents (B, *shape) to signals (B, *operator.shape), frozen.
        operator: A.
        shape: of one latent.
        encoder: E, signals to latents, for samplers that ask for it (`PSLD`).

    Raises:
        InputError: shapes that do not meet, or a decoder or encoder that lets no gradient through.
    """

    def __init__(
        self,
        decoder: Coder,
        operator: MeasurementOperator,
        shape: Shape,
        *,
        encoder: Coder | None = None,
    ) -> None:
        self.decoder, self.operator, self.encoder, self.shape = decoder, operator, encoder, tuple(shape)
        ways = [("decode", decoder, self.shape, tuple(operator.shape))]
        if encoder is not None:
            ways.append(("encode", encoder, tuple(operator.shape), self.shape))
        for verb, coder, before, after in ways:
            out, reached = _traced(coder, before)
            require(out == after, f"the {verb}r makes {out} of {before}, and {after} is needed")
            require(
                reached,
                f"{verb} under no_grad found: no gradient reaches what goes into the {verb}r. Take away no_grad, "
                "inference_mode or detach inside it; freeze weights by requires_grad_(False).",
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.operator.forward(self.decoder(x))


def _traced(function: Coder, shape: Shape) -> tuple[Shape, bool]:
    """The shape of what a function makes of zeros, and whether a gradient comes back through it.

    Raises:
        InputError: it does not keep the batch.
    """
    with torch.enable_grad():
        x = torch.zeros(2, *shape, requires_grad=True)
        y = function(x)
    require(isinstance(y, Tensor) and y.shape[:1] == (2,), "the function must take (B, *shape) to (B, *out)")
    if not y.requires_grad:
        return tuple(y.shape[1:]), False
    (back,) = torch.autograd.grad(y, x, torch.ones_like(y), allow_unused=True)
    return tuple(y.shape[1:]), back is not None
