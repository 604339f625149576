"""DnCNN: 3×3 convolutions and rectifiers at one resolution, for noise whose level the network is not told.

    D(x) = x - f(x),     f = conv ∘ (relu ∘ conv)^{depth - 1}

Without biases f, and with it D, is homogeneous: D(c x) = c D(x) for c > 0, and D(x) = J(x) x with J its Jacobian.
What is learned at some noise levels then carries over to others, where a network with biases fails. There is no
normalization: nets as short as these train without, and a mean or a bias in it would break the homogeneity.
Source: Zhang, Zuo, Chen, Meng & Zhang (2017), Beyond a Gaussian denoiser, arXiv 1608.03981; Mohan, Kadkhodaie,
Simoncelli & Fernandez-Granda (2020), Robust and interpretable blind image denoising via bias-free convolutional
neural networks, arXiv 1906.05478.
Oracle: homogeneity, D(x) = J(x) x, and the reach of a pixel (tests/networks/test_dncnn.py).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from girsanov.errors import require
from girsanov.networks.base import DEEPEST, require_sizes, zeroed
from girsanov.typing import Tree


class DnCNN(nn.Module):
    """Images (B, channels, H, W) of any size, to denoised ones or to (B, outputs, H, W).

    It is blind: time and label are accepted, so that a `Denoiser` can hold it, and not looked at. A fresh one
    leaves x as it is. Saved models with one are opened with `load(folder, network=DnCNN(...))`.

    Args:
        channels: of one image.
        outputs: None to denoise, D(x) = x - f(x); a number of channels to answer with f(x) itself.
        width: channels in between.
        depth: convolutions, at least 2.
        bias_free: whether it is homogeneous.

    Raises:
        InputError: sizes out of range; when called, x of another shape.
    """

    def __init__(
        self,
        channels: int = 1,
        *,
        outputs: int | None = None,
        width: int = 32,
        depth: int = 8,
        bias_free: bool = False,
    ) -> None:
        super().__init__()
        require_sizes("DnCNN", channels=channels, outputs=outputs, width=width)
        require_sizes("DnCNN", most=DEEPEST, depth=depth)
        require(depth >= 2, f"DnCNN: depth is {depth}; give at least 2")
        widths = [channels, *[width] * (depth - 1), outputs or channels]
        self.channels, self.denoises = channels, outputs is None
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=not bias_free) for a, b in pairwise(widths)
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        zeroed(last)

    def forward(self, x: Tensor, t: Tensor | None = None, cond: Tree = None) -> Tensor:
        require(
            x.ndim == 4 and x.shape[1] == self.channels,
            f"x is {tuple(x.shape)}; this DnCNN takes (B, {self.channels}, any, any)",
        )
        h = x
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        h = self.layers[-1](h)
        return x - h if self.denoises else h
