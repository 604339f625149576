"""DPM-Solver-3: a singlestep method of order three in noise form.

With λ the log-SNR, h = λ_t - λ_s, and two inner times at λ_s + h/3 and λ_s + 2h/3, the noise answer along the
step is expanded to second order and the linear part is integrated exactly:

    x_u = (α_u/α_s) x_s - γ_u (e^(rh) - 1) ε_s              the first-order step to λ_s + rh
    u₂ += -2 γ ((e^(2h/3) - 1)/(2h/3) - 1) (ε_1 - ε_s)       at λ_s + 2h/3, ε_1 from the first inner time
    x_t += -(3/2) γ_t ((e^h - 1)/h - 1) (ε_2 - ε_s)

Source: Lu et al. (2022), DPM-Solver, algorithm 2, r₁ = 1/3 and r₂ = 2/3.
Oracle: order of convergence; constant noise is integrated exactly (tests/solvers).
"""

from __future__ import annotations

import math
from itertools import pairwise

from girsanov.processes import Interpolant
from girsanov.processes.functions import expm1
from girsanov.solvers.builder import PlanBuilder
from girsanov.solvers.grids import Times
from girsanov.solvers.named import first_order, start
from girsanov.solvers.plan import Plan


def dpm_solver_3(process: Interpolant, grid: Times) -> Plan:
    """DPM-Solver-3, Lu et al. (2022), algorithm 2: three calls a step.

    A step from α = 0 or to t = 0 is of order one and one call. Not for few calls: with ten or fewer a multistep
    method sees more of the path for the same price.
    """
    times = start(process, grid, "dpm_solver_3")
    plan = PlanBuilder(process, name="dpm-solver-3", source="arXiv 2206.00927", order=3)
    x = plan.start
    for s, t in pairwise(times):
        x, first = plan.call(x, s)
        if t == 0 or not math.isfinite(process.log_snr(s)):
            x = first_order(plan, x, s, t, first, "noise")
            continue
        h = process.log_snr(t) - process.log_snr(s)
        one, two = (process.time_at(process.log_snr(s) + r * h) for r in (1 / 3, 2 / 3))
        _, middle = plan.call(first_order(plan, x, s, one, first, "noise"), one, stage=True)
        weight = 2 * process.gamma(two) * (expm1(2 * h / 3) / (2 * h / 3) - 1)
        late = first_order(plan, x, s, two, first, "noise") - weight * (middle.noise - first.noise)
        _, last = plan.call(late, two, stage=True)
        weight = 1.5 * process.gamma(t) * (expm1(h) / h - 1)
        x = first_order(plan, x, s, t, first, "noise") - weight * (last.noise - first.noise)
    return plan.finish(x, times[-1])
