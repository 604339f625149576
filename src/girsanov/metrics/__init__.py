"""How far apart two samples are, and whether that is more than chance.

Distances return a 0-d float64 tensor; tests, shares and intervals return floats. x is the sample that
is judged and y the data; only `precision_recall` and the `nearest_*` functions tell them apart.

| question | function |
|---|---|
| do two samples follow one law? | `nearest_neighbour_test`, `mmd`, `energy_distance`, `sliced_wasserstein` |
| is the difference more than chance? | `noise_floor`, `bootstrap_interval` |
| does the model copy its training data? | `nearest_train_ratio`, `nearest_distance` |
| does it leave out a part of the data? | `precision_recall` |
| which samples are far from most data? | `average_knn`, `local_outlier_factor`: (N,) |
| what would a published table report? | `frechet_distance`, `bits_per_dim` |
| what do trajectories look like? | `planarity`, `emergence_times`, `prediction_variance` |
| is a learned field a gradient? | `jacobian_asymmetry`, `circulation`, `line_integral` |
| which of its errors do harm? | `helmholtz_projection`, `gauge_residual`, `transport_error` |
| how many dimensions have the data? | `flow_singular_values`, `estimate_dimension` |
| are draws a good forecast, and honest? | `crps`: one value a number; `draw_interval`, `interval_coverage` |
| how far apart are small sets, pair by pair? | `energy_divergence`, `sinkhorn_divergence`, `hausdorff_divergence`, `generalized_energy_distance`: (B,) |
| does a stated uncertainty hold? | `uncertainty_calibration_error`, `coverage`, `correlation`, `auroc` |
| how good is enhanced speech? | `si_sdr`, `estoi`, `log_spectral_distance`: (B,) |
| what do trajectories look like? | `planarity`, `emergence_times` |
"""

from girsanov.metrics.audio import estoi, log_spectral_distance, si_sdr
from girsanov.metrics.calibration import auroc, correlation, coverage, uncertainty_calibration_error
from girsanov.metrics.chance import Interval, NoiseFloor, bootstrap_interval, noise_floor
from girsanov.metrics.decomposition import Potential, Transport, helmholtz_projection, transport_error
from girsanov.metrics.density import average_knn, local_outlier_factor
from girsanov.metrics.fidelity import (
    PrecisionRecall,
    frechet_distance,
    nearest_distance,
    nearest_train_ratio,
    precision_recall,
)
from girsanov.metrics.fields import (
    Work,
    add_gauge_field,
    circles,
    circulation,
    gauge_residual,
    jacobian_asymmetry,
    line_integral,
)
from girsanov.metrics.forecasts import crps, draw_interval, interval_coverage
from girsanov.metrics.intrinsic_dimension import estimate_dimension, flow_singular_values
from girsanov.metrics.likelihood import bits_per_dim
from girsanov.metrics.sets import (
    energy_divergence,
    generalized_energy_distance,
    hausdorff_divergence,
    sinkhorn_divergence,
)
from girsanov.metrics.sliced import sliced_wasserstein
from girsanov.metrics.trajectories import emergence_times, planarity, prediction_variance
from girsanov.metrics.two_sample import energy_distance, mmd, nearest_neighbour_test

__all__ = [
    "Interval",
    "NoiseFloor",
    "Potential",
    "PrecisionRecall",
    "Transport",
    "Work",
    "add_gauge_field",
    "auroc",
    "average_knn",
    "bits_per_dim",
    "bootstrap_interval",
    "circles",
    "circulation",
    "correlation",
    "coverage",
    "crps",
    "draw_interval",
    "emergence_times",
    "energy_distance",
    "energy_divergence",
    "estimate_dimension",
    "estoi",
    "flow_singular_values",
    "frechet_distance",
    "gauge_residual",
    "generalized_energy_distance",
    "hausdorff_divergence",
    "helmholtz_projection",
    "interval_coverage",
    "jacobian_asymmetry",
    "line_integral",
    "local_outlier_factor",
    "log_spectral_distance",
    "mmd",
    "nearest_distance",
    "nearest_neighbour_test",
    "nearest_train_ratio",
    "noise_floor",
    "planarity",
    "precision_recall",
    "prediction_variance",
    "si_sdr",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "transport_error",
    "uncertainty_calibration_error",
]
