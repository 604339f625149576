"""The solvers by name, for the command line and for `for_process`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from girsanov.errors import InputError, choose
from girsanov.processes import VP, Interpolant
from girsanov.solvers import named, rungekutta
from girsanov.solvers.churn import edm_churn, restart
from girsanov.solvers.exponential import adams_bashforth, exponential
from girsanov.solvers.grids import Times, grid
from girsanov.solvers.momentum import ghvb, heavy_ball
from girsanov.solvers.plan import Plan
from girsanov.solvers.pndm import pndm
from girsanov.solvers.stochastic import dpm_ancestral, dpm_singlestep_sde, sa_solver
from girsanov.solvers.unipc import unipc

Solver = Callable[[Interpolant, Times], Plan]

DATA: dict[str, Solver] = {
    "ancestral": named.ancestral,
    "dpm-multistep": named.dpm_multistep,
    "dpm-multistep-3m": partial(named.dpm_multistep, order=3),
    "dpm-multistep-sde": partial(named.dpm_multistep, stochastic=True),
    "dpm-multistep-3m-sde": partial(named.dpm_multistep, order=3, stochastic=True),
    "dpm-singlestep": named.dpm_singlestep,
    "dpm-singlestep-3s": partial(named.dpm_singlestep, order=3),
    "dpm-singlestep-sde": dpm_singlestep_sde,
    "dpm-ancestral": dpm_ancestral,
    "sa-solver": sa_solver,
    "sa-solver-interval": partial(sa_solver, low=0.05, high=1.0),
    "unipc-1": partial(unipc, order=1),
    "unipc-2": unipc,
    "unipc-3": partial(unipc, order=3),
    "unipc-2-bh1": partial(unipc, b="bh1"),
    "unipc-3-bh1": partial(unipc, order=3, b="bh1"),
    "heavy-ball-2m": heavy_ball,
    "exponential2": partial(exponential, order=2),
    "exponential3": exponential,
    "exponential4": partial(exponential, order=4),
    "exponential4-ddpm": partial(exponential, order=4, variable="ddpm"),
    "exponential-sde": partial(exponential, order=2, strength=1.0),
}
"""Solvers that use the data prediction."""

NOISE: dict[str, Solver] = {
    "ddim": named.ddim,
    "ddim-eta0.5": partial(named.ddim, eta=0.5),
    "deis-tab2": partial(named.deis, order=2),
    "deis-tab3": partial(named.deis, order=3),
    "deis-tab4": partial(named.deis, order=4),
    "deis-rho-ab2": partial(named.deis, order=2, method="rho-ab"),
    "deis-rho-ab3": partial(named.deis, order=3, method="rho-ab"),
    "deis-rho-rk": rungekutta.rho_rk,
    "deis-rho-rk3": partial(rungekutta.rho_rk, tableau="kutta3"),
    "deis-rho-rk4": partial(rungekutta.rho_rk, tableau="rk4"),
    "pndm": pndm,
    "plms": partial(pndm, begin="improved-euler"),
    "ipndm2": partial(named.deis, order=2, method="ipndm"),
    "ipndm3": partial(named.deis, order=3, method="ipndm"),
    "ipndm": partial(named.deis, order=4, method="ipndm"),
    "heavy-ball-plms": partial(heavy_ball, form="noise", order=4),
    "ghvb-1.8": ghvb,
    "ghvb-2.8": partial(ghvb, order=3),
    "ghvb-3.8": partial(ghvb, order=4),
    "deis-rho-ab4": partial(named.deis, order=4, method="rho-ab"),
    "dpm-solver-2": partial(named.dpm_singlestep, form="noise"),
    "dpm-solver-3": partial(named.dpm_singlestep, order=3, form="noise"),
    "edm-churn": edm_churn,
    "edm-churn-euler": partial(edm_churn, tableau="euler"),
    "restart": restart,
    "unipc-3-noise": partial(unipc, order=3, form="noise"),
    "exponential2-noise": partial(exponential, order=2, form="noise"),
    "exponential3-noise": partial(exponential, order=3, form="noise"),
    "exponential2-noise-sde": partial(exponential, order=2, form="noise", strength=1.0),
}
"""Solvers that use the noise prediction."""

VELOCITY: dict[str, Solver] = {
    "euler": rungekutta.euler,
    "heun": rungekutta.heun,
    "midpoint": partial(rungekutta.runge_kutta, tableau="midpoint", name="midpoint"),
    "kutta3": partial(rungekutta.runge_kutta, tableau="kutta3", name="kutta3"),
    "rk4": partial(rungekutta.runge_kutta, name="rk4"),
    "adams-bashforth2": adams_bashforth,
    "adams-bashforth3": partial(adams_bashforth, order=3),
    "adams-bashforth4": partial(adams_bashforth, order=4),
}
"""Solvers that use the velocity."""

SCORE: dict[str, Solver] = {
    "euler-maruyama": named.euler_maruyama,
    "reverse-diffusion": named.reverse_diffusion,
}
"""Solvers that use the score."""

SOLVERS: dict[str, Solver] = {**DATA, **NOISE, **VELOCITY, **SCORE}
"""Every named solver with its usual settings."""


FORMS = {"data": DATA, "noise": NOISE, "velocity": VELOCITY, "score": SCORE}
"""The solvers by the prediction that they are written in."""


def table() -> str:
    """All of them as a table in Markdown: calls for N steps that end at 0, order, prediction, paper."""
    lines = ["| name | calls for N steps | order | noise | prediction | paper |", "|---|---|---|---|---|---|"]
    for form, named_solvers in FORMS.items():
        for name, make in named_solvers.items():
            few, many = (make(VP(), grid("log-snr", steps)) for steps in (40, 60))
            each = (many.calls - few.calls) // 20
            extra = few.calls - 40 * each
            calls = ("N" if each == 1 else f"{each}N") + (
                f" {'+' if extra > 0 else '−'} {abs(extra)}" * (extra != 0)
            )
            order = "–" if few.order is None else few.order
            drawn = "yes" if few.stochastic else "no"
            lines.append(f"| `{name}` | {calls} | {order} | {drawn} | {form} | {few.source or '–'} |")
    return "\n".join(lines)


def solver(name: str) -> Solver:
    """The solver of that name, or the nearest names."""
    return choose(name, SOLVERS, "solver")


def for_process(process: Interpolant) -> list[str]:
    """The names of the solvers that suit a process on a grid from 1 to 0."""
    suited = []
    for name, make in SOLVERS.items():
        try:
            make(process, grid("uniform", 4))
        except InputError:
            continue
        suited.append(name)
    return suited
