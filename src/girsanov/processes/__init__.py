"""Laws of paths: what turns data into noise, and back."""

from girsanov.processes.base import (
    AffineConditional,
    Convertible,
    Diffusion,
    Ended,
    GaussianConditional,
    Learnable,
    Perturbable,
    Reversible,
    Simulable,
    Started,
    Transition,
    need,
)
from girsanov.processes.brownian import BrownianMotion, BrownianPath, levy_area, space_time_area
from girsanov.processes.constrained import Constrained
from girsanov.processes.constructors import (
    EDM,
    OUVE,
    PROCESSES,
    VE,
    VP,
    Bounded,
    BrownianBridge,
    CosineVP,
    DiscreteVP,
    Geometric,
    Levy,
    MeanReverting,
    OrnsteinUhlenbeck,
    PoissonFlow,
    RectifiedFlow,
    Residual,
    StochasticInterpolant,
    SubVP,
    Trigonometric,
)
from girsanov.processes.diffusions import (
    CoxIngersollRoss,
    GeometricBrownianMotion,
    ReflectedBrownianMotion,
    SquaredBessel,
    Vasicek,
)
from girsanov.processes.events import Events
from girsanov.processes.fractional import (
    FractionalBrownianMotion,
    MarkovFractionalBrownianMotion,
    geometric_rates,
    markov_weights,
)
from girsanov.processes.gaussian import StationaryGaussian
from girsanov.processes.hawkes import Hawkes, hawkes_log_likelihood
from girsanov.processes.interpolant import Interpolant
from girsanov.processes.jumps import MarkovChain
from girsanov.processes.lie import SE3Diffusion, se3_exp, se3_log, so3_exp, so3_log
from girsanov.processes.masked import Masked
from girsanov.processes.poisson import Poisson
from girsanov.processes.polygons import Polygon
from girsanov.processes.random_clocks import (
    GammaProcess,
    InverseGaussianProcess,
    NormalInverseGaussian,
    NormalTemperedStable,
    TemperedStableProcess,
    VarianceGamma,
)
from girsanov.processes.remembering import Fractional
from girsanov.processes.sets import Box, ConstraintSet, Faceted, Polytope, Simplex, SPDTrace, Union
from girsanov.processes.simulation import SIMULATORS, simulate
from girsanov.processes.stable import (
    CompoundPoisson,
    IsotropicStableMotion,
    SkewedStable,
    StableMotion,
    alpha_stable,
)
from girsanov.processes.walks import BarrierWalk, MetropolisWalk, ReflectedWalk, Walk
from girsanov.processes.wrapped import Wrapped

__all__ = [
    "EDM",
    "OUVE",
    "PROCESSES",
    "SIMULATORS",
    "VE",
    "VP",
    "AffineConditional",
    "BarrierWalk",
    "Bounded",
    "Box",
    "BrownianBridge",
    "BrownianMotion",
    "BrownianPath",
    "CompoundPoisson",
    "Constrained",
    "ConstraintSet",
    "Convertible",
    "CosineVP",
    "CoxIngersollRoss",
    "Diffusion",
    "DiscreteVP",
    "Ended",
    "Events",
    "Faceted",
    "Fractional",
    "FractionalBrownianMotion",
    "GammaProcess",
    "GaussianConditional",
    "Geometric",
    "GeometricBrownianMotion",
    "Hawkes",
    "Interpolant",
    "InverseGaussianProcess",
    "IsotropicStableMotion",
    "Learnable",
    "Levy",
    "MarkovChain",
    "MarkovFractionalBrownianMotion",
    "Masked",
    "MeanReverting",
    "MetropolisWalk",
    "NormalInverseGaussian",
    "NormalTemperedStable",
    "OrnsteinUhlenbeck",
    "Perturbable",
    "Poisson",
    "PoissonFlow",
    "Polygon",
    "Polytope",
    "RectifiedFlow",
    "ReflectedBrownianMotion",
    "ReflectedWalk",
    "Residual",
    "Reversible",
    "SE3Diffusion",
    "SPDTrace",
    "Simplex",
    "Simulable",
    "SkewedStable",
    "SquaredBessel",
    "StableMotion",
    "Started",
    "StationaryGaussian",
    "StochasticInterpolant",
    "SubVP",
    "TemperedStableProcess",
    "Transition",
    "Trigonometric",
    "Union",
    "VarianceGamma",
    "Vasicek",
    "Walk",
    "Wrapped",
    "alpha_stable",
    "geometric_rates",
    "hawkes_log_likelihood",
    "levy_area",
    "markov_weights",
    "need",
    "se3_exp",
    "se3_log",
    "simulate",
    "so3_exp",
    "so3_log",
    "space_time_area",
]
