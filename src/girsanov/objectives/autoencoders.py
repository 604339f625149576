"""Autoencoders as denoisers at one noise level: denoising and contractive losses.

With r the autoencoder and σ the noise it is trained for,

    DAE    E|r(x + σε) − x|²                        minimizer r(x) = E[x_0 | x], so (r(x) − x)/σ² = ∇log p_σ(x)
    RCAE   E[|r(x) − x|² + σ² ‖∂r/∂x‖_F²]           the same as σ → 0

The first is score matching at one time. On Gaussian data N(0, λ) the second has the minimizer r(x) = λx/(λ + σ²),
as the first. `autoencoder(network, std)` is r as a denoiser that knows one time, t = 1, where the noise is σ.

Source: Alain & Bengio (2014), equations 1 to 4 and theorem 2.
Oracle: that minimizer; finite differences (tests/objectives/test_autoencoders.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.errors import InputError, Unsuitable, require
from girsanov.noise import Randomness, as_source, rademacher
from girsanov.objectives.base import NOISE, check_batch, check_end, per_sample, process_of
from girsanov.processes import EDM
from girsanov.typing import Shape, Tree

EXACT_UP_TO = 32
PROBE = 8
"""The key of the probe of a Jacobian's norm."""


class _OneNoise(nn.Module):
    """A network without a time as one that is asked at t = 1 only."""

    def __init__(self, inner: nn.Module, std: float) -> None:
        super().__init__()
        self.inner, self.std = inner, std

    def forward(self, x: Tensor, t: Tensor, cond: Tree = None) -> Tensor:
        require(
            bool((t == 1).all()),
            f"t is {t}; an autoencoder knows the noise {self.std:g} only, which is at t = 1",
            Unsuitable,
        )
        answer = self.inner(x)
        if answer.shape != x.shape:
            raise InputError(
                f"the network answers {tuple(answer.shape)} at {tuple(x.shape)}; an autoencoder answers the shape of x"
            )
        return answer


def autoencoder(network: nn.Module, std: float, *, shape: Shape | None = None) -> Denoiser:
    """A network r(x) -> (B, *shape), without a time, as the denoiser of x_0 + σ z at that one σ.

    `model.score(x, 1.0)` is (r(x) − x)/σ². It is asked at t = 1 only; to sample, walk with
    `montecarlo.ScoreMetropolisHastings`.

    Args:
        network: called as network(x).
        std: σ, above 0, in units of x.
        shape: of one sample; `fit` fills it in.

    Raises:
        InputError: σ out of range; in the call, another time than 1, or an answer of another shape.
    """
    require(0 < std < math.inf, f"std is {std}; give the noise of the autoencoder, a number above 0")
    process = EDM(sigma_min=std / 2, sigma_max=std)
    return Denoiser(_OneNoise(network, std), process, predicts="data", data_std=None, shape=shape)


@dataclass(frozen=True)
class Autoencoding:
    """Both losses; see the head of the module, `denoising_autoencoder` and `contractive`."""

    contractive: bool
    t: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.t <= 1, f"t is {self.t}; give a time above 0, at most 1")

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`."""
        process, source = process_of(model), as_source(generator)
        check_batch(x0)
        check_end(process, x0, end)
        require(process.end == "noise", f"an autoencoder needs data and noise, not {process!r}", Unsuitable)
        alpha, _, gamma = process.values(self.t)
        if not self.contractive:
            x = alpha * x0 + gamma * source.draw(x0, NOISE)
            return per_sample((model.data(x, self.t, cond=cond) - x0).square())
        require(
            alpha == 1,
            f"contractive needs x_0 + noise, and {process!r} shrinks the data; use EDM",
            Unsuitable,
        )
        keep = torch.is_grad_enabled()
        with torch.enable_grad():  # validation runs without gradients, and the penalty needs them
            x = x0.detach().requires_grad_()
            r = model.data(x, self.t, cond=cond)
            squares = self._squares(r, x, source.draw(x, PROBE, rademacher))
            loss = per_sample((r - x0).square()) + gamma**2 * squares / x0[0].numel()
        return loss if keep else loss.detach()

    @staticmethod
    def _squares(r: Tensor, x: Tensor, probe: Tensor) -> Tensor:
        """‖∂r/∂x‖_F² (B,), exact up to 32 coordinates, else from one probe."""
        flat, d = r.flatten(1), r[0].numel()
        outputs = flat.unbind(1) if d <= EXACT_UP_TO else [(r * probe).flatten(1).sum(1)]
        rows = [torch.autograd.grad(y.sum(), x, create_graph=True)[0].flatten(1) for y in outputs]
        return torch.stack(rows).square().sum((0, 2))


def denoising_autoencoder(t: float = 1.0) -> Autoencoding:
    """E|r(x_t) − x_0|² at one time: the reconstruction of noisy data.

    Args:
        t: the time of the denoiser; 1 for an `autoencoder`.

    Raises:
        InputError: t outside (0, 1].
        Unsuitable: in the call: a process with two ends.
    """
    return Autoencoding(contractive=False, t=t)


def contractive(t: float = 1.0) -> Autoencoding:
    """E[|r(x) − x|² + σ²‖∂r/∂x‖²]: reconstruction with a Jacobian penalty in place of noise.

    Exact up to 32 coordinates, by one random probe beyond. Differentiates twice: smooth layers only.

    Args:
        t: the time of the denoiser, where σ = γ(t); 1 for an `autoencoder`.

    Raises:
        InputError: t outside (0, 1].
        Unsuitable: in the call: a process with α other than 1, or two ends.
    """
    return Autoencoding(contractive=True, t=t)
