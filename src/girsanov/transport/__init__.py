"""Moving one set of points, or one Gaussian, onto another at least cost."""

from girsanov.transport.couplings import Coupling, Independent, MinibatchOT, RestorationCoupling
from girsanov.transport.exact import wasserstein
from girsanov.transport.gaussian import GaussianMap, GaussianPlan, gaussian_map, gaussian_plan, gaussian_w2
from girsanov.transport.moments import RunningMoments
from girsanov.transport.sinkhorn import SinkhornResult, sinkhorn

__all__ = [
    "Coupling",
    "GaussianMap",
    "GaussianPlan",
    "Independent",
    "MinibatchOT",
    "RestorationCoupling",
    "RunningMoments",
    "SinkhornResult",
    "gaussian_map",
    "gaussian_plan",
    "gaussian_w2",
    "sinkhorn",
    "wasserstein",
]
