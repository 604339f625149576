"""The MLP learns the exact denoiser of a standard normal sample: E[x_0 | x_0 + σ z] = x/(1 + σ²)."""

import math

import pytest
import torch

from girsanov.networks import MLP

LEVELS = torch.tensor([0.5, 2.0])


@pytest.fixture(scope="module", name="trained")
def _trained():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MLP(1, hidden=32, depth=2)
        optimizer = torch.optim.Adam(net.parameters(), 1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, 400)
        for _ in range(400):
            clean, sigma = torch.randn(512, 1), LEVELS[torch.randint(2, (512,))]
            noisy = clean + sigma[:, None] * torch.randn(512, 1)
            loss = (net(noisy, sigma.log() / 4) - clean).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net


def relative_error(net, exact):
    """Root mean square error over 4 standard deviations, as a part of the answer's own size; worst level."""
    worst = 0.0
    for sigma in LEVELS.tolist():
        x = torch.linspace(-2, 2, 201)[:, None] * math.sqrt(1 + sigma**2)
        with torch.no_grad():
            answer = net(x, torch.full((201,), math.log(sigma) / 4))
        worst = max(worst, float((answer - exact(x, sigma)).norm() / exact(x, sigma).norm()))
    return worst


def test_learns_the_exact_denoiser(trained):
    assert relative_error(trained, lambda x, sigma: x / (1 + sigma**2)) < 0.06


def test_the_error_sees_a_wrong_denoiser(trained):
    assert relative_error(trained, lambda x, sigma: x / (1 + sigma)) > 0.2
