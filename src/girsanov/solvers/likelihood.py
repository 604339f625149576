"""The probability flow as a change of variables: latent codes and exact likelihood; and the variational bound.
Traces of derivatives along the way.

Along dx/dt = v(x, t) the log-density changes by the divergence,

    log p_0(x_0) = log p_1(x_1) + ∫ ∇·v dt,   from t_min to 1,

with p_1 the reference law N(0, (α² + γ²) I) at t = 1. The divergence is exact (one derivative per
coordinate) or Hutchinson's estimate ξᵀ(∂v/∂x)ξ with one Rademacher probe for the whole path, which is
unbiased in nats. torchdiffeq integrates adaptively.

A chain of times t_0 > … > t_T > 0 bounds the same log-density from below, with SNR = α²/γ²:

    log p_0(x_0) ≥ -KL(x_{t_0} | N(0, (α² + γ²) I)) - ½ Σ_i (SNR(t_{i+1}) - SNR(t_i)) E|x_0 - D(x_{t_i})|²
                   + E log N(x_0; x_{t_T}/α, (γ/α)² I)

Hutchinson's estimate needs no derivative: with probes ε of covariance I, as likely as their negatives,

    tr ∇² log p_t(x) = E εᵀ(s(x + hε) - s(x))/h + O(h²),    s = ∇ log p_t,

though a single one differs from εᵀ ∇² log p_t ε by O(h). By Tweedie's second formula
Cov(x_0 | x_t) = (γ²/α²)(I + γ² ∇² log p_t), so the trace says how far x_0 is still open.

Source: Song et al. (2021), section 4.3 and appendix D.2; Grathwohl et al. (2019), FFJORD; Kingma et al. (2021),
Variational diffusion models, equations 11 to 14; Efron (2011), Tweedie's formula and selection bias.
Oracle: a Gaussian's and a mixture's own log-density, and the covariance of x_0 given x_t of a mixture (tests/solvers).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, NotFinite, Unsuitable, choose, require, require_finite
from girsanov.noise import Noise, Randomness, as_source, rademacher
from girsanov.processes import GaussianConditional, Interpolant, need
from girsanov.processes.base import like_batch
from girsanov.processes.charts import CHARTS
from girsanov.solvers.grids import Times, resolve
from girsanov.typing import Time, Tree

EXACT_UP_TO = 64
BUDGET = 5_000


class Flowed(NamedTuple):
    """Where the flow went: the states (B, *shape) and the integral of the divergence (B,), in nats."""

    x: Tensor
    divergence: Tensor | None
    calls: int


def flow(
    model: AbstractDenoiser,
    x: Tensor,
    start: float,
    stop: float,
    *,
    cond: Tree = None,
    divergence: Callable[[Tensor, Tensor], Tensor] | None = None,
    tolerance: float = 1e-5,
) -> Flowed:
    """Carry x along the probability flow from time `start` to `stop`, either way, adaptively.

    Args:
        model: a denoiser with a velocity.
        x: (B, *shape) at `start`.
        start, stop: in [t_min, 1].
        cond: passed to the model.
        divergence: given (v, x) with a graph, its trace (B,); None to skip.
        tolerance: relative and absolute, per step (Dormand-Prince 5).

    Raises:
        InputError: times outside [t_min, 1].
        NotFinite: the step size vanished or the budget of calls was spent; the message says where.
    """
    from torchdiffeq import odeint

    low = model.process.t_min
    for name, t in (("start", start), ("stop", stop)):
        require(low <= t <= 1, f"{name} is {t}; the flow runs within [t_min, 1] = [{low:.6g}, 1]")
    require(0 < tolerance < 1, f"tolerance is {tolerance}; give a number between 0 and 1, such as 1e-5")
    require_finite(x, "x")
    calls, reached = 0, start

    def field(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal calls, reached
        # A step may overshoot the interval and is interpolated back.
        calls, reached = calls + 1, min(max(float(t), low), 1.0)
        if calls > BUDGET:
            raise NotFinite(_stuck(reached, calls, tolerance))
        if divergence is None:
            with torch.no_grad():
                return model.velocity(state[0], reached, cond=cond), torch.zeros_like(state[1])
        with torch.enable_grad():
            here = state[0].detach().requires_grad_()
            v = model.velocity(here, reached, cond=cond)
            trace = divergence(v, here)
        return v.detach(), trace.detach()

    began = x, torch.zeros(len(x), dtype=x.dtype, device=x.device)
    times = torch.tensor([start, stop], dtype=torch.float64)
    try:
        found, integral = odeint(field, began, times, rtol=tolerance, atol=tolerance, method="dopri5")
    except AssertionError as error:
        raise NotFinite(_stuck(reached, calls, tolerance)) from error
    return Flowed(found[-1], None if divergence is None else integral[-1], calls)


def log_likelihood(
    model: AbstractDenoiser,
    x: Tensor,
    *,
    cond: Tree = None,
    divergence: Literal["auto", "exact", "hutchinson"] = "auto",
    tolerance: float = 1e-5,
    seed: int = 0,
    generator: Randomness = None,
) -> Tensor:
    """The model's log-density of x in nats, (B,), by the probability flow.

    Args:
        model: a denoiser of a one-sided process.
        x: (B, *shape), in the scale the model was trained on.
        cond: passed to the model.
        divergence: "exact" costs as many derivatives as coordinates; "hutchinson" is an unbiased
            estimate; "auto" is exact up to 64 coordinates.
        tolerance: of the integration.
        seed, generator: for Hutchinson's probe.

    Raises:
        Unsuitable: the process is not one-sided or not continuous.
        InputError: x is empty or holds NaN.
    """
    process = need(model.process, GaussianConditional, "log_likelihood")
    require(process.end == "noise", "log_likelihood needs a one-sided process", Unsuitable)
    require(
        x.ndim >= 2 and len(x) > 0, f"x has shape {tuple(x.shape)}; give (B, *shape) with B of at least 1"
    )
    choose(divergence, dict.fromkeys(("auto", "exact", "hutchinson")), "divergence")
    exact = divergence == "exact" or (divergence == "auto" and x[0].numel() <= EXACT_UP_TO)
    probe = as_source(generator or Noise(seed)).draw(x, 0, rademacher)
    trace = exact_divergence if exact else lambda v, here: hutchinson(v, here, probe)
    slope = CHARTS[process.chart].log_slope(x).flatten(1).sum(1) if process.chart != "identity" else 0.0
    x = process.into(x)
    code = flow(model, x, process.t_min, 1.0, cond=cond, divergence=trace, tolerance=tolerance)
    assert code.divergence is not None
    alpha, gamma = process.alpha(1.0), process.gamma(1.0)
    variance, flat = alpha**2 + gamma**2, code.x.flatten(1)
    prior = -flat.square().sum(1) / (2 * variance) - flat.shape[1] * math.log(2 * math.pi * variance) / 2
    return prior + code.divergence + slope


def variational_bound(
    model: AbstractDenoiser, x: Tensor, grid: Times, *, cond: Tree = None, generator: Randomness = None
) -> Tensor:
    """A lower bound of log p(x) in nats by a chain of finitely many steps, one draw a sample, (B,).

    Its mean over draws is the bound; a single draw may lie above the log-density.

    Args:
        model: a denoiser of a one-sided process.
        x: (B, *shape), in the scale the model was trained on.
        grid: a Grid with to_zero=False, or decreasing times above 0.
        cond: passed to the model.
        generator: of the noise in x_t.

    Raises:
        Unsuitable: the process is not one-sided.
        InputError: the grid ends at 0.
    """
    process: Interpolant = model.process
    need(process, GaussianConditional, "variational_bound")
    require(process.end == "noise", "variational_bound needs a one-sided process", Unsuitable)
    times, source = resolve(grid, process), as_source(generator)
    require(times[-1] > 0, "the grid ends at 0, where the bound has no density; give to_zero=False")
    d, squares = x[0].numel(), x.flatten(1).square().sum(1)
    alpha, gamma = process.alpha(times[0]), process.gamma(times[0])
    width = alpha**2 + gamma**2
    total = -(alpha**2 * squares / width + d * (gamma**2 / width - 1 - math.log(gamma**2 / width))) / 2
    for i, (s, t) in enumerate(pairwise(times)):
        x_s, _ = process.perturb(x, s, generator=source.child(i))
        gain = math.exp(2 * process.log_snr(t)) - math.exp(2 * process.log_snr(s))
        total = total - gain * (x - model.data(x_s, s, cond=cond)).flatten(1).square().sum(1) / 2
    last = source.child(len(times)).draw(x, 0).flatten(1).square().sum(1)
    return total - last / 2 - d * (math.log(2 * math.pi) / 2 - process.log_snr(times[-1]))


def exact_divergence(v: Tensor, x: Tensor) -> Tensor:
    """Σ_i ∂v_i/∂x_i, (B,): one backward pass per coordinate."""
    flat, total = v.flatten(1), torch.zeros(len(x), dtype=x.dtype, device=x.device)
    if not flat.requires_grad:
        raise InputError("the velocity does not depend on x through automatic differentiation")
    for i in range(flat.shape[1]):
        (row,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=i + 1 < flat.shape[1])
        total = total + row.flatten(1)[:, i]
    return total


def hutchinson(v: Tensor, x: Tensor, probe: Tensor) -> Tensor:
    """probeᵀ (∂v/∂x) probe, (B,): unbiased for the divergence."""
    (product,) = torch.autograd.grad((v * probe).sum(), x)
    return (product * probe).flatten(1).sum(1)


def score_trace(
    model: AbstractDenoiser,
    x: Tensor,
    t: Time,
    probes: Tensor,
    *,
    delta: float = 0.1,
    score: Tensor | None = None,
    cond: Tree = None,
    anchor: Tensor | None = None,
) -> Tensor:
    """tr ∇² log p_t(x), (B,), by forward differences of the score along probes; differentiable in x.

    One network call for each probe, and one at x.

    Args:
        model: a denoiser of a process with normal noise.
        x: (B, *shape), at time t.
        t: a float, or (B,).
        probes: (P, B, *shape), independent draws with mean 0 and covariance I: normal, or `noise.rademacher`.
        delta: h in units of γ(t); the estimate is then as good at every level of noise.
        score: (B, *shape), the model's score at x where it is known, which saves a call.
        cond, anchor: passed to the model.

    Raises:
        Unsuitable: a process without a score.
        InputError: delta is not above 0, or probes of another shape.
    """
    process = need(model.process, GaussianConditional, "score_trace")
    require(0 < delta < math.inf, f"delta is {delta}; give a number above 0, such as 0.1")
    require(
        probes.ndim == x.ndim + 1 and probes.shape[1:] == x.shape and len(probes) > 0,
        f"probes have the shape {tuple(probes.shape)}, and x {tuple(x.shape)}; give (P, *x.shape), P at least 1",
    )
    step = delta * like_batch(process.gamma(t), x)
    here = model.score(x, t, cond=cond, anchor=anchor) if score is None else score
    total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for probe in probes:
        change = (model.score(x + step * probe, t, cond=cond, anchor=anchor) - here) / step
        total = total + (change * probe).flatten(1).sum(1)
    return total / len(probes)


def _stuck(t: float, calls: int, tolerance: float) -> str:
    return (
        f"the adaptive solver got stuck at t = {t:.6g} after {calls} calls with tolerance {tolerance:g}: the "
        "velocity is not finite or too steep there. Raise the tolerance, use float64, or train further."
    )
