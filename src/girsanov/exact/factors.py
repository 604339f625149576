"""Mixtures of factor analysers: mixtures of low-rank Gaussians, fitted to rows of which cells are missing.

    x = μ_k + Λ_k z + ε,    k ~ w,    z ~ N(0, I_q),    ε ~ N(0, diag ψ_k),    so x | k ~ N(μ_k, Λ_k Λ_kᵀ + diag ψ_k)

Given (k, z) the cells of a row are independent, so a missing one drops out of every sum: with o the row's 0/1
pattern, G_k = Λ_kᵀ diag(o/ψ_k) Λ_k and b = Λ_kᵀ diag(o/ψ_k)(x - μ_k),

    z | x_o, k ~ N((I + G_k)⁻¹ b, (I + G_k)⁻¹),

and EM needs only matrices of size q, whatever the pattern. It maximizes the likelihood of the cells that are there
(missing at random) times a weak conjugate prior: λ_kj ~ N(0, ψ_kj I/ridge), μ_kj ~ N(0, ψ_kj/κ), ψ_kj ~ inverse
gamma(a, b), w ~ Dirichlet(1 + c). Columns are meant to be near mean 0 and variance 1.

Here NaN is a missing cell and no error. All in float64.
Oracle: closed forms where q = 0, the objective never falls, conditionals and densities against `GaussianMixture`
(tests/exact/test_factors.py).
Source: Ghahramani & Hinton (1996), The EM algorithm for mixtures of factor analyzers; Ghahramani & Jordan (1994),
Supervised learning from incomplete data via an EM approach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.exact.mixture import GaussianMixture
from girsanov.noise import Randomness, as_source, uniform

KAPPA, SHAPE, RATE, COUNT = 0.1, 1.0, 0.05, 1.0
"""κ, a, b and c of the prior."""
STARTS, TRIAL = 4, 8
"""Clusterings that are tried, and steps of EM before the best one goes on alone."""
BLOCK = 4_000_000
"""Numbers in the largest tensor of a block of rows."""


@dataclass(frozen=True, eq=False)
class FactorMixture:
    """Σ_k w_k N(μ_k, Λ_k Λ_kᵀ + diag ψ_k): weights (K,), means (K, d), loadings (K, d, q), noise ψ (K, d)."""

    weights: Tensor
    means: Tensor
    loadings: Tensor
    noise: Tensor

    @property
    def law(self) -> GaussianMixture:
        """The same law as a `GaussianMixture`, with its denoiser and posteriors."""
        covariances = self.loadings @ self.loadings.mT + torch.diag_embed(self.noise)
        return GaussianMixture(self.means, covariances, self.weights)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density of the cells that are there, (N,); x is (N, d) with NaN where a cell is missing."""
        x = _rows(x, self.means.shape[1])
        found = [_expect(self, *block)[0].logsumexp(1) for block in _blocks(self, x)]
        return torch.cat(found)

    def mean_given(self, x: Tensor) -> Tensor:
        """Rows with E[x_j | the row's other cells] where a cell is missing, (N, d)."""
        x, filled = _rows(x, self.means.shape[1]), []
        for cells, seen in _blocks(self, x):
            joint, z, _ = _expect(self, cells, seen)
            mean = self.means + torch.einsum("kdq,nkq->nkd", self.loadings, z)
            mixed = torch.einsum("nk,nkd->nd", torch.softmax(joint, 1), mean)
            filled.append(torch.where(seen > 0, cells, mixed))
        return torch.cat(filled)

    def complete(self, x: Tensor, *, generator: Randomness = None) -> Tensor:
        """Rows with an exact draw of all missing cells given those that are there, (N, d).

        Args:
            x: (N, d), NaN where a cell is missing. Repeat a row for several draws of it.
            generator: draws the component, the factors and the noise.
        """
        x, filled, first = _rows(x, self.means.shape[1]), [], 0
        source, q = as_source(generator), self.loadings.shape[2]
        for cells, seen in _blocks(self, x):
            mine = source.shifted(first)
            joint, z, chol = _expect(self, cells, seen)
            u = mine.draw(cells[:, :1], 0, uniform)
            k = torch.searchsorted(torch.softmax(joint, 1).cumsum(1), u, right=True)[:, 0]
            k, row = k.clamp(max=len(self.weights) - 1), torch.arange(len(cells))
            e = mine.draw(cells.new_empty(len(cells), q, 1), 1)
            factors = z[row, k] + torch.linalg.solve_triangular(chol[row, k].mT, e, upper=True)[..., 0]
            noise = self.noise[k].sqrt() * mine.draw(cells, 2)
            drawn = self.means[k] + (self.loadings[k] @ factors[..., None])[..., 0] + noise
            filled.append(torch.where(seen > 0, cells, drawn))
            first += len(cells)
        return torch.cat(filled)


