"""Classifier-free guidance: away from the unconditional answer, through the conditional one.

    E_w = E_∅ + w (E_c - E_∅)

w = 0 is the unconditional model, w = 1 the conditional one (no guidance), w > 1 trades variety for typical
samples. Every prediction is an affine function of every other with the state as its offset, and the weights
1 - w and w sum to one, so the rule is the same in whatever the model stores. For w other than 0 and 1 the
guided score belongs to no diffused law of data: samples are not from p(x|c)^w p(x)^(1-w).

Source: Ho & Salimans (2022), Classifier-free diffusion guidance, equation 6, with their weight as w - 1.
"""

from __future__ import annotations

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.guidance.base import check_denoiser, check_scale
from girsanov.typing import Time, Tree


class ClassifierFree(AbstractDenoiser):
    """The extrapolated denoiser; see the head of the module and `classifier_free`."""

    def __init__(self, model: AbstractDenoiser, scale: float) -> None:
        super().__init__()
        check_denoiser(model)
        check_scale(scale)
        self.model, self.process, self.stored, self.shape = model, model.process, model.stored, model.shape
        self.scale = float(scale)

    @property
    def calls_per_call(self) -> int:
        """2 calls of the network, 1 where w is 0 or 1."""
        return (1 if self.scale in (0.0, 1.0) else 2) * self.model.calls_per_call

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        require(
            cond is not None,
            "classifier-free guidance needs cond; give the labels, or use the model without guidance",
        )
        if self.scale in (0.0, 1.0):
            return self.model(x, t, cond=cond if self.scale else None, anchor=anchor)
        free = self.model(x, t, cond=None, anchor=anchor)
        told = self.model(x, t, cond=cond, anchor=anchor)
        return tuple(a + self.scale * (b - a) for a, b in zip(free, told, strict=True))


def classifier_free(model: AbstractDenoiser, scale: float) -> ClassifierFree:
    """Guide a conditional denoiser that was also trained without labels.

    The two answers are two calls of the network, because "no condition" is `cond=None` for every kind of
    condition; a doubled batch would cost as much and need a null value for each.

    Args:
        model: trained with `label_dropout` above 0, so that it answers with `cond=None` too.
        scale: w; 0 unconditional, 1 no guidance, usually 1 to 8.

    Raises:
        InputError: the scale is not finite. In the call: no cond.
        Unsuitable: not a denoiser.
    """
    return ClassifierFree(model, scale)
