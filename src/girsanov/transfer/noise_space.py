"""Denoising as adaptation: a diffusion model that trains a restorer for real images without targets.

A restorer x ↦ x + R(x) has synthetic pairs (x_s, y) to learn from, and real degraded images x_r without targets. A
denoiser is trained beside it that is given both restorations,

    y_t = α y + γ ξ,    ξ̂ = ε(y_t, t, c_1, c_2),    c_1 = x_s + R(x_s),    c_2 = x_r + R(x_r),

and *the gradient of its error flows through c_1 and c_2 into R*: the better the restorations tell what clean images
look like, the easier ξ is to predict. After training the denoiser is thrown away. That it may not look at c_1 alone,
which shows y itself, two things see to:

    swap       each sample exchanges c_1 and c_2 with probability ½
    contrast   max(0, |ξ - ξ̂|² - |ξ - ξ̂'|² + margin), with ξ̂' given x_s + R(x_r) and x_r + R(x_s)

    L = √(|y - x_s - R(x_s)|² + 10⁻⁶) + a · ½ (|ξ - ξ̂|² + contrast),   a = s (2/(1 + e^{-5p}) - 1),

p being the part done of the ramp; s = 0.2, margin = 0.1. All terms are means over the pixels of one sample; the
authors take the contrast of the means of a batch.
Source: Liao et al. (2024), Denoising as adaptation: noise-space domain adaptation for image restoration,
arXiv 2406.18516, section 3, and the constants of its code.
Oracle: s = 0 is training on pairs, bit for bit; the swap undoes itself; good restorations lower the error of a
trained denoiser (tests/transfer/test_noise_space.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from girsanov.denoiser import AroundDenoiser, Denoiser
from girsanov.errors import InputError, Unsuitable, require
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes import GaussianConditional, need
from girsanov.processes.base import like_batch
from girsanov.typing import Tree

ROUND = 1e-3
"""The width of the rounded corner of the absolute error (Charbonnier)."""

TIME, XI, SWAP = range(3)


class NoiseSpaceAdaptation(AroundDenoiser):
    """A restorer, and the denoiser that it is trained with and does without afterwards.

    Train with `training.fit(pair, noise_space_loss(ramp=...), y, cond=x_s, end=x_r)`, then keep `pair.restorer`.

    Args:
        restorer: x (B, C, H, W) to x + R(x) of the same shape, such as `networks.DnCNN(C)`.
        denoiser: of a one-sided process, given the two restorations as `cond` (B, 2C, H, W): with the network
            `networks.Beside(networks.UNet(3 * C, outputs=C))`.

    Raises:
        Unsuitable: a process with a second end.
    """

    step: Tensor

    def __init__(self, restorer: nn.Module, denoiser: Denoiser) -> None:
        super().__init__(denoiser)
        process = need(denoiser.process, GaussianConditional, "NoiseSpaceAdaptation")
        require(
            process.end == "noise",
            f"NoiseSpaceAdaptation adds noise to clean images, and {process!r} has a second end; use processes.VP()",
            Unsuitable,
        )
        self.restorer = restorer
        # Steps done, for the ramp. A buffer is part of a checkpoint, so that a resumed training goes on to the bit.
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def restore(self, x: Tensor) -> Tensor:
        """x + R(x), (B, C, H, W).

        Raises:
            InputError: the restorer answers in another shape.
        """
        restored: Tensor = self.restorer(x)
        if restored.shape != x.shape:
            raise InputError(
                f"the restorer answered {tuple(restored.shape)} to {tuple(x.shape)}; it must keep the shape"
            )
        return restored

    def noise_error(self, y_t: Tensor, t: Tensor, xi: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """|ξ - ε(y_t, t, c_1, c_2)|², the mean over the pixels, (B,)."""
        answer = self.denoiser.noise(y_t, t, cond=torch.cat([first, second], 1))
        return (xi - answer).square().flatten(1).mean(1)


@dataclass(frozen=True, kw_only=True)
class NoiseSpaceLoss:
    """The objective L; see the head of the module, and `noise_space_loss`."""

    ramp: int
    strength: float = 0.2
    margin: float = 0.1
    swap: bool = True
    contrast: bool = True

    def __post_init__(self) -> None:
        require(self.ramp >= 1, f"ramp is {self.ramp}; give a number of steps of at least 1")
        require(
            0 <= self.strength < math.inf and 0 <= self.margin < math.inf,
            f"strength is {self.strength} and margin {self.margin}; give numbers of at least 0",
        )

    def weight(self, step: int) -> float:
        """a after so many steps."""
        return self.strength * (2 / (1 + math.exp(-5 * min(step / self.ramp, 1))) - 1)

    def __call__(
        self,
        model: NoiseSpaceAdaptation,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,), for clean x0 (B, C, H, W), their degraded versions cond and real degraded images end."""
        synthetic, real = _checked(model, x0, cond, end)
        restored = model.restore(synthetic)
        losses = ((x0 - restored).square() + ROUND**2).sqrt().flatten(1).mean(1)
        weight = self.weight(int(model.step))
        if model.training:
            model.step += 1
        if weight == 0:  # nothing to adapt to; then nothing of the denoiser is touched either
            return losses
        source = as_source(generator)
        t = source.draw(x0.new_empty(len(x0), 1), TIME, uniform)[:, 0]
        t = model.process.t_min + (1 - model.process.t_min) * t
        xi = source.draw(x0, XI)
        alpha, gamma = (like_batch(v, x0) for v in (model.process.alpha(t), model.process.gamma(t)))
        y_t, turned = (
            alpha * x0 + gamma * xi,
            source.draw(x0.new_empty(len(x0), 1), SWAP, uniform)[:, 0] < 0.5,
        )
        found = model.restore(real)

        def error(first: Tensor, second: Tensor) -> Tensor:
            return model.noise_error(
                y_t, t, xi, *(exchanged(first, second, turned) if self.swap else (first, second))
            )

        noise = error(restored, found)
        if self.contrast:
            wrong = error(synthetic + found - real, real + restored - synthetic)
            noise = noise + (noise - wrong + self.margin).clamp(min=0)
        return losses + weight * noise / 2


