"""Gaussian mixtures: a law of data for which everything asked of a generative model is closed.

With x_0 ~ Σ_k w_k N(m_k, C_k) and x_t = α x_0 + γ z, the marginal is Σ_k w_k N(α m_k, α² C_k + γ² I), and

    E[x_0 | x_t] = Σ_k r_k(x_t) (m_k + α C_k (α² C_k + γ² I)⁻¹ (x_t - α m_k)),

with r_k the posterior weight of the component. In the eigenbasis of C_k the inverse is a division, so
one decomposition serves every time. A linear measurement y = A x_0 + noise gives a mixture again.

All in float64; answers have the dtype of the question.
Oracle: scores by automatic differentiation of `log_prob`, posteriors by importance weighting
(tests/exact). These laws are in turn the oracle of the rest of the library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require, require_finite
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.processes.base import like_batch
from girsanov.typing import Scalar, Shape, Time, Tree


class GaussianMixture:
    """Σ_k w_k N(m_k, C_k) on samples of any shape.

    Args:
        means: (K, *shape).
        covariances: (K, d, d) with d the number of coordinates, or (K,) variances or one variance for
            isotropic components. Positive semi-definite.
        weights: (K,), positive, summing to one after normalization; equal if None.
        labels: (K,) integers, the class of each component, for `cond` of the denoiser.

    Raises:
        InputError: shapes that do not fit, a covariance that is not symmetric or not positive
            semi-definite, weights that are not positive.
    """

    def __init__(
        self,
        means: Tensor,
        covariances: Tensor | float,
        weights: Tensor | Sequence[float] | None = None,
        *,
        labels: Tensor | None = None,
    ) -> None:
        means = torch.as_tensor(means, dtype=torch.float64)
        require(means.ndim >= 2 and len(means) > 0, f"means has shape {tuple(means.shape)}; give (K, *shape)")
        require_finite(means, "means")
        self.shape: Shape = tuple(means.shape[1:])
        self.means = means.flatten(1)
        k, d = self.means.shape
        self.variances, self.axes = _decompose(torch.as_tensor(covariances, dtype=torch.float64), k, d)
        w = torch.ones(k) if weights is None else torch.as_tensor(weights)
        w = w.to(torch.float64)
        require(
            w.shape == (k,) and bool(torch.isfinite(w).all()) and bool((w > 0).all()),
            f"weights are {w.tolist()}; give {k} positive numbers",
        )
        self.weights = w / w.sum()
        require(
            labels is None or tuple(labels.shape) == (k,), f"labels must have one entry for each of {k} means"
        )
        self.labels = labels

    @property
    def dim(self) -> int:
        """The number of coordinates of a sample."""
        return self.means.shape[1]

    @property
    def covariances(self) -> Tensor:
        """(K, d, d)."""
        return torch.einsum("kij,kj,klj->kil", self.axes, self.variances, self.axes)

    @property
    def mean(self) -> Tensor:
        """The mean of the whole law, (*shape)."""
        return (self.weights @ self.means).reshape(self.shape)

    @property
    def covariance(self) -> Tensor:
        """The covariance of the whole law, (d, d)."""
        centred = self.means - self.weights @ self.means
        between = torch.einsum("k,ki,kj->ij", self.weights, centred, centred)
        return torch.einsum("k,kij->ij", self.weights, self.covariances) + between

    def sample(self, n: int, *, generator: Randomness = None) -> Tensor:
        """n independent draws, (n, *shape), float64."""
        return self.sample_labelled(n, generator=generator)[0]

    def sample_labelled(self, n: int, *, generator: Randomness = None) -> tuple[Tensor, Tensor]:
        """Draws (n, *shape) and their labels (n,); the component number where there are no labels."""
        source = as_source(generator)
        u = source.draw(torch.empty(n, 1, dtype=torch.float64), 0, uniform)[:, 0]
        k = torch.searchsorted(self.weights.cumsum(0), u, right=True).clamp(max=len(self.weights) - 1)
        z = source.draw(torch.empty(n, self.dim, dtype=torch.float64), 1)
        x = self.means[k]
        for i in range(len(self.weights)):  # by component: gathering (n, d, d) axes would be large
            mine = k == i
            x[mine] += (z[mine] * self.variances[i].sqrt()) @ self.axes[i].T
        return x.reshape(n, *self.shape), (k if self.labels is None else self.labels[k])

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log-density in nats, (B,).

        Raises:
            InputError: a covariance is singular, so there is no density.
        """
        require(
            bool((self.variances > 0).all()),
            "a covariance is singular, so the law has no density",
            Unsuitable,
        )
        return self.log_joint(x.to(torch.float64).flatten(1), 1.0, 0.0)[0].logsumexp(1).to(x.dtype)

    def marginal(self, process: Interpolant, t: float) -> GaussianMixture:
        """The law of x_t for a one-sided process: a mixture again."""
        alpha, gamma = process.alpha(t), process.gamma(t)
        law = GaussianMixture.__new__(GaussianMixture)
        law.__dict__.update(self.__dict__)
        law.means, law.variances = alpha * self.means, alpha**2 * self.variances + gamma**2
        return law

    def denoiser(self, process: Interpolant) -> ExactDenoiser:
        """The exact denoiser of this law under a one-sided or anchored process.

        With an anchor, x_0 is taken independent of x_1.
        """
        return ExactDenoiser(self, process)

    def posterior(
        self, operator: Tensor | Callable[[Tensor], Tensor], y: Tensor, *, noise: float
    ) -> GaussianMixture:
        """The law of x_0 given y = A x_0 + noise · ξ, a mixture with exact weights.

        Args:
            operator: A, as a matrix (m, d) on flat samples or a linear function of batches (B, *shape).
            y: the measurement, any shape with m numbers.
            noise: the standard deviation of the measurement noise, at least 0.

        Raises:
            InputError: noise < 0, shapes that do not fit, or a noiseless measurement that is redundant.
        """
        require(0 <= noise < math.inf, f"noise is {noise}; give a number of at least 0")
        require_finite(y, "y")
        a, y = self._matrix(operator), y.to(torch.float64).flatten()
        require(a.shape[0] == len(y), f"y holds {len(y)} numbers, and the operator gives {a.shape[0]}")
        c = self.covariances
        s = a @ c @ a.T + noise**2 * torch.eye(len(y), dtype=torch.float64)
        chol, info = torch.linalg.cholesky_ex(s)
        require(
            not bool(info.any()),
            "A C Aᵀ + noise² I is singular; give noise > 0 or drop redundant measurements",
        )
        gain = torch.cholesky_solve(a @ c, chol).mT
        left = y - self.means @ a.T
        half = torch.linalg.solve_triangular(chol, left[..., None], upper=False)[..., 0]
        log_w = self.weights.log() - half.square().sum(1) / 2 - chol.diagonal(dim1=1, dim2=2).log().sum(1)
        means = self.means + torch.einsum("kij,kj->ki", gain, left)
        keep = torch.eye(self.dim, dtype=torch.float64) - gain @ a
        covariances = keep @ c @ keep.mT + noise**2 * gain @ gain.mT  # Joseph's form stays symmetric
        weights = torch.softmax(log_w, 0).clamp(min=torch.finfo(torch.float64).tiny)
        shaped = means.reshape(-1, *self.shape)
        return GaussianMixture(shaped, covariances, weights, labels=self.labels)

    def _matrix(self, operator: Tensor | Callable[[Tensor], Tensor]) -> Tensor:
        if isinstance(operator, Tensor):
            require(
                operator.ndim == 2 and operator.shape[1] == self.dim,
                f"the operator has shape {tuple(operator.shape)}; give (m, {self.dim})",
            )
            return operator.to(torch.float64)
        basis = torch.eye(self.dim, dtype=torch.float64).reshape(-1, *self.shape)
        zero = operator(torch.zeros_like(basis[:1])).flatten(1)
        return (operator(basis).flatten(1) - zero).T

    def log_joint(self, x: Tensor, alpha: Scalar, gamma: Scalar) -> tuple[Tensor, Tensor, Tensor]:
        """(log w_k N(x; α m_k, α² C_k + γ² I), coordinates in the axes, their variances); x is (B, d)."""
        alpha, gamma = (v[..., None] if isinstance(v, Tensor) else v for v in (alpha, gamma))
        centred = x[:, None] - alpha * self.means
        inner = torch.einsum("bkd,kde->bke", centred, self.axes)
        # At the pinned end of a bridge all of it is 0 and the answer is the prior mean, not 0/0.
        variance = (alpha**2 * self.variances + gamma**2).clamp(min=1e-300)
        log_density = -0.5 * (inner.square() / variance + variance.log() + math.log(2 * math.pi)).sum(-1)
        return self.weights.log() + log_density, inner, variance