@dataclass(frozen=True, eq=False)
class FactorFit:
    """What EM found, and the log-posterior (up to a constant) before each of its steps."""

    mixture: FactorMixture
    objective: tuple[float, ...]


def fit_factors(
    x: Tensor,
    components: int,
    factors: int,
    *,
    weights: Tensor | None = None,
    ridge: float = 1.0,
    steps: int = 200,
    tolerance: float = 1e-4,
    generator: Randomness = None,
) -> FactorFit:
    """Fit a mixture of factor analysers to incomplete rows by EM.

    Starts from one component, fitted first, whose means of the missing cells are clustered, several times over.

    Args:
        x: (N, d), NaN where a cell is missing; columns near mean 0 and variance 1.
        components: K, from 1 to N.
        factors: q, from 0 to d.
        weights: (N,) of the rows, at least 0; one each if None. Exponential draws make a Bayesian bootstrap.
        ridge: pull of the loadings to 0, above 0, in pseudo-rows.
        steps: at most so many, for the one component and for the mixture.
        tolerance: stop when a step gains less than this, in nats a row.
        generator: picks the first clusters.

    Raises:
        InputError: a number out of its range, shapes that do not fit, an infinite cell.
    """
    require(x.ndim == 2 and x.numel() > 0, f"x has shape {tuple(x.shape)}; give (N, d)")
    n, d = x.shape
    require(1 <= components <= n, f"components is {components}; give 1 to {n}, the number of rows")
    require(0 <= factors <= d, f"factors is {factors}; give 0 to {d}, the number of columns")
    require(0 < ridge < math.inf and steps >= 1, f"ridge is {ridge} and steps {steps}; give both above 0")
    x = _rows(x, d)
    w = torch.ones(n, dtype=torch.float64) if weights is None else weights.to(torch.float64)
    require(w.shape == (n,) and bool((w >= 0).all()), f"weights must be {n} numbers of at least 0")
    fitted = _em(_principal(x, factors), x, w, ridge, steps, tolerance)
    if components == 1:
        return fitted
    source = as_source(generator)
    starts = [_clustered(fitted.mixture, x, w, components, source.child(i)) for i in range(STARTS)]
    tried = [_em(start, x, w, ridge, TRIAL, 0.0) for start in starts]
    best = max(tried, key=lambda one: one.objective[-1])
    return _em(best.mixture, x, w, ridge, steps, tolerance)


def _em(
    mixture: FactorMixture, x: Tensor, w: Tensor, ridge: float, steps: int, tolerance: float
) -> FactorFit:
    objective: list[float] = []
    for _ in range(steps):
        value, sums = _accumulate(mixture, x, w)
        objective.append(value + _log_prior(mixture, ridge))
        if len(objective) > 5 and objective[-1] - objective[-2] < tolerance * len(x):
            break
        mixture = _maximize(*sums, ridge)
    return FactorFit(mixture, tuple(objective))


Sums = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _accumulate(mixture: FactorMixture, x: Tensor, w: Tensor) -> tuple[float, Sums]:
    """The log-likelihood, and Σ_n r_nk of 1, o, o x², o x z̃ and o E[z̃ z̃ᵀ], with z̃ = (z, 1)."""
    k, d, q = mixture.loadings.shape
    value, shapes = 0.0, ((k,), (k, d), (k, d), (k, d, q + 1), (k, d, (q + 1) ** 2))
    sums = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
    blocks, first = _blocks(mixture, x), 0
    for cells, seen in blocks:
        mine = w[first : first + len(cells)]
        first += len(cells)
        joint, z, chol = _expect(mixture, cells, seen)
        value += float(mine @ joint.logsumexp(1))
        share = mine[:, None] * torch.softmax(joint, 1)
        z1 = torch.cat([z, z.new_ones(len(cells), k, 1)], -1)
        second = z1[..., :, None] * z1[..., None, :]
        second[..., :q, :q] += torch.cholesky_inverse(chol)
        terms = second.flatten(2)
        for i in range(k):  # by component: one matrix product each, and no (N, K, d, q²)
            seen_share = (share[:, i, None] * seen).T
            sums[3][i] += (seen_share * cells.T) @ z1[:, i]
            sums[4][i] += seen_share @ terms[:, i]
        sums[0] += share.sum(0)
        sums[1] += share.T @ seen
        sums[2] += share.T @ cells.square()
    return value, (sums[0], sums[1], sums[2], sums[3], sums[4].reshape(k, d, q + 1, q + 1))


