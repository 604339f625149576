"""Denoising score matching and flow matching: regress a word on its value for known ends and noise.

With x_t = α x_0 + β x_1 + γ z the value of a word is a row (a, b, c) over (x_0, x_1, z), and

    loss = w(t) · mean |word(x_t, t) - (a x_0 + b x_1 + c z)|²

is least at the conditional expectation, for every weight and every law of the times (Vincent 2011). The
error is taken in the stored word, as the network answers, and multiplied by what turns it into the
error that the weighting weighs; no answer is converted, so nothing is lost to rounding.

The default weighs the network's own target evenly. With preconditioning (`data_std`) that is the residual F
of unit variance, so the weighting is that of EDM on any process. The times default to the logistic law of
the noise level, which has EDM's centre and wider tails and does not depend on the schedule. Measured on a
ring of eight Gaussians (2,000 steps of batch 256, two seeds): the mean squared error of F over noise
levels, and in brackets the sliced distance of samples from those of the exact denoiser, in 1/1000:

                                                rectified flow     VP          EDM
    the default                                    3.0 (17)     3.4 (19)    3.6 (18)
    times="log-normal"                            18.5 (18)    14.5 (19)   13.3 (18)
    times="uniform"                                4.9 (19)    37.2 (45)    145 (170)
    times="uniform", predict="noise"              57.9 (21)    34.0 (32)    104 (76)
    times="uniform", weighting="min-snr"          48.8 (51)    65.1 (58)    105 (79)

Oracle: the gradient at exact denoisers vanishes; identities between predictions (tests/objectives).
Source: Vincent (2011), A connection between score matching and denoising autoencoders; Song et al. (2021),
section 3.3; Lipman et al. (2023), Flow matching; Tong et al. (2024) for couplings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from girsanov.denoiser import DATA_STD, AbstractDenoiser, combine
from girsanov.errors import Unsuitable, choose, require
from girsanov.noise import Randomness, Source, as_source
from girsanov.objectives.base import (
    NOISE,
    anchor_of,
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
from girsanov.objectives.reversible import regress_answer
from girsanov.objectives.times import TIMES, TimeLaw, draw_times
from girsanov.objectives.weightings import WEIGHTINGS, Weighting, residual_scale
from girsanov.processes import AffineConditional, GaussianConditional, Perturbable, Reversible
from girsanov.processes.base import like_batch
from girsanov.processes.conversion import WORDS
from girsanov.processes.functions import sqrt
from girsanov.processes.laws import heavy
from girsanov.transport import Coupling
from girsanov.typing import Tree

UNIFORM = "uniform"


@dataclass(frozen=True)
class Matching:
    """Weighted regression of a prediction; see the head of the module, `score_matching`, `flow_matching`."""

    predict: str | None = None
    weighting: str | Weighting = UNIFORM
    times: str | TimeLaw = "logistic"
    stratified: bool = True
    coupling: Coupling | None = None
    label_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.predict is not None:
            choose(self.predict, dict.fromkeys(WORDS), "prediction")
        named(self.weighting, WEIGHTINGS, "weighting")
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
        if isinstance(process_of(model, Perturbable), Reversible):
            return self._of_own_kind(model, x0, cond, end, as_source(generator))
        process, scale = process_of(model, AffineConditional), data_std_of(model)
        check_batch(x0)
        check_end(process, x0, end)
        self._check_fit(process, model.stored, scale)
        source = as_source(generator)
        law = named(self.times, TIMES, "law of times")
        t = draw_times(law, process, scale or DATA_STD, x0, source, self.stratified)
        x0, end = process.into(x0), None if end is None else process.into(end)
        z = source.draw(x0, NOISE, process.law)
        if end is None:
            z = paired(self.coupling, x0, z, cond, source)
        else:
            end = paired(self.coupling, x0, end, cond, source)
        state, row = process.values(t), process.row(model.stored[0], t)
        cond = drop_labels(cond, self.label_dropout, source)
        (answer,) = model(mix(state, x0, end, z), t, cond=cond, anchor=anchor_of(process, end))
        error = answer - mix(row, x0, end, z)
        if self.weighting == UNIFORM and (self.predict or scale is None):
            word = self.predict or model.stored[0]
            weight = process.coefficients(word, model.stored, t).words[0] ** 2
        else:
            weigh, s = named(self.weighting, WEIGHTINGS, "weighting"), scale or DATA_STD
            weight = weigh(t, process, s) / residual_scale(state, row, s) ** 2
        if heavy(process.law):  # its squares have no mean; smooth-L1 as Yoon et al. (2023)
            error = like_batch(sqrt(weight), error) * error
            return per_sample(F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none"))
        return combine((weight,), (per_sample(error.square()),))

    def _of_own_kind(
        self, model: AbstractDenoiser, x0: Tensor, cond: Tree, end: Tensor | None, source: Source
    ) -> Tensor:
        """The loss of a process that says itself what there is to regress."""
        plain = Matching(stratified=self.stratified, label_dropout=self.label_dropout)
        require(
            self == plain,
            f"{model.process!r} says itself what is regressed and when; leave predict, weighting, times and "
            "coupling of score_matching() out",
            Unsuitable,
        )
        return regress_answer(
            model, x0, cond=cond, end=end, source=source, stratified=self.stratified,
            label_dropout=self.label_dropout,
        )  # fmt: skip

    def _check_fit(self, process: GaussianConditional, stored: tuple[str, ...], scale: float | None) -> None:
        """Refuse a model whose answers this loss would not train, or not determine."""
        word, even = self.predict or stored[0], self.weighting == UNIFORM
        if len(stored) != 1:
            raise Unsuitable(
                f"this objective trains one word and the model stores {', '.join(stored)}; "
                "use objectives.interpolant_loss(), which trains them together"
            )
        if self.coupling is not None and process.end == "anchor":
            raise Unsuitable(
                f"a coupling chooses x_1, and in {process!r} x_1 belongs to its x_0; leave coupling out"
            )
        if process.end == "marginal" and not (even and word in stored):
            raise Unsuitable(
                f"{process!r} has two random ends, so one prediction does not give the others; use "
                f"weighting='uniform' and a model that stores what is trained, here {word}"
            )
        if process.end != "marginal" and "end" in (word, *stored):
            raise Unsuitable(f"x_1 of {process!r} is nothing to learn; predict data, noise or velocity")
        blind = scale is None and stored[0] in ("noise", "score") and process.alpha(1.0) == 0
        if blind and (word not in ("noise", "score") if even else self.weighting == "edm"):
            raise Unsuitable(
                f"a model that stores {stored[0]} says nothing about the data at t = 1 of {process!r}, and "
                "this weight is infinite there; store data or velocity, or weigh by 'min-snr' or 'uniform'"
            )


def score_matching(
    predict: str | None = None,
    *,
    weighting: str | Weighting = UNIFORM,
    times: str | TimeLaw = "logistic",
    stratified: bool = True,
    label_dropout: float = 0.0,
) -> Matching:
    """Denoising score matching, in any prediction, for any interpolant with one random end, and `Reversible` processes.

    The defaults suit every process: the network's own target, the residual of unit variance if the model
    is preconditioned, evenly weighted over a broad law of noise levels.

    Args:
        predict: the word whose error has weight one: data, noise, score, velocity or v_prediction. None is
            the network's own target. Other weightings give the same loss for every prediction.
        weighting: "uniform", "edm", "min-snr", "likelihood", or a function (see `weightings`).
        times: "logistic", "log-normal", "logit-normal", "uniform", "likelihood" or a function: see `times`.
        stratified: spread the times of a batch evenly; its mean loss varies less.
        label_dropout: the share of labels hidden from the network, for classifier-free guidance; 0.1 is
            usual. A hidden label is -1.

    Raises:
        UnknownName: a prediction, weighting or law that does not exist.
        InputError: `label_dropout` outside [0, 1]. In the call: data that are no float batch, x_1 missing.
        Unsuitable: in the call: a model that stores two words, a two-sided process, or a weight that is
            infinite at t = 1.
    """
    return Matching(predict, weighting, times, stratified, None, label_dropout)


def flow_matching(
    coupling: Coupling | None = None,
    *,
    times: str | TimeLaw = "uniform",
    stratified: bool = True,
    label_dropout: float = 0.0,
) -> Matching:
    """Flow matching: regress dx_t/dt, for one-sided, anchored and two-sided processes.

    On two-sided processes the model stores `velocity`. Its training draws x_1 from `end`.

    Args:
        coupling: chooses the partner of every x_0 in the batch, such as transport.MinibatchOT(): among the
            x_1 of a two-sided process, among the noise of a one-sided one. None pairs rows as they come.
            With a coupling of the noise the flow is right, and the score is no longer -E[z | x_t]/γ.
        times: as in `score_matching`; "logit-normal" is that of Stable Diffusion 3.
        stratified: spread the times of a batch evenly.
        label_dropout: as in `score_matching`.

    Raises:
        UnknownName, InputError, Unsuitable: as `score_matching`; a coupling where x_1 is an anchor.

    Source: Lipman et al. (2023); Liu, Gong & Liu (2023); Pooladian et al. (2023) and Tong et al. (2024).
    """
    return Matching("velocity", UNIFORM, times, stratified, coupling, label_dropout)


def data_std_of(model: AbstractDenoiser) -> float | None:
    """The scale of a preconditioned model; models without the notion, such as exact ones, have none.

    Asked of the attribute and not of the class, because a model may come wrapped.
    """
    return getattr(model, "data_std", None)
