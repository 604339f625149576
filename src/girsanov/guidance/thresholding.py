"""Thresholding: keep the predicted data in the range that data have.

Strong guidance drives the prediction of x_0 out of range. Static thresholding clips it at ±limit. Dynamic
thresholding takes, for each sample, the quantile q of its |coordinates|, and where it exceeds the limit
clips there and shrinks back to the range:

    s = max(q, limit),    x_0 <- clip(x_0, -s, s) · limit/s.

It acts on the data prediction, so the denoiser then stores `data`. Not for data without a range: latents,
tables, standardized series.

Source: Saharia et al. (2022), Imagen, section 2.3; Lu et al. (2022), DPM-Solver++.
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.guidance.base import check_denoiser, check_one_random_end
from girsanov.typing import Time, Tree


class Thresholded(AbstractDenoiser):
    """The denoiser whose data prediction stays in range; see the head of the module and `thresholded`."""

    def __init__(self, model: AbstractDenoiser, quantile: float | None, limit: float) -> None:
        super().__init__()
        check_denoiser(model)
        check_one_random_end(model, "thresholding")
        require(
            quantile is None or 0 < quantile <= 1,
            f"quantile is {quantile}; give a share in (0, 1], such as 0.995, or None for plain clipping",
        )
        require(0 < limit < float("inf"), f"limit is {limit}; give the largest |x| of the data, such as 1.0")
        self.model, self.process, self.stored, self.shape = model, model.process, ("data",), model.shape
        self.quantile, self.limit = quantile, float(limit)

    @property
    def calls_per_call(self) -> int:
        """As many as the model inside."""
        return self.model.calls_per_call

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        data = self.model.data(x, t, cond=cond, anchor=anchor)
        if self.quantile is None:
            return (data.clamp(-self.limit, self.limit),)
        size = data.flatten(1).abs().to(torch.promote_types(data.dtype, torch.float32))
        found = size.quantile(self.quantile, dim=1).clamp(min=self.limit)
        s = found.to(data.dtype).reshape(-1, *[1] * (data.ndim - 1))
        return (torch.minimum(torch.maximum(data, -s), s) * (self.limit / s),)


def thresholded(model: AbstractDenoiser, quantile: float | None = 0.995, limit: float = 1.0) -> Thresholded:
    """Keep the data prediction of a denoiser in [-limit, limit].

    Args:
        model: any denoiser with one random end; usually a guided one.
        quantile: the share of coordinates that sets the range of a sample; None clips at the limit.
        limit: the largest absolute value in the data.

    Raises:
        InputError: quantile or limit out of range.
        Unsuitable: not a denoiser, or a two-sided process.
    """
    return Thresholded(model, quantile, limit)
