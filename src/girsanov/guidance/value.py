"""Soft value-based decoding: guide any sampler to a reward without gradients, by choosing among its own candidates.

The wanted law is p_α(x_0) ∝ p(x_0) exp(r(x_0)/α). With the soft value

    v_t(x) = α log E[exp(r(x_0)/α) | x_t = x],

the reverse step that leads to it is p*(x_s | x_t) ∝ p(x_s | x_t) exp(v_s(x_s)/α). It is approximated for each sample
by itself: draw M candidates x_s from the model's own step, choose one with weight exp(v_s/α); α = 0 takes the best.
The reward is a function of clean samples, of any kind: a count, a simulator, a table. As M grows the error in law
falls like 1/M, given the soft value. Two estimates of it:

    posterior mean    r(E[x_0 | x_t]), for tokens r(the likeliest completion): one call a candidate, biased where r bends
    regression        a network fitted to rewards of the model's samples: `ValueModel`

Source: Li, Zhao, Wang et al. (2024), arXiv 2408.08252.
Oracle: Gaussian data and a quadratic reward; a masked chain of which everything can be counted
(tests/guidance/test_value.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, require
from girsanov.guidance.branching import Kernel, Remembered, Setting, branch, check_kernel, marks
from girsanov.noise import Branches, Randomness, Source, as_source
from girsanov.processes import AffineConditional, Masked
from girsanov.solvers.categorical import sample_categorical
from girsanov.solvers.masked import AncestralMasked, picked
from girsanov.solvers.sampling import Sampler
from girsanov.typing import Tree

Reward = Callable[[Tensor], Tensor]
"""Clean samples (B, *shape), in the user's coordinates, to (B,)."""

CHOICE = 1
"""The scope of the choices among candidates."""


