"""What every network shares: its inputs, checked once, and time and label as one vector.

A network is a module called as `net(x, t, cond)`:

    x     (B, *shape)   the noisy sample
    t     (B,)          a time or noise level, any finite number: diffusion time in [0, 1], -log SNR / 4, ...
    cond  None, or labels (B,) from 0 to classes - 1; -1 and `classes` mean "no label", and None means
          no label for the whole batch (the unconditional half of classifier-free guidance)

and answers (B, *shape), or `outputs` channels in place of those of x. A fresh network answers zeros.
Weights are drawn as everywhere in PyTorch, from the global state: `torch.manual_seed` fixes them.

Time enters as Fourier features, cos(ω t) and sin(ω t), with ω in geometric progression from 1/4 (bends
little over the few units that a noise level spans) to 64 (tells 0.001 from 0.01 in diffusion time).
Source: Tancik et al. (2020), Fourier features let networks learn high frequency functions.
Oracle: attention is a permutation-equivariant mean of values; features have unit modulus
(tests/networks/test_network_base.py).
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import InputError, require
from girsanov.typing import Tree

L = TypeVar("L", nn.Linear, nn.Conv2d)

FREQUENCIES = 16
LOWEST, HIGHEST = 0.25, 64.0
WIDEST, DEEPEST = 2**24, 1024
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def require_sizes(network: str, *, most: int = WIDEST, **sizes: int | None) -> None:
    """Refuse a size that is not between 1 and `most`; None stands for "not given"."""
    for name, size in sizes.items():
        require(
            size is None or 1 <= size <= most,
            f"{network}: {name} is {size}; give a whole number from 1 to {most}",
        )


def require_batch(network: nn.Module, x: Tensor, t: Tensor, event: tuple[int | None, ...]) -> None:
    """Refuse x unless it is (B, *event), where None fits any size, and t unless it is (B,)."""
    if x.ndim != len(event) + 1 or any(n not in (None, m) for n, m in zip(event, x.shape[1:])):
        wanted = ", ".join("any" if n is None else str(n) for n in event)
        raise InputError(
            f"x is {tuple(x.shape)}; this {type(network).__name__} takes (B, {wanted}). "
            "Reshape x, or build the network for that shape."
        )
    require(
        t.shape == x.shape[:1],
        f"t is {tuple(t.shape)} for x {tuple(x.shape)}; give one time a sample, such as torch.full((B,), t)",
    )


def labels(cond: Tree, classes: int, like: Tensor) -> Tensor:
    """Labels (B,) from 0 to `classes`, which stands for "no label".

    Values are looked at on the CPU only. On an accelerator a look would wait for the device, and there
    the look-up of a label that does not exist fails by itself.

    Raises:
        InputError: not integers (B,), or a label that does not exist.
    """
    if cond is None:
        return torch.full(like.shape[:1], classes, device=like.device)
    if not (isinstance(cond, Tensor) and cond.dtype in INTEGERS and cond.shape == like.shape[:1]):
        raise InputError(
            f"cond is {_describe(cond)}; give integer labels of shape ({like.shape[0]},), or None for none"
        )
    if cond.device.type == "cpu" and cond.numel():
        low, high = (int(bound) for bound in cond.aminmax())
        require(
            low >= -1 and high <= classes,
            f"cond holds labels from {low} to {high}; give 0 to {classes - 1}, or -1 for no label",
        )
    return torch.where(cond < 0, classes, cond.long())


def fourier(t: Tensor) -> Tensor:
    """Fourier features of t (B,): (B, 2 · FREQUENCIES), in float32 at least."""
    t = t.to(torch.promote_types(t.dtype, torch.float32))
    span = torch.linspace(math.log(LOWEST), math.log(HIGHEST), FREQUENCIES, dtype=t.dtype, device=t.device)
    angles = t[:, None] * span.exp()
    return torch.cat([angles.cos(), angles.sin()], 1)


class Embedding(nn.Module):
    """Time, and the label where there are classes, as one vector (B, width)."""

    def __init__(self, width: int, classes: int | None) -> None:
        super().__init__()
        self.inner = nn.Linear(2 * FREQUENCIES, width)
        self.outer = nn.Linear(width, width)
        self.label = None if classes is None else nn.Embedding(classes + 1, width)

    def forward(self, t: Tensor, cond: Tree) -> Tensor:
        h = self.outer(F.silu(self.inner(fourier(t).to(self.inner.weight.dtype))))
        if self.label is not None:
            h = h + self.label(labels(cond, self.label.num_embeddings - 1, t))
        elif cond is not None:
            raise InputError(
                f"cond is {_describe(cond)}, and this network was built without classes; leave it out"
            )
        return F.silu(h)


class Attention(nn.Module):
    """Multi-head self-attention over tokens (B, N, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        require(width % heads == 0, f"{heads} heads do not divide a width of {width}; give a divisor")
        self.heads = heads
        self.split = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        queries, keys, values = self.split(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        return self.merge(mixed.transpose(1, 2).flatten(2))


def zeroed(layer: L) -> L:
    """The layer with weights and bias at zero, so that a branch ending in it starts as nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _describe(cond: Tree) -> str:
    return f"{cond.dtype} of shape {tuple(cond.shape)}" if isinstance(cond, Tensor) else type(cond).__name__
