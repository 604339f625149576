"""Regional guidance: energies of a network's features, each pulling only inside its own region.

Features of an image are what chosen layers of the network say of it at one noise level, brought to the size of the
image. An energy compares the features F of the state with those F° of the source at the same level, by

    E(a, b) = mean over a region of 1/(1 + 4 s(a, b)),    s = (1 + cos(a, b))/2,

which is least where the features agree. Its gradient with respect to the state moves the noise prediction,

    ε' = ε + κ d Σ_k m_k ∇E_k,

m_k the mask of region k and d the number of coordinates, so that κ does not depend on the size of the image. `move`
makes the regions that carry an object to another place.
Source: Mou et al. (2023), DragonDiffusion, arXiv 2307.02421; Mou et al. (2024), DiffEditor, arXiv 2402.02583, for the
regions; the energies are theirs, the layers and κ are chosen for small networks.
Oracle: no gradient outside a mask, the energy of equal features (tests/guidance/test_region.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, require
from girsanov.typing import Tree

Energy = Callable[[Tensor, Tensor], Tensor]
"""(features of the state, of the source), each (B, C, H, W), to (B,)."""


@dataclass(frozen=True)
class Region:
    """An energy and where its gradient acts.

    Args:
        energy: of one layer's features.
        mask: (B or 1, H, W), 1 where the gradient acts.
        weight: of the energy.
    """

    energy: Energy
    mask: Tensor
    weight: float = 1.0


@dataclass(frozen=True)
class Regions:
    """All energies of an edit, and `where` new content may come: (B or 1, H, W)."""

    parts: tuple[Region, ...]
    where: Tensor


def similarity(current: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """E(a, b) over a mask (B or 1, H, W), for features (B, C, H, W); (B,). An empty mask gives 0."""
    agreement = (1 + F.cosine_similarity(current, reference, dim=1)) / 2
    energy = mask / (1 + 4 * agreement)
    return energy.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)


def move(source: Tensor, shift: Tensor | tuple[int, int]) -> Regions:
    """The regions that carry what is in a mask to another place.

    In the new place the features are to be those of the old one, shifted; where the object was, those of the
    mean background; and elsewhere they stay. The first two pull in both places, the last outside.

    Args:
        source: (B or 1, H, W), 1 on the object.
        shift: rows down and columns right, one for all or (B, 2).

    Raises:
        InputError: an empty mask, one that is not 0 or 1, or a place outside the image.
    """
    require(
        source.ndim == 3 and bool(((source == 0) | (source == 1)).all()),
        f"the mask has the shape {tuple(source.shape)}; give (B or 1, H, W) of 0 and 1",
    )
    source = source.to(torch.float32)
    require(bool((source.sum((1, 2)) > 0).all()), "a mask is empty: mark the object with 1")
    shifts = torch.as_tensor(shift).expand(len(source), 2)
    target = shifted(source, shifts)
    require(
        bool((target.sum((1, 2)) == source.sum((1, 2))).all()),
        f"the shift {shifts.tolist()[0]} carries an object out of the image; give a smaller one",
    )
    both = ((source + target) > 0).to(source.dtype)
    left, outside = source * (1 - target), 1 - both

    def background(features: Tensor) -> Tensor:
        size = outside.sum((1, 2)).clamp(min=1)[:, None, None, None]
        mean = (features * outside[:, None]).sum((2, 3), keepdim=True) / size
        return mean.expand_as(features)

    return Regions(
        (
            Region(lambda now, then: similarity(now, shifted(then, shifts), target), both),
            Region(lambda now, then: similarity(now, background(then), left), both),
            Region(lambda now, then: similarity(now, then, outside), outside),
        ),
        both,
    )


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """x (B, ..., H, W) moved by shifts (B, 2) rows and columns, with zeros behind."""
    out = torch.zeros_like(x)
    height, width = x.shape[-2:]
    for i, (down, right) in enumerate(shifts.expand(len(x), 2).tolist()):
        rows, columns = (
            slice(max(down, 0), height + min(down, 0)),
            slice(max(right, 0), width + min(right, 0)),
        )
        out[i, ..., rows, columns] = x[i].roll((down, right), (-2, -1))[..., rows, columns]
    return out


class Features:
    """What layers of a model's network say of a state, beside its prediction.

    Args:
        model: a denoiser with a network.
        layers: names of its submodules that answer (B, C, h, w), such as "up.0.0" of `networks.UNet`.

    Raises:
        InputError: a name that is no submodule; the message lists those there are.
    """

    def __init__(self, model: Denoiser, layers: Sequence[str]) -> None:
        known = dict(model.network.named_modules())
        for name in layers:
            if name not in known or not name:
                raise InputError(
                    f"the network has no layer {name!r}; there are {', '.join(filter(None, known))}"
                )
        self.model, self.modules = model, [known[name] for name in layers]

    def __call__(self, x: Tensor, t: float, cond: Tree = None) -> tuple[Tensor, list[Tensor]]:
        """The predicted noise and one (B, C, H, W) for each layer."""
        found: list[Tensor] = []
        hooks = [m.register_forward_hook(lambda _, __, out: found.append(out)) for m in self.modules]
        try:
            noise = self.model.noise(x, t, cond=cond)
        finally:
            for hook in hooks:
                hook.remove()
        size = x.shape[-2:]
        return noise, [F.interpolate(out, size=size, mode="bilinear", align_corners=False) for out in found]


def pull(
    features: Features, regions: Regions, x: Tensor, reference: Tensor, t: float, cond: Tree
) -> tuple[Tensor, Tensor]:
    """(ε, d Σ m_k ∇E_k), both (B, *shape), at the state x and the source's state of the same time."""
    with torch.no_grad():
        _, then = features(reference, t, cond)
    with torch.enable_grad():
        point = x.detach().requires_grad_()
        noise, now = features(point, t, cond)
        total = torch.zeros_like(x)
        for k, part in enumerate(regions.parts):
            energy = sum(
                (part.energy(a, b) for a, b in zip(now, then, strict=True)), start=x.new_zeros(len(x))
            )
            last = k + 1 == len(regions.parts)
            (gradient,) = torch.autograd.grad(part.weight * energy.sum(), point, retain_graph=not last)
            total = total + part.mask[:, None].to(x) * gradient
    return noise.detach(), total * x[0].numel()
