"""EVODiff: a predictor-corrector whose weights are least-squares fits to the last three answers.

Coefficients depend on the state, through inner products of data answers D for each sample and channel, so the
sampler is no plan and has its own loop. In the coordinate x/α a one-sided process depends on ρ = γ/α alone; there
α = 1, γ = ρ and the step p → s → t, with g = 1 - ρ_t/ρ_s and r = log(ρ_p/ρ_s)/log(ρ_s/ρ_t), is

    euler = (ρ_t/ρ_s) x + g D_s                                first order: DDIM
    Δ1 = D_s - b1 D_p,   x̂ = euler + g Δ1/(2 r_i)              predictor, r_i = r sigmoid(|b1|/4)
    Δ2 = D_t - b2 D_s                                          D_t asked at (x̂, t): the only call of the step
    B  = r (1 - η) Δ2 - (η/r) Δ1,   x ← euler + g B/(2 ζ)      corrector

    b = (1 - w) √((ρ_t/ρ_s)/(ρ_s/ρ_p)) + w ⟨new, old⟩/⟨old, old⟩,   w = (1 - τ²)/2,   τ = (ρ_t + ρ_0)/(ρ_T + ρ_0)
    η = sigmoid(|η*|)/2,   η* = ⟨Q + P, Q - P⟩/(2 ⟨Q - P, Q - P⟩),   P = Δ1/r,   Q = r Δ2
    ζ = sigmoid(|ζ*| - 1/2),   ζ* = ⟨x̂ - euler - g B/(2 r_i), Δ1⟩/(g ⟨Δ1, Δ1⟩)

Every quotient of inner products is cut to ±2, and a quotient by nothing is 0. Above 20 steps ζ is
sigmoid((1/2 - |ζ*|) c), with c = sigmoid((2 - (ρ_t/ρ_s)²) ⟨D_s, D'⟩/⟨D', D'⟩) and D' = (D_s - D_p)/(1/ρ_t - 1/ρ_s).
The first step is DDIM. The last noisy one makes no call and is

    x ← (1 - √(ρ_t ρ_s)) euler + g (D_s - d D_p)/2,   d = 1 - √q/2,   q = ρ_t/ρ_s, less 1/2 from 1/2 on.

It is not consistent: on answers that have settled it multiplies the sample by about 1 + g (1 - d)/2, a few
per cent. It is the authors' and kept by default; last="ddim" ends with a DDIM step instead.

Source: Li et al. (2025), arXiv 2509.26096; all constants are those of the authors' code for EDM on CIFAR-10.
Oracle: with b = 1, η = 0, ζ = r_i = r it is a plan (tests/solvers/test_evodiff.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import Unsuitable, choose, require
from girsanov.noise import Randomness
from girsanov.processes import Interpolant
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.run import check_finite
from girsanov.typing import Tree

TINY = 1e-30
MANY = 20


class Step(NamedTuple):
    """What a step s → t is made of, as floats.

    `keep` is the weight of x, `gain` that of the answer at first order, `g` = 1 - ρ_t/ρ_s, `r` the length
    of the step before over this one's in log-SNR; `base` and `weight` make b; `inverse` = 1/ρ_t - 1/ρ_s, `root` = √(ρ_t ρ_s).
    A step without `r` is of first order.
    """

    t: float
    keep: float
    gain: float
    g: float
    r: float
    base: float
    weight: float
    inverse: float
    root: float


Ask = Callable[[Tensor, float], Tensor]
"""The data answer at a state and a time."""


class Memory(NamedTuple):
    """⟨D_s, D_p⟩/⟨D_p, D_p⟩, cut, and ⟨D_s, D_s⟩: known from the step before."""

    ratio: Tensor
    norm: Tensor


@dataclass(frozen=True)
class EVODiff:
    """EVODiff sampling, one call a step; called like a plan.

    A sample depends on no other of its batch. Made for 5 to 15 calls; for many calls the recommended plans are
    of higher order.

    Args:
        process: a one-sided process.
        grid: decreasing times; those that end at 0 end with the data answer, which is a call.
        last: the last noisy step, "authors" or "ddim"; see the head of the module.

    Raises:
        Unsuitable: the process has an anchor or two ends.
    """

    process: Interpolant
    grid: Times
    last: Literal["authors", "ddim"] = "authors"

    def __post_init__(self) -> None:
        require(
            self.process.end == "noise",
            f"EVODiff needs a one-sided process, and {self.process!r} is not; use solvers.exponential",
            Unsuitable,
        )
        choose(self.last, dict.fromkeys(("authors", "ddim")), "last step")
        _ = self.times

    @cached_property
    def times(self) -> tuple[float, ...]:
        """The grid's times."""
        return resolve(self.grid, self.process)

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return len(self.times) - 1

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps between noisy times."""
        times = self.times[:-1] if self.times[-1] == 0 else self.times
        rho = [math.exp(-self.process.log_snr(t)) if self.process.alpha(t) else math.inf for t in times]
        return tuple(self._step(times, rho, i) for i in range(1, len(times)))

    def _step(self, times: tuple[float, ...], rho: list[float], i: int) -> Step:
        s, t = times[i - 1], times[i]
        ratio = rho[i] / rho[i - 1]
        keep, gain = self.process.gamma(t) / self.process.gamma(s), self.process.alpha(t) * (1 - ratio)
        r, base = 0.0, 1.0
        if i > 1 and math.isfinite(rho[i - 2]):
            r = math.log(rho[i - 2] / rho[i - 1]) / math.log(rho[i - 1] / rho[i])
            base = math.sqrt(ratio * rho[i - 2] / rho[i - 1])
        tau = (rho[i] + rho[-1]) / (rho[0] + rho[-1])
        inverse, root = 1 / rho[i] - 1 / rho[i - 1], math.sqrt(rho[i] * rho[i - 1])
        return Step(t, keep, gain, 1 - ratio, r, base, (1 - tau**2) / 2, inverse, root)

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Sample from x (B, *shape), a draw of the reference law. No noise is drawn on the way.

        With two or more dimensions the first one of `shape` is the channel; b, η and ζ are (B, C).

        Raises:
            Unsuitable: the model reverses another process.
            NotFinite: the model answered with NaN or infinity.
        """
        require(model.process == self.process, "the sampler was made for another process", Unsuitable)
        self.process.check_anchor(anchor)
        shape, kind = x.shape, x.dtype
        wide = torch.promote_types(kind, torch.float32)
        rows = (len(x), -1, math.prod(shape[2:])) if x.ndim > 2 else (len(x), 1, -1)

        def ask(state: Tensor, t: float) -> Tensor:
            return model.data(state.view(shape).to(kind), t, cond=cond).to(wide).reshape(rows)

        result = self._descend(ask, x.to(wide).reshape(rows)).view(shape)
        check_finite(result, f"after {self.calls} calls")
        return result.to(kind)

    def _descend(self, ask: Ask, x: Tensor) -> Tensor:
        """From the first time to the last; x and answers are (B, C, S)."""
        now, past, memory = ask(x, self.times[0]), None, None
        to_zero = self.times[-1] == 0
        for left, step in zip(range(len(self.steps) - 1, -1, -1), self.steps, strict=True):
            euler = (x * step.keep).add_(now, alpha=step.gain)
            if left and past is not None and step.r:
                memory = memory or Memory(quotient(inner(now, past), inner(past, past)), inner(now, now))
                x, answer, memory = self._correct(step, euler, now, past, ask, memory)
            else:
                x = euler
                if left == 0 and past is not None and self.last == "authors":
                    x = end(step, euler, now, past)
                if left == 0 and not to_zero:
                    return x
                answer, memory = ask(x, step.t), None
            now, past = answer, now
        return now

    def _correct(
        self, step: Step, euler: Tensor, now: Tensor, past: Tensor, ask: Ask, memory: Memory
    ) -> tuple[Tensor, Tensor, Memory]:
        """(x_t, D_t, what the next step knows already)."""
        half = step.gain / 2
        b = balance(step, memory.ratio)
        delta1 = torch.addcmul(now, b, past, value=-1)
        share = control(b)
        answer = ask(torch.addcdiv(euler, delta1, share, value=half / step.r), step.t)
        memory = Memory(quotient(inner(answer, now), memory.norm), inner(answer, answer))
        delta2 = torch.addcmul(answer, balance(step, memory.ratio), now, value=-1)
        products = inner(delta1, delta1), inner(delta1, delta2), inner(delta2, delta2)
        eta = mix(step, *products)
        zeta = scale(step, eta, share, products[0], products[1])
        if len(self.steps) > MANY:
            zeta = torch.sigmoid(-torch.logit(zeta) * consistency(step, now, past))
        x = torch.addcmul(euler, (1 - eta) / zeta, delta2, value=half * step.r)
        return x.addcmul_(eta / zeta, delta1, value=-half / step.r), answer, memory


