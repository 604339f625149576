"""Evidence bounds for models of several right answers: each image comes with the masks of R raters.

    z_r ~ q(z | x, y_r),   ŷ_r = σ(logits(x, z_r))
    set         D({ŷ}, {y_r})                     + β mean_r KL(q(z | x, y_r) | p(z | x)) + ω ‖W‖²     (1)
    pixelwise   mean_r Σ cross-entropy(ŷ_r, y_r)  + the same                                          (2)

(2) is the usual bound, each mask to be rebuilt from its own z. (1) compares the sets of R · n and R maps by a
statistical distance D, each map one point with as many coordinates as pixels; it asks that the answers spread as
the raters do, and not that each latent is decoded sharply. W are the weights of the 1×1 convolutions.
Source: Chatterjee et al. (2023), PULASki, arXiv 2312.15686, eq. 5 to 8 (1); Kohl et al. (2018) (2).
Oracle: the divergence of two normal laws by torch, one rater, permuted raters (tests/objectives/test_variational.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from girsanov.errors import InputError, Unsuitable, require
from girsanov.metrics import energy_divergence
from girsanov.networks import ProbabilisticUNet
from girsanov.noise import Randomness, as_source
from girsanov.typing import Tree

SetDistance = Callable[[Tensor, Tensor], Tensor]
"""Sets (B, N, *shape) and (B, M, *shape) to distances (B,), differentiable."""


@dataclass(frozen=True)
class SetDistanceELBO:
    """Equation (1), for `training.fit(model, SetDistanceELBO(), images, cond=annotations)`.

    Args:
        distance: D, such as `metrics.energy_divergence`, `sinkhorn_divergence` or `hausdorff_divergence`.
        beta: the weight of the divergence, at least 0.
        draws: n, maps drawn for each rater.
        decay: ω, at least 0.

    Raises:
        InputError: a number out of its range; when called, annotations that are missing, not of 0 and 1, or of
            another size than the images.
    """

    distance: SetDistance = energy_divergence
    beta: float = 1.0
    draws: int = 1
    decay: float = 1e-5

    def __post_init__(self) -> None:
        _check_weights(self.beta, self.decay)
        require(self.draws >= 1, f"draws is {self.draws}; give at least 1 map a rater")

    def __call__(
        self,
        model: ProbabilisticUNet,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,) of images x0 (B, C, H, W) with annotations cond (B, R, 1, H, W)."""
        masks = _annotations(model, x0, cond, end)
        logits, divergence = _rebuilt(model, x0, masks, self.draws, generator)
        apart = self.distance(logits.sigmoid(), masks)
        return apart + self.beta * divergence + self.decay * _squared_weights(model)


@dataclass(frozen=True)
class PixelwiseELBO:
    """Equation (2), called as `SetDistanceELBO` is.

    Args:
        beta: the weight of the divergence, at least 0.
        decay: ω, at least 0.

    Raises:
        InputError: as `SetDistanceELBO`.
    """

    beta: float = 1.0
    decay: float = 1e-5

    def __post_init__(self) -> None:
        _check_weights(self.beta, self.decay)

    def __call__(
        self,
        model: ProbabilisticUNet,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,) of images x0 (B, C, H, W) with annotations cond (B, R, 1, H, W)."""
        masks = _annotations(model, x0, cond, end)
        logits, divergence = _rebuilt(model, x0, masks, 1, generator)
        each = binary_cross_entropy_with_logits(logits, masks, reduction="none")
        apart = each.flatten(2).sum(2).mean(1)
        return apart + self.beta * divergence + self.decay * _squared_weights(model)


def _rebuilt(
    model: ProbabilisticUNet, images: Tensor, masks: Tensor, draws: int, generator: Randomness
) -> tuple[Tensor, Tensor]:
    """Logits (B, R · draws, 1, H, W) from each rater's posterior, and the mean divergence to the prior (B,)."""
    b, raters = masks.shape[:2]
    wide = images[:, None].expand(-1, raters, *[-1] * (images.ndim - 1)).flatten(0, 1)
    posterior, prior = model.posterior(wide, masks.flatten(0, 1)), model.prior(images)
    mean, std = (v.unflatten(0, (b, raters)) for v in (posterior.mean, posterior.stddev))
    wide_prior = prior.expand((raters, *prior.batch_shape))
    shaped = torch.distributions.Normal(mean.transpose(0, 1), std.transpose(0, 1), validate_args=False)
    divergence = kl_divergence(shaped, wide_prior).sum(2).mean(0)
    noise = as_source(generator).draw(mean[:, :, None].expand(-1, -1, draws, -1), 0)
    z = (mean[:, :, None] + std[:, :, None] * noise).flatten(1, 2)
    return model.decode(images, z), divergence


def _squared_weights(model: ProbabilisticUNet) -> Tensor:
    layers = (model.join, model.mix, model.head)
    return torch.stack([layer.weight.square().sum() for layer in layers]).sum()


def _check_weights(beta: float, decay: float) -> None:
    for name, value in (("beta", beta), ("decay", decay)):
        require(0 <= value < math.inf, f"{name} is {value}; give a finite weight of at least 0")


def _annotations(model: ProbabilisticUNet, images: Tensor, cond: Tree, end: Tensor | None) -> Tensor:
    """cond as (B, R, 1, H, W) in the dtype of the images."""
    require(
        isinstance(model, ProbabilisticUNet),
        f"this objective trains a ProbabilisticUNet, and this is {type(model).__name__}",
        Unsuitable,
    )
    require(end is None, "annotations go into cond=; leave end out")
    what = tuple(cond.shape) if isinstance(cond, Tensor) else type(cond).__name__
    wanted = f"({len(images)}, R, 1, {', '.join(str(n) for n in images.shape[2:])})"
    if not (
        isinstance(cond, Tensor)
        and cond.ndim == 5
        and cond.shape[1] >= 1
        and (len(cond), *cond.shape[2:]) == (len(images), 1, *images.shape[2:])
    ):
        raise InputError(f"cond is {what}; give the masks of at least one rater, {wanted}")
    masks = cond.to(images.dtype)
    require(
        bool(((masks == 0) | (masks == 1)).all()),
        "the annotations hold values other than 0 and 1; threshold them first",
    )
    return masks
