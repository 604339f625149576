"""How sure a frozen restorer is, pixel by pixel: BayesCap, and three estimates that need no training.

A restorer f answers ŷ = f(x) and stays as it is. A cap reads ŷ alone, never x, and answers (ỹ, α, β), the
parameters of a generalized Gaussian law of the truth y:

    −log p(y) = (|ỹ − y|/α)^β − log(β/α) + log Γ(1/β) + log 2                                 (1)
    σ² = α² Γ(3/β)/Γ(1/β)                                                                   (2)
    loss = a |ỹ − ŷ| + b · (1),      a = 1, b = 0.05                                             (3)

β = 2 is Gaussian with variance α²/2, β = 1 Laplace with 2α². What is served is ŷ itself, so f loses nothing.
ỹ is ŷ plus a correction, 1/α and β are softplus of the network's channels plus 1e-5 and 1e-2, and the power in
(3) is held within [1e-4, 1e3], as published. The authors' code multiplies |ỹ − y|/α by β where (1) has a power;
that is `surrogate=True`.

The others ask f several times and take the variance of its answers: `TestTimeAugmentation` over the symmetries
of the square, `InputPerturbation` over noise on x, `MCDropout` over dropped features.
Source: Upadhyay et al. (2022), BayesCap, arXiv 2207.06873, eq. 4 to 7, and appendix for floors and clamps;
Wang et al. (2019), Aleatoric uncertainty estimation with test-time augmentation; Gal & Ghahramani (2016), Dropout as
a Bayesian approximation.
Oracle: scipy's gennorm; data with known α and β, which a cap recovers (tests/inverse/test_uncertainty.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from girsanov.errors import InputError, Unsuitable, require, require_finite
from girsanov.noise import Randomness, as_source, uniform
from girsanov.typing import Shape, Tree

FLOORS = 1e-5, 1e-2
"""Least 1/α and least β."""

POWERS = 1e-4, 1e3
"""Where the power of (1) is clamped in the loss."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a restorer answers and how uncertain that is.

    Args:
        prediction: f(x), (B, *shape).
        variance: of the truth around it, (B, *shape).
    """

    prediction: Tensor
    variance: Tensor

    @property
    def std(self) -> Tensor:
        """σ, in the units of the prediction."""
        return self.variance.sqrt()


class Uncertain(Protocol):
    """Anything that answers with an `Estimate`."""

    def estimate(self, x: Tensor, *, generator: Randomness = None) -> Estimate: ...


def generalized_gaussian_nll(error: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    """−log p of equation (1), element by element.

    Args:
        error: ỹ − y, any shape.
        scale: α, above 0; broadcasts against the error.
        shape: β, above 0; likewise.

    Raises:
        InputError: α or β not above 0 everywhere.
    """
    _positive(scale, "scale")
    _positive(shape, "shape")
    return (error.abs() / scale) ** shape + _normalizer(scale, shape)


def generalized_gaussian_variance(scale: Tensor, shape: Tensor) -> Tensor:
    """σ² of equation (2); α and β broadcast. Beyond the largest float for β of a few hundredths.

    Raises:
        InputError: α or β not above 0 everywhere.
    """
    _positive(scale, "scale")
    _positive(shape, "shape")
    return scale.square() * (torch.lgamma(3 / shape) - torch.lgamma(1 / shape)).exp()


class BayesCap(nn.Module):
    """A frozen restorer and the cap on it. Train it with `training.fit(cap, bayescap(), truth, cond=x)`.

    Args:
        restorer: f, of x (B, …) to (B, C, *sides) as the truth; no parameter of it requires a gradient.
        network: ŷ (B, C, *sides) to (B, 3C, *sides), such as `networks.CapNetwork(C)` for images.
        shape: of one truth; `fit` fills it in.

    Raises:
        InputError: a restorer that is still trainable; in calls, answers whose shapes do not fit.
    """

    process: None = None
    stored: tuple[str, ...] = ("truth",)
    data_std: None = None
    factor: Tensor

    def __init__(self, restorer: nn.Module, network: nn.Module, *, shape: Shape | None = None) -> None:
        super().__init__()
        free = [name for name, p in restorer.named_parameters() if p.requires_grad]
        require(
            not free,
            f"the restorer has {len(free)} trainable parameters, such as {free[0] if free else ''}; a cap needs "
            "a frozen one. Call restorer.requires_grad_(False) first.",
        )
        self.restorer, self.network, self.shape = restorer.eval(), network, shape
        self.register_buffer("factor", torch.ones(()))

    def train(self, mode: bool = True) -> BayesCap:
        """As always, but for the restorer, which stays in evaluation mode."""
        super().train(mode)
        self.restorer.eval()
        return self

    def forward(self, answer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(ỹ, α, β) for an answer of the restorer, each shaped like it."""
        raw = self.network(answer)
        wanted = (len(answer), 3 * answer.shape[1], *answer.shape[2:])
        if raw.shape != wanted:
            raise InputError(
                f"the network of the cap answered {tuple(raw.shape)} to {tuple(answer.shape)}; it must answer {wanted}"
            )
        correction, inverse, shape = raw.chunk(3, 1)
        return (
            answer + correction,
            self.factor / (softplus(inverse) + FLOORS[0]),
            softplus(shape) + FLOORS[1],
        )

    @torch.no_grad()
    def estimate(self, x: Tensor, *, generator: Randomness = None) -> Estimate:
        """f(x), and the variance (2); nothing is random.

        Args:
            x: (B, …), what the restorer takes.
            generator: not used.
        """
        answer = self.restorer(x)
        _, scale, shape = self(answer)
        return Estimate(answer, generalized_gaussian_variance(scale, shape))

    @torch.no_grad()
    def recalibrate(self, x: Tensor, truth: Tensor) -> float:
        """Multiply all α by one number, the likeliest for the error of f on data that no one was trained on.

        Args:
            x: (N, …), what the restorer takes.
            truth: (N, C, *sides).

        Returns:
            The factor s, from the root of mean β (|ŷ − y|/(s α))^β = 1, within [1e-4, 1e4].

        Raises:
            InputError: shapes that do not fit, NaN.
        """
        answer = self.restorer(x)
        _check_truth(answer, truth)
        _, scale, shape = self(answer)
        log_ratio = ((answer - truth).abs() / scale).clamp(min=1e-30).double().log()
        low, high = -math.log(1e4), math.log(1e4)
        for _ in range(60):  # the mean falls with s
            middle = (low + high) / 2
            above = float((shape * (shape * (log_ratio - middle)).exp()).mean()) > 1
            low, high = (middle, high) if above else (low, middle)
        self.factor *= math.exp(middle)
        return math.exp(middle)


