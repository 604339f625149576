"""A U-Net for restoration: what is learned is a correction of the degraded sample, on patches.

A `Denoiser` with preconditioning (data_std = s) gives its network u = (x_t - β x_1)/v, x_1 and τ = ¼ log(γ/α), and
wants F = (γ x_0/s - α s z)/v, where v² = α² s² + γ². With ρ = γ/α = e^{4τ} and w = v/α = √(s² + ρ²), and if
α + β = 1, as for processes that revert to x_1,

    F = ρ x_1/(s w) + (γ d/s - α s z)/v,   d = x_0 - x_1,      u - x_1/w = (x_t - x_1)/v.

So the U-Net is given (x_t - x_1)/v and x_1/s, all of order one, and its answer is added to ρ x_1/(s w): with an
answer of zeros the denoiser finds x_1 plus a part of x_t - x_1. This needs no α and no β, only s. For other
processes it is a change of variables without that meaning, and does no harm.

Each patch × patch square of pixels becomes one pixel with patch² times the channels and is spread out again after:
about patch² times less work. Sides that the patch does not divide are padded with zeros and cut to size again.
Source: Karras et al. (2022) for the preconditioning; Hoogeboom, Heek & Salimans (2023), Simple diffusion, arXiv
2301.11093, for patches before a U-Net.
Oracle: a fresh network is the exact denoiser of x_0 ~ N(x_1, s²); the contract (tests/networks).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import require
from girsanov.networks.base import require_batch, require_sizes
from girsanov.networks.registry import register
from girsanov.networks.unet import UNet
from girsanov.typing import Tree


@register
class AnchoredUNet(nn.Module):
    """x_t and x_1 (and more), (B, 2 · channels + extra, H, W) of any size, to (B, channels, H, W).

    `AnchoredUNet(2)`, for spectrograms, has 101,864 parameters.

    Args:
        channels: of one sample.
        std: the `data_std` of the denoiser, best that of x_0 - x_1.
        extra: channels of what comes after x_1, see `Beside`.
        classes, width, levels, attention: as in `UNet`.
        patch: the side of a patch.

    Raises:
        InputError: sizes out of range; when called, shapes or labels that do not fit.
    """

    config: dict[str, Any]

    def __init__(
        self,
        channels: int = 1,
        *,
        std: float = 0.5,
        extra: int = 0,
        classes: int | None = None,
        width: int = 16,
        levels: tuple[int, ...] = (1, 1, 2),
        attention: int = 0,
        patch: int = 2,
    ) -> None:
        super().__init__()
        require_sizes("AnchoredUNet", channels=channels, extra=extra or None)
        require(std > 0, f"AnchoredUNet: std is {std}; give the data_std of the denoiser")
        require(1 <= patch <= 64, f"AnchoredUNet: patch is {patch}; give a whole number from 1 to 64")
        self.channels, self.extra, self.std, self.patch = channels, extra, std, patch
        self.inner = UNet(
            (2 * channels + extra) * patch**2,
            classes=classes,
            width=width,
            levels=levels,
            attention=attention,
            outputs=channels * patch**2,
        )

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        require_batch(self, x, t, (2 * self.channels + self.extra, None, None))
        state, anchor, rest = x.split((self.channels, self.channels, self.extra), 1)
        ratio = (4 * t).exp()[:, None, None, None]
        width = (self.std**2 + ratio**2).sqrt()
        given = torch.cat([state - anchor / width, anchor / self.std, rest / self.std], 1).to(x.dtype)
        answer = self._unfolded(self.inner(self._folded(given), t, cond))[:, :, : x.shape[2], : x.shape[3]]
        return (answer + ratio / width * anchor / self.std).to(answer.dtype)

    def _folded(self, x: Tensor) -> Tensor:
        p = self.patch
        whole = F.pad(x, (0, -x.shape[3] % p, 0, -x.shape[2] % p))
        return whole.unflatten(3, (-1, p)).unflatten(2, (-1, p)).permute(0, 1, 3, 5, 2, 4).flatten(1, 3)

    def _unfolded(self, x: Tensor) -> Tensor:
        p = self.patch
        return x.unflatten(1, (self.channels, p, p)).permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)


class Beside(nn.Module):
    """A network of x_t and of a picture that is given as `cond`, (B, C, H, W): it sees both, joined.

    Saved models with one are opened with `load(folder, network=Beside(...))`.

    Args:
        network: takes the channels of both.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        fits = isinstance(cond, Tensor) and cond.shape[2:] == x.shape[2:] and len(cond) == len(x)
        require(
            fits,
            f"cond is {tuple(cond.shape) if isinstance(cond, Tensor) else type(cond).__name__} beside x "
            f"{tuple(x.shape)}; give a picture of the same size for each sample",
        )
        assert isinstance(cond, Tensor)
        answer: Tensor = self.network(torch.cat([x, cond], 1), t, None)
        return answer
