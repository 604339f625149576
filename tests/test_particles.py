"""Weights, effective sample sizes and systematic resampling."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.particles import Particles, particles


def test_weights_and_effective_sizes():
    cloud = particles((torch.arange(6.0),), 2, torch.tensor([0.0, 0.0, 0.0, 0.0, -torch.inf, -torch.inf]))
    torch.testing.assert_close(cloud.weights, torch.tensor([[1 / 3] * 3, [1.0, 0, 0]]))
    torch.testing.assert_close(cloud.ess, torch.tensor([3.0, 1.0]))
    more = cloud.reweight(torch.tensor([0.0, 1.0, 0, 0, 0, 0]).log())
    torch.testing.assert_close(more.weights[0], torch.tensor([0.0, 1, 0]))


def test_copies_are_those_of_the_weights_up_to_rounding():
    w = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.25] * 4], dtype=torch.float64)
    cloud = particles((torch.arange(8),), 2, w.log().flatten())
    total = torch.zeros(8)
    for seed in range(400):
        kept = cloud.resample(0, Noise(seed)).values[0]
        copies = torch.bincount(kept, minlength=8)
        assert ((copies - 4 * w.flatten()).abs() < 1).all()
        assert copies[4:].tolist() == [1, 1, 1, 1]
        total += copies
    torch.testing.assert_close(total / 400, (4 * w.flatten()).float(), atol=0.1, rtol=0)


def test_only_degenerate_groups_are_resampled():
    cloud = particles((torch.arange(6),), 2, torch.tensor([0.0, 0, 0, 9.0, 0, 0]))
    after = cloud.resample(0, Noise(0), below=0.5)
    assert after.values[0].tolist() == [0, 1, 2, 3, 3, 3] and after.log_weights[1].tolist() == [0, 0, 0]
    assert cloud.resample(0, Noise(0), below=0.1) is cloud


def test_rows_must_fit():
    with pytest.raises(InputError, match="give"):
        Particles((torch.zeros(5),), torch.zeros(2, 3))
