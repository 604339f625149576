"""A network that is the gradient of a scalar one, so that what it learns can be a score.

    answer = ∇_x h(x, t, cond),    h = the one output of the network, or ⟨x, network(x)⟩ where it has x's shape

The second lets any network of pictures serve: its gradient is the network plus Jᵀx. A denoiser that stores data,
noise or score is then a gradient in every word, as each is another by adding a multiple of x.

It costs a backward pass in every call, and training differentiates twice: the layers must be smooth (SiLU, not
ReLU), and attention runs on its plain kernel. Not for `torch.inference_mode`.

Oracle: automatic differentiation; its Jacobian is symmetric (tests/networks/test_conservative.py).
Source: Salimans & Ho (2021), Should EBMs model the energy or the score?; Horvat & Pfister (2024).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from girsanov.errors import InputError
from girsanov.networks.registry import register
from girsanov.typing import Tree


@register
class GradientOf(nn.Module):
    """The gradient of a scalar network with respect to x; `GradientOf(MLP(2, outputs=1))`.

    That one has 219,393 parameters, those of the network inside.

    Args:
        scalar: a registered network that answers (B, 1), or the shape of x.

    Raises:
        InputError: a network that is not registered; in the call, one that answers another shape.
    """

    config: dict[str, Any]

    def __init__(self, scalar: nn.Module) -> None:
        super().__init__()
        self.scalar = scalar

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        keep = torch.is_grad_enabled()
        with torch.enable_grad():  # sampling runs without gradients, and this answer is one
            here = x if x.requires_grad else x.detach().requires_grad_()
            h = self.potential(here, t, cond)
            (found,) = torch.autograd.grad(h.sum(), here, create_graph=keep)
        return found

    def potential(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        """h (B,)."""
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention cannot be differentiated twice
            y = self.scalar(x, t, cond)
        if y.shape == x.shape:
            return (x * y).flatten(1).sum(1)
        if y.shape != (len(x), 1):
            raise InputError(
                f"the network answers {tuple(y.shape)} at {tuple(x.shape)}; a potential is (B, 1), as MLP(2, outputs=1) "
                "gives, or the shape of x"
            )
        return y[:, 0]
