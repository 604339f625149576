"""Samplers as data, the loop that runs them, and likelihood."""

from girsanov.solvers.analytic import GaussianFlow, Skipped
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.diffusers import from_diffusers, to_diffusers
from girsanov.solvers.endpoint import Endpoints, pseudo_huber
from girsanov.solvers.exponential import exponential
from girsanov.solvers.grids import Grid, grid
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
from girsanov.solvers.run import Live, run, steps
from girsanov.solvers.rungekutta import TABLEAUS, euler, heun, rho_rk, runge_kutta
from girsanov.solvers.sampling import Sampler, make_plan, recommended, recommended_grid, sample
from girsanov.solvers.search import Search, search
from girsanov.solvers.tensorplan import TensorPlan

__all__ = [
    "SOLVERS",
    "TABLEAUS",
    "Affine",
    "Endpoints",
    "GaussianFlow",
    "Grid",
    "Live",
    "Plan",
    "PlanBuilder",
    "Prediction",
    "PredictorCorrector",
    "Row",
    "Sampler",
    "Search",
    "Skipped",
    "TensorPlan",
    "Term",
    "ancestral",
    "ddim",
    "deis",
    "dpm_multistep",
    "dpm_singlestep",
    "euler",
    "euler_maruyama",
    "exponential",
    "flow",
    "for_process",
    "from_diffusers",
    "grid",
    "heun",
    "log_likelihood",
    "make_plan",
    "pseudo_huber",
    "recommended",
    "recommended_grid",
    "reverse_diffusion",
    "rho_rk",
    "run",
    "runge_kutta",
    "sample",
    "search",
    "solver",
    "steps",
    "to_diffusers",
]