class Value(Protocol):
    """An estimate of the soft value of noisy samples; at t = 0 it is the reward."""

    @property
    def calls(self) -> int:
        """Network calls of the denoiser at the state itself that one value takes, at t above 0: 0 or 1."""
        ...

    def __call__(
        self, model: AbstractDenoiser, x: Tensor, t: float, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> Tensor:
        """Values (B,) of states x (B, *shape) at time t."""
        ...


@dataclass(frozen=True)
class PosteriorMeanValue:
    """The reward of the posterior mean; for tokens that of the likeliest completion, with known tokens kept.

    Args:
        reward: a function of clean samples (B, *shape) to (B,).
    """

    reward: Reward

    @property
    def calls(self) -> int:
        """One."""
        return 1

    def __call__(
        self, model: AbstractDenoiser, x: Tensor, t: float, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> Tensor:
        if t == 0:
            return rewarded(self.reward, model, x)
        data = model.data(x, t, cond=cond, anchor=anchor)
        return rewarded(self.reward, model, data.argmax(-1) if isinstance(model.process, Masked) else data)


@dataclass(frozen=True)
class SoftValueDecoding:
    """A sampler that chooses among candidates at each of its steps; see the head of the module.

    Args:
        kernel: a stochastic plan for the model's process, such as `solvers.ancestral(process, grid)`, or
            `solvers.AncestralMasked(steps)`.
        value: such as `PosteriorMeanValue(reward)`.
        candidates: M, at least 1; 1 is the kernel itself.
        alpha: the temperature of the reward, at least 0, in its units.

    Raises:
        InputError: M or α out of range.
        Unsuitable: a kernel without noise, whose candidates would coincide.
    """

    kernel: Kernel
    value: Value
    candidates: int = 10
    alpha: float = 0.0

    def __post_init__(self) -> None:
        check_kernel(self.kernel, "SoftValueDecoding")
        check_many(self.candidates, "candidates")
        check_alpha(self.alpha)

    @property
    def calls(self) -> int:
        """Denoiser calls a sample, those of the values included."""
        many, asked = self.candidates, self.candidates * self.value.calls
        if many == 1:
            return self.kernel.calls
        if isinstance(self.kernel, AncestralMasked):
            return 1 + (asked or 1) * (self.kernel.steps - 1)
        total = 0
        for row, mark in zip(self.kernel.rows, marks(self.kernel), strict=True):
            if mark.settle and row.t > 0 and asked:
                total += asked  # the kernel's own call is among them
            elif row.call:
                total += 1 if mark.alike else many
        return total

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from x (B, *shape), a draw of the reference law.

        Raises:
            InputError: rewards of another shape than (B,), or NaN or infinite; the message names the sample.
            Unsuitable: a plan for another process.
        """
        source, many = as_source(generator), self.candidates
        memory = Remembered(model)
        setting = Setting(memory, many, cond, anchor, source)
        wide = torch.arange(len(x), device=x.device).repeat_interleave(many)
        given = picked(cond, wide), None if anchor is None else anchor[wide]

        def settle(states: Tensor, t: float, step: int) -> Tensor:
            first = torch.arange(0, len(states), many, device=states.device)
            if many == 1:
                return first
            values = self.value(memory, states, t, cond=given[0], anchor=given[1])
            return first + chosen(values.reshape(-1, many), self.alpha, source.child(CHOICE), step)

        return branch(self.kernel, x, setting, settle)


@dataclass(frozen=True)
class BestOfN:
    """The best of N independent samples: the simplest way to a reward, and what others have to beat.

    Args:
        sampler: any sampler.
        reward: of clean samples.
        candidates: N.
        alpha: 0 takes the best, above it one with weight exp(r/α).
    """

    sampler: Sampler
    reward: Reward
    candidates: int = 10
    alpha: float = 0.0

    def __post_init__(self) -> None:
        check_many(self.candidates, "candidates")
        check_alpha(self.alpha)

    @property
    def calls(self) -> int:
        """Denoiser calls a sample."""
        return self.candidates * self.sampler.calls

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from x (B, *shape), the first of the N starts."""
        source, many = as_source(generator), self.candidates
        wide = torch.arange(len(x), device=x.device).repeat_interleave(many)
        far = None if anchor is None else anchor[wide]
        starts = apart(model, x, many, anchor, source)
        noise = Branches(source, len(x), many)
        found = self.sampler(model, starts, cond=picked(cond, wide), anchor=far, generator=noise)
        values = rewarded(self.reward, model, found).reshape(-1, many)
        first = torch.arange(0, len(found), many, device=x.device)
        return found[first + chosen(values, self.alpha, source.child(CHOICE), 0)]


def apart(model: AbstractDenoiser, x: Tensor, many: int, anchor: Tensor | None, source: Source) -> Tensor:
    """`many` starts for each sample, (B·M, *shape), sample after sample; x is the first of each."""
    begin = source.child(CHOICE)
    others = [
        model.process.reference(x, anchor=anchor, generator=begin.child(m)).to(x.dtype)
        for m in range(1, many)
    ]
    return torch.stack([x, *others], 1).flatten(0, 1)


def chosen(values: Tensor, alpha: float, source: Source, index: int) -> Tensor:
    """Which of (B, M) goes on, (B,): one drawn with weight exp(v/α), or the first of the best."""
    if alpha == 0:
        return values.argmax(1)
    return sample_categorical(torch.softmax(values.double() / alpha, 1), generator=source, index=index)


def rewarded(reward: Reward, model: AbstractDenoiser, x: Tensor) -> Tensor:
    """Rewards (B,) of clean samples in the coordinates of the process.

    Raises:
        InputError: another shape than (B,), NaN or infinity.
    """
    clean = model.process.out_of(x) if isinstance(model.process, AffineConditional) else x
    return check_values(reward(clean), len(x), "the reward")


def check_values(values: object, size: int, what: str) -> Tensor:
    """Refuse values that are no finite numbers (B,)."""
    if not isinstance(values, Tensor) or tuple(values.shape) != (size,):
        told = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"{what} gave {told} for {size} samples; give a tensor ({size},), one number a sample"
        )
    values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
    bad = (~values.isfinite()).nonzero()[:, 0]
    if len(bad):
        raise InputError(
            f"{what} of {len(bad)} samples is NaN or infinite, first that of number {int(bad[0])}; give finite numbers, "
            "a low one for what is not allowed"
        )
    return values


def check_many(many: int, name: str) -> None:
    """Refuse a number of copies that is no whole number of at least 1."""
    require(isinstance(many, int) and many >= 1, f"{name} is {many!r}; give a whole number of at least 1")


def check_alpha(alpha: float) -> None:
    """Refuse a temperature that is negative or not finite."""
    require(
        isinstance(alpha, float | int) and 0 <= alpha < float("inf"),
        f"alpha is {alpha!r}; give a finite number of at least 0, which takes the best",
    )