@dataclass(frozen=True)
class BayesCapLoss:
    """Equation (3); see `bayescap`."""

    identity: float = 1.0
    likelihood: float = 0.05
    surrogate: bool = False

    def __post_init__(self) -> None:
        for name in ("identity", "likelihood"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"{name} is {value}; give a finite weight of at least 0")

    def __call__(
        self,
        model: BayesCap,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,), for truths x0 and what the restorer is given for each, cond."""
        require(
            isinstance(model, BayesCap),
            f"bayescap trains a BayesCap, and this is {type(model).__name__}",
            Unsuitable,
        )
        if not isinstance(cond, Tensor) or end is not None:
            raise InputError("bayescap takes the truth as x and the restorer's input as cond=; leave end out")
        with torch.no_grad():
            answer = model.restorer(cond)
        _check_truth(answer, x0)
        mean, scale, shape = model(answer)
        ratio = ((mean - x0).abs() / scale).clamp(min=1e-8)  # where a power below 1 has a finite slope
        power = ratio * shape if self.surrogate else (ratio**shape).clamp(*POWERS)
        nll = power + _normalizer(scale, shape)
        each = self.identity * (mean - answer).abs() + self.likelihood * nll
        return each.flatten(1).mean(1)


def bayescap(*, identity: float = 1.0, likelihood: float = 0.05, surrogate: bool = False) -> BayesCapLoss:
    """The objective that trains a `BayesCap`: equation (3).

    Args:
        identity: a, the weight of |ỹ − ŷ|.
        likelihood: b, the weight of (1).
        surrogate: β |ỹ − y|/α in place of the power, as in the authors' code; no likelihood.

    Raises:
        InputError: a negative weight; when called, shapes that do not fit or NaN.
    """
    return BayesCapLoss(identity, likelihood, surrogate)


@dataclass(frozen=True)
class TestTimeAugmentation:
    """The variance of f over the symmetries of the square, undone in its answer: eight, or four if sides differ."""

    __test__ = False  # not a test, whatever its name begins with
    restorer: nn.Module

    @torch.no_grad()
    def estimate(self, x: Tensor, *, generator: Randomness = None) -> Estimate:
        """f(x) and the variance; nothing is random.

        Args:
            x: (B, C, H, W), what the restorer takes.
            generator: not used.
        """
        require(x.ndim == 4, f"x is {tuple(x.shape)}; symmetries need images (B, C, H, W)")
        turns = range(0, 4, 1 if x.shape[2] == x.shape[3] else 2)
        answers = []
        for turn in turns:
            turned = torch.rot90(x, turn, (2, 3))
            answers.append(torch.rot90(self.restorer(turned), -turn, (2, 3)))
            answers.append(torch.rot90(self.restorer(turned.flip(3)).flip(3), -turn, (2, 3)))
        return _spread(answers[0], answers)


@dataclass(frozen=True)
class InputPerturbation:
    """The variance of f over normal noise of standard deviation `std` on x, in `n` answers."""

    restorer: nn.Module
    std: float
    n: int = 16

    def __post_init__(self) -> None:
        require(
            0 < self.std < math.inf, f"std is {self.std}; give a finite number above 0, in the units of x"
        )
        require(self.n >= 2, f"n is {self.n}; a variance needs at least 2 answers")

    @torch.no_grad()
    def estimate(self, x: Tensor, *, generator: Randomness = None) -> Estimate:
        """f(x) and the variance.

        Args:
            x: (B, …), what the restorer takes.
            generator: of the noise.
        """
        source = as_source(generator)
        answers = [self.restorer(x + self.std * source.draw(x, k)) for k in range(self.n)]
        return _spread(self.restorer(x), answers)


@dataclass(frozen=True)
class MCDropout:
    """The variance of f over dropped features, in `n` answers: its dropout layers work, at `rate` if given.

    Dropout draws from PyTorch's state, which is seeded from the generator and put back; the draws are those of
    a whole batch, and change with its size.

    Raises:
        InputError: a restorer without dropout layers, a rate outside (0, 1), fewer than 2 answers.
    """

    restorer: nn.Module
    rate: float | None = None
    n: int = 16

    def __post_init__(self) -> None:
        require(self.n >= 2, f"n is {self.n}; a variance needs at least 2 answers")
        require(self.rate is None or 0 < self.rate < 1, f"rate is {self.rate}; give a chance within (0, 1)")
        require(
            bool(self._layers),
            f"{type(self.restorer).__name__} has no dropout layers; use InputPerturbation, or build it with some",
        )

    @property
    def _layers(self) -> list[nn.modules.dropout._DropoutNd]:
        return [m for m in self.restorer.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]

    @torch.no_grad()
    def estimate(self, x: Tensor, *, generator: Randomness = None) -> Estimate:
        """f(x) and the variance.

        Args:
            x: (B, …), what the restorer takes.
            generator: of the dropped features.
        """
        u = as_source(generator).draw(torch.empty(1, 1, dtype=torch.float64), 0, uniform)
        prediction = self.restorer(x)
        with _dropping(self._layers, self.rate), torch.random.fork_rng():
            torch.manual_seed(int(float(u) * 2**53))
            answers = [self.restorer(x) for _ in range(self.n)]
        return _spread(prediction, answers)


@contextmanager
def _dropping(layers: list[nn.modules.dropout._DropoutNd], rate: float | None) -> Iterator[None]:
    """Dropout at work for a while."""
    before = [(layer.p, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.p, layer.training = rate or layer.p, True
        yield
    finally:
        for layer, (p, training) in zip(layers, before, strict=True):
            layer.p, layer.training = p, training


def _spread(prediction: Tensor, answers: list[Tensor]) -> Estimate:
    return Estimate(prediction, torch.stack(answers).var(0))


def _normalizer(scale: Tensor, shape: Tensor) -> Tensor:
    """log of 2 α Γ(1/β)/β."""
    return scale.log() - shape.log() + torch.lgamma(1 / shape) + math.log(2)


def _positive(values: Tensor, name: str) -> None:
    require(bool((values > 0).all()), f"{name} is not above 0 everywhere; give positive numbers")


def _check_truth(answer: Tensor, truth: Tensor) -> None:
    require(
        answer.shape == truth.shape,
        f"the restorer answered {tuple(answer.shape)} and the truth is {tuple(truth.shape)}; give equal shapes",
    )
    require_finite(truth, "the truth")
