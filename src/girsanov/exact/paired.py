"""The exact denoiser where the anchor tells of the data: clean and degraded images as one mixture.

With (x_0, x_1) ~ Σ_k w_k N((m_k, n_k), [[C_k, K_k], [K_kᵀ, D_k]]) and the anchor x_1 known,

    x_0 | x_1 ~ Σ_k w_k(x_1) N(m_k + G_k (x_1 - n_k), C_k - G_k K_kᵀ),   G_k = K_k D_k⁻¹,
    w_k(x_1) ∝ w_k N(x_1; n_k, D_k),

a mixture again, whose covariances do not depend on x_1; E[x_0 | x_t, x_1] is its posterior mean given
x_t - β x_1 = α x_0 + γ z, as in `mixture`.

Oracle: `GaussianMixture.posterior` of the joint law, and importance weighting (tests/exact).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.exact.mixture import GaussianMixture
from girsanov.processes import Interpolant
from girsanov.processes.base import like_batch
from girsanov.typing import Time, Tree


class PairedDenoiser(AbstractDenoiser):
    """The denoiser of an anchored process for a joint law of data and anchor, without any error.

    Args:
        joint: a mixture on (2, *shape): x_0 first, then x_1.
        process: an interpolant with end = "anchor".

    Raises:
        InputError: the samples of `joint` are no pairs, or the covariance of x_1 is singular.
        Unsuitable: a process without an anchor.
    """

    process: Interpolant
    stored = ("data",)

    def __init__(self, joint: GaussianMixture, process: Interpolant) -> None:
        super().__init__()
        require(process.end == "anchor", f"{process!r} has no anchor; use law.denoiser(process)", Unsuitable)
        require(
            len(joint.shape) >= 2 and joint.shape[0] == 2,
            f"samples of joint have shape {joint.shape}; give pairs (2, *shape), x_0 first",
        )
        self.joint, self.process, self.shape = joint, process, joint.shape[1:]
        d = joint.dim // 2
        c = joint.covariances
        self._chol, info = torch.linalg.cholesky_ex(c[:, d:, d:])
        require(not bool(info.any()), "the covariance of x_1 is singular; add a little noise to it")
        self._gain = torch.cholesky_solve(c[:, d:, :d], self._chol).mT
        rest = c[:, :d, :d] - self._gain @ c[:, d:, :d]
        variances, self._axes = torch.linalg.eigh((rest + rest.mT) / 2)
        self._variances = variances.clamp(min=0)

    def posterior(self, anchor: Tensor) -> GaussianMixture:
        """The law of x_0 given one x_1, (*shape)."""
        means, log_weights = self._given(anchor.reshape(1, -1))
        covariances = torch.einsum("kij,kj,klj->kil", self._axes, self._variances, self._axes)
        weights = torch.softmax(log_weights[0], 0).clamp(min=torch.finfo(torch.float64).tiny)
        return GaussianMixture(means[0].reshape(-1, *self.joint.shape[1:]), covariances, weights)

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_anchor(anchor)
        assert anchor is not None
        flat = x.to(torch.float64).flatten(1)
        known = anchor.to(torch.float64).flatten(1)
        t = t.to(torch.float64) if isinstance(t, Tensor) else t
        alpha, beta, gamma = self.process.schedule.values(like_batch(t, flat))
        means, log_weights = self._given(known)
        if isinstance(alpha, Tensor):
            alpha, gamma = alpha[..., None], gamma[..., None]
        left = (flat - beta * known)[:, None] - alpha * means
        inner = torch.einsum("bkd,kde->bke", left, self._axes)
        variance = (alpha**2 * self._variances + gamma**2).clamp(min=1e-300)
        share = torch.softmax(log_weights - (inner.square() / variance + variance.log()).sum(-1) / 2, 1)
        pull = torch.einsum("bke,kde->bkd", inner * alpha * self._variances / variance, self._axes)
        mean = torch.einsum("bk,bkd->bd", share, means + pull)
        return (mean.reshape(x.shape).to(x.dtype),)

    def _given(self, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """The means (B, K, d) and log-weights (B, K), up to a constant, of x_0 given x_1 (B, d)."""
        d = self.joint.dim // 2
        left = anchor.to(torch.float64)[:, None] - self.joint.means[:, d:]
        half = torch.linalg.solve_triangular(self._chol, left[..., None], upper=False)[..., 0]
        log_det = self._chol.diagonal(dim1=1, dim2=2).log().sum(1)
        log_weights = self.joint.weights.log() - half.square().sum(-1) / 2 - log_det
        return self.joint.means[:, :d] + torch.einsum("kij,bkj->bki", self._gain, left), log_weights