def noise_space_loss(
    *, ramp: int, strength: float = 0.2, margin: float = 0.1, swap: bool = True, contrast: bool = True
) -> NoiseSpaceLoss:
    """The objective that trains a restorer and the denoiser that adapts it.

    Args:
        ramp: steps until the denoiser has its whole weight; the authors take 300 epochs.
        strength: s, the largest weight; 0 trains on the pairs alone.
        margin: of the contrast.
        swap, contrast: the two that keep the denoiser from looking at the synthetic image alone.

    Raises:
        InputError: numbers out of range; when called, samples that are no pairs, or real images of another shape.
    """
    return NoiseSpaceLoss(ramp=ramp, strength=strength, margin=margin, swap=swap, contrast=contrast)


def exchanged(first: Tensor, second: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """The two in exchanged order where turned (B,) is true."""
    mask = turned.reshape(-1, *[1] * (first.ndim - 1))
    return torch.where(mask, second, first), torch.where(mask, first, second)


def _checked(
    model: NoiseSpaceAdaptation, x0: Tensor, cond: Tree, end: Tensor | None
) -> tuple[Tensor, Tensor]:
    require(
        isinstance(model, NoiseSpaceAdaptation),
        f"noise_space_loss trains a NoiseSpaceAdaptation, and this is {type(model).__name__}",
        Unsuitable,
    )
    if not isinstance(cond, Tensor) or cond.shape != x0.shape:
        raise InputError(
            "noise_space_loss needs synthetic pairs: give the clean images as x and the degraded ones, of the same "
            "shape, as cond="
        )
    if end is None or end.shape != x0.shape:
        raise InputError(
            f"the real images are {None if end is None else tuple(end.shape)} beside synthetic ones of "
            f"{tuple(x0.shape)}; give as many, of the same channels and size, as end="
        )
    return cond, end
