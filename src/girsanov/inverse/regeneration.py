"""Stochastic regeneration: a predictor cleans up at once, and a few diffusion steps repair what it lost.

    ŷ = D(y),    x_t = α x_0 + β ŷ + γ z,    the denoiser is given x_t, ŷ and y,
    J = a · mean |ŷ - x_0|²/s² + (1 - a) · J_matching(x_0, ŷ, y),

with s the `data_std` of the denoiser, so that both parts are of order one, and s = 1 without one.
The predictor may be trained before, and is trained on with the denoiser: the gradient of the matching loss
reaches it through ŷ. Frozen, it gets none, and the matching loss alone is left. Sampling starts at ŷ plus noise.
Nothing here is about sound: y and x_0 are any pair of equal shape.
Source: Lemercier, Richter, Welker & Gerkmann (2023), StoRM: a diffusion-based stochastic regeneration model for
speech enhancement and dereverberation, arXiv 2212.11851, section III; its J has ½ before both squares and no s.
Oracle: the identity for D is the denoiser alone; a perfect D with little noise is the data; the two parts of the
loss (tests/inverse/test_regeneration.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from girsanov.denoiser import AroundDenoiser, Denoiser
from girsanov.errors import InputError, Unsuitable, require
from girsanov.inverse.guesses import check_steps, restored
from girsanov.noise import Randomness
from girsanov.objectives import Objective, score_matching
from girsanov.processes import Interpolant
from girsanov.solvers import grid, reverse_diffusion
from girsanov.solvers.sampling import Sampler
from girsanov.typing import Tree


class Regenerator(AroundDenoiser):
    """A predictor and the denoiser that goes on from its answer.

    Train it with `training.fit(regenerator, regeneration(), x, end=y)`. Its two parts are saved one by one.

    Args:
        predictor: y (B, *shape) to its guess of x_0, of the same shape.
        denoiser: of a process with an anchor, such as `processes.OUVE()` or `processes.MeanReverting()`.
        sees_input: whether the denoiser gets y as `cond` beside the guess; its network is then a
            `networks.Beside`, or takes such a `cond` otherwise.

    Raises:
        Unsuitable: a process without an anchor.
    """

    def __init__(self, predictor: nn.Module, denoiser: Denoiser, *, sees_input: bool = True) -> None:
        super().__init__(denoiser)
        end = getattr(denoiser.process, "end", None)
        require(
            end == "anchor",
            f"Regenerator starts from a guess, which needs a process with an anchor, and {denoiser.process!r} "
            "has none. Use processes.OUVE() or processes.MeanReverting().",
            Unsuitable,
        )
        self.predictor, self.sees_input = predictor, sees_input

    def predict(self, y: Tensor) -> Tensor:
        """The guess of the predictor, (B, *shape).

        Raises:
            InputError: the predictor answers in another shape.
        """
        guess: Tensor = self.predictor(y)
        if guess.shape != y.shape:
            raise InputError(
                f"the predictor answered {tuple(guess.shape)} to {tuple(y.shape)}; it must keep the shape"
            )
        return guess

    def beside(self, y: Tensor) -> Tensor | None:
        """What the denoiser is given as `cond`."""
        return y if self.sees_input else None

    def restore(
        self,
        y: Tensor,
        *,
        steps: int = 10,
        plan: Sampler | None = None,
        batch_size: int = 256,
        seed: int | None = None,
    ) -> Tensor:
        """Clean versions of y, (n, *shape), drawn around the guess.

        Args:
            y: (n, *shape), what is to be restored.
            steps: of reverse diffusion on a uniform grid, at least 1, if no plan is given.
            plan: any other sampler of the process.
            batch_size: samples per network call; changes speed and memory only.
            seed: an integer for the same draws again.

        Raises:
            InputError: NaN in y, steps below 1, a predictor that changes the shape.
        """
        check_steps(steps)
        process, was_training = self.process, self.training
        assert isinstance(process, Interpolant)
        self.eval()
        try:
            return restored(
                self.denoiser,
                y,
                lambda part, source: self.predict(part),
                plan or reverse_diffusion(process, grid("uniform", steps)).recast(self.stored),
                cond=self.beside(y),
                batch_size=batch_size,
                seed=seed,
            )
        finally:
            self.train(was_training)


@dataclass(frozen=True)
class Regeneration:
    """The loss J of a `Regenerator`; see the head of the module, and `regeneration`."""

    weight: float = 0.5
    frozen: bool = False
    matching: Objective = field(default_factory=score_matching)

    def __post_init__(self) -> None:
        require(0 <= self.weight <= 1, f"weight is {self.weight}; give a share from 0 to 1")

    def __call__(
        self,
        model: Regenerator,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,), for clean x0 (B, *shape) and what was made of them, end."""
        require(
            isinstance(model, Regenerator),
            f"regeneration trains a Regenerator, and this is {type(model).__name__}",
            Unsuitable,
        )
        require(cond is None, "regeneration takes the input as end=; leave cond out")
        if end is None or end.shape != x0.shape:
            raise InputError("regeneration needs the degraded samples: give end=, shaped like x0")
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            guess = model.predict(end)
        score = self.matching(model.denoiser, x0, cond=model.beside(end), end=guess, generator=generator)
        if self.frozen:
            return score
        guessing = ((guess - x0) / (model.data_std or 1.0)).square().flatten(1).mean(1)
        return self.weight * guessing + (1 - self.weight) * score


def regeneration(
    weight: float = 0.5, *, frozen: bool = False, matching: Objective | None = None
) -> Regeneration:
    """The objective that trains a predictor and a denoiser together.

    Args:
        weight: a, the share of the predictor's squared error; 0 and 1 leave one part.
        frozen: the predictor stays as it is, and only the denoiser learns.
        matching: the denoiser's own loss; `score_matching()` if None.

    Raises:
        InputError: a weight outside [0, 1]; when called, samples that are no pairs.
    """
    return Regeneration(weight, frozen, matching or score_matching())
