"""The probabilistic U-Net: one image, many segmentations, told apart by a vector of few latents.

    z ~ p(z | x) = N(μ(x), diag σ²(x)),     logits = head(U-Net(x), z)                     (1)
    q(z | x, y) = N(μ'(x, y), diag σ'²(x, y)),  for training                               (2)

μ and log σ come from an encoder: convolutions, halved sides, the mean over the pixels, one linear layer. z is
repeated over the pixels beside the features of the U-Net and joined by 1×1 convolutions, so a further draw costs
these alone.
Source: Kohl et al. (2018), A probabilistic U-Net for segmentation of ambiguous images, arXiv 1806.05034.
Oracle: shapes, draws that differ only by z, a divergence by hand (tests/networks/test_probabilistic_unet.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn.functional import silu

from girsanov.errors import InputError, require
from girsanov.networks.base import require_sizes
from girsanov.networks.unet import UNet, convolution
from girsanov.noise import Randomness, as_source
from girsanov.typing import Shape

LARGEST_LOG_STD = 1.5
"""log σ lies within ± this, smoothly: only the scale of z against σ matters, and it would run off."""


class ProbabilisticUNet(nn.Module):
    """Images (B, channels, H, W) to sets of masks of one class (B, n, 1, H, W).

    Train it with `training.fit(model, SetDistanceELBO(), images, cond=annotations)`.

    Args:
        channels: of an image.
        latents: of z.
        width: channels at the finest level, and of the features that meet z; a multiple of 8.
        levels: channels at each level, as multiples of `width`; each level halves the sides.
        shape: of one image; `fit` fills it in.

    Raises:
        InputError: sizes out of range; in calls, shapes that do not fit.
    """

    process: None = None
    stored: tuple[str, ...] = ("logits",)
    data_std: None = None

    def __init__(
        self,
        channels: int = 1,
        *,
        latents: int = 6,
        width: int = 16,
        levels: tuple[int, ...] = (1, 2, 2),
        shape: Shape | None = None,
    ) -> None:
        super().__init__()
        require_sizes("ProbabilisticUNet", channels=channels, latents=latents, width=width)
        self.channels, self.latents, self.shape = channels, latents, shape
        widths = [width * level for level in levels]
        self.prior_encoder = _encoder(channels, widths, latents)
        self.posterior_encoder = _encoder(channels + 1, widths, latents)
        self.unet = UNet(channels, outputs=width, width=width, levels=levels, attention=0)
        self.join = nn.Conv2d(width + latents, width, 1)
        self.mix = nn.Conv2d(width, width, 1)
        self.head = nn.Conv2d(width, 1, 1)

    @property
    def network(self) -> nn.Module:
        """Itself: all of it is trained."""
        return self

    def prior(self, image: Tensor) -> Normal:
        """p(z | x), of batch shape (B, latents)."""
        return self._law(self.prior_encoder, self._checked(image))

    def posterior(self, image: Tensor, mask: Tensor) -> Normal:
        """q(z | x, y) for masks y (B, 1, H, W) of 0 and 1, of batch shape (B, latents)."""
        wanted = (len(image), 1, *image.shape[2:])
        if mask.shape != wanted:
            raise InputError(
                f"the mask is {tuple(mask.shape)} for images {tuple(image.shape)}; give {wanted}"
            )
        both = torch.cat([self._checked(image), mask.to(image.dtype)], 1)
        return self._law(self.posterior_encoder, both)

    def decode(self, image: Tensor, z: Tensor) -> Tensor:
        """Logits (B, n, 1, H, W) for images (B, channels, H, W) and z (B, n, latents)."""
        if z.ndim != 3 or len(z) != len(image) or z.shape[2] != self.latents:
            raise InputError(f"z is {tuple(z.shape)}; give ({len(image)}, n, {self.latents})")
        features = silu(self.unet(self._checked(image), image.new_zeros(len(image))))
        # a linear map of features beside z is the sum of its two parts: the larger one is computed once
        weight = self.join.weight[:, :, 0, 0]
        seen = nn.functional.conv2d(features, self.join.weight[:, : -self.latents], self.join.bias)
        drawn = z @ weight[:, -self.latents :].T
        h = silu(seen[:, None] + drawn[..., None, None]).flatten(0, 1)
        return self.head(silu(self.mix(h))).unflatten(0, z.shape[:2])

    def forward(self, image: Tensor, n: int = 1, *, generator: Randomness = None) -> Tensor:
        """Logits (B, n, 1, H, W) of n draws from the prior; > 0 makes masks of them.

        Args:
            image: (B, channels, H, W).
            n: draws for each image, at least 1.
            generator: of the draws.
        """
        require(n >= 1, f"n is {n}; give at least 1 draw")
        law, source = self.prior(image), as_source(generator)
        noise = source.draw(image.new_empty(len(image), n, self.latents), 0)
        return self.decode(image, law.mean[:, None] + law.stddev[:, None] * noise)

    def _law(self, encoder: nn.Module, x: Tensor) -> Normal:
        mean, log_std = encoder(x).chunk(2, 1)
        std = (LARGEST_LOG_STD * torch.tanh(log_std / LARGEST_LOG_STD)).exp()
        return Normal(mean, std, validate_args=False)

    def _checked(self, image: Tensor) -> Tensor:
        if image.ndim != 4 or image.shape[1] != self.channels:
            raise InputError(f"the image is {tuple(image.shape)}; give (B, {self.channels}, H, W)")
        return image


class _Mean(nn.Module):
    """The mean over the pixels, (B, C)."""

    def forward(self, h: Tensor) -> Tensor:
        return h.mean((2, 3))


def _encoder(channels: int, widths: list[int], latents: int) -> nn.Sequential:
    """Without normalization, which would hide the size of what is marked; hence He's weights."""
    layers: list[nn.Module] = []
    for i, width in enumerate(widths):
        for inner in (
            convolution(widths[i - 1] if i else channels, width, stride=2 if i else 1),
            convolution(width, width),
        ):
            nn.init.kaiming_normal_(inner.weight, nonlinearity="relu")
            layers += [inner, nn.SiLU()]
    return nn.Sequential(*layers, _Mean(), nn.Linear(widths[-1], 2 * latents))
