"""Sequential Monte Carlo towards a reward: particles that share their future, as decoding's candidates do not.

M particles of a sample run the kernel together. With soft values v a move from t to s changes a particle's weight by

    exp((v_s(x_s) - v_t(x_t))/α),

and a cloud whose effective sample size falls below a share of M is resampled. At the end one particle is drawn. Unlike
`SoftValueDecoding`, whose error in law stays at a given M whatever its value errs, it is exact as M grows with any
values that end at the reward; with few particles the weights degenerate.

Source: Wu, Trippe, Naesseth, Blei & Cunningham (2023), arXiv 2306.17775, with the kernel as the proposal.
Oracle: the tilted law of a masked chain, with the exact value and with a wrong one (tests/guidance/test_twisted.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import require
from girsanov.guidance.branching import Kernel, Remembered, Setting, branch, check_kernel, marks
from girsanov.guidance.value import CHOICE, Value, apart, check_alpha, check_many, chosen
from girsanov.noise import Randomness, as_source
from girsanov.particles import Particles
from girsanov.solvers.masked import AncestralMasked, picked
from girsanov.typing import Tree

RESAMPLING = 2
"""The scope of its draws."""


@dataclass(frozen=True)
class TwistedSMC:
    """A sampler of the law tilted by a reward; see the head of the module.

    Args:
        kernel: as of `SoftValueDecoding`.
        value: as of `SoftValueDecoding`.
        particles: M, for each sample.
        alpha: the temperature of the reward, above 0.
        below: resample below this share of effective particles, in (0, 1]; 1 at every step.

    Raises:
        InputError: numbers out of range.
        Unsuitable: a kernel without noise.
    """

    kernel: Kernel
    value: Value
    particles: int = 10
    alpha: float = 1.0
    below: float = 0.5

    def __post_init__(self) -> None:
        check_kernel(self.kernel, "TwistedSMC")
        check_many(self.particles, "particles")
        check_alpha(self.alpha)
        require(self.alpha > 0, "alpha is 0, and weights need it above 0; SoftValueDecoding has the limit")
        require(0 < self.below <= 1, f"below is {self.below}; give a share in (0, 1], usually 0.5")

    @property
    def calls(self) -> int:
        """Denoiser calls a sample, those of the values included."""
        if isinstance(self.kernel, AncestralMasked):
            return self.particles * self.kernel.steps
        total, asked = 0, self.value.calls
        for row, mark in zip(self.kernel.rows, marks(self.kernel, apart=True), strict=True):
            total += bool(
                row.call or (asked and mark.settle and row.t > 0)
            )  # a value's call is the kernel's own
        return self.particles * total

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from x (B, *shape), the start of the first particle of each sample.

        Raises:
            InputError: rewards of another shape than (B,), or NaN or infinite.
            Unsuitable: a plan for another process.
        """
        source, many, size = as_source(generator), self.particles, len(x)
        memory, last = Remembered(model), self.kernel.grid[-1]
        setting = Setting(memory, many, cond, anchor, source)
        rows = torch.arange(size * many, device=x.device)
        given = picked(cond, rows // many), None if anchor is None else anchor[rows // many]
        zeros = torch.zeros(size * many, dtype=torch.float64, device=x.device)
        cloud = Particles((rows, zeros), zeros.reshape(size, many))

        def settle(states: Tensor, t: float, step: int) -> Tensor:
            nonlocal cloud
            values = self.value(memory, states, t, cond=given[0], anchor=given[1]).double()
            before = cloud.values[1]
            moved = cloud.moved(rows, values).reweight((values - before) / self.alpha)
            if t == last:
                return rows[::many] + chosen(moved.log_weights, 1.0, source.child(CHOICE), step)
            cloud = moved.resample(step, source.child(RESAMPLING), below=self.below)
            return cloud.values[0]

        starts = apart(model, x, many, anchor, source)
        return branch(self.kernel, starts, setting, settle, apart=True)
