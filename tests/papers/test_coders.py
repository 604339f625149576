"""Autoencoders of papers: the plane that data lie in, and latents of one size."""

import torch
from torch import nn

from girsanov.noise import Noise
from girsanov.papers import coders


def test_linear_coders_find_the_plane_of_the_data():
    source = Noise(0)
    z, basis = source.draw(torch.empty(500, 2), 0), torch.linalg.qr(source.draw(torch.empty(6, 6), 1))[0]
    x = z @ torch.diag(torch.tensor([1.0, 0.5])) @ basis[:2]
    x = x + 0.05 * source.draw(x, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pair = nn.Linear(6, 2), nn.Linear(2, 6)
    encoder, decoder = coders.trained(*pair, x, seed=0, steps=1500)
    left = x - x.mean(0)
    left = left - left @ basis[:2].T @ basis[:2]  # what no plane holds
    error = (decoder(encoder(x)) - x).square().sum(1).mean()
    assert float(error) < 1.15 * float(left.square().sum(1).mean())
    assert not any(p.requires_grad for p in [*encoder.parameters(), *decoder.parameters()])


def test_flat_coders_have_latents_of_unit_size():
    encoder, decoder = coders.flat((1, 4, 4), 3, seed=0, width=8)
    x = 100 * Noise(0).draw(
        torch.empty(200, 1, 4, 4), 0
    )  # far above the 1e-5 that the division is kept from 0 by
    z = encoder(x)
    torch.testing.assert_close(z.var(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert decoder(z).shape == x.shape and float(decoder(z).detach().abs().max()) <= 1
