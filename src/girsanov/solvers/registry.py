"""The solvers by name, for the command line and for `for_process`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from girsanov.errors import InputError, choose
from girsanov.processes import Interpolant
from girsanov.solvers import named, rungekutta
from girsanov.solvers.exponential import exponential
from girsanov.solvers.grids import Times, grid
from girsanov.solvers.plan import Plan
from girsanov.solvers.singlestep import dpm_solver_3

Solver = Callable[[Interpolant, Times], Plan]

SOLVERS: dict[str, Solver] = {
    "ddim": named.ddim,
    "ddim-eta0.5": partial(named.ddim, eta=0.5),
    "ancestral": named.ancestral,
    "euler": rungekutta.euler,
    "heun": rungekutta.heun,
    "euler-maruyama": named.euler_maruyama,
    "reverse-diffusion": named.reverse_diffusion,
    "deis-tab2": partial(named.deis, order=2),
    "deis-tab3": partial(named.deis, order=3),
    "deis-tab4": partial(named.deis, order=4),
    "deis-rho-ab2": partial(named.deis, order=2, method="rho-ab"),
    "deis-rho-ab3": partial(named.deis, order=3, method="rho-ab"),
    "deis-rho-rk": rungekutta.rho_rk,
    "deis-rho-rk3": partial(rungekutta.rho_rk, tableau="kutta3"),
    "deis-rho-rk4": partial(rungekutta.rho_rk, tableau="rk4"),
    "ipndm": partial(named.deis, order=4, method="ipndm"),
    "dpm-multistep": named.dpm_multistep,
    "dpm-multistep-3m": partial(named.dpm_multistep, order=3),
    "dpm-multistep-sde": partial(named.dpm_multistep, stochastic=True),
    "dpm-singlestep": named.dpm_singlestep,
    "dpm-solver-2": partial(named.dpm_singlestep, form="noise"),
    "dpm-solver-3": dpm_solver_3,
    "exponential2": partial(exponential, order=2),
    "exponential3": exponential,
    "exponential4": partial(exponential, order=4),
    "exponential4-ddpm": partial(exponential, order=4, variable="ddpm"),
    "exponential-sde": partial(exponential, order=2, strength=1.0),
}
"""Every named solver with its usual settings."""


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
