"""Samplers as data, the loop that runs them, and likelihood."""

from girsanov.solvers.analytic import GaussianFlow, Skipped
from girsanov.solvers.augmented import Augmented, augmented
from girsanov.solvers.builder import Affine, PlanBuilder, Prediction
from girsanov.solvers.categorical import (
    TopK,
    gumbel_top_k,
    probabilities,
    sample_categorical,
    truncated_gumbel_law,
)
from girsanov.solvers.churn import Interval, edm_churn, restart
from girsanov.solvers.constrained import ReverseWalk
from girsanov.solvers.diagnosis import Diagnosis, diagnose
from girsanov.solvers.diffusers import from_diffusers, to_diffusers
from girsanov.solvers.endpoint import Endpoints, pseudo_huber
from girsanov.solvers.evodiff import EVODiff
from girsanov.solvers.evolution import Evolved, search_schedule
from girsanov.solvers.exponential import adams_bashforth, exponential
from girsanov.solvers.grids import Grid, ddpm_rf_grid, fine_start, grid, u_shaped_grid
from girsanov.solvers.inversion import invert
from girsanov.solvers.langevin import PredictorCorrector
from girsanov.solvers.levy import levy
from girsanov.solvers.likelihood import flow, log_likelihood, score_trace, variational_bound
from girsanov.solvers.masked import AncestralMasked, Decoded, FirstHitting, masked_bound
from girsanov.solvers.momentum import ghvb, heavy_ball
from girsanov.solvers.multiplicative import hyvarinen_score, multiplicative_langevin
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
from girsanov.solvers.pndm import pndm
from girsanov.solvers.registration import register
from girsanov.solvers.registry import SOLVERS, for_process, solver
from girsanov.solvers.resfusion import resfusion
from girsanov.solvers.reversible import OwnSteps
from girsanov.solvers.run import Live, run, steps, trajectory
from girsanov.solvers.rungekutta import TABLEAUS, euler, heun, rho_rk, runge_kutta
from girsanov.solvers.sampling import NamedSampler, Sampler, make_plan, recommended, recommended_grid, sample
from girsanov.solvers.search import Search, search
from girsanov.solvers.stochastic import dpm_ancestral, dpm_singlestep_sde, sa_solver
from girsanov.solvers.tensorplan import TensorPlan
from girsanov.solvers.time_shift import TimeShift
from girsanov.solvers.unified import EARLIER, SolverSchedule, SolverStep, unified
from girsanov.solvers.unipc import unipc
from girsanov.solvers.watch import TrajectoryVariance, Watched

__all__ = [
    "EARLIER",
    "SOLVERS",
    "TABLEAUS",
    "Affine",
    "AncestralMasked",
    "Augmented",
    "Decoded",
    "Diagnosis",
    "EVODiff",
    "Endpoints",
    "Evolved",
    "FirstHitting",
    "GaussianFlow",
    "Grid",
    "Interval",
    "Live",
    "NamedSampler",
    "OwnSteps",
    "Plan",
    "PlanBuilder",
    "Prediction",
    "PredictorCorrector",
    "ReverseWalk",
    "Row",
    "Sampler",
    "Search",
    "Skipped",
    "SolverSchedule",
    "SolverStep",
    "TensorPlan",
    "Term",
    "TimeShift",
    "TopK",
    "TrajectoryVariance",
    "Watched",
    "adams_bashforth",
    "ancestral",
    "augmented",
    "ddim",
    "ddpm_rf_grid",
    "deis",
    "diagnose",
    "dpm_ancestral",
    "dpm_multistep",
    "dpm_singlestep",
    "dpm_singlestep_sde",
    "edm_churn",
    "euler",
    "euler_maruyama",
    "exponential",
    "fine_start",
    "flow",
    "for_process",
    "from_diffusers",
    "ghvb",
    "grid",
    "gumbel_top_k",
    "heavy_ball",
    "heun",
    "hyvarinen_score",
    "invert",
    "levy",
    "log_likelihood",
    "make_plan",
    "masked_bound",
    "multiplicative_langevin",
    "pndm",
    "probabilities",
    "pseudo_huber",
    "recommended",
    "recommended_grid",
    "register",
    "resfusion",
    "restart",
    "reverse_diffusion",
    "rho_rk",
    "run",
    "runge_kutta",
    "sa_solver",
    "sample",
    "sample_categorical",
    "score_trace",
    "search",
    "search_schedule",
    "solver",
    "steps",
    "to_diffusers",
    "trajectory",
    "truncated_gumbel_law",
    "u_shaped_grid",
    "unified",
    "unipc",
    "variational_bound",
]
