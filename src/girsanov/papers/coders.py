"""Small autoencoders for papers that work in latents.

The loop that trains them has noise in the latent, as a variational one has it, so that near latents decode to near
pictures. Everything follows from the seed.

Oracle: linear coders find the plane that the data lie in (tests/papers/test_coders.py).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from girsanov.noise import Noise, uniform


def trained(
    encoder: nn.Module, decoder: nn.Module, x: Tensor, *, seed: int, steps: int
) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder, trained in place on the squared error with noise of 0.1 in between, and frozen.

    Args:
        encoder: pictures (B, *shape) to latents of the size of 1.
        decoder: latents to pictures.
        x: (N, *shape).
        seed: of the batches and the noise.
        steps: of the optimizer, with 32 pictures each.
    """
    source, weights = Noise(seed).child(1), [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, max(steps, 2))
    for step in range(steps):
        u = source.draw(torch.empty(32, 1, dtype=torch.float64), 2 * step, uniform)[:, 0]
        batch = x[(u * len(x)).long()]
        z = encoder(batch)
        loss = mse_loss(decoder(z + 0.1 * source.draw(z, 2 * step + 1)), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return encoder.eval().requires_grad_(False), decoder.eval().requires_grad_(False)


def flat(shape: tuple[int, ...], latent: int, *, seed: int, width: int = 256) -> tuple[nn.Module, nn.Module]:
    """Untrained coders with two hidden layers: pictures (B, *shape) in [-1, 1] to (B, latent), of mean 0 and variance 1."""
    size = torch.Size(shape).numel()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, latent), nn.BatchNorm1d(latent, affine=False),
        )  # fmt: skip
        decoder = nn.Sequential(
            nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
            nn.Linear(width, size), nn.Tanh(), nn.Unflatten(1, shape),
        )  # fmt: skip
    return encoder, decoder
