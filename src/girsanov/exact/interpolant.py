"""The exact denoiser between two Gaussian mixtures.

With x_0 ~ Σ_i v_i N(m_i, C_i), x_1 ~ Σ_j w_j N(n_j, D_j) independent and x_t = α x_0 + β x_1 + γ z, each
pair (i, j) is Gaussian with mean α m_i + β n_j and covariance S = α² C_i + β² D_j + γ² I, and

    E[x_0 | ·] = m_i + α C_i S⁻¹ (x_t - mean),  E[x_1 | ·] = n_j + β D_j S⁻¹ (x_t - mean),
    E[z | ·] = γ S⁻¹ (x_t - mean),

whence the velocity α' E[x_0] + β' E[x_1] + γ' E[z].

Source: Albergo, Boffi & Vanden-Eijnden (2023), appendix A, generalized to any schedule.
Oracle: the velocity transports samples of one law to the other (tests/exact).
"""

from __future__ import annotations

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.exact.mixture import GaussianMixture
from girsanov.processes import Interpolant
from girsanov.typing import Time, Tree


class MixtureInterpolant(AbstractDenoiser):
    """The denoiser of a two-sided process between two mixtures, without any error.

    Stores `velocity` and, unless γ = 0 everywhere, `noise`.

    Args:
        law: the law at t = 0.
        other: the law at t = 1, independent of the first.
        process: an interpolant with end = "marginal".
    """

    process: Interpolant

    def __init__(self, law: GaussianMixture, other: GaussianMixture, process: Interpolant) -> None:
        super().__init__()
        require(process.end == "marginal", f"{process!r} has one end only; use law.denoiser", Unsuitable)
        require(law.shape == other.shape, f"the laws have shapes {law.shape} and {other.shape}")
        self.law, self.other, self.process, self.shape = law, other, process, law.shape
        self.stored = ("velocity",) if process.noiseless else ("velocity", "noise")

    def marginal(self, t: float) -> GaussianMixture:
        """The law of x_t: one component for each pair of components at the ends."""
        alpha, beta, gamma = self.process.schedule.values(t)
        here, there, eye = self.law, self.other, torch.eye(self.law.dim, dtype=torch.float64)
        means = alpha * here.means[:, None] + beta * there.means
        c = alpha**2 * here.covariances[:, None] + beta**2 * there.covariances + gamma**2 * eye
        weights = here.weights[:, None] * there.weights
        return GaussianMixture(means.reshape(-1, *here.shape), c.flatten(0, 1), weights.flatten())

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        flat = x.to(torch.float64).flatten(1)
        time = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1, 1, 1)
        alpha, beta, gamma = self.process.schedule.values(time)
        here, there = self.law, self.other
        # (T, I, J, d): T is 1 for one time, B for many.
        mean = alpha * here.means[:, None] + beta * there.means
        c, e = here.covariances[:, None], there.covariances[None]
        eye = torch.eye(self.law.dim, dtype=torch.float64)
        s = alpha[..., None] ** 2 * c + beta[..., None] ** 2 * e + gamma[..., None] ** 2 * eye
        chol = torch.linalg.cholesky(s)
        left = flat[:, None, None] - mean
        solved = torch.cholesky_solve(left[..., None], chol)[..., 0]
        log_det = chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_joint = here.weights.log()[:, None] + there.weights.log() - log_det - (left * solved).sum(-1) / 2
        share = torch.softmax(log_joint.flatten(1), 1).reshape(log_joint.shape)[..., None]
        d_alpha, d_beta, _ = self.process.schedule.rates(time)
        data = here.means[:, None] + alpha * (c @ solved[..., None])[..., 0]
        far = there.means + beta * (e @ solved[..., None])[..., 0]
        # γγ' as one number: γ' alone is infinite at the ends of a Brownian latent.
        velocity = d_alpha * data + d_beta * far + self.process.schedule.half_square_rate(time) * solved
        answers = [velocity] if self.process.noiseless else [velocity, gamma * solved]
        return tuple((share * a).sum((1, 2)).reshape(x.shape).to(x.dtype) for a in answers)
