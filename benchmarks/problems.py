"""Problems on which every sampler can be judged: what the solver benchmarks share.

P1, `Spectrum`. Gaussian data with the covariance of real 32×32 colour patches, 3,072 eigenvalues v. A plan
acts on each eigen-direction as a number, so its Wasserstein error is closed:

    error² = Σ_k (r(v_k) - ψ(v_k))² / Σ_k v_k,    ψ² = (α_0² v + γ_0²)/(α_1² v + γ_1²),               (1)

relative to the size of the data, with 1 the first and 0 the last time. A denoiser call at time t multiplies
by α v/(α² v + γ²), so whatever N calls an affine plan makes, r has degree N over N with its poles at
-(γ/α)² of those times. Conversely N calls *on the initial sample itself* at N times and one last row give

    r(v) = c_0 + Σ_i c_i v/(v + p_i),                                                                   (2)

every such function with these poles. So the best N-call affine plan is a least-squares problem in c and a
search over N positive numbers p (`best_affine`), and its twin with p free of the process's range is the
rational bound. ψ is a Stieltjes function of v where the end is clean, whose best poles are real.

P2, `garments`: a mixture of 64 full Gaussians fitted to Fashion-MNIST in 32 principal components; exact score.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from girsanov import data, exact, processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.processes import Interpolant
from girsanov.solvers import Plan, PlanBuilder

RUNS = Path(__file__).parent.parent / "runs"
SEARCHED_ON = ("astronaut", "coffee", "chelsea")
JUDGED_ON = ("china", "flower", "rocket")


# P1.


class OneByOne(AbstractDenoiser):
    """The exact denoiser of centred Gaussian data, one row an eigenvalue: x (K, 1), variances (K,)."""

    stored = ("data",)
    shape = (1,)

    def __init__(self, variances: Tensor, process: Interpolant) -> None:
        super().__init__()
        self.process, self.variances = process, variances[:, None]

    def forward(self, x: Tensor, t: float | Tensor, *, cond=None, anchor=None) -> tuple[Tensor]:
        alpha, gamma = self.process.alpha(t), self.process.gamma(t)
        return (alpha * self.variances / (alpha**2 * self.variances + gamma**2) * x,)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Gaussian data with given eigenvalues (K,) float64 under a one-sided process."""

    variances: Tensor
    process: Interpolant

    def exact(self, last: float) -> Tensor:
        """ψ of equation (1) from time 1 to `last`, (K,)."""
        first = self.process.alpha(1.0) ** 2 * self.variances + self.process.gamma(1.0) ** 2
        return (
            (self.process.alpha(last) ** 2 * self.variances + self.process.gamma(last) ** 2) / first
        ).sqrt()

    def factors(self, plan: Plan) -> Tensor:
        """r(v_k) of a deterministic plan, (K,)."""
        ones = torch.ones(len(self.variances), 1, dtype=torch.float64)
        return plan(self.model, ones)[:, 0]

    def error(self, factors: Tensor) -> float:
        """Equation (1): the law that the factors give to N(0, γ_1²) against the data."""
        gap = self.process.gamma(1.0) * (factors.abs() - self.exact(0.0))
        return float(gap.square().sum().sqrt() / self.variances.sum().sqrt())

    @cached_property
    def model(self) -> OneByOne:
        return OneByOne(self.variances, self.process)

    def best_affine(self, calls: int, *, starts: int = 12, free: bool = False) -> tuple[float, Plan | None]:
        """The smallest error of any affine plan of that many calls, and a plan that has it.

        With `free` the poles may lie at any (γ/α)², also beyond the process's times: the rational bound, which
        no plan need have.
        """
        low, high = (-2 * self.process.log_snr(t) for t in (self.process.t_min, 1.0))
        low, high = (low - 20, high + 20) if free else (low, min(high, low + 80))
        v, target = self.variances.numpy(), self.exact(0.0).numpy()

        def basis(logs: np.ndarray) -> np.ndarray:
            inner = v[:, None] / (v[:, None] + np.exp(logs))
            return np.concatenate([np.ones((len(v), 1)), inner], 1)

        def loss(logs: np.ndarray) -> float:
            table = basis(logs)
            weights = np.linalg.lstsq(table, target, rcond=1e-13)[0]
            return math.log(((table @ weights - target) ** 2).sum() + 1e-300)

        found = []
        inside = np.log(v.max()), np.log(max(v.min(), 1e-12))
        for k in range(starts):
            spread = np.random.default_rng(k).uniform(-0.5, 0.5, calls) * (k > 0)
            logs = np.linspace(*inside, calls + 2)[1:-1] + spread * (inside[0] - inside[1]) / (calls + 1)
            bounds = [(low, high)] * calls
            found.append(
                minimize(
                    loss, logs.clip(low, high), method="L-BFGS-B", bounds=bounds, options={"maxiter": 400}
                )
            )
        logs = np.sort(min(found, key=lambda r: r.fun).x)[::-1]
        table = basis(logs)
        weights = np.linalg.lstsq(table, target, rcond=1e-13)[0]
        error = self.error(torch.from_numpy(table @ weights))
        return error, None if free else self._plan(logs, weights)

    def _plan(self, logs: np.ndarray, weights: np.ndarray) -> Plan:
        """Equation (2) as a plan: every call is on the initial sample."""
        plan = PlanBuilder(self.process, name=f"best-affine-{len(logs)}")
        total = float(weights[0]) * plan.start
        for log, weight in zip(logs.tolist(), weights[1:].tolist(), strict=True):
            t = min(self.process.time_at(-log / 2), 1.0)
            _, now = plan.call(plan.start, t, stage=True)
            total = total + weight * self.process.alpha(t) * now.data
        return plan.finish(total, 0.0)


