"""What shadow and low light do to crops of one value, and the crops themselves."""

import pytest
import torch

from girsanov.denoiser import Denoiser
from girsanov.noise import Noise
from girsanov.papers import crops
from girsanov.papers.processes import resfusion as paper
from girsanov.processes import Residual
from girsanov.solvers import grid


def test_crops_are_of_the_photographs_and_held_out_ones_of_another():
    train, fresh = crops.crops(True), crops.crops(False)
    assert train.shape == (2000, 1, 16, 16) and fresh.shape == (200, 1, 16, 16)
    assert -1 <= train.min() < -0.8 and 0.8 < train.max() <= 1
    assert not set(crops.TRAINED) & set(crops.HELD_OUT)


def test_a_shadow_takes_up_to_two_thirds_of_the_light():
    x = torch.full((500, 1, 16, 16), 0.5)
    light = (crops.shadow(x, Noise(0)) + 1) / 1.5
    assert light.max() <= 1 and light.min() >= 1 / 3
    assert light.max() > 0.99 and light.min() < 0.34
    assert light.mean().item() == pytest.approx(2 / 3, abs=0.05)  # half of the light falls on either side


def test_low_light_has_the_mean_and_noise_of_its_photons():
    x = torch.full((2000, 1, 8, 8), 0.28)
    dark = (crops.low_light(x, Noise(0)) + 1) / 2
    mean = 0.3 * 0.64**1.5
    assert dark.mean().item() == pytest.approx(mean, rel=0.005)
    assert dark.std().item() == pytest.approx((mean / 100) ** 0.5, rel=0.01)


def test_training_meets_the_times_of_the_five_steps():
    process = Residual()
    u = torch.linspace(0, 0.999, 1000, dtype=torch.float64)
    times, counts = paper.own_times(u, process, 0.5).unique(return_counts=True)
    assert times.tolist() == pytest.approx(sorted(grid("uniform", 5).times(process))[1:])
    assert counts.min() > 190


def test_an_idle_network_answers_the_degraded_picture():
    """F = γ x_1/(s v) for x_0 = x_1 and z = 0 is all that a fresh U-Net, which answers 0, leaves."""
    process = Residual()
    worse = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    model = Denoiser(paper.Differing(paper.unet(2, 0)), process, data_std=paper.DATA_STD)
    for t in (1.0, 0.6, 0.2):
        state = (process.alpha(t) + process.beta(t)) * worse
        torch.testing.assert_close(model.data(state, t, anchor=worse), worse, rtol=1e-4, atol=1e-4)
