"""Random variables that are functions of uniforms and normals, so that they can be keyed like any draw.

A gamma or Poisson variable whose parameter depends on the state is its inverse distribution function of one
uniform number: exact to rounding, and the same for a sample whatever its batch. About 0.5 µs each.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

TINY = 2.0**-54


def exponential(u: Tensor) -> Tensor:
    """Exponential variables of mean 1 from uniforms on [0, 1)."""
    return -torch.log1p(-u)


def gamma(u: Tensor, shape: Tensor | float) -> Tensor:
    """Gamma variables of unit scale from uniforms; `shape` > 0 broadcasts against u."""
    from scipy.special import gammaincinv  # a quarter of a second, for those who need it

    k = shape.cpu().numpy() if isinstance(shape, Tensor) else shape
    return torch.from_numpy(np.asarray(gammaincinv(k, u.cpu().numpy()))).to(u.device)


def poisson(u: Tensor, mean: Tensor | float) -> Tensor:
    """Poisson variables, as float64, from uniforms; `mean` ≥ 0 broadcasts against u."""
    from scipy.special import pdtr, pdtrik

    p = u.cpu().numpy()
    m = np.broadcast_to(mean.cpu().numpy() if isinstance(mean, Tensor) else np.float64(mean), p.shape)
    none = p <= np.exp(-m)
    found = pdtrik(np.where(none, 0.5, p), np.where(none, 1.0, m))
    k = np.where(none, 0.0, np.ceil(np.nan_to_num(found)))
    k = np.where((k > 0) & (pdtr(k - 1, np.where(none, 1.0, m)) >= p), k - 1, k)  # pdtrik is off by rounding
    return torch.from_numpy(k).to(u.device)


def categorical(u: Tensor, cumulative: Tensor) -> Tensor:
    """Indices from uniforms (B,) and running sums of weights (B, K), which need not end at 1."""
    last = cumulative.shape[-1] - 1
    target = (u * cumulative[:, -1])[:, None]
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=last)
