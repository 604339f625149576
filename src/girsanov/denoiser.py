"""The denoiser: network + process + prediction, the learned reverse of a process.

One abstract call, (x, t, *, cond, anchor) -> a tuple with one tensor for each word in `stored`. `data`,
`noise`, `score`, `velocity` are written once: they ask the process to convert what is stored. Guidance
and conditions are denoisers that hold a denoiser.

`Denoiser` is the learned one. With `data_std` = s it is preconditioned as in EDM, for any one-sided
process. Of the pair (x_0, z) only the part uncorrelated with x_t = α x_0 + γ z has to be learned; with
v² = α² s² + γ² it is the same unit-variance target F for every prediction:

    F = (γ x_0/s - α s z)/v,    data = (α s²/v²) x_t + (γ s/v) F,    network input x_t/v,

which for α = 1 are c_skip, c_out and c_in of Karras et al. (2022), table 1. The network then receives
-λ/4 = ¼ log(γ/α) in place of t, cut at |λ| = 15, so one network suits every schedule. Without
preconditioning (`data_std=None`) it receives x_t and t as they are, and answers with the stored words.

Oracle: an exact F gives an exact denoiser in every word (tests/test_denoiser.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from girsanov.errors import Unsuitable, choose, require
from girsanov.processes import (
    AffineConditional,
    Convertible,
    GaussianConditional,
    Interpolant,
    Learnable,
    need,
)
from girsanov.processes.base import like_batch
from girsanov.processes.conversion import WORDS
from girsanov.processes.functions import sqrt
from girsanov.typing import Scalar, Shape, Time, Tree

LOG_SNR_LIMIT = 15.0
JUST_BEFORE = 1 - 1e-9
DATA_STD = 0.5
"""The standard deviation taken for data where nothing is said: images in [-1, 1]."""


class AbstractDenoiser(nn.Module, ABC):
    """E[· | x_t] for the stored words, and by conversion for all others.

    Attributes:
        process: the process it reverses.
        stored: the words that the call answers with.
        shape: the shape of one sample, if known.
    """

    process: Any
    stored: tuple[str, ...]
    shape: Shape | None = None

    @abstractmethod
    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """One tensor (B, *shape) for each word in `stored`.

        Args:
            x: (B, *shape), the noisy samples.
            t: a float for the whole batch, or (B,).
            cond: what is known beside x, batch first.
            anchor: (B, *shape), x_1 where the process has a known one.
        """

    @property
    def calls_per_call(self) -> int:
        """Network calls that one call of it costs: 1, and more under guidance."""
        return 1

    def predict(
        self, word: str, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> Tensor:
        """The conditional expectation of a word (see `processes.conversion`), (B, *shape)."""
        if isinstance(self.process, Learnable):
            answers = self(x, t, cond=cond, anchor=anchor)
            if word in self.stored:
                return answers[self.stored.index(word)]
            return self.process.read(word, self.stored, answers, x, t)
        found = need(self.process, Convertible, word).coefficients(word, self.stored, like_batch(t, x))
        answers = self(x, t, cond=cond, anchor=anchor)
        result = combine(found.words, answers)
        if not _is_zero(found.state):
            result = result + found.state * x
        if not _is_zero(found.anchor):
            result = result + found.anchor * anchor
        return result

    def data(self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None) -> Tensor:
        """E[x_0 | x_t]."""
        return self.predict("data", x, t, cond=cond, anchor=anchor)

    def noise(self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None) -> Tensor:
        """E[z | x_t]."""
        return self.predict("noise", x, t, cond=cond, anchor=anchor)

    def score(self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None) -> Tensor:
        """∇ log p_t(x_t) = -E[z | x_t]/γ (Tweedie)."""
        return self.predict("score", x, t, cond=cond, anchor=anchor)

    def velocity(self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None) -> Tensor:
        """E[dx_t/dt | x_t], the velocity of the probability flow."""
        return self.predict("velocity", x, t, cond=cond, anchor=anchor)


class Denoiser(AbstractDenoiser):
    """A network as the denoiser of a process.

    Args:
        network: called as network(x, t, cond), with t (B,), float32 at least even where x is bfloat16,
            which holds 8 bits of a time; answers (B, *shape), or with two words twice as many channels,
            split along dimension 1.
        process: any interpolant, whatever the law of its noise, or a `Learnable` process, on its own terms.
        predicts: the stored word or words; None is "data", or the first of the process's own words. With
            preconditioning the network's target is the same for every word and this chooses the storage only.
        data_std: the standard deviation of the data, for EDM's preconditioning; None for none. A `Learnable` process
            has none, so there only None and the default are taken.
        shape: the shape of one sample; `fit` fills it in.

    Raises:
        Unsuitable: preconditioning asked for a two-sided process, or of two words.
        UnknownName: a prediction that does not exist.
    """

    def __init__(
        self,
        network: nn.Module,
        process: AffineConditional | Learnable,
        *,
        predicts: str | Sequence[str] | None = None,
        data_std: float | None = DATA_STD,
        shape: Shape | None = None,
    ) -> None:
        super().__init__()
        if predicts is None:
            predicts = process.words[0] if isinstance(process, Learnable) else "data"
        stored = (predicts,) if isinstance(predicts, str) else tuple(predicts)
        self.network, self.process, self.stored = network, process, stored
        self.data_std, self.shape = data_std, None if shape is None else tuple(shape)
        if isinstance(process, Learnable):
            _check_learnable(process, stored, data_std)
            self.data_std = None
            return
        for word in stored:
            choose(word, dict.fromkeys(WORDS), "prediction")
        need(process, AffineConditional, "Denoiser")
        require(
            "end" not in stored or process.end != "noise",
            f"predicts='end', and {process!r} has no x_1; predict another word",
            Unsuitable,
        )
        if data_std is not None:
            require(0 < data_std < float("inf"), f"data_std is {data_std}; give a number above 0, or None")
            require(
                process.end != "marginal" and len(stored) == 1,
                f"preconditioning needs one stored word and a process with one random end, and this is "
                f"{', '.join(stored)} on {process!r}. Give data_std=None.",
                Unsuitable,
            )

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if isinstance(self.process, Learnable):
            (word,) = self.stored
            return (self.process.finish(word, x, t, self._ask(self.process.view(x), t, cond, anchor)),)
        self.process.check_anchor(anchor)
        if self.data_std is None:
            answer = self._ask(x, t, cond, anchor)
            return (answer,) if len(self.stored) == 1 else answer.chunk(len(self.stored), dim=1)
        skip, out, scale, pull = (like_batch(weight, x) for weight in self.preconditioning(self.stored[0], t))
        centred = x if anchor is None else x - like_batch(self.process.beta(t), x) * anchor
        answer = out * self._ask(centred * scale, noise_input(self.process, t), cond, anchor)
        answer = answer + skip * centred if not _is_zero(skip) else answer
        return (answer if anchor is None else answer + pull * anchor,)

    def preconditioning(self, word: str, t: Scalar) -> tuple[Scalar, Scalar, Scalar, Scalar]:
        """(skip, out, in, anchor): word = skip · y + out · F(in · y) + anchor · x_1, y = x - βx_1."""
        s = self.data_std
        assert s is not None
        alpha, _, gamma = self.process.values(t)
        variance = (alpha * s) ** 2 + gamma**2
        if isinstance(variance, float) and variance == 0:  # a bridge at its anchor, where y = 0: the limit
            return self.preconditioning(word, JUST_BEFORE)
        width = sqrt(variance)
        # The word is a x_0 + b x_1 + c z; project the pair (a s, c) on the state (α s, γ) and across it.
        a, b, c = self.process.row(word, t)
        along = (a * alpha * s**2 + c * gamma) / variance
        across = (a * gamma - c * alpha) * s / width
        return along, across, 1 / width, b

    def _ask(self, x: Tensor, t: Time, cond: Tree, anchor: Tensor | None) -> Tensor:
        kind = torch.promote_types(x.dtype, torch.float32)
        if not isinstance(t, Tensor):
            t = torch.full((x.shape[0],), t, dtype=kind, device=x.device)
        x = x if anchor is None else torch.cat([x, anchor], dim=1)
        return self.network(x, t.to(kind).expand(x.shape[0]), cond)


def _check_learnable(process: Learnable, stored: tuple[str, ...], data_std: float | None) -> None:
    require(
        len(stored) == 1 and stored[0] in process.words and data_std in (None, DATA_STD),
        f"a denoiser of {process!r} stores one of {', '.join(process.words)} and is not preconditioned; leave "
        f"predicts and data_std out, in place of predicts={stored!r}, data_std={data_std}",
        Unsuitable,
    )


class Rescaled(AbstractDenoiser):
    """A model of one process as the denoiser of another: any model under any schedule, without training.

    One-sided processes differ by a change of time and scale only. At equal log-SNR the states are
    proportional, x' = (α'/α) x = (γ'/γ) x, and have the same E[x_0 | ·]. So the model of the process with
    α', γ' is asked at x', at the time where its log-SNR is that of the new process.

    Beyond the noisiest state that the model knows, the model is asked there. `process.t_min` is raised to the
    cleanest one; so build plans and grids with the `process` of this denoiser.
    Source: Kingma et al. (2021), Variational diffusion models, section 5.1; Karras et al. (2022), appendix C.

    Args:
        model: a denoiser of a one-sided process.
        process: the one-sided process to run it under.

    Raises:
        Unsuitable: one of the processes has two ends.
    """

    process: Interpolant
    stored = ("data",)

    def __init__(self, model: AbstractDenoiser, process: Interpolant) -> None:
        super().__init__()
        for given in (model.process, process):
            need(given, GaussianConditional, "Rescaled")
            require(given.end == "noise", f"Rescaled needs one-sided processes, not {given!r}", Unsuitable)
        known: Interpolant = model.process
        cleanest = float(process.time_at(known.log_snr(known.t_min)))
        self.process = replace(process, t_min=max(process.t_min, cleanest))
        self.model, self.shape, self._known = model, model.shape, known
        self._noisiest = known.log_snr(1.0)

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        self.process.check_anchor(anchor)
        new, known, log_snr = self.process, self._known, self.process.log_snr(t)
        if isinstance(log_snr, Tensor):
            log_snr = log_snr.clamp(min=self._noisiest)
        else:
            log_snr = max(log_snr, self._noisiest)
        time = known.time_at(log_snr)
        # The ratio of the root mean squares is α'/α and γ'/γ, and is defined where α or γ is 0.
        before, after = (p.alpha(s) ** 2 + p.gamma(s) ** 2 for p, s in ((new, t), (known, time)))
        scale = like_batch(sqrt(after / before), x)
        return (self.model.data(scale * x, time, cond=cond),)


class Joined(AbstractDenoiser):
    """Denoisers of one process as one that stores all their words, such as a network each for velocity and noise.

    Raises:
        Unsuitable: two processes, or one word twice.
    """

    def __init__(self, *models: AbstractDenoiser) -> None:
        super().__init__()
        require(len(models) > 0, "Joined holds no model; give at least one")
        for model in models[1:]:
            require(
                model.process == models[0].process,
                f"Joined needs denoisers of one process, and these have {models[0].process!r} and {model.process!r}",
                Unsuitable,
            )
        self.models = nn.ModuleList(models)
        self.process, self.shape = models[0].process, models[0].shape
        self.stored = tuple(word for model in models for word in model.stored)
        require(
            len(set(self.stored)) == len(self.stored),
            f"the models store {', '.join(self.stored)}; give each word once",
            Unsuitable,
        )

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return tuple(answer for model in self.models for answer in model(x, t, cond=cond, anchor=anchor))


class AroundDenoiser(nn.Module):
    """A module that trains a denoiser beside other parts, and is one to `training.fit`."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    @property
    def process(self) -> Any:
        """That of the denoiser."""
        return self.denoiser.process

    @property
    def stored(self) -> tuple[str, ...]:
        """What the denoiser predicts."""
        return self.denoiser.stored

    @property
    def data_std(self) -> float | None:
        """That of the denoiser."""
        return self.denoiser.data_std

    @property
    def network(self) -> nn.Module:
        """That of the denoiser."""
        return self.denoiser.network

    @property
    def shape(self) -> Shape | None:
        """Of one sample, if it is known."""
        return self.denoiser.shape

    @shape.setter
    def shape(self, value: Shape | None) -> None:
        self.denoiser.shape = value


def noise_input(process: AffineConditional, t: Time) -> Time:
    """-λ/4, cut at |λ| = 15: the time as a preconditioned network receives it."""
    log_snr = process.log_snr(t)
    if isinstance(log_snr, Tensor):
        return log_snr.clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT) / -4
    return min(max(log_snr, -LOG_SNR_LIMIT), LOG_SNR_LIMIT) / -4


def combine(weights: Sequence[Scalar], tensors: Sequence[Tensor]) -> Tensor:
    """Σ weights[i] · tensors[i], skipping weights that are exactly 0 or 1."""
    terms = [
        v if isinstance(w, float) and w == 1 else w * v for w, v in zip(weights, tensors) if not _is_zero(w)
    ]
    return sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(tensors[0])


def _is_zero(weight: Scalar) -> bool:
    return isinstance(weight, float) and weight == 0.0
