"""A network as the soft value: rewards of clean samples, regressed on their noisy states.

With x_0 a sample of the model, x_t its noisy state and r = r(x_0), a network f is fitted by

    α = 0    (f - (r - m)/s)²             so that m + s f = E[r | x_t]
    α > 0    exp(f) - u f,  u = exp((r - c)/α)    so that c + α f = α log E[exp(r/α) | x_t], c the largest reward

where m and s are the mean and the standard deviation of the rewards. The second is Poisson's likelihood, whose minimum
is a mean as that of squares is, and which stays positive; a regression of u itself would have values below 0. Where
rewards differ by many α few samples carry all of u, and the fit is poor: take a larger α, or 0.

Source: Li et al. (2024), arXiv 2408.08252, section 4.2 (SVDD-MC), with another loss for α > 0.
Oracle: the exact soft value of Gaussian data (tests/guidance/test_value_model.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from girsanov.denoiser import AbstractDenoiser, noise_input
from girsanov.errors import Unsuitable, require
from girsanov.guidance.value import Reward, check_alpha, check_values, rewarded
from girsanov.noise import Randomness, as_source, uniform
from girsanov.processes import GaussianConditional, Perturbable, need
from girsanov.processes.base import like_batch
from girsanov.training import History, Training, fit
from girsanov.typing import Shape, Tree

TIME = 1
"""The key of the times; the process's own draws have scope 0."""


class ValueModel(nn.Module):
    """A value whose answers are learned; `fit_value` trains it.

    Args:
        network: called as network(x, t) with t (B,); answers one number a sample, (B,) or (B, 1).
        process: of the denoiser to guide: Gaussian with one random end, or `Masked`.
        reward: of clean samples, in the user's coordinates.
        alpha: the temperature it is meant for; 0 learns the expected reward, which is what a search for the best uses.
        data_std: the standard deviation of the data, to scale the network's inputs as a denoiser's; None for none.

    Raises:
        InputError: an α or data_std out of range.
        Unsuitable: scaled inputs of a process that is not Gaussian with one random end.
    """

    stored = ("value",)
    center: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        process: Perturbable,
        reward: Reward,
        *,
        alpha: float = 0.0,
        data_std: float | None = None,
    ) -> None:
        super().__init__()
        check_alpha(alpha)
        need(process, Perturbable, "ValueModel")
        if data_std is not None:
            require(0 < data_std < float("inf"), f"data_std is {data_std}; give a number above 0, or None")
            found = need(process, GaussianConditional, "ValueModel with data_std")
            require(
                found.end == "noise",
                f"data_std scales states of one random end, and {process!r} has two; give data_std=None",
                Unsuitable,
            )
        self.network, self.process, self.reward = network, process, reward
        self.alpha, self.data_std = float(alpha), data_std
        self.shape: Shape | None = None
        self.register_buffer("center", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @property
    def calls(self) -> int:
        """None of the denoiser."""
        return 0

    def forward(
        self, model: AbstractDenoiser, x: Tensor, t: float, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> Tensor:
        """Values (B,) of states x (B, *shape) at time t; at t = 0 the reward itself."""
        if t == 0:
            return rewarded(self.reward, model, x)
        with torch.no_grad():
            answer = self.answer(x, torch.full((len(x),), t, device=x.device))
        return check_values(self.center + self.scale * answer.double(), len(x), "the value network")

    def answer(self, x: Tensor, t: Tensor) -> Tensor:
        """f (B,) of states x at times t (B,)."""
        if self.data_std is not None:
            process = cast(GaussianConditional, self.process)
            alpha, _, gamma = process.values(like_batch(t, x))
            x, t = x / ((alpha * self.data_std) ** 2 + gamma**2) ** 0.5, cast(Tensor, noise_input(process, t))
        answer: Tensor = self.network(x, t.to(x.dtype) if x.is_floating_point() else t)
        require(
            answer.numel() == len(x),
            f"the value network gave {tuple(answer.shape)} for {len(x)} samples; give one number a sample",
        )
        return answer.reshape(len(x))


@dataclass(frozen=True)
class ValueRegression:
    """The loss of a `ValueModel`, with times uniform from t_min to 1; `cond` holds the rewards (B,)."""

    def __call__(
        self,
        model: ValueModel,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`."""
        assert isinstance(cond, Tensor)
        source, process = as_source(generator), model.process
        u = source.draw(torch.empty(len(x0), 1, dtype=torch.float64, device=x0.device), TIME, uniform)[:, 0]
        t = process.t_min + (1 - process.t_min) * u
        t = t.to(x0.dtype) if x0.is_floating_point() else t.float()
        x, _ = process.perturb(x0, t, generator=source.child(0))
        answer = model.answer(x, t)
        target = (cond - model.center) / model.scale
        if model.alpha == 0:
            return (answer - target.to(answer.dtype)).square()
        return answer.exp() - target.exp().to(answer.dtype) * answer


def fit_value(
    value: ValueModel, samples: Tensor, *, steps: int = 2000, config: Training | None = None
) -> History:
    """Fit a value to the rewards of samples, best those that the model itself has drawn.

    Args:
        value: trained in place.
        samples: (N, *shape), clean, in the user's coordinates.
        steps: of the optimizer.
        config: as for `fit`.

    Raises:
        InputError: rewards of another shape than (N,), or NaN or infinite.
    """
    rewards = check_values(value.reward(samples), len(samples), "the reward").double()
    spread = float(rewards.std()) if len(rewards) > 1 else 0.0
    value.center.copy_(rewards.max() if value.alpha else rewards.mean())
    value.scale.fill_(value.alpha or spread or 1.0)
    config = config or Training(progress=False)
    # `fit` asks no more of a model than its objective does, but states the kinds that can also be saved.
    return fit(
        cast(Any, value), cast(Any, ValueRegression()), samples, cond=rewards, steps=steps, config=config
    )
