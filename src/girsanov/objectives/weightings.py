"""How much an error counts at each time.

For a process with one random end all predictions are one: their errors at time t are multiples of the
error of the unit-variance residual F of the preconditioned denoiser (see `girsanov.denoiser`),

    error(word) = k(word) · error(F),    k = (a γ - c α) s/v,    v² = α² s² + γ²,

where (a, b, c) is the word's row over (x_0, x_1, z): γs/v for data, -αs/v for noise, αs/(γv) for score. A
weighting is a function (t, process, data_std) -> weight of the squared error of F; the same weighting
therefore gives the same loss whatever is predicted:

    edm          1          (σ² + s²)/(σ s)² on the data                   Karras et al. (2022)
    min-snr      min(SNR, 5) on the data, SNR = α²/γ²                      Hang et al. (2023)
    likelihood   g² on the score, a bound of the log-likelihood            Song et al. (2021b)

`uniform` is 1 on the network's own target: on F, or on the stored word of a model without preconditioning;
an objective with `predict` makes it 1 on that word instead.
Oracle: a model that answers 0, whose loss is the weight (tests/objectives/test_matching.py).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from girsanov.processes import GaussianConditional
from girsanov.processes.conversion import Row
from girsanov.processes.functions import sqrt
from girsanov.typing import Scalar

Weighting = Callable[[Tensor, GaussianConditional, float], Tensor]


def residual_scale(state: Row, word: Row, data_std: float) -> Scalar:
    """k(word): how large an error of the residual is in the word; `state` is (α, β, γ) at that time."""
    (alpha, _, gamma), (a, _, c) = state, word
    return (a * gamma - c * alpha) * data_std / sqrt((alpha * data_std) ** 2 + gamma**2)


def even(t: Tensor, process: GaussianConditional, data_std: float) -> Tensor:
    """1: every noise level alike, in units of what can be learned there."""
    return torch.ones_like(t)


def min_snr(t: Tensor, process: GaussianConditional, data_std: float, limit: float = 5.0) -> Tensor:
    """min(SNR, limit) on the data; written without a division, as α or γ may be small."""
    alpha2, _, gamma2 = (value**2 for value in process.values(t))
    return torch.minimum(alpha2, limit * gamma2) * _share(alpha2, gamma2, data_std)


def likelihood(t: Tensor, process: GaussianConditional, data_std: float) -> Tensor:
    """g² on the score, with α² g²/γ² = 2 (α² γ'/γ - αα') finite where α = 0."""
    alpha, _, gamma = process.values(t)
    d_alpha, _, d_gamma = process.rates(t)
    squared = 2 * (alpha**2 * d_gamma / gamma - alpha * d_alpha)
    return squared * _share(alpha**2, gamma**2, data_std)


def _share(alpha2: Tensor, gamma2: Tensor, data_std: float) -> Tensor:
    """s²/v²."""
    return data_std**2 / (alpha2 * data_std**2 + gamma2)


WEIGHTINGS: dict[str, Weighting] = {
    "uniform": even,
    "edm": even,
    "min-snr": min_snr,
    "likelihood": likelihood,
}
"""The weightings by name."""
