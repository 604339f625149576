"""Autoencoders: the minimizer on Gaussian data, the penalty by finite differences."""

import pytest
import torch
from torch import nn

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.networks import MLP
from girsanov.noise import Noise
from girsanov.objectives import autoencoder, contractive, denoising_autoencoder
from girsanov.processes import VP

STD, VARIANCES = 0.7, torch.tensor([2.0, 0.5], dtype=torch.float64)


class Linear(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x * self.weight


@pytest.mark.parametrize("objective", [denoising_autoencoder(), contractive()])
def test_the_minimizer_on_gaussian_data(objective):
    x = Noise(0).draw(torch.empty(400_000, 2, dtype=torch.float64), 0) * VARIANCES.sqrt()
    model = autoencoder(Linear(VARIANCES / (VARIANCES + STD**2)), STD)
    loss = objective(model, x, generator=Noise(1))
    (slope,) = torch.autograd.grad(loss.mean(), [model.network.inner.weight])
    assert float(slope.abs().max()) < 5 * 4 / 400_000**0.5
    torch.testing.assert_close(model.score(x, 1.0), -x / (VARIANCES + STD**2))


@pytest.mark.parametrize("d", [2, 40])
def test_the_penalty_is_the_norm_of_the_jacobian(d):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, d)).double()
    model, x = autoencoder(net, STD), Noise(0).draw(torch.empty(2000, d, dtype=torch.float64), 0) * 0 + 0.3
    plain = (net(x) - x).square().mean(1)
    found = (contractive()(model, x, generator=Noise(1)) - plain) * d / STD**2
    step = 1e-5 * torch.eye(d, dtype=torch.float64)
    wanted = float(((net(x[:1] + step) - net(x[:1] - step)) / 2e-5).square().sum())
    error = 5 * float(found.std()) / 2000**0.5 + 1e-8
    assert abs(float(found.mean()) - wanted) < error


def test_refused():
    with pytest.raises(InputError, match="std is 0"):
        autoencoder(nn.Identity(), 0.0)
    with pytest.raises(InputError, match="the shape of x"):
        autoencoder(nn.Linear(2, 3), 1.0)(torch.zeros(2, 2), 1.0)
    with pytest.raises(InputError, match="t = 1"):
        autoencoder(nn.Identity(), 1.0)(torch.zeros(2, 2), 0.5)
    with pytest.raises(InputError, match="shrinks the data"):
        contractive()(Denoiser(MLP(2), VP()), torch.zeros(2, 2))
    with pytest.raises(InputError, match="t is 0"):
        denoising_autoencoder(0.0)
