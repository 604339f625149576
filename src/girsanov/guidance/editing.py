"""Editing an image by its own diffusion: regional guidance, noise only where content may be new, time travel.

The source is inverted, and from its state at a late time the sampler goes back with the guided noise ε' of `region`:

    x_s = α_s (x_t - γ_t ε')/α_t + √(γ_s² - q²) ε + q ξ,    q = η σ̃ inside `where`, 0 outside,

σ̃ the ancestral standard deviation. The data term follows the guided prediction and the direction the unguided one. Of N
steps the guidance acts on the first 60 % (every step to 20 %, then every second), noise on those from 20 % to 40 %, and
from 40 % to 60 % every second step is taken `repeat` times, going back from s to t by inversion in between.
Source: Mou et al. (2024), DiffEditor, arXiv 2402.02583, section 3; the windows are those of its public sampler.
Oracle: without regions the round trip of the inversion; the variance of the noise (tests/guidance/test_editing.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, require, require_finite
from girsanov.guidance.region import Features, Regions, pull
from girsanov.noise import Randomness, Source, as_source
from girsanov.solvers.inversion import ddim, invert
from girsanov.typing import Tree


@dataclass(frozen=True)
class Editor:
    """An editor of images; see the head of the module.

    Args:
        layers: of the network, whose features are compared (`region.Features`).
        steps: N, at least 5.
        start: the time it goes back from; later than the object's outline is decided.
        scale: κ, of the guidance.
        eta: of the noise inside the edit, 0 for none.
        repeat: how often a step of the time travel is taken; 1 for none.

    Raises:
        InputError: numbers out of range.
    """

    layers: tuple[str, ...]
    steps: int = 50
    start: float = 0.8
    scale: float = 0.3
    eta: float = 0.4
    repeat: int = 3

    def __post_init__(self) -> None:
        require(self.steps >= 5, f"steps is {self.steps}; give at least 5")
        require(0 < self.start <= 1, f"start is {self.start}; give a time in (0, 1]")
        require(math.isfinite(self.scale), f"scale is {self.scale}; give a finite number")
        require(0 <= self.eta <= 1, f"eta is {self.eta}; give a number from 0 to 1")
        require(self.repeat >= 1, f"repeat is {self.repeat}; give at least 1")

    @torch.no_grad()
    def __call__(
        self,
        model: Denoiser,
        image: Tensor,
        regions: Regions,
        *,
        cond: Tree = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Edited images.

        Args:
            model: of a one-sided process, with a network.
            image: (B, C, H, W), on the scale of the model.
            regions: such as `move(mask, (0, 6))`.
            cond: of the model.
            generator: of the noise inside the edit.

        Returns:
            (B, C, H, W).

        Raises:
            InputError: NaN, masks of another size than the image, an unknown layer.
            Unsuitable: a process with a second end.
        """
        require(image.ndim == 4, f"image has the shape {tuple(image.shape)}; give (B, C, H, W)")
        require_finite(image, "image")
        for mask in (regions.where, *(part.mask for part in regions.parts)):
            if mask.shape[1:] != image.shape[2:] or len(mask) not in (1, len(image)):
                raise InputError(
                    f"a mask has the shape {tuple(mask.shape)}, and the images {tuple(image.shape)}; give "
                    f"({len(image)} or 1, {image.shape[2]}, {image.shape[3]})"
                )
        low = model.process.t_min
        times = [low + (self.start - low) * i / self.steps for i in range(self.steps + 1)]
        path = invert(model, image, times, cond=cond)
        features, x = Features(model, self.layers), path[-1]
        source = as_source(generator)
        for i in range(self.steps):
            t, s = times[self.steps - i], times[self.steps - i - 1]
            share = i / self.steps
            turns = self.repeat if 0.4 < share < 0.6 and i % 2 == 0 else 1
            for turn in range(turns):
                if regions.parts and share < 0.6 and (share < 0.2 or i % 2 == 0):
                    noise, gradient = pull(features, regions, x, path[self.steps - i], t, cond)
                else:
                    noise, gradient = model.noise(x, t, cond=cond), None
                data = x - model.process.gamma(t) * (
                    noise if gradient is None else noise + self.scale * gradient
                )
                eta = self.eta if 0.2 < share < 0.4 else 0.0
                x = self._step(
                    model, data / model.process.alpha(t), noise, (t, s), eta * regions.where, (source, i)
                )
                if turn + 1 < turns:
                    x = ddim(model, x, s, t, cond=cond)
        return x

    @staticmethod
    def _step(
        model: Denoiser,
        data: Tensor,
        noise: Tensor,
        span: tuple[float, float],
        eta: Tensor,
        draw: tuple[Source, int],
    ) -> Tensor:
        """From t to s with η (B or 1, H, W) at every pixel."""
        process, (t, s) = model.process, span
        after, ratio = process.gamma(s), process.gamma(s) / process.gamma(t)
        ancestral = ratio * math.sqrt(
            max(0.0, process.gamma(t) ** 2 - (process.alpha(t) / process.alpha(s)) ** 2 * after**2)
        )
        q = eta[:, None].to(data) * ancestral
        x = process.alpha(s) * data + (after**2 - q.square()).clamp(min=0).sqrt() * noise
        if not bool(eta.any()):
            return x
        source, index = draw
        return x + q * source.draw(x, index)