# The weights. Inner products and weights are (B, C, 1).


def inner(a: Tensor, b: Tensor) -> Tensor:
    """⟨a, b⟩ of each sample and channel, (B, C, S) to (B, C, 1)."""
    return (a * b).sum(-1, keepdim=True)


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a/b cut to ±2; 0 where b = ⟨·, ·⟩ vanishes, as a does then."""
    return (a / b.clamp_min(TINY)).clamp_(-2, 2)


def balance(step: Step, ratio: Tensor) -> Tensor:
    """b."""
    return (ratio * step.weight).add_((1 - step.weight) * step.base)


def control(b: Tensor) -> Tensor:
    """r_i/r, between 1/2 and sigmoid(1/2); the authors' limits 1/4 and 3/2 are never reached."""
    return b.abs().mul_(0.25).sigmoid_()


def mix(step: Step, d11: Tensor, d12: Tensor, d22: Tensor) -> Tensor:
    """η, from the inner products of Δ1 and Δ2; those of P and Q need no h, which cancels."""
    pp, qq = d11 * step.r**-2, d22 * step.r**2
    star = quotient(qq - pp, (qq + pp).sub_(d12, alpha=2))
    return star.abs_().mul_(0.5).sigmoid_().mul_(0.5)


def scale(step: Step, eta: Tensor, share: Tensor, d11: Tensor, d12: Tensor) -> Tensor:
    """ζ up to 20 steps. ⟨x̂ - euler - g B/(2 r_i), Δ1⟩ = g ⟨Δ1 - B, Δ1⟩/(2 r_i), and the cut is before 1/g."""
    left = torch.addcmul(d11, eta, d11, value=1 / step.r).addcmul_(1 - eta, d12, value=-step.r)
    star = left.div_(d11.clamp_min(TINY)).div_(share).abs_().mul_(0.5 / step.r).clamp_(max=2 / step.g)
    return star.sub_(0.5).sigmoid_()


def consistency(step: Step, now: Tensor, past: Tensor) -> Tensor:
    """c, by which the authors damp ζ above 20 steps."""
    change = (now - past) / step.inverse
    return (quotient(inner(now, change), inner(change, change)) * (2 - (1 - step.g) ** 2)).sigmoid_()


def end(step: Step, euler: Tensor, now: Tensor, past: Tensor) -> Tensor:
    """The last noisy step of the authors; no call."""
    q = 1 - step.g
    d = 1 - 0.5 * math.sqrt(q if q < 0.5 else q - 0.5)
    shrunk = euler * (1 - step.root)
    return shrunk.add_(now, alpha=step.gain / 2).add_(past, alpha=-step.gain * d / 2)
