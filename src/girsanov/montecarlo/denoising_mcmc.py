"""Denoising MCMC: many samples of one model at a few calls each.

Chains walk over noisy samples and noise levels together (`LangevinGibbs`). Every `skip` transitions each chain
emits its state of the lowest noise since it last did, and that state is denoised from its own level on, by
any plan. A state near the data needs few steps, so a sample costs

    skip  +  the calls of the plan

calls of the denoiser, and `skip` of the noise classifier, which is a far smaller network. The start of the
chains, a full reverse run each, and the burn-in are shared by all samples that a chain emits; `Drawn.calls`
counts them too.

Samples of one chain are not independent, and the lowest of several states is not a draw of p(x, σ): its
denoised law is that of the data only as far as σ can be read off x.

Source: Kim & Ye (2022), arXiv 2209.14593, algorithm 1.
Oracle: the law of a Gaussian; a chain alone against the same chain among others (tests/montecarlo).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.montecarlo.langevin_gibbs import Chains, LangevinGibbs, Source
from girsanov.noise import Noise, Rows, as_source
from girsanov.solvers import Plan, TensorPlan, recommended, run
from girsanov.solvers.tensorplan import structure

WALK, DENOISE, START = range(3)
START_STEPS = 20


@dataclass(frozen=True)
class Drawn:
    """Samples, and what they cost.

    Attributes:
        x: (n, *shape), in the order of emission: the first of every chain, then the second, …
        chain: (n,), the chain each is from.
        sigma: (n,), the noise level it was denoised from.
        calls: denoiser calls per sample, with the start and the burn-in of the chains.
        classifier_calls: calls of the noise classifier per sample.
    """

    x: Tensor
    chain: Tensor
    sigma: Tensor
    calls: float
    classifier_calls: float


@dataclass(frozen=True, eq=False)
class DenoisingMCMC:
    """A sampler from chains; see the head of the module.

    Args:
        kernel: the chains' transition.
        denoise: the plan that starts at a time, such as
            `lambda start: solvers.heun(process, solvers.grid("karras", 3, start=start))`; as many calls
            for every start.
        skip: transitions for each emission, at least 1.

    Raises:
        InputError: a skip below 1, or plans that differ in their calls.
    """

    kernel: LangevinGibbs
    denoise: Callable[[float], Plan]
    skip: int = 5

    def __post_init__(self) -> None:
        whole = isinstance(self.skip, int) and not isinstance(self.skip, bool) and self.skip >= 1
        require(whole, f"skip is {self.skip!r}; give a whole number of at least 1")
        low, high = (float(self.kernel.times(1000)[i]) for i in (0, -1))
        least, most = self.denoise(low).calls, self.denoise(high).calls
        require(
            least == most,
            f"the plan from t = {low:.3g} has {least} calls and that from {high:.3g} {most}; give as many for all",
        )

    @cached_property
    def calls(self) -> int:
        """Denoiser calls per sample of a long run: skip + those of the plan."""
        return self.skip + self.denoise(1.0).calls

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        chains: int = 64,
        burn_in: int = 20,
        start: Tensor | None = None,
        seed: int | None = None,
    ) -> Drawn:
        """Draw n samples. The walk of chain i is the same whatever n and the number of chains.

        Args:
            n: how many, at least 1.
            chains: that walk side by side.
            burn_in: transitions before the first emission is counted on, at least 0.
            start: (chains, *shape), where the chains start; by default a sample each, by 20 calls of the
                recommended plan, and noise of variance `step` on it.
            seed: an integer for the same samples again; None for fresh ones.

        Raises:
            InputError: counts out of range, or a start that does not fit.
            NotFinite: the network answered with NaN or infinity.
        """
        for name, value, least in (("n", n, 1), ("chains", chains, 1), ("burn_in", burn_in, 0)):
            whole = isinstance(value, int) and value >= least
            require(whole, f"{name} is {value!r}; give a whole number of at least {least}")
        require(
            start is None or len(start) == chains,
            f"start has {0 if start is None else len(start)} rows for {chains} chains; give one for each",
        )
        source, model = as_source(None if seed is None else Noise(seed)), self.kernel.denoiser
        was_training = model.training
        model.eval()
        try:
            rounds = -(-n // chains)
            x, spent = self._started(start, chains, source.child(START))
            state, walk = self.kernel.start(x, source.child(START)), source.child(WALK)
            for i in range(burn_in):
                state = self.kernel(state, walk.child(i))
            emitted = []
            for r in range(rounds):
                found, state = self._emission(state, walk, burn_in + r * self.skip)
                emitted.append((self._denoised(found, source.child(DENOISE).child(r)), found.level))
        finally:
            model.train(was_training)
        walked, drawn = (burn_in + rounds * self.skip) * chains, rounds * chains
        level = torch.cat([level for _, level in emitted])[:n].cpu()
        return Drawn(
            torch.cat([found for found, _ in emitted])[:n],
            torch.arange(chains).repeat(rounds)[:n],
            model.process.gamma(self.kernel.times(state.levels)[level]),
            (spent + walked + drawn * (self.calls - self.skip)) / n,
            (walked + chains) / n,
        )

    def _started(self, start: Tensor | None, chains: int, source: Source) -> tuple[Tensor, int]:
        """Where the chains start, and the denoiser calls spent on it."""
        model: Any = self.kernel.denoiser
        if start is not None:
            return start, 0
        require(model.shape is not None, "the denoiser does not know the shape of a sample; give start=")
        plan = recommended(model.process, START_STEPS).recast(model.stored)
        like = next(model.parameters(), torch.empty(0))
        empty = torch.empty(chains, *model.shape, dtype=like.dtype, device=like.device)
        x = run(plan, model, model.process.reference(empty, generator=source), generator=source)
        return x + self.kernel.step**0.5 * source.draw(x, 0), plan.calls * chains

    def _emission(self, state: Chains, walk: Source, first: int) -> tuple[Chains, Chains]:
        """The state of the lowest level in `skip` transitions, and the last one."""
        best = state = self.kernel(state, walk.child(first))
        for i in range(1, self.skip):
            state = self.kernel(state, walk.child(first + i))
            lower = state.level < best.level
            x = torch.where(lower.reshape(-1, *[1] * (state.x.ndim - 1)), state.x, best.x)
            best = Chains(x, torch.where(lower, state.level, best.level), state.levels)
        return best, state

    def _denoised(self, chains: Chains, source: Source) -> Tensor:
        """Each sample by the plan of its level; those whose plans have one structure go together."""
        found, where = chains.level.cpu().unique(return_inverse=True)
        plans = [self._plan(level, chains.levels) for level in found.tolist()]
        alike: dict[tuple, list[int]] = {}
        for k, plan in enumerate(plans):
            alike.setdefault(structure(plan), []).append(k)
        x, device = torch.empty_like(chains.x), chains.x.device
        for group in alike.values():
            place = torch.full((len(plans),), -1)
            place[torch.tensor(group)] = torch.arange(len(group))
            rows = (place[where] >= 0).nonzero()[:, 0]
            taken = TensorPlan.stack([plans[k] for k in group]).take(place[where[rows]])
            taken = replace(taken, coefficients=taken.coefficients.to(device), times=taken.times.to(device))
            noise = Rows(source, len(x), rows.to(device))
            x[rows] = run(taken, self.kernel.denoiser, chains.x[rows], generator=noise)
        return x

    def _plan(self, level: int, levels: int) -> Plan:
        if (level, levels) not in self._plans:
            made = self.denoise(float(self.kernel.times(levels)[level]))
            self._plans[level, levels] = made.recast(self.kernel.denoiser.stored)
        return self._plans[level, levels]

    @cached_property
    def _plans(self) -> dict[tuple[int, int], Plan]:
        """The plans made so far, by (level, levels)."""
        return {}
