"""Moving one set of points, or one Gaussian, onto another at least cost."""

from girsanov.transport.couplings import Coupling, Independent, MinibatchOT, RestorationCoupling
from girsanov.transport.exact import wasserstein
from girsanov.transport.gaussian import GaussianMap, gaussian_map, gaussian_w2
from girsanov.transport.sinkhorn import SinkhornResult, sinkhorn

__all__ = [
    "Coupling",
    "GaussianMap",
    "Independent",
    "MinibatchOT",
    "RestorationCoupling",
    "SinkhornResult",
    "gaussian_map",
    "gaussian_w2",
    "sinkhorn",
    "wasserstein",
]
