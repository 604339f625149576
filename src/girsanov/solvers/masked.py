"""Samplers of masked diffusion, and its bound on the likelihood.

Ancestral, N steps: from t to s < t each masked coordinate takes a value with probability
(α_s - α_t)/(1 - α_t), so its law in a step has K + 1 outcomes, "still masked" among them.

First hitting: jump from one unmasking to the next. With n coordinates masked at τ_n, start τ_L = 1,

    1 - α(τ_{n-1}) = u^{1/n} (1 - α(τ_n)),   one masked coordinate, each equally likely, is drawn at τ_{n-1}.

That is the same reverse process, whose steps are infinitely small, in L calls. Ancestral sampling tends to
it as N grows; at finite N it draws the coordinates of one step independently.

Source: Zheng et al. (2024), arXiv 2409.02908, section 4 and algorithm 1; Sahoo et al. (2024), MDLM, for the
call that is left out where nothing changed.
Oracle: a table of all sequences with its exact denoiser (tests/solvers/test_masked_samplers.py).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import choose, require
from girsanov.noise import Randomness, Rows, Source, as_source, uniform
from girsanov.processes import Masked, need
from girsanov.solvers.categorical import DTYPES, sample_categorical
from girsanov.typing import Tree

TIME, PLACE, VALUE = range(3)
"""Scopes of the draws of a round: when, where, what."""


class Decoded(NamedTuple):
    """What a masked sampler did.

    Args:
        x: (B, *shape), the samples.
        times: (B, *shape), float64, the time at which each coordinate got its value; 0 where it had one.
        calls: (B,), the network calls that each sample took part in.
        draws: (B,), the categorical draws of each sample.
    """

    x: Tensor
    times: Tensor
    calls: Tensor
    draws: Tensor


class MaskedSampler(ABC):
    """A sampler that tells what it did, by `decode`, or gives the samples alone, when called."""

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Fill in what is masked in x; (B, *shape)."""
        return self.decode(model, x, cond=cond, anchor=anchor, generator=generator).x

    @abstractmethod
    def decode(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Decoded:
        """Fill in what is masked in x, and tell what it took."""


@dataclass(frozen=True)
class AncestralMasked(MaskedSampler):
    """Ancestral sampling in equal steps of time.

    Args:
        steps: N.
        cached: ask the network again only about samples that changed, for networks without a time input.
        precision: of the draws, see `sample_categorical`.
    """

    steps: int
    cached: bool = False
    precision: str = "float64"

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"steps is {self.steps}; give at least 1")
        choose(self.precision, DTYPES, "precision")

    @property
    def name(self) -> str:
        """For tables and reports."""
        return f"masked ancestral, {self.steps} steps"

    @property
    def calls(self) -> int:
        """Network calls at most; a sample that is complete, or cached, is asked about less often."""
        return self.steps

    @property
    def grid(self) -> tuple[float, ...]:
        """The times, from 1 to 0."""
        return tuple(1 - i / self.steps for i in range(self.steps + 1))

    def step(
        self,
        process: Masked,
        law: Tensor,
        x: Tensor,
        times: tuple[float, float],
        *,
        generator: Randomness = None,
        index: int = 0,
    ) -> Tensor:
        """A draw of the reverse kernel, (B, *shape).

        Args:
            process: the masking.
            law: (B, *shape, K), of the clean coordinates.
            x: (B, *shape), the state at the first of the times.
            times: t > s.
            generator: draws one class a coordinate.
            index: the key of the draw.
        """
        go = (process.alpha(times[1]) - process.alpha(times[0])) / (1 - process.alpha(times[0]))
        masked = x == process.mask
        stay = torch.full_like(law[..., :1], 1 - go)
        probs = torch.cat([go * law, stay], -1)
        probs[~masked] = probs.new_ones(()) / probs.shape[-1]  # not looked at
        drawn = sample_categorical(probs, precision=self.precision, generator=generator, index=index)
        return torch.where(masked, drawn, x)

    def decode(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Decoded:
        """Fill in what is masked in x, and tell what it took.

        Raises:
            Unsuitable: the model's process is not a masking.
            InputError: x holds other numbers than values and the mask.
        """
        process, done = begin(model, x, anchor)
        source = as_source(generator)
        law = torch.zeros(*x.shape, process.classes, dtype=torch.float64, device=x.device)
        old = torch.ones(len(x), dtype=torch.bool, device=x.device)  # whose law is not that of its state
        for i, (t, s) in enumerate(pairwise(self.grid)):
            masked = done.x == process.mask
            waiting = masked.flatten(1).any(1)
            if not waiting.any():
                break
            rows = (waiting & old if self.cached else waiting).nonzero()[:, 0]
            if len(rows):
                law[rows] = model.data(done.x[rows], t, cond=picked(cond, rows))
                done.calls[rows] += 1
            x = self.step(process, law, done.x, (t, s), generator=source, index=i)
            hit = x != done.x
            done.x[hit], done.times[hit] = x[hit], s
            done.draws.add_(masked.flatten(1).sum(1))
            old = hit.flatten(1).any(1) | (old & ~waiting)
        return done


@dataclass(frozen=True)
class FirstHitting(MaskedSampler):
    """First-hitting sampling: one call a coordinate, or one call for several.

    Args:
        length: the number of coordinates of a sample.
        together: coordinates a call, drawn as if independent; 1 is exact.
    """

    length: int
    together: int = 1

    def __post_init__(self) -> None:
        require(self.length >= 1, f"length is {self.length}; give the number of coordinates of a sample")
        require(
            1 <= self.together <= self.length,
            f"together is {self.together}; give 1 to {self.length} coordinates a call",
        )

    @property
    def name(self) -> str:
        """For tables and reports."""
        return "first hitting" + f", {self.together} a call" * (self.together > 1)

    @property
    def calls(self) -> int:
        """Network calls for a sample that is all masked at first."""
        return -(-self.length // self.together)

    def decode(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Decoded:
        """Fill in what is masked in x, and tell what it took.

        Raises:
            Unsuitable: the model's process is not a masking.
            InputError: x holds other numbers than values and the mask, or has another number of coordinates.
        """
        process, done = begin(model, x, anchor)
        places = x[:1].numel() if len(x) else self.length
        require(
            places == self.length,
            f"x is {tuple(x.shape)}, {places} coordinates a sample; this FirstHitting is for {self.length}",
        )
        source = as_source(generator)
        share = torch.ones(len(x), dtype=torch.float64, device=x.device)  # 1 - α(τ)
        for i in range(self.calls):
            rows = (done.x == process.mask).flatten(1).any(1).nonzero()[:, 0]
            if not len(rows):
                break
            self._round(model, process, done, share, rows, cond, Rows(source, len(x), rows).child(i))
        return done

    def _round(
        self,
        model: AbstractDenoiser,
        process: Masked,
        done: Decoded,
        share: Tensor,
        rows: Tensor,
        cond: Tree,
        source: Source,
    ) -> None:
        """One network call for the samples `rows`, and the values it is for; changes `done` and `share`."""
        x = done.x[rows]
        flat = x.flatten(1)
        masked = flat == process.mask
        left = masked.sum(1, keepdim=True) - torch.arange(self.together, device=x.device)
        real = left > 0  # of the last coordinates there may be fewer
        keys = torch.empty(flat.shape, dtype=torch.float64, device=x.device)
        jumps = source.child(TIME).draw(keys[:, : self.together], 0, uniform) ** (1 / left.clamp(min=1))
        shares = share[rows, None] * jumps.cumprod(1)
        order = source.child(PLACE).draw(keys, 0, uniform).masked_fill(~masked, -1.0)
        where = order.topk(self.together, dim=1).indices
        times = process.time_at(1 - shares)
        law = model.data(x, times[:, 0], cond=picked(cond, rows)).flatten(1, -2)
        chosen = law.gather(1, where[..., None].expand(-1, -1, law.shape[-1]))
        values = sample_categorical(chosen, generator=source.child(VALUE))
        clock = done.times[rows].flatten(1)
        done.x[rows] = flat.scatter(1, where, torch.where(real, values, flat.gather(1, where))).reshape(
            x.shape
        )
        clock = clock.scatter(1, where, torch.where(real, times, clock.gather(1, where)))
        done.times[rows] = clock.reshape(x.shape)
        share[rows] = shares.gather(1, real.sum(1, keepdim=True) - 1)[:, 0]
        done.calls[rows] += 1
        done.draws[rows] += real.sum(1)


def one_by_one(model: AbstractDenoiser, steps: int) -> FirstHitting:
    """The default of `sample` for masked diffusion: first hitting, exact, whatever the number of steps.

    Raises:
        InputError: the model does not know the shape of a sample.
    """
    require(
        model.shape is not None,
        "the model does not know the shape of a sample; set model.shape, or give plan=FirstHitting(length)",
    )
    return FirstHitting(math.prod(model.shape or ()))


def masked_bound(
    model: AbstractDenoiser, x: Tensor, draws: int = 16, *, cond: Tree = None, generator: Randomness = None
) -> Tensor:
    """A lower bound of log p(x) under a masked diffusion, nats, (B,), estimated without bias.

    `metrics.bits_per_dim(bound, L)` has it in bits a character. The numbers of masks of the `draws` states are
    spread evenly over 1, …, L; with draws = L each comes once.

    Args:
        model: of a `Masked` process; exact or trained.
        x: (B, *shape), integers from 0 to classes - 1.
        draws: states looked at for each x, one network call each.

    Raises:
        Unsuitable: the model's process is not a masking.
        InputError: draws below 1, or x that are no clean data.
    """
    process: Masked = need(model.process, Masked, "masked_bound")
    require(draws >= 1, f"draws is {draws}; give at least 1")
    process.check_data(x)
    source, total = as_source(generator), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    places = x.flatten(1).shape[1]
    first = source.draw(torch.empty(len(x), 1, dtype=torch.float64, device=x.device), 0, uniform)[:, 0]
    for i in range(draws):
        n = 1 + ((first + i) * (places / draws)).long().clamp(max=places - 1)
        state = process.stopped(x, n, generator=source.child(i))
        with torch.no_grad():
            law = model.data(state.x, state.t, cond=cond)
        logs = law.gather(-1, x.long()[..., None])[..., 0].double().log()
        total += logs.masked_fill(state.x != process.mask, 0.0).flatten(1).sum(1) * (places / n)
    return total / draws


def begin(model: AbstractDenoiser, x: Tensor, anchor: Tensor | None) -> tuple[Masked, Decoded]:
    """The process, and the record of a sampling that has done nothing yet."""
    process: Masked = need(model.process, Masked, "this sampler")
    process.check_anchor(anchor)
    process.check_state(x)
    none = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    times = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    return process, Decoded(x.long().clone(), times, none, none.clone())


def picked(tree: Tree, rows: Tensor) -> Any:
    """Some rows of what the model is conditioned on."""
    if tree is None or isinstance(tree, Tensor):
        return None if tree is None else tree[rows]
    if isinstance(tree, Mapping):
        return {name: leaf[rows] for name, leaf in tree.items()}
    return [leaf[rows] for leaf in tree]