def spectrum(
    photographs: tuple[str, ...], process: Interpolant, *, n: int = 6000, size: int = 32
) -> Spectrum:
    """The eigenvalues of patches of these photographs, after removing their mean."""
    pixels = _patches(photographs, n, size)
    centred = pixels - pixels.mean(0)
    variances = torch.linalg.svdvals(centred).square() / (n - 1)
    return Spectrum(variances.double(), process)


def _patches(photographs: tuple[str, ...], n: int, size: int) -> Tensor:
    """(n, 3·size²) in [-1, 1], as many of each photograph."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    parts = []
    for k, name in enumerate(photographs):
        photo = (
            load_sample_image(f"{name}.jpg") if name in ("china", "flower") else getattr(skimage.data, name)()
        )
        g = np.random.default_rng([k, 0])
        rows, columns = (g.integers(0, side - size + 1, n // len(photographs)) for side in photo.shape[:2])
        parts.append(np.stack([photo[i : i + size, j : j + size] for i, j in zip(rows, columns)]))
    return torch.from_numpy(np.concatenate(parts)).flatten(1).float() / 127.5 - 1


# P2.


def garments(*, components: int = 64, dims: int = 32, rows: int = 20_000) -> exact.GaussianMixture:
    """Fitted once and kept under runs/; in units in which a coordinate has variance 1/4 in the mean."""
    from safetensors.torch import load_file, save_file

    path = RUNS / f"garments-{components}-{dims}.safetensors"
    if not path.exists():
        from sklearn.mixture import GaussianMixture as Fit

        x = data.fashion_mnist()[0][:rows].flatten(1)
        x = x - x.mean(0)
        axes = torch.linalg.svd(x, full_matrices=False).Vh[:dims]
        x = x @ axes.T
        x = (x / x.var(0).mean().sqrt() / 2).double()
        fit = Fit(components, reg_covar=1e-5, random_state=0, max_iter=60, tol=1e-2).fit(x.numpy())
        path.parent.mkdir(exist_ok=True)
        save_file(
            {k: torch.from_numpy(getattr(fit, f"{k}_")) for k in ("means", "covariances", "weights")}, path
        )
    found = load_file(path)
    return exact.GaussianMixture(found["means"], found["covariances"], found["weights"])


def endpoint(model: AbstractDenoiser, x: Tensor, *, last: float | None = None, steps: int = 500) -> Tensor:
    """Where the exact flow takes x (B, *shape): order 4 in log-SNR, then the data answer."""
    process: Interpolant = model.process  # type: ignore[assignment]
    fine = solvers.exponential(process, solvers.grid("log-snr", steps), order=4)
    with torch.no_grad():
        return fine(model, x)


VP = processes.VP()
