"""Samplers as data, the loop that runs them, and likelihood."""

from girsanov.solvers.analytic import GaussianFlow, Skipped
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.diffusers import from_diffusers, to_diffusers
from girsanov.solvers.exponential import exponential
from girsanov.solvers.grids import Grid, fine_start, grid
from girsanov.solvers.langevin import PredictorCorrector
from girsanov.solvers.likelihood import flow, log_likelihood
from girsanov.solvers.named import (
    ancestral,
    ddim,
    deis,
    dpm_multistep,
    dpm_singlestep,
    euler_maruyama,
    reverse_diffusion,
)
from girsanov.solvers.plan import Plan, Row, Term
from girsanov.solvers.registry import SOLVERS, for_process, solver
from girsanov.solvers.run import Live, run, steps, trajectory
from girsanov.solvers.rungekutta import TABLEAUS, euler, heun, rho_rk, runge_kutta
from girsanov.solvers.sampling import Sampler, make_plan, recommended, recommended_grid, sample

__all__ = [
    "SOLVERS",
    "TABLEAUS",
    "Affine",
    "GaussianFlow",
    "Grid",
    "Live",
    "Plan",
    "PlanBuilder",
    "Prediction",
    "PredictorCorrector",
    "Row",
    "Sampler",
    "Skipped",
    "Term",
    "ancestral",
    "ddim",
    "deis",
    "dpm_multistep",
    "dpm_singlestep",
    "euler",
    "euler_maruyama",
    "exponential",
    "fine_start",
    "flow",
    "for_process",
    "from_diffusers",
    "grid",
    "heun",
    "log_likelihood",
    "make_plan",
    "recommended",
    "recommended_grid",
    "reverse_diffusion",
    "rho_rk",
    "run",
    "runge_kutta",
    "sample",
    "solver",
    "steps",
    "to_diffusers",
    "trajectory",
]
