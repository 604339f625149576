"""Indirect matching: learn signals that nobody observed, from groups of observations of each.

Of the observations O_i = F(S, φ_i) of one hidden signal, draw targets g, contexts c and, if any are left, a novel n. Only
the targets are noised, and the network sees them beside the contexts and answers with one signal:

    O_t = α O_g + γ z,    S = net(O_c, φ_c, O_t, φ_g, t),
    loss = w(t) |F(S, φ_g) - O_g|² + λ_c |F(S, φ_c) - O_c|² + λ_n |F(S, φ_n) - O_n|²,

|·|² the mean over the coordinates of the observations. w is 1 unless a weighting is given. The first term alone is data
prediction of a conditional diffusion; the others ask that the signal explains what no noise was added to. With
probability `context_dropout` the contexts are hidden from the network and stay in the loss.
The paper has one target and weights that depend on its task; here they are 1.

Source: Tewari, Yin, Cazenavette et al. (2023), Diffusion with forward models: solving stochastic inverse problems
without direct supervision, arXiv 2306.11719, section 3.
Oracle: F the identity, where the first term is `score_matching` to the bit; jointly Gaussian coordinates, where the
best answer is linear and known (tests/objectives/test_indirect.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from girsanov.denoiser import DATA_STD
from girsanov.errors import InputError, Unsuitable, require
from girsanov.noise import Randomness, Source, as_source, uniform
from girsanov.objectives.base import DROP, NOISE, check_batch, mix, named, per_sample, process_of
from girsanov.objectives.times import TIMES, TimeLaw, draw_times
from girsanov.objectives.weightings import WEIGHTINGS, Weighting, residual_scale
from girsanov.processes import AffineConditional
from girsanov.typing import Shape, Time, Tree

ROLES = 3
"""The key of the draw that gives each observation of a group its role."""


@runtime_checkable
class Indirect(Protocol):
    """What this objective trains: a denoiser that answers through a signal, `inverse.ForwardModelDenoiser`."""

    @property
    def process(self) -> Any: ...
    def signal(self, x: Tensor, t: Time | None = None, *, cond: Tree = None) -> Tensor: ...
    def render(self, signal: Tensor, setting: Tensor) -> Tensor: ...


class Views(NamedTuple):
    """Observations (B, M, *shape) and their settings (B, M, *setting)."""

    observed: Tensor
    setting: Tensor


class Roles(NamedTuple):
    """The observations of a batch by role; there are one or no novel ones."""

    target: Views
    context: Views
    novel: Views


@dataclass(frozen=True)
class IndirectMatching:
    """The loss at the head of the module, for `training.fit(model, IndirectMatching(), observations, cond=settings)`.

    Args:
        targets: observations that are noised, and drawn together later, at least 1.
        contexts: observations that the network is given, at least 1.
        context_weight: λ_c, at least 0.
        novel_weight: λ_n, at least 0; of no effect in groups without a further observation.
        context_dropout: the share of contexts hidden from the network, for generation without one and for
            classifier-free guidance.
        weighting: w times the squared error of the data: None for 1, or a name or function as in `score_matching`.
        times: the law of times, as in `score_matching`.

    Raises:
        InputError: a count, weight or share out of its range. In the call: groups of fewer observations than targets
            and contexts, settings that do not fit them or that the renderer refuses.
        UnknownName: a weighting or law that does not exist.
        Unsuitable: in the call: another model than a `ForwardModelDenoiser`, or a renderer without gradient.
    """

    targets: int = 1
    contexts: int = 1
    context_weight: float = 1.0
    novel_weight: float = 1.0
    context_dropout: float = 0.1
    weighting: str | Weighting | None = None
    times: str | TimeLaw = "logistic"

    def __post_init__(self) -> None:
        for name in ("targets", "contexts"):
            count = getattr(self, name)
            require(
                isinstance(count, int) and count >= 1,
                f"{name} is {count!r}; give a whole number of at least 1",
            )
        for name in ("context_weight", "novel_weight"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"{name} is {value}; give a finite weight of at least 0")
        share = self.context_dropout
        require(0 <= share <= 1, f"context_dropout is {share}; give a share between 0 and 1, such as 0.1")
        named(self.times, TIMES, "law of times")
        if self.weighting is not None:
            named(self.weighting, WEIGHTINGS, "weighting")

    def event(self, x: Tensor) -> Shape:
        """The shape of what is drawn together, (targets, *shape), of groups (N, G, *shape)."""
        return (self.targets, *x.shape[2:])

    def __call__(
        self,
        model: Indirect,
        x0: Tensor,
        *,
        cond: Tree = None,
        end: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Losses (B,) of groups x0 (B, G, *shape) with settings cond (B, G, *setting)."""
        if not isinstance(model, Indirect):
            raise Unsuitable(
                f"IndirectMatching trains a denoiser that answers through a signal, and this is "
                f"{type(model).__name__}; use inverse.ForwardModelDenoiser(network, renderer, process)"
            )
        settings = self._checked(x0, cond, end)
        signal, roles, t = self.ask(model, x0, settings, as_source(generator))

        def error(views: Views) -> Tensor:
            return per_sample((model.render(signal, views.setting) - views.observed).square())

        loss = self._weigh(error(roles.target), t, model.process)
        if self.context_weight:
            loss = loss + self.context_weight * error(roles.context)
        if self.novel_weight and roles.novel.observed.shape[1]:
            loss = loss + self.novel_weight * error(roles.novel)
        return loss

    def ask(
        self, model: Indirect, x0: Tensor, settings: Tensor, source: Source
    ) -> tuple[Tensor, Roles, Tensor]:
        """Draw roles, times and noise, and ask for the signals, for a loss of one's own.

        Args:
            model: a `ForwardModelDenoiser`.
            x0: groups (B, G, *shape).
            settings: (B, G, *setting).
            source: of the draws.

        Returns:
            The signals (B, *signal), the roles, and the times (B,).
        """
        process = process_of(model, AffineConditional)  # type: ignore[arg-type]
        roles = draw_roles(x0, settings, self.targets, self.contexts, source)
        target = roles.target.observed
        t = draw_times(named(self.times, TIMES, "law of times"), process, DATA_STD, target, source)
        x = mix(process.values(t), target, None, source.draw(target, NOISE, process.law))
        return model.signal(x, t, cond=self._seen(roles, source)), roles, t

    def _seen(self, roles: Roles, source: Source) -> dict[str, Tensor]:
        """What the network is given; hidden contexts are hidden together."""
        observed, placed = roles.context
        draws = source.draw(torch.empty(len(observed), 1), DROP, uniform)
        known = (draws >= self.context_dropout).to(observed).expand(-1, observed.shape[1])
        return {
            "setting": roles.target.setting, "context": observed, "context_setting": placed, "known": known
        }  # fmt: skip

    def _weigh(self, error: Tensor, t: Tensor, process: Any) -> Tensor:
        if self.weighting is None:
            return error
        weigh = named(self.weighting, WEIGHTINGS, "weighting")
        scale = residual_scale(process.values(t), process.row("data", t), DATA_STD)
        return weigh(t, process, DATA_STD) / scale**2 * error

    def _checked(self, x0: Tensor, cond: Tree, end: Tensor | None) -> Tensor:
        """The settings (B, G, *setting)."""
        # Plain conditions: this runs at every step, and a message is for the step that fails.
        check_batch(x0)
        if end is not None:
            raise InputError("the settings of the observations go into cond=; leave end out")
        least = self.targets + self.contexts
        if x0.ndim < 3 or x0.shape[1] < least:
            raise InputError(
                f"the observations are {tuple(x0.shape)}; give groups (N, G, *shape) of at least G = {least} observations of "
                f"one signal: {self.targets} to draw and {self.contexts} to be given"
            )
        if not isinstance(cond, Tensor) or cond.shape[:2] != x0.shape[:2]:
            what = tuple(cond.shape) if isinstance(cond, Tensor) else type(cond).__name__
            raise InputError(
                f"cond is {what}; give the setting of each observation, ({x0.shape[0]}, {x0.shape[1]}, *setting)"
            )
        return cond


def draw_roles(observed: Tensor, settings: Tensor, targets: int, contexts: int, source: Source) -> Roles:
    """Which observation of each group is which: all orders have equal chance.

    Args:
        observed: (B, G, *shape).
        settings: (B, G, *setting).
        targets, contexts: how many of each, at most G together; the next is the novel one, if there is one.
        source: of the orders.
    """
    b, g = observed.shape[:2]
    order = source.draw(torch.empty(b, g, dtype=torch.float64), ROLES, uniform).argsort(1).to(observed.device)
    row = torch.arange(b, device=observed.device)[:, None]

    def part(first: int, last: int) -> Views:
        places = order[:, first:last]
        return Views(observed[row, places], settings[row, places])

    known = targets + contexts
    return Roles(part(0, targets), part(targets, known), part(known, known + 1))
