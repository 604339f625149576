"""Denoising Langevin-Gibbs: a Markov chain on noisy samples and their noise level together.

Its target is p(x, σ) ∝ p_σ(x)/σ, with p_σ the law of x_0 + σ z and σ log-uniform over the levels of a classifier
(see `girsanov.classifier`). One transition is

    x ← x + η/2 · score(x, σ) + √η ξ,        a Langevin step of size η at this σ
    σ ← a draw of p(σ | x), or its mode      a Gibbs step, by the classifier

At high σ the chain crosses between the modes of the data, at low σ it is close to them. Nothing is accepted or
rejected: with η < 4σ² at the lowest level the law is right to order η (on N(0, v) at a fixed σ the variance
w = v + σ² becomes w/(1 - η/(4w))). The steps of the paper are larger. Then the Langevin step throws a sample of
low σ away from the data, and the Gibbs step finds the higher σ where it now is: the chain still works, but it
visits low levels more rarely and the outskirts of the data more often than its target.

Source: Kim & Ye (2022), arXiv 2209.14593, section 3.2; the mode is what the released code takes.
Oracle: a Gaussian, whose joint law is closed (tests/montecarlo).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from girsanov.classifier import NoisyClassifier, level_times
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.noise import Source, uniform
from girsanov.processes import GaussianConditional, need

LANGEVIN, GIBBS = 0, 1
"""Keys of the two draws of a transition."""


class Chains(NamedTuple):
    """Where the chains are: noisy samples x (C, *shape), and the level (C,) of each, of `levels` in all."""

    x: Tensor
    level: Tensor
    levels: int


@dataclass(frozen=True, eq=False)
class LangevinGibbs:
    """The kernel; see the head of the module.

    Args:
        denoiser: of a process with α = 1, as EDM and VE.
        noise_classifier: x -> logits (B, levels) of the noise level: a trained `NoisyClassifier` with
            predicts="level", or `exact.LevelClassifier`.
        step: η, at least 0, in squared units of x.
        gibbs: "sample" for a draw of the level, "mode" for the most probable one.

    Raises:
        Unsuitable: a process with α other than 1, or a classifier of labels or of another process.
        InputError: a step that is negative or not finite.
    """

    denoiser: AbstractDenoiser
    noise_classifier: Callable[[Tensor], Tensor]
    step: float
    gibbs: Literal["sample", "mode"] = "sample"

    def __post_init__(self) -> None:
        process = need(self.denoiser.process, GaussianConditional, "LangevinGibbs")
        require(
            process.end == "noise" and process.alpha(0.5) == process.alpha(1.0) == 1,
            f"LangevinGibbs needs x_0 + noise, and {process!r} is not of that kind. Give the model as one that "
            "is: denoiser.Rescaled(model, gv.processes.EDM()).",
            Unsuitable,
        )
        require(0 <= self.step < math.inf, f"step is {self.step}; give a number of at least 0, such as 0.5")
        choose(self.gibbs, dict.fromkeys(("sample", "mode")), "Gibbs step")
        given = self.noise_classifier
        if isinstance(given, NoisyClassifier):
            require(
                given.stored == ("level",) and given.process == process,
                f"the classifier is one of the {given.stored[0]} under {given.process!r}; it must tell the "
                f"noise level of {process!r}",
                Unsuitable,
            )

    def start(self, x: Tensor, source: Source) -> Chains:
        """Chains at x (C, *shape), each with a level that suits it."""
        return self._gibbs(x, source)

    def __call__(self, chains: Chains, source: Source) -> Chains:
        """One transition: one call of the denoiser and one of the classifier."""
        x = chains.x
        t = level_times(self._process, chains.levels)[chains.level.cpu()].to(x.device)
        x = x + (self.step / 2) * self.denoiser.score(x, t) + math.sqrt(self.step) * source.draw(x, LANGEVIN)
        return self._gibbs(x, source)

    def times(self, levels: int) -> Tensor:
        """The times (levels,) of the levels, float64 on the CPU."""
        return level_times(self._process, levels)

    @property
    def _process(self) -> GaussianConditional:
        return need(self.denoiser.process, GaussianConditional, "LangevinGibbs")

    def _gibbs(self, x: Tensor, source: Source) -> Chains:
        logits = self.noise_classifier(x)
        if logits.ndim != 2 or len(logits) != len(x):
            raise InputError(
                f"the classifier answers {tuple(logits.shape)} for {len(x)} samples; give (B, levels)"
            )
        if self.gibbs == "mode":
            return Chains(x, logits.argmax(1), logits.shape[1])
        below = logits.double().softmax(1).cumsum(1)
        u = source.draw(torch.empty(len(x), 1, dtype=torch.float64), GIBBS, uniform).to(x.device)
        level = torch.searchsorted(below, u * below[:, -1:], right=True)[:, 0]
        return Chains(x, level.clamp(max=logits.shape[1] - 1), logits.shape[1])
