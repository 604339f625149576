"""Score-prior-guided deep variational inference: denoise one real image with blind denoisers as the prior.

The noise of a real photograph is neither white nor Gaussian. Each pixel is given its own mixture of K Gaussians,

    y = x + n,    n | z = k ~ N(0, 1/φ_k),    φ_k ~ Gamma(a₀, b₀),    z ~ Cat(ω),    ω ~ Dir(1),

and small networks that see y alone answer the factors of q(x, φ, z, ω), pixel by pixel:

    q(x | z = k) = N(μ_k, m_k²),    q(φ_k) = Gamma(a_k, b_k),    q(z) = Cat(π),    q(ω) = Dir(d).

They minimize, over this one image,

    L = Σ_k π_k [-E_q log p(y | x, φ_k) + λ KL(q(x)‖p(x)) + KL(q(φ_k)‖Gamma(a₀, b₀))] + KL(z) + KL(ω),
    E_q log p(y | x, φ) = ½(ψ(a) - log b) - ½((μ - y)² + m²) a/b,      without -½ log 2π,
    KL(q(x)‖p(x)) = -½ log m² - E_q log p(x),                         without constants,

and log p(x) is never evaluated: its gradient at a draw x_k = μ_k + m_k ε is taken by Tweedie's formula from the
k-th denoiser at the variational noise level, (D_k(x_k) - x_k)/m_k² (`score_surrogate`). So what the posterior of x
starts from is the prior smoothed by noise of variance m²: for a Gaussian prior N(0, τ²) and noise of variance s² the
fixed point is μ = y (τ² + m²)/(τ² + m² + s²), and not y τ²/(τ² + s²).
The answer is the running mean of Σ_k π_k μ_k over the steps.

Beside the authors' code: one network for φ, z and ω instead of three, factors that start at the prior and at y
instead of at random, and log-parameters that are not clamped.
Source: Cheng, Tao, Liu & Tan (2023), Score priors guided deep variational inference for unsupervised real-world
single image denoising, arXiv 2308.04682; the constants are those of its code.
Oracle: the divergences of torch.distributions, the likelihood by Monte Carlo, the Gaussian fixed point
(tests/inverse/test_deep_variational.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from girsanov.errors import InputError, require, require_finite
from girsanov.networks import DnCNN, UNet
from girsanov.noise import Randomness, Source, as_source

LEVELS = ((10 / 255, 0.5), (25 / 255, 1.0), (math.inf, 2.0))
"""λ by the estimated standard deviation of the noise, up to each of these."""

SMALLEST, RESTLESS = 16, 0.05
"""The least side of an image; a mean m above which the fit is begun anew, once."""

KEEP, RATE, START = 0.9, 1e-3, 0.1
"""Of the running mean; of Adam; m before the first step."""


def score_surrogate(x: Tensor, denoised: Tensor, variance: Tensor) -> Tensor:
    """x itself, with the score (denoised - x)/variance as its derivative.

    The sum of it stands for log p(x) in a loss, smoothed by noise of that variance.

    Args:
        x: draws, any shape, with a graph behind them.
        denoised: the answer of a denoiser to them, the same shape.
        variance: of the noise that the denoiser took away, broadcasts to x.
    """
    score = ((denoised - x) / variance).detach()
    return x.detach() + (x - x.detach()) * score


@dataclass(frozen=True)
class GammaPrecision:
    """What is known of the precision φ of the noise beforehand: Gamma(shape, rate), a variance of about rate/shape.

    The authors take shape 1 and rates from 0.005 (good light) to 0.02 (a telephone) for images in [0, 1].
    """

    shape: float = 1.0
    rate: float = 0.02

    def __post_init__(self) -> None:
        require(
            min(self.shape, self.rate) > 0,
            f"Gamma({self.shape}, {self.rate}) is no law; give a shape and a rate above 0",
        )

    def divergence(self, a: Tensor, b: Tensor) -> Tensor:
        """KL(Gamma(a, b) ‖ this), of the shape of a and b."""
        a0, b0 = self.shape, self.rate
        return (
            (a - a0) * torch.digamma(a)
            + math.lgamma(a0)
            - torch.lgamma(a)
            + a0 * (b.log() - math.log(b0))
            + a * (b0 / b - 1)
        )


def expected_log_likelihood(y: Tensor, mean: Tensor, variance: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """E log N(y; x, 1/φ) over x ~ N(mean, variance) and φ ~ Gamma(a, b), without -½ log 2π; elementwise."""
    return 0.5 * (torch.digamma(a) - b.log()) - 0.5 * ((mean - y).square() + variance) * a / b


def label_divergence(shares: Tensor, d: Tensor) -> Tensor:
    """E KL(Cat(shares) ‖ Cat(ω)) over ω ~ Dir(d), summed over dimension 0: (K, …) to (…)."""
    log = torch.digamma(d) - torch.digamma(d.sum(0))
    return (torch.special.xlogy(shares, shares) - shares * log).sum(0)


def dirichlet_divergence(d: Tensor) -> Tensor:
    """KL(Dir(d) ‖ Dir(1)) with the parts along dimension 0: (K, …) to (…)."""
    total = d.sum(0)
    weighed = ((d - 1) * (torch.digamma(d) - torch.digamma(total))).sum(0)
    return torch.lgamma(total) - torch.lgamma(d).sum(0) - math.lgamma(len(d)) + weighed


def blind_noise_level(y: Tensor) -> float:
    """The standard deviation of the noise of an image (C, H, W), without knowing the image.

    Every fourth pixel of every fourth row makes an image of its own, so that neighbours are strangers even where
    the noise is correlated; of these images the diagonal Haar coefficients (a - b - c + d)/2 are looked at, and
    their median absolute value is that of a normal law (Donoho & Johnstone, 1994). Texture counts as noise.
    """
    apart = torch.stack(
        [y[:, i::4, j::4][:, : y.shape[1] // 4, : y.shape[2] // 4] for i in range(4) for j in range(4)]
    )
    h, w = (n // 2 * 2 for n in apart.shape[2:])
    squares = apart[:, :, :h, :w].unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    rows = squares[..., 0, :, :] - squares[..., 1, :, :]
    diagonal = (rows[..., 0] - rows[..., 1]) / 2
    return float(diagonal.abs().median()) / 0.6745


class VariationalImage(NamedTuple):
    """What is known of a denoised image, (C, H, W) each but the last two.

    Args:
        mean: the image.
        std: √Σ_k π_k (m_k² + (μ_k - mean)²) with the last factors; a scale, not a calibrated error.
        noise_std: √Σ_k π_k b_k/a_k, what is taken for noise at each pixel.
        shares: (K, C, H, W), π.
        weight: λ.
    """

    mean: Tensor
    std: Tensor
    noise_std: Tensor
    shares: Tensor
    weight: float


class Factors(NamedTuple):
    """The parameters of q, (K, C, H, W) each."""

    mean: Tensor
    log_variance: Tensor
    a: Tensor
    b: Tensor
    shares: Tensor
    d: Tensor


@dataclass(frozen=True)
class ScoreDVI:
    """Denoise one image by variational inference under K blind denoisers.

    Args:
        denoisers: K functions of images (B, C, H, W) in [0, 1] with white Gaussian noise of any level, such as
            `networks.DnCNN(bias_free=True)` trained at different ranges of it; one component of the mixture each.
        prior: of the precision of the noise.
        weight: λ; None takes ½, 1 or 2 by `blind_noise_level`, up to 10/255, 25/255 and above.
        steps: of Adam.
        draws: of x in each step.
        width: channels of the networks of q.

    Raises:
        InputError: no denoiser, λ not above 0, sizes below 1.
    """

    denoisers: tuple[Callable[[Tensor], Tensor], ...]
    prior: GammaPrecision = GammaPrecision()
    weight: float | None = None
    steps: int = 400
    draws: int = 5
    width: int = 32

    def __post_init__(self) -> None:
        require(len(self.denoisers) > 0, "ScoreDVI holds no denoiser; give at least one, better three")
        require(self.weight is None or self.weight > 0, f"weight is {self.weight}; give λ above 0, or None")
        for name in ("steps", "draws", "width"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; give at least 1")

    def __call__(self, y: Tensor, *, generator: Randomness = None) -> VariationalImage:
        """Denoise y (C, H, W), values about [0, 1].

        Raises:
            InputError: an image of another kind, smaller than 16 pixels, with NaN or far outside [0, 1]; a
                denoiser that changes the shape.
        """
        check_image(y)
        for place, denoiser in enumerate(self.denoisers):
            with torch.no_grad():
                answered = tuple(denoiser(y[None]).shape[1:])
            if answered != tuple(y.shape):
                raise InputError(
                    f"denoiser {place} answers {answered} to an image of {tuple(y.shape)}; it must keep the shape"
                )
        source = as_source(generator)
        weight = self.weight or next(value for level, value in LEVELS if blind_noise_level(y) <= level)
        found = self._fit(y, weight, source.child(0))
        if found[1].log_variance.exp().sqrt().mean() > RESTLESS:
            found = self._fit(y, weight, source.child(1))
        mean, q = found
        variance = (q.shares * (q.log_variance.exp() + (q.mean - mean).square())).sum(0)
        return VariationalImage(mean, variance.sqrt(), (q.shares * q.b / q.a).sum(0).sqrt(), q.shares, weight)

    def loss(self, y: Tensor, q: Factors, weight: float, noise: Tensor) -> Tensor:
        """L for each pixel, (C, H, W), with draws made of noise (draws, K, C, H, W)."""
        variance = q.log_variance.exp()
        x = q.mean + variance.sqrt() * noise
        with torch.no_grad():
            clean = torch.stack([denoise(x[:, k]) for k, denoise in enumerate(self.denoisers)], 1)
        prior = score_surrogate(x, clean, variance).mean(0)
        parts = (
            weight * (-0.5 * q.log_variance - prior)
            - expected_log_likelihood(y, q.mean, variance, q.a, q.b)
            + self.prior.divergence(q.a, q.b)
        )
        return (q.shares * parts).sum(0) + label_divergence(q.shares, q.d) + dirichlet_divergence(q.d)

    def _fit(self, y: Tensor, weight: float, source: Source) -> tuple[Tensor, Factors]:
        """The running mean, and the factors after the last step."""
        seed = int(source.draw(torch.empty(1, 1), -1).view(torch.int32).item())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = FactorNetwork(y.shape[0], len(self.denoisers), self.width, self.prior).to(y)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        like, mean = y.new_empty(self.draws, len(self.denoisers), *y.shape), y.clone()
        for step in range(self.steps):
            q = network(y)
            optimizer.zero_grad()
            self.loss(y, q, weight, source.draw(like, step)).mean().backward()
            optimizer.step()
            mean = KEEP * mean + (1 - KEEP) * (q.shares * q.mean).sum(0).detach()
        with torch.no_grad():
            return mean, network(y)


class FactorNetwork(nn.Module):
    """The networks that answer the parameters of q to an image, (C, H, W)."""

    def __init__(self, channels: int, parts: int, width: int, prior: GammaPrecision) -> None:
        super().__init__()
        self.parts, self.prior = parts, prior
        self.image = UNet(channels, outputs=2 * parts * channels, width=width, levels=(1, 2), attention=0)
        self.noise = DnCNN(channels, outputs=4 * parts * channels, width=width, depth=5)

    def forward(self, y: Tensor) -> Factors:
        whole = y[None]
        mean, spread = self._split(self.image(whole, whole.new_zeros(1)), 2)
        a, b, labels, d = self._split(self.noise(whole), 4)
        return Factors(
            y + mean,
            spread + 2 * math.log(START),
            self.prior.shape * a.exp(),
            self.prior.rate * b.exp(),
            labels.softmax(0),
            d.exp(),
        )

    def _split(self, answer: Tensor, number: int) -> tuple[Tensor, ...]:
        return answer[0].unflatten(0, (number, self.parts, -1)).unbind(0)


def check_image(y: Tensor) -> None:
    """Refuse what is no image (C, H, W) of at least 16 pixels a side and values about [0, 1]."""
    require(
        y.ndim == 3 and y.is_floating_point() and min(y.shape[1:]) >= SMALLEST,
        f"y is {y.dtype} of shape {tuple(y.shape)}; give one image (C, H, W) of at least {SMALLEST}×{SMALLEST} "
        "floating-point pixels",
    )
    require_finite(y, "y")
    low, high = (float(end) for end in y.aminmax())
    require(
        low >= -0.5 and high <= 1.5,
        f"y runs from {low:g} to {high:g}; scale it to [0, 1], up to noise",
    )
