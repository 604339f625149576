"""The objective of the blind denoisers, and the choice of the best image."""

import pytest
import torch

from girsanov.denoiser import Denoiser
from girsanov.networks import DnCNN
from girsanov.noise import Noise
from girsanov.papers.inverse import score_dvi
from girsanov.processes import EDM


def test_what_leaves_the_noise_in_has_a_loss_of_one():
    model = Denoiser(DnCNN(3, width=4), EDM(), data_std=None)  # fresh: it leaves images alone
    x = torch.rand(64, 3, 16, 16)
    loss = score_dvi.BlindDenoising(0.1, 0.2)(model, x, generator=Noise(0))
    assert loss.shape == (64,)
    assert loss.mean().item() == pytest.approx(1, abs=4 * (2 / (64 * 768)) ** 0.5)
    quiet = score_dvi.BlindDenoising(0.0, 1e-9)(model, x, generator=Noise(0))
    assert quiet.max() < 1e-6


def test_the_nearest_image_is_chosen():
    truth = torch.full((3, 4, 4), 0.5)
    assert score_dvi.psnr(truth[None] + 0.1, truth[None]) == pytest.approx(20)
    images = [truth + 0.2, truth + 0.05, truth - 0.1]
    assert score_dvi.nearest(images, truth) is images[1]


def test_the_image_prior_comes_nearer_than_grey():
    truth = torch.linspace(0, 1, 16).expand(3, 16, 16).contiguous()
    grey = torch.full_like(truth, 0.5)
    found = score_dvi.image_prior(truth, truth, 40, 0)
    assert (found - truth).square().mean() < 0.5 * (grey - truth).square().mean()