def _maximize(
    rows: Tensor, seen: Tensor, squares: Tensor, cross: Tensor, second: Tensor, ridge: float
) -> FactorMixture:
    """The maximum of the expected log-posterior: a ridge regression of every column on the factors."""
    q = cross.shape[2] - 1
    pull = torch.tensor([ridge] * q + [KAPPA], dtype=torch.float64)
    line = torch.linalg.solve(second + torch.diag(pull), cross[..., None])[..., 0]
    left = squares - (line * cross).sum(-1)  # the ridge's minimum, its penalty included
    noise = (left.clamp(min=0) + 2 * RATE) / (seen + q + 1 + 2 * (SHAPE + 1))
    weights = rows + COUNT
    return FactorMixture(weights / weights.sum(), line[..., q], line[..., :q], noise)


def _log_prior(mixture: FactorMixture, ridge: float) -> float:
    q, psi = mixture.loadings.shape[2], mixture.noise
    pull = ridge * mixture.loadings.square().sum(-1) + KAPPA * mixture.means.square() + 2 * RATE
    cells = pull / psi + (q + 1 + 2 * (SHAPE + 1)) * psi.log()
    return float(COUNT * mixture.weights.log().sum() - cells.sum() / 2)


def _expect(mixture: FactorMixture, cells: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log w_k N(x_o; …) (N, K), E[z | x_o, k] (N, K, q), and the Cholesky factor of I + G (N, K, q, q)."""
    psi, loadings = mixture.noise, mixture.loadings
    k, d, q = loadings.shape
    scaled = loadings / psi[..., None]
    outer = torch.einsum("kdi,kdj->dkij", scaled, loadings).reshape(d, -1)
    inner = (seen @ outer).reshape(len(cells), k, q, q) + torch.eye(q, dtype=torch.float64)
    left = seen[:, None] * (cells[:, None] - mixture.means)
    b = torch.einsum("nkd,kdq->nkq", left, scaled)
    chol = torch.linalg.cholesky(inner)
    z = torch.cholesky_solve(b[..., None], chol)[..., 0]
    square = (left.square() / psi).sum(-1) - (b * z).sum(-1)
    size = seen @ (psi.log() + math.log(2 * math.pi)).T + 2 * chol.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return mixture.weights.log() - (square + size) / 2, z, chol


def _rows(x: Tensor, d: int) -> Tensor:
    """Rows in float64 on the host, with infinity refused and NaN kept."""
    require(x.ndim == 2 and x.shape[1] == d, f"x has shape {tuple(x.shape)}; give (N, {d})")
    require(not bool(torch.isinf(x).any()), "x holds infinity; give numbers, or NaN where a cell is missing")
    return x.detach().to("cpu", torch.float64)


def _blocks(mixture: FactorMixture, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows with 0 for a missing cell, and their 0/1 patterns, by blocks that fit in memory."""
    k, d, q = mixture.loadings.shape
    for block in x.split(max(1, BLOCK // (k * (d + (q + 1) ** 2)))):
        seen = ~torch.isnan(block)
        yield torch.where(seen, block, 0.0), seen.to(torch.float64)


def _principal(x: Tensor, q: int) -> FactorMixture:
    """One component along the principal axes of the rows with zeros for what is missing."""
    n, d = x.shape
    _, scales, axes = torch.linalg.svd(torch.nan_to_num(x), full_matrices=False)
    loadings = x.new_zeros(1, d, q)
    rank = min(q, len(scales))
    loadings[0, :, :rank] = axes[:rank].T * scales[:rank] / math.sqrt(n)
    one = torch.ones(1, d, dtype=torch.float64)
    return FactorMixture(one[:, 0], 0 * one, loadings, 0.5 * one)


def _clustered(one: FactorMixture, x: Tensor, w: Tensor, k: int, generator: Randomness) -> FactorMixture:
    """K components around the clusters of completed rows: k-means++ and ten rounds of k-means."""
    rows, source = one.mean_given(x), as_source(generator)
    u = source.draw(torch.empty(k, 1, dtype=torch.float64), 0, uniform)[:, 0]
    chance = w.clone()
    centres = rows.new_empty(0, rows.shape[1])
    for i in range(k):
        at = int(torch.searchsorted(chance.cumsum(0), u[i] * chance.sum()).clamp(max=len(rows) - 1))
        centres = torch.cat([centres, rows[at : at + 1]])
        chance = w * torch.cdist(rows, centres).amin(1).square()
        chance = chance if bool(chance.sum() > 0) else w
    for _ in range(10):
        near = torch.cdist(rows, centres).argmin(1)
        member = w[:, None] * torch.nn.functional.one_hot(near, k).to(torch.float64)
        count = member.sum(0)
        centres = torch.where(count[:, None] > 0, member.T @ rows / count.clamp(min=1e-9)[:, None], centres)
    weights = (count + COUNT) / (count + COUNT).sum()
    return FactorMixture(weights, centres, 0.6 * one.loadings.expand(k, -1, -1), one.noise.expand(k, -1))
