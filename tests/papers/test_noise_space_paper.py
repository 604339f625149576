"""The "real" degradation of the paper on noise-space adaptation, and the sensitivity that it reports."""

import math

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers.transfer import noise_space_adaptation as paper


def test_the_real_noise_is_shared_by_neighbours_and_grows_with_the_light(monkeypatch):
    monkeypatch.setattr(paper, "ROUNDING", 1e-4)
    grey = torch.full((4000, 1, 16, 16), 0.0)
    noise = paper.real_noise(grey, Noise(0))[:, 0, 5, 5:8]
    assert noise.std().item() == pytest.approx(2 * math.sqrt(0.5 / paper.PHOTONS), rel=0.03)
    near = torch.corrcoef(noise.T)[0]
    # weights 1, 2, 1: (1·2 + 2·1)/6 one pixel away, 1/6 two away
    torch.testing.assert_close(near, torch.tensor([1.0, 2 / 3, 1 / 6]), atol=0.06, rtol=0)
    dark = paper.real_noise(torch.full((100, 1, 16, 16), -1.0), Noise(0))
    torch.testing.assert_close(dark, torch.full_like(dark, -1.0), atol=1e-3, rtol=0)


def test_the_rounding_moves_no_coefficient_by_more_than_half(monkeypatch):
    monkeypatch.setattr(paper, "PHOTONS", 1e12)
    x = torch.rand(20, 1, 16, 16) * 2 - 1
    moved = paper.real_noise(x, Noise(0)) - x
    per_block = moved.unflatten(3, (2, 8)).unflatten(2, (2, 8)).square().sum((3, 5))
    assert per_block.max() <= 64 * (paper.ROUNDING / 2) ** 2 + 1e-3  # the transform is orthonormal
    assert moved.std().item() == pytest.approx(paper.ROUNDING / math.sqrt(12), rel=0.05)


def test_a_denoiser_that_sees_one_condition_is_sensitive_to_that_one_alone():
    model, x = paper.pair(0), torch.rand(3, 1, 16, 16)

    class First(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return x + cond[:, :1]

    tests = {"synthetic": x, "real": x}
    model.denoiser.network = First()
    assert paper.sensitivity(model, x, tests, 0) == 0
