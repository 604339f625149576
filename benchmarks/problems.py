"""Problems on which every sampler can be judged: what the solver benchmarks share.

P1, `Spectrum`. Gaussian data with the covariance of real 32×32 colour patches, 3,072 eigenvalues v. A plan
acts on each eigen-direction as a number, so its Wasserstein error is closed:

    error² = Σ_k (|r(v_k)| - ψ(v_k))² / Σ_k ψ(v_k)²,    ψ² = v/(α_1² v + γ_1²),                        (1)

relative to the exact map from t = 1 to the data. A denoiser call at time t multiplies
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
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from girsanov import data, exact, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.processes import Interpolant
from girsanov.solvers import Plan, PlanBuilder

RUNS = Path(__file__).parent.parent / "runs"
SEARCHED_ON = ("astronaut", "coffee", "chelsea")
JUDGED_ON = ("hubble_deep_field", "rocket", "motorcycle_left")


# P1.


class Spectrum(AbstractDenoiser):
    """The exact denoiser of centred Gaussian data, independent coordinates of variances (K,), in float64."""

    stored = ("data",)

    def __init__(self, variances: Tensor, process: Interpolant) -> None:
        super().__init__()
        self.process, self.variances, self.shape = process, variances, tuple(variances.shape)

    def forward(self, x: Tensor, t: float | Tensor, *, cond=None, anchor=None) -> tuple[Tensor]:
        alpha, gamma = self.process.alpha(t), self.process.gamma(t)
        return (alpha * self.variances / (alpha**2 * self.variances + gamma**2) * x,)

    def exact(self) -> Tensor:
        """ψ of equation (1), the factors of the flow from t = 1 to the data, (K,)."""
        alpha, gamma = self.process.alpha(1.0), self.process.gamma(1.0)
        return (self.variances / (alpha**2 * self.variances + gamma**2)).sqrt()

    def error(self, sampler: Callable[[AbstractDenoiser, Tensor], Tensor]) -> float:
        """Equation (1) for a plan, or any linear sampler (model, x) -> end."""
        return self.distance(sampler(self, torch.ones(1, len(self.variances), dtype=torch.float64))[0])

    def distance(self, factors: Tensor) -> float:
        """Equation (1) for factors (K,)."""
        goal = self.exact()
        return float((factors.abs() - goal).norm() / goal.norm())

    def best_affine(self, calls: int, *, starts: int = 12, free: bool = False) -> tuple[float, Plan | None]:
        """The smallest error of any affine plan of that many calls, and a plan that has it.

        With `free` the poles may lie at any (γ/α)², also beyond the process's times: the rational bound, which
        no plan need have.
        """
        low, high = (-2 * self.process.log_snr(t) for t in (self.process.t_min, 1.0))
        low, high = (low - 20, high + 20) if free else (low, min(high, low + 80))
        v, target = self.variances.numpy(), self.exact().numpy()

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
        error = self.distance(torch.from_numpy(table @ weights))
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


class ExactMap:
    """The flow of a spectrum as a teacher."""

    calls = 0

    def __call__(self, model: Spectrum, x: Tensor, *, cond=None, anchor=None, generator=None) -> Tensor:
        return model.exact() * x


def searched(problem: Spectrum, calls: int) -> Plan:
    """The plan that `solvers.search` finds for a spectrum."""
    return solvers.search(problem, calls, teacher=ExactMap(), noises=4, steps=600).plan


def spectrum(
    photographs: tuple[str, ...], process: Interpolant, *, n: int = 6000, side: int = 32
) -> Spectrum:
    """The eigenvalues of the covariance of patches of photographs in [-1, 1]."""
    import skimage.data
    from skimage.io import imread

    parts = []
    for k, name in enumerate(photographs):
        file = next(Path(skimage.data.__file__).parent.glob(f"{name}.*[gf]"))
        photo, draw = imread(file), np.random.default_rng([k, 0])
        top, left = (draw.integers(0, length - side + 1, n // len(photographs)) for length in photo.shape[:2])
        parts.append(np.stack([photo[i : i + side, j : j + side] for i, j in zip(top, left)]))
    pixels = torch.from_numpy(np.concatenate(parts)).flatten(1).float() / 127.5 - 1
    variances = torch.linalg.eigvalsh(torch.cov(pixels.T).double())
    return Spectrum(variances.clamp(min=1e-10), process)


# P2.


def garments(*, components: int = 64, dims: int = 32, rows: int = 10_000) -> exact.GaussianMixture:
    """Fitted once and kept under runs/; in units in which a coordinate has variance 1/4 in the mean."""
    from safetensors.torch import load_file, save_file

    path = RUNS / f"garments-{components}-{dims}.safetensors"
    if not path.exists():
        from sklearn.mixture import GaussianMixture as Fit

        x = data.fashion_mnist()[0][:rows].flatten(1)
        x = x - x.mean(0)
        x = x @ torch.linalg.svd(x, full_matrices=False).Vh[:dims].T
        x = (x / x.var(0).mean().sqrt() / 2).double()
        fit = Fit(components, reg_covar=1e-5, random_state=0, max_iter=40, tol=1e-2).fit(x.numpy())
        path.parent.mkdir(exist_ok=True)
        save_file(
            {k: torch.from_numpy(getattr(fit, f"{k}_")) for k in ("means", "covariances", "weights")}, path
        )
    found = load_file(path)
    return exact.GaussianMixture(found["means"], found["covariances"], found["weights"])
