"""The losses of stochastic interpolants, in quadratic form.

For x_t = α x_0 + β x_1 + γ z and a word with the value y = a x_0 + b x_1 + c z, the loss ½|ŷ|² - y·ŷ is
½|ŷ - y|² without ½|y|², which no parameter moves:

    velocity  L_b = ½|b|² - (α'x_0 + β'x_1 + γ'z)·b        noise  L_η = ½|η|² - z·η
    score     L_s = ½|s|² + z·s/γ

The term left out has infinite mean for γ = √(t(1-t)), where γ' is like t^-½ near the ends. What remains
still has γ'z·b, of variance γ'². Averaging the loss over x_t built with z and with -z removes it: b hardly
changes between the two, so γ'z·(b(x_t⁺) - b(x_t⁻)) ≈ 2γγ'|z|²∂b is bounded, as γγ' is. Pairs cost two
network calls a sample.

A loss may be negative; what it adds to its least value is ½E|ŷ - E[y | x_t]|².
Oracle: the gradient at exact denoisers between Gaussians vanishes; the variance of paired gradients near
the ends (tests/objectives).
Source: Albergo, Boffi & Vanden-Eijnden (2023), Stochastic Interpolants, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import DATA_STD, AbstractDenoiser
from girsanov.errors import Unsuitable
from girsanov.noise import Randomness, as_source
from girsanov.objectives.base import (
    NOISE,
    anchor_of,
    answers,
    check_batch,
    check_end,
    check_options,
    drop_labels,
    mix,
    named,
    paired,
    per_sample,
    process_of,
)
from girsanov.objectives.times import TIMES, TimeLaw, draw_times
from girsanov.processes import GaussianConditional
from girsanov.transport import Coupling
from girsanov.typing import Tree


@dataclass(frozen=True)
class InterpolantLoss:
    """The sum of the quadratic losses of `words`; None is all that the model stores.

    See the head of the module, and `velocity_loss`, `denoiser_loss`, `score_loss`, `interpolant_loss`.
    """

    words: tuple[str, ...] | None = None
    coupling: Coupling | None = None
    antithetic: bool = True
    times: str | TimeLaw = "uniform"
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        named(self.times, TIMES, "law of times")
        check_options(self.coupling, self.label_dropout)

    def __call__(
        self,
        model: AbstractDenoiser,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,); see `Objective`."""
        process = process_of(model)
        check_batch(x0)
        check_end(process, x0, end)
        words = self._words(model, process)
        source = as_source(generator)
        t = draw_times(named(self.times, TIMES, "law of times"), process, DATA_STD, x0, source)
        z = source.draw(x0, NOISE)
        end = None if end is None else paired(self.coupling, x0, end, cond, source)
        cond = drop_labels(cond, self.label_dropout, source)
        rows = [process.values(t), *(process.row(word, t) for word in words)]

        def loss(z: Tensor) -> Tensor:
            """Σ over words of ½|ŷ|² - y·ŷ, (B,)."""
            x, *values = (mix(row, x0, end, z) for row in rows)
            found = answers(model, words, x, t, cond=cond, anchor=anchor_of(process, end))
            terms = [per_sample(y_hat * (y_hat / 2 - y)) for y, y_hat in zip(values, found, strict=True)]
            return torch.stack(terms).sum(0)

        if self.antithetic and not _without_noise(process):
            return (loss(z) + loss(-z)) / 2
        return loss(z)

    def _words(self, model: AbstractDenoiser, process: GaussianConditional) -> tuple[str, ...]:
        """What is trained, or a refusal where that leaves an answer of the model untrained."""
        words = self.words or model.stored
        if len(model.stored) > len(words):
            raise Unsuitable(
                f"this loss trains {', '.join(words)}, and the model stores {', '.join(model.stored)}; "
                "use objectives.interpolant_loss(), which trains all it stores"
            )
        if _without_noise(process) and {"noise", "score"} & set(words):
            raise Unsuitable(f"{process!r} has no noise to predict; use objectives.velocity_loss()")
        if self.coupling is not None and process.end != "marginal":
            use = "its anchor" if process.end == "anchor" else "noise; use objectives.flow_matching(coupling)"
            raise Unsuitable(f"this coupling pairs two laws, and {process!r} joins data to {use}")
        return words


def velocity_loss(
    coupling: Coupling | None = None,
    *,
    antithetic: bool = True,
    times: str | TimeLaw = "uniform",
    label_dropout: float = 0.0,
) -> InterpolantLoss:
    """L_b, for a model of the velocity; the same minimizer as `flow_matching`, with less variance.

    Args:
        coupling: chooses the x_1 of every x_0, such as transport.MinibatchOT(); None pairs rows as they come.
        antithetic: average over z and -z, for two network calls a sample.
        times: "uniform", "logit-normal", or a function; the log-SNR laws need a one-sided process.
        label_dropout: the share of labels hidden from the network, as -1.

    Raises:
        UnknownName: a law that does not exist.
        InputError: `label_dropout` outside [0, 1]. In the call: data that are no float batch, x_1 missing.
        Unsuitable: in the call: a model with two words, or a coupling where there is no second marginal.
    """
    return InterpolantLoss(("velocity",), coupling, antithetic, times, label_dropout)


def denoiser_loss(
    coupling: Coupling | None = None,
    *,
    antithetic: bool = True,
    times: str | TimeLaw = "uniform",
    label_dropout: float = 0.0,
) -> InterpolantLoss:
    """L_η, for a model of the noise; arguments and errors as `velocity_loss`."""
    return InterpolantLoss(("noise",), coupling, antithetic, times, label_dropout)


def score_loss(
    coupling: Coupling | None = None,
    *,
    antithetic: bool = True,
    times: str | TimeLaw = "uniform",
    label_dropout: float = 0.0,
) -> InterpolantLoss:
    """L_s, for a model of the score or the noise: `denoiser_loss` with the weight γ⁻², large at the ends.

    Arguments and errors as `velocity_loss`.
    """
    return InterpolantLoss(("score",), coupling, antithetic, times, label_dropout)


def interpolant_loss(
    coupling: Coupling | None = None,
    *,
    antithetic: bool = True,
    times: str | TimeLaw = "uniform",
    label_dropout: float = 0.0,
) -> InterpolantLoss:
    """The sum of the losses of all that the model stores, such as ("velocity", "noise"), from one call.

    Arguments and errors as `velocity_loss`.
    """
    return InterpolantLoss(None, coupling, antithetic, times, label_dropout)


def _without_noise(process: GaussianConditional) -> bool:
    return process.gamma(0.5) == 0
