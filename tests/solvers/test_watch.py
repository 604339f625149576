"""The variance of denoised answers along sampling, against the stored trajectory."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import GaussianMixture
from girsanov.metrics import prediction_variance
from girsanov.noise import Noise
from girsanov.processes import VP
from girsanov.solvers import TrajectoryVariance, ancestral, ddim, grid, run, trajectory

LAW = GaussianMixture(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), 0.01)
MODEL = LAW.denoiser(VP())
X = Noise(0).draw(torch.empty(40, 2, dtype=torch.float64), 0)


def test_it_equals_the_stored_trajectory():
    times = grid("ddpm", 30).times(VP())
    path = trajectory(ddim(VP(), times), MODEL, X)
    answers = torch.stack([MODEL.data(path[:, i], t) for i, t in enumerate(times[:-1])], 1)
    for window in ((5, 12), (28, 30)):
        found = TrajectoryVariance(ddim(VP(), times), window)(MODEL, X)
        torch.testing.assert_close(found.variance, prediction_variance(answers[:, slice(*window)]))
        torch.testing.assert_close(found.x, path[:, -1])


def test_the_samples_are_those_of_the_plan():
    plan = ancestral(VP(), grid("ddpm", 40))
    found = TrajectoryVariance(plan)(MODEL, X, generator=Noise(3))
    torch.testing.assert_close(found.x, run(plan, MODEL, X, generator=Noise(3)), rtol=0, atol=0)
    assert float(found.variance.max()) < 0.02**2  # in the end the exact answer knows its mode


@pytest.mark.parametrize("window", [(3, 4), (-1, 5), (25, 31), (9, 2)])
def test_windows_that_say_nothing_are_refused(window):
    with pytest.raises(InputError, match="at least 2 calls"):
        TrajectoryVariance(ddim(VP(), grid("ddpm", 30)), window)
