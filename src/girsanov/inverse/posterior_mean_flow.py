"""Posterior-mean rectified flow: carry the estimate of least error over to the law of the data.

Among restorations with the law of the data, the mean squared error is least where the posterior mean
x* = E[x | y] is carried to the data by optimal transport. It is then

    MMSE + W₂²(law of x*, law of x)  ≤  2 MMSE,

where 2 MMSE is the error of a draw from the posterior. Two stages come near it. A network f is trained on the
squared error and frozen; then a flow learns the straight paths from its estimates to the data,

    x_t = (1 - t) x + t (f(y) + σ z),    dx_t/dt = f(y) + σ z - x,

the two-sided interpolant without latent noise whose ends are paired by `transport.RestorationCoupling`. The flow
is not told y, and restoring is Euler's method from t = 1 (τ = 1 - t in the paper).
It is no draw from the posterior: by σ z alone do two restorations of one y differ. For the posterior's spread
train a conditional model instead.
Source: Ohayon, Michaeli & Elad (2024), Posterior-mean rectified flow: towards minimum MSE photo-realistic image
restoration, arXiv 2410.00418; the bound is of Freirich, Michaeli & Meir (2021).
Oracle: jointly Gaussian x and y, where the flow is known and equals the optimal map
(tests/inverse/test_posterior_mean_flow.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, require
from girsanov.inverse.guesses import check_steps, restored
from girsanov.objectives import Objective, flow_matching
from girsanov.solvers import euler, grid
from girsanov.solvers.sampling import Sampler
from girsanov.transport import RestorationCoupling


@dataclass(frozen=True, eq=False)
class PosteriorMeanFlow:
    """A frozen estimator of the posterior mean, and the flow that goes on from its estimates.

    Train it with `training.fit(model.flow, model.objective(), x, end=y)`. Its two parts are saved one by one.

    Args:
        predictor: y (B, *shape) to estimates of x of the same shape, trained on the squared error and frozen:
            `predictor.eval().requires_grad_(False)`.
        flow: a denoiser of a process between two marginals that stores the velocity:
            `Denoiser(network, StochasticInterpolant(latent="none"), predicts="velocity", data_std=None)`.
        std: σ; see `transport.RestorationCoupling`.

    Raises:
        InputError: a predictor that still learns, σ below 0.
        Unsuitable: a flow of another kind.
    """

    predictor: Callable[[Tensor], Tensor]
    flow: AbstractDenoiser
    std: float = 0.1

    def __post_init__(self) -> None:
        end = getattr(self.flow.process, "end", None)
        require(
            end == "marginal" and "velocity" in self.flow.stored,
            f"PosteriorMeanFlow needs the velocity of a process between two laws, and {self.flow.process!r} with "
            f"{', '.join(self.flow.stored)} is not one. Use processes.StochasticInterpolant(latent='none') and "
            "predicts='velocity'.",
            Unsuitable,
        )
        _ = self.coupling  # refuses a predictor or a σ of the wrong kind

    @property
    def coupling(self) -> RestorationCoupling:
        """Pairs (x, f(y) + σ z)."""
        return RestorationCoupling(self.predictor, self.std)

    def objective(self) -> Objective:
        """What trains the flow: flow matching on these pairs."""
        return flow_matching(self.coupling)

    def restore(
        self,
        y: Tensor,
        *,
        steps: int = 25,
        plan: Sampler | None = None,
        batch_size: int = 256,
        seed: int | None = None,
    ) -> Tensor:
        """Restorations of y, (n, *shape).

        Args:
            y: (n, *shape), what is to be restored.
            steps: of Euler's method on a uniform grid, at least 1, if no plan is given.
            plan: any other sampler of the flow.
            batch_size: samples per network call; changes speed and memory only.
            seed: an integer for the same σ z again.

        Raises:
            InputError: NaN in y, steps below 1, a predictor that changes the shape.
        """
        check_steps(steps)
        start = self.coupling.start
        return restored(
            self.flow,
            y,
            lambda part, source: start(part, generator=source),
            plan or euler(self.flow.process, grid("uniform", steps)).recast(self.flow.stored),
            batch_size=batch_size,
            seed=seed,
        )
