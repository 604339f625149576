"""Singular values of flows: the Gaussian flow in closed form, and a plane that is found."""

import math
from itertools import pairwise

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.metrics import estimate_dimension, flow_singular_values
from girsanov.noise import Noise
from girsanov.processes import VP

VARIANCES = torch.tensor([4.0, 1.0, 0.0, 0.0], dtype=torch.float64)


def values(steps):
    process = VP()
    model = Gaussian(torch.zeros(4), torch.diag(VARIANCES)).denoiser(process)
    ends = process.log_snr(1.0), process.log_snr(0.05)
    times = [process.time_at(ends[0] + (ends[1] - ends[0]) * i / steps) for i in range(steps + 1)]
    times[0] = 1.0
    x = Noise(0).draw(torch.empty(3, 4, dtype=torch.float64), 0)
    return flow_singular_values(model.velocity, x, times), times, process


def exact(process, t):
    width = lambda s: (process.alpha(s) ** 2 * VARIANCES + process.gamma(s) ** 2).sqrt()  # noqa: E731
    return width(t) / width(1.0)


def test_a_gaussian_flow_has_its_singular_values():
    errors = []
    for steps in (20, 40, 80):
        found, times, process = values(steps)
        errors.append(float((found[0, -1] - exact(process, times[-1])).abs().max()))
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert slopes == pytest.approx([2, 2], abs=0.4)


def test_a_plane_has_two_dimensions():
    found, times, process = values(30)
    assert estimate_dimension(found).tolist() == [2, 2, 2]
    late = found[:, [20, 30]]
    ratio = process.gamma(times[30]) / process.gamma(times[20])
    assert estimate_dimension(late, noise_ratio=ratio).tolist() == [2, 2, 2]


def test_directions_are_followed_beyond_64():
    x = Noise(0).draw(torch.empty(2, 80), 0)
    found = flow_singular_values(lambda y, t: y, x, (1.0, 0.9, 0.8), projections=3)
    torch.testing.assert_close(found[:, -1], torch.full((2, 3), 0.905**2).double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "bad, says",
    [
        (lambda: flow_singular_values(lambda x, t: x, torch.zeros(2, 65), (1.0, 0.5)), "projections=32"),
        (lambda: flow_singular_values(lambda x, t: x, torch.zeros(2, 3), (0.5, 1.0)), "decreasing"),
        (lambda: estimate_dimension(torch.ones(2, 3)), "give .B, T, D."),
        (lambda: estimate_dimension(torch.ones(2, 3, 3), noise_ratio=2.0), "noise_ratio"),
    ],
)
def test_refused(bad, says):
    with pytest.raises(InputError, match=says):
        bad()
