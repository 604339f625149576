"""The step of Resfusion: DDPM's, in x - R, with R = x_1 - x_0 the residual of the degraded image x_1.

With a = √ᾱ, so that the process is x_t = (2a - 1) x_0 + (1 - a) x_1 + γ z and γ² = 1 - a², a step from s
down to t draws from the posterior of x_t given x_s, the data answer x_0 and x_1 under the chain of x - R:

    x_t = α_t x_0 + β_t x_1 + ρ γ_t²/γ_s ẑ + γ_t √(1 - (ρ γ_t/γ_s)²) ξ,    ρ = a_s/a_t,

ẑ the noise answer. In the paper the network answers ε̃ = z + k R, k = γ_s/(1 + ρ), and the same step reads
(x_s - (1 - ρ²)/γ_s ε̃)/ρ + noise: DDPM's update unchanged. ε̃ is the row (-k, k, 1) over (x_0, x_1, z), which
any stored word determines together with x_s and x_1, so a model need not be trained for it.
`ancestral` draws from the posterior of another chain with the same laws at each time, which at t = 1 keeps
nothing of the noise; see `processes.residual`.
Source: Shi et al. (2024), Resfusion, arXiv 2311.14900, equations 6 to 12.
Oracle: the update by ε̃; the exact posterior of Gaussian pairs (tests/solvers/test_resfusion.py).
"""

from __future__ import annotations

import math
from itertools import pairwise

from girsanov.errors import Unsuitable, require
from girsanov.processes import Interpolant
from girsanov.processes.residual import ResidualTable
from girsanov.solvers.builder import PlanBuilder
from girsanov.solvers.exponential import clock
from girsanov.solvers.grids import Times, resolve
from girsanov.solvers.plan import Plan


def resfusion(process: Interpolant, grid: Times) -> Plan:
    """Resfusion's sampler, for `processes.Residual`; see the head of the module.

    `grid("uniform", N)` with the N steps of the process has the paper's times.

    Raises:
        Unsuitable: another process.
    """
    require(
        isinstance(process, Interpolant) and isinstance(process.schedule, ResidualTable),
        f"resfusion needs processes.Residual, not {process!r}; use ancestral, which suits every process",
        Unsuitable,
    )
    times = resolve(grid, process)
    plan = PlanBuilder(process, name="resfusion", source="arXiv 2311.14900", order=1)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)
        alpha, beta, gamma = process.values(t)
        x = beta * plan.anchor + alpha * now.data
        if gamma == 0:
            continue
        rho, before = (1 - process.beta(s)) / (1 - beta), process.gamma(s)
        x = x + (rho * gamma**2 / before) * now.noise
        x = x + gamma * math.sqrt(1 - (rho * gamma / before) ** 2) * plan.noise(clock(process, s, t))
    return plan.finish(x, times[-1])
