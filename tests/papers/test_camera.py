"""The simulated camera: what it does to grey, and the law of its noise."""

import math

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers.camera import camera, demosaiced, patches


def test_without_noise_one_colour_passes():
    x = torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(2, 3, 8, 6)
    torch.testing.assert_close(camera(x, Noise(0), photons=math.inf, reading=0.0), x)


def test_a_ramp_is_interpolated():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    torch.testing.assert_close(demosaiced(ramp)[..., 1:-1, 1:-1], ramp.expand(1, 3, 8, 8)[..., 1:-1, 1:-1])


def test_the_noise_of_a_seen_pixel_and_of_its_neighbours():
    light, photons, reading = 0.25, 200.0, 0.02
    x = torch.full((2000, 3, 8, 8), light ** (1 / 2.2))
    raw = camera(x, Noise(0), photons=photons, reading=reading) ** 2.2
    red = raw[:, 0, 2::2, 2::2] - light  # seen, not filled in
    assert red.var().item() == pytest.approx(light / photons + reading**2, rel=0.05)
    filled = raw[:, 0, 2, 3] - light  # the mean of two neighbours
    assert torch.corrcoef(torch.stack([raw[:, 0, 2, 2], filled]))[0, 1].item() == pytest.approx(
        math.sqrt(0.5), abs=0.05
    )


def test_patches_to_train_on_are_not_those_held_out():
    train, fresh = patches(True, 6, 16), patches(False, 6, 16)
    assert train.shape == fresh.shape == (6, 3, 16, 16)
    assert train.min() >= 0 and train.max() <= 1
    assert not torch.equal(train, fresh) and torch.equal(train, patches(True, 6, 16))
