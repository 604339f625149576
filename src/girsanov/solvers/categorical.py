"""Draws of discrete values, exact in float64, and the law that float32 draws have instead.

With E_k independent standard exponentials, argmin_k E_k/π_k has law π (an exponential race, which is Gumbel-max
in other letters: G_k = -log E_k). Computed from float32 uniforms U = j 2⁻²⁴ no E = -log U but 0 is below
ε = -log(1 - 2⁻²⁴) ≈ 6·10⁻⁸, so a class of probability π enters the race ε/π late. With classes sorted
π_1 ≤ … ≤ π_K and S_i = Σ_{k≥i} π_k the law that is drawn is

    π'_n = π_n Σ_{i≤n} [e^{-ε(S_i/π_i - (K-i+1))} - e^{-ε(S_i/π_{i-1} - (K-i+1))}] / S_i,    1/π_0 = ∞,

because between ε/π_i and ε/π_{i-1} the classes i, …, K race. A class that should come once in 10⁸ draws hardly
comes at all; so a masked model sampled in many small steps, each token with probability p/steps, loses its rare
tokens and looks as if its temperature were low. Here everything is drawn in float64, by inversion.

Source: Zheng et al. (2024), Masked diffusion models are secretly time-agnostic masked models, section 5,
arXiv 2409.02908; Kool, van Hoof & Welling (2019), Stochastic beams, for the Gumbel-top-k trick.
Oracle: inversion against the probabilities; the law above against a simulated race
(tests/solvers/test_categorical.py).
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor

from girsanov.errors import choose, require
from girsanov.noise import Randomness, as_source, uniform

TOLERANCE = 1e-4
"""How far probabilities may be from a sum of 1: the rounding of a float32 softmax over a large vocabulary."""

HALF = (torch.float16, torch.bfloat16)
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def sample_categorical(
    probs: Tensor, *, precision: str = "float64", generator: Randomness = None, index: int = 0
) -> Tensor:
    """Draw a class from each law, (B, *shape), int64.

    Args:
        probs: (B, *shape, K), each row of K summing to 1, float32 or float64.
        precision: "float64", exact by inversion; "float32" draws by Gumbel-max in float32, as is common, with
            the law `truncated_gumbel_law`. It is here to measure that error.
        index: the number of the draw within the caller's algorithm.

    Raises:
        InputError: no probabilities, or some that do not sum to 1; the message says where.
    """
    choose(precision, DTYPES, "precision")
    check_probabilities(probs)
    source = as_source(generator)
    if precision == "float32":
        race = -source.draw(probs.float(), index, uniform).log()
        return (probs.float() / race).argmax(-1)
    summed = probs.double().cumsum(-1)
    total = summed[..., -1:]
    # u < 1 keeps u · total below total in float64, so a class of probability 0 is never met.
    level = source.draw(total[..., 0], index, uniform)[..., None] * total
    return torch.searchsorted(summed, level, right=True)[..., 0].clamp(max=probs.shape[-1] - 1)


def check_probabilities(probs: Tensor) -> None:
    """Refuse what are no laws over the last dimension; the message names the first bad position.

    Raises:
        InputError: half precision, negative numbers, NaN, or a sum that is not 1.
    """
    require(
        isinstance(probs, Tensor) and probs.dtype in (torch.float32, torch.float64) and probs.ndim >= 2,
        f"probs is {getattr(probs, 'dtype', type(probs).__name__)} {tuple(getattr(probs, 'shape', ()))}; give float32 "
        "or float64 (B, *shape, K). From logits: probabilities(logits)",
    )
    sums = probs.sum(-1, dtype=torch.float64)
    good = (sums - 1).abs().le(TOLERANCE) & probs.ge(0).all(-1)  # NaN fails both
    if not good.all():
        where = tuple((~good).nonzero()[0].tolist())
        row = probs[where]
        told = f"hold {row.min().item():.6g}" if row.min() < 0 else f"sum to {sums[where].item():.6g}"
        require(
            False,
            f"the probabilities at {where} {told}; give numbers of at least 0 that sum to 1. "
            "From logits: probabilities(logits)",
        )


def probabilities(logits: Tensor) -> Tensor:
    """The softmax over the last dimension in float64, (…, K).

    Logits of half precision hold two or three digits of a logarithm; they are taken as they are, with a warning.

    Raises:
        InputError: no class possible at a position, or NaN.
    """
    require(
        logits.is_floating_point(), f"logits is {logits.dtype}; give floating point numbers (B, *shape, K)"
    )
    if logits.dtype in HALF:
        warnings.warn(
            f"logits are {logits.dtype} and are drawn from as float64; their own rounding stays. "
            "Let the network's last layer answer in float32.",
            stacklevel=2,
        )
    law = torch.softmax(logits, -1, dtype=torch.float64)
    bad = law.isnan().any(-1)
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        require(False, f"the logits at {where} are NaN, or -inf for every class; give one that is finite")
    return law


class TopK(NamedTuple):
    """k classes drawn without replacement, in the order of the draw.

    Args:
        classes: (B, *shape, k), int64.
        perturbed: (B, *shape, k), log-probability plus Gumbel noise, decreasing.
    """

    classes: Tensor
    perturbed: Tensor


def gumbel_top_k(log_probs: Tensor, k: int, *, generator: Randomness = None, index: int = 0) -> TopK:
    """Draw k different classes, one after the other from what is left of the law; float64.

    Args:
        log_probs: (B, *shape, K), up to a constant for each row; -inf for what cannot be drawn.
        k: from 1 to the number of possible classes.

    Raises:
        InputError: k larger than the number of possible classes somewhere.
    """
    require(
        isinstance(log_probs, Tensor) and log_probs.is_floating_point() and log_probs.ndim >= 2,
        "log_probs must be floating point numbers (B, *shape, K)",
    )
    require(not log_probs.isnan().any(), "log_probs holds NaN; give logarithms of probabilities")
    possible = log_probs.gt(-math.inf).sum(-1)
    least = int(possible.min()) if possible.numel() else k
    require(
        1 <= k <= least,
        f"k is {k}, and a row has {least} classes that can be drawn; give a k from 1 to that",
    )
    values = log_probs.double()
    # 1 - u lies in (0, 1], and E = -log(1 - u) = 0 would be an infinite Gumbel: the least float stands for it.
    race = -torch.log1p(-as_source(generator).draw(values, index, uniform))
    found = (values - race.clamp(min=torch.finfo(torch.float64).tiny).log()).topk(k)
    return TopK(found.indices, found.values)


def truncated_gumbel_law(probs: Tensor, bits: int = 24) -> Tensor:
    """The law that Gumbel-max has with uniforms of `bits` bits, (…, K), float64; see the head of the module.

    It treats the uniforms below 1 - 2^-bits as continuous, which is exact up to terms of order 2^-bits.

    Args:
        probs: (…, K), the law that was meant.
        bits: of the uniforms; 24 for float32, 53 for float64.
    """
    require(1 <= bits <= 53, f"bits is {bits}; give 1 to 53, such as 24 for float32")
    check_probabilities(probs[None] if probs.ndim == 1 else probs)
    late = -math.log1p(-(2.0**-bits))
    law, order = probs.double().sort(-1)
    tail = law.flip(-1).cumsum(-1).flip(-1)
    racing = torch.arange(law.shape[-1], 0, -1, dtype=torch.float64, device=law.device)
    # From its start on no class of i, …, K has won yet with this probability; a class of 0 never starts.
    start = torch.exp(-late * (tail / law - racing))
    before = torch.cat([torch.zeros_like(start[..., :1]), law[..., :-1]], -1)
    stop = torch.exp(-late * (tail / before - racing))
    drawn = law * ((start - stop) / tail).cumsum(-1)
    return torch.empty_like(drawn).scatter_(-1, order, drawn)