def Gaussian(mean: Tensor, covariance: Tensor | float) -> GaussianMixture:
    """N(mean, covariance): the mixture of one component. mean (*shape), covariance (d, d) or a variance."""
    mean = torch.as_tensor(mean, dtype=torch.float64)
    covariance = torch.as_tensor(covariance, dtype=torch.float64)
    return GaussianMixture(mean[None], covariance[None] if covariance.ndim == 2 else covariance)


class ExactDenoiser(AbstractDenoiser):
    """The denoiser of a mixture without any error. `cond` is a batch of labels (B,), where it has them."""

    process: Interpolant
    stored = ("data",)

    def __init__(self, law: GaussianMixture, process: Interpolant) -> None:
        super().__init__()
        require(
            process.end != "marginal",
            "this process joins two laws; use girsanov.exact.MixtureInterpolant(law, other, process)",
            Unsuitable,
        )
        need(process, GaussianConditional, "the exact denoiser of a mixture")
        self.law, self.process, self.shape = law, process, law.shape

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_anchor(anchor)
        law, flat = self.law, x.to(torch.float64).flatten(1)
        t = t.to(torch.float64) if isinstance(t, Tensor) else t
        alpha, beta, gamma = self.process.schedule.values(like_batch(t, flat))
        if anchor is not None:
            flat = flat - beta * anchor.to(torch.float64).flatten(1)
        log_joint, inner, variance = law.log_joint(flat, alpha, gamma)
        if cond is not None:
            log_joint = log_joint.masked_fill(~self._allowed(cond), -math.inf)
        share = torch.softmax(log_joint, 1)
        shrink = (alpha[..., None] if isinstance(alpha, Tensor) else alpha) * law.variances / variance
        pull = torch.einsum("bke,kde->bkd", inner * shrink, law.axes)
        mean = torch.einsum("bk,bkd->bd", share, law.means + pull)
        return (mean.reshape(x.shape).to(x.dtype),)

    def predict(
        self, word: str, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> Tensor:
        # Converted in float64 too. From answers in float32 the score (α data - x)/γ² is lost in rounding where
        # γ is small: at γ = 1e-4 beside x = 4 it was off by 14, itself being 5.
        t = t.to(torch.float64) if isinstance(t, Tensor) else t
        anchor = anchor if anchor is None else anchor.to(torch.float64)
        return super().predict(word, x.to(torch.float64), t, cond=cond, anchor=anchor).to(x.dtype)

    def _allowed(self, cond: Tree) -> Tensor:
        require(
            self.law.labels is not None and isinstance(cond, Tensor),
            "cond was given, and this mixture has no labels",
        )
        assert isinstance(cond, Tensor) and self.law.labels is not None
        allowed = cond.reshape(-1, 1) == self.law.labels
        require(
            bool(allowed.any(1).all()),
            f"cond holds a label that is not in {self.law.labels.unique().tolist()}",
        )
        return allowed


def _decompose(covariances: Tensor, k: int, d: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues (K, d) and orthonormal axes (K, d, d), or a refusal."""
    require_finite(covariances, "covariances")
    if covariances.ndim < 2:
        require(bool((covariances >= 0).all()), f"variances are {covariances.tolist()}; give at least 0")
        require(covariances.ndim == 0 or len(covariances) == k, f"give one variance, or {k} of them")
        axes = torch.eye(d, dtype=torch.float64).expand(k, d, d)
        return covariances.reshape(-1, 1).expand(k, d), axes
    require(
        tuple(covariances.shape) == (k, d, d),
        f"covariances have shape {tuple(covariances.shape)}; give ({k}, {d}, {d}), or {k} variances",
    )
    size = covariances.abs().amax((1, 2), keepdim=True).clamp(min=1e-300)
    require(
        bool(((covariances - covariances.mT).abs() <= 1e-8 * size).all()), "a covariance is not symmetric"
    )
    variances, axes = torch.linalg.eigh((covariances + covariances.mT) / 2)
    require(
        bool((variances >= -1e-8 * size[:, 0]).all()),
        f"a covariance has the eigenvalue {variances.min():.3g}; it must be positive semi-definite",
    )
    return variances.clamp(min=0), axes
