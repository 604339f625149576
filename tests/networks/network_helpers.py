"""Shared by the tests of networks."""

import torch
from torch import nn


def awake(net: nn.Module) -> nn.Module:
    """The network in float64 with every weight moved, so that nothing starts at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.double().parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.2)
    return net
