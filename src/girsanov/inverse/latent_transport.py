"""Restored images given the local statistics of real ones, in closed form, from a dozen of each.

All p×p patches of the latent images, c·p² numbers each, are taken as one Gaussian for restored images and one for
real ones, which need not be pairs. Patches are carried from the first to the second by optimal transport
(`transport.gaussian_plan`, with noise where restored patches lie in fewer directions), and put together again:
a pixel is the mean of what the patches around it say, weighted by exp(-d²/2s²), with d the distance from the
pixel to the centre of the patch and s = p/4. After decoding,

    x̂_α = (1 - α) x̂_0 + α x*,

between the transported image x̂_0 (α = 0, close to real images) and the restorer's own x* (α = 1, of least error if
it is the posterior mean). With α < 0 or α > 1 the line goes on beyond them. For Gaussians whose transport is not
limited to patches these are the restorations of least error at their distance to real images, with
(1 - α)² W₂² above the MMSE.
Where patches overlap, their mean varies less than each of them: x̂_0 falls short of the target's variance.
Source: Adrai, Ohayon, Elad & Michaeli (2023), Deep optimal transport: a practical algorithm for photo-realistic image
restoration, arXiv 2306.02342, section 3; Freirich, Michaeli & Meir (2021).
Oracle: independent patches that get the target's moments; pictures with an exact posterior mean
(tests/inverse/test_latent_transport.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from girsanov.errors import InputError, choose, require, require_finite
from girsanov.noise import Noise, Source, as_source
from girsanov.transport import GaussianPlan, RunningMoments, gaussian_plan

CHUNK = 64
"""Images that are in memory as patches at once."""


class LatentTransport:
    """Moves restored images to the law of real ones, patch by patch; see the head of the module.

    Call `update` with images of both kinds as often as there are some, then `transport`.

    Args:
        encoder: images (B, *shape) to latent images (B, c, h, w), frozen; the identity for pixels.
        decoder: latent images back to images.
        patch: p, the side of a patch, at least 1. With p = 3 to 5 a dozen images are enough.
        stride: from one patch to the next, 1 to p; below p patches overlap.

    Raises:
        InputError: sizes out of range.
    """

    def __init__(
        self,
        encoder: Callable[[Tensor], Tensor],
        decoder: Callable[[Tensor], Tensor],
        patch: int = 3,
        stride: int = 1,
    ) -> None:
        require(isinstance(patch, int) and patch >= 1, f"patch is {patch!r}; give a side of at least 1")
        require(
            isinstance(stride, int) and 1 <= stride <= patch,
            f"stride is {stride!r}; give 1 to {patch}, so that patches of side {patch} leave no gap",
        )
        self.encoder, self.decoder, self.patch, self.stride = encoder, decoder, patch, stride
        self.moments: dict[str, RunningMoments] = {}
        self.plan: GaussianPlan | None = None

    @torch.no_grad()
    def update(self, x: Tensor, kind: Literal["source", "target"]) -> None:
        """Learn from images (B, *shape).

        Args:
            x: one or more images; sizes may differ between calls.
            kind: "source" for restored images, "target" for real ones.

        Raises:
            InputError: NaN, or images smaller than a patch.
            UnknownName: another kind.
        """
        choose(kind, dict.fromkeys(("source", "target")), "kind of image")
        for z in self._encoded(x):
            found = RunningMoments.of(self._patches(z).flatten(0, 1))
            known = self.moments.get(kind)
            self.moments[kind] = found if known is None else known + found
        self.plan = None

    def compute(self) -> GaussianPlan:
        """The plan between the two laws of patches.

        It warns where the restored patches are fewer than their numbers, or lie in fewer directions than real ones:
        what is missing is then drawn.

        Raises:
            InputError: no images of a kind yet.
        """
        for kind in ("source", "target"):
            require(kind in self.moments, f"no {kind} images yet; call update(x, {kind!r}) first")
        a, b = self.moments["source"], self.moments["target"]
        require(
            a.mean.shape == b.mean.shape,
            f"patches of the source have {len(a.mean)} numbers and those of the target {len(b.mean)}; the images "
            "must have equal channels",
        )
        self.plan = gaussian_plan(a.mean, a.covariance, b.mean, b.covariance)
        if self.plan.rest is not None:
            warnings.warn(
                f"the covariance of the {a.count} restored patches is singular: they miss "
                f"{self.plan.rest.shape[1]} of {len(a.mean)} directions of real ones, which are drawn at random",
                stacklevel=2,
            )
        return self.plan

    @torch.no_grad()
    def transport(self, x: Tensor, alpha: float = 0.0, *, seed: int | None = None) -> Tensor:
        """Restored images (B, *shape), moved; `compute` is called if it was not.

        Args:
            x: (B, *shape), what the restorer made.
            alpha: 0 for the transported image, 1 for x itself; others lie on the line through both.
            seed: of what is drawn, if anything is.

        Raises:
            InputError: NaN, an alpha that is not finite, images of another number of channels or smaller than a
                patch, or no images learned from.
        """
        require(abs(alpha) < float("inf"), f"alpha is {alpha}; give a finite number, such as 0 or 0.5")
        plan, source = self.plan or self.compute(), as_source(None if seed is None else Noise(seed))
        parts, first = [], 0
        for z in self._encoded(x):
            parts.append(self.decoder(self._moved(z, plan, source.shifted(first))))
            first += len(z)
        moved = torch.cat(parts) if parts else x
        require(
            moved.shape == x.shape,
            f"the decoder gave {tuple(moved.shape)} back for {tuple(x.shape)}; sizes must be restored",
        )
        return moved + alpha * (x - moved)

    def _moved(self, z: Tensor, plan: GaussianPlan, source: Source) -> Tensor:
        """Latent images with every patch carried over, (B, c, h, w)."""
        patches = self._patches(z)
        require(
            patches.shape[-1] == len(plan.map.mean0),
            f"these patches have {patches.shape[-1]} numbers and the known ones {len(plan.map.mean0)}; give "
            "images of as many channels",
        )
        channels, weight = z.shape[1], self._window(z)
        patches = plan(patches, generator=source) * weight.flatten().repeat(channels)
        side = self.patch

        def fold(columns: Tensor, channels: int) -> Tensor:
            return F.fold(columns, z.shape[-2:], side, stride=self.stride)

        total = fold(weight.reshape(1, -1, 1).expand(1, -1, patches.shape[1]), 1)
        return fold(patches.mT, channels) / total

    def _window(self, z: Tensor) -> Tensor:
        """exp(-d²/2s²), (p, p)."""
        line = torch.arange(self.patch, dtype=z.dtype, device=z.device) - (self.patch - 1) / 2
        line = torch.exp(-(line**2) / (2 * (self.patch / 4) ** 2))
        return torch.outer(line, line)

    def _patches(self, z: Tensor) -> Tensor:
        """(B, L, c·p²)."""
        return F.unfold(z, self.patch, stride=self.stride).mT

    def _encoded(self, x: Tensor) -> Iterator[Tensor]:
        """Latent images, a few at a time."""
        require(x.ndim >= 2, f"x is {tuple(x.shape)}; give a batch of images (B, *shape)")
        require_finite(x, "x")
        for part in x.split(CHUNK):
            z = self.encoder(part)
            if z.ndim != 4 or len(z) != len(part):
                raise InputError(f"the encoder gave {tuple(z.shape)}; latent images are (B, c, h, w)")
            for side in z.shape[-2:]:
                left = side - self.patch
                require(
                    left >= 0 and left % self.stride == 0,
                    f"patches of {self.patch} at stride {self.stride} do not fill latent images of "
                    f"{tuple(z.shape[-2:])}; give larger images, or a stride that divides {max(left, 1)}, such as 1",
                )
            yield z
