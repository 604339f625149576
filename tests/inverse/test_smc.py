"""The particle sampler: its law tends to the exact posterior of a mixture, for linear and other measurements."""

import pytest
import torch

from girsanov.exact import GaussianMixture
from girsanov.inverse import (
    SMC,
    DenseOperator,
    DifferentiableForwardModel,
    GaussianNoise,
    Measurement,
    PoissonNoise,
    posterior,
)
from girsanov.metrics import sliced_wasserstein
from girsanov.noise import Noise
from girsanov.processes import EDM, VP

MEANS = torch.tensor([[-0.8, -0.5], [0.7, -0.6], [0.1, 0.8], [0.6, 0.4]], dtype=torch.float64)
LAW = GaussianMixture(MEANS, 0.04, [0.1, 0.3, 0.4, 0.2])
ROW = DenseOperator(torch.tensor([[1.0, 0.3]]))
Y = torch.tensor([[0.45]], dtype=torch.float64)


def far(x, exact):
    return float(sliced_wasserstein(x, exact, generator=Noise(9)))


@pytest.mark.parametrize("process", [VP(), EDM(sigma_max=40.0)], ids=["VP", "EDM"])
def test_more_particles_come_nearer_to_the_posterior(process):
    exact = LAW.posterior(ROW.forward, Y[0], noise=0.15).sample(4000, generator=Noise(1))
    m, model = Measurement(ROW, Y, 0.15), LAW.denoiser(process)
    errors = []
    for n in (30, 1000):
        runs = [
            posterior(model, m, n, sampler=SMC(steps=60), batch_size=3000, seed=s).x[0].double()
            for s in range(3)
        ]
        errors.append(sum(far(x, exact) for x in runs) / 3)
    assert errors[1] < 0.06 and errors[1] < errors[0] / 2


@pytest.mark.parametrize("noise", [GaussianNoise(0.15), PoissonNoise(40.0)], ids=["normal", "counts"])
def test_measurements_that_are_not_linear(noise):
    """Against importance sampling from the prior."""
    operator = DifferentiableForwardModel(lambda x: (x[:, :1] + 0.3 * x[:, 1:]).square(), (2,))
    m = Measurement(operator, torch.tensor([[0.3]], dtype=torch.float64), noise)
    prior = LAW.sample(200_000, generator=Noise(2))
    weights = torch.softmax(noise.log_likelihood(m.y, operator.forward(prior)), 0)
    mean = (weights[:, None] * prior).sum(0)
    square = (weights[:, None] * prior.square()).sum(0)
    x = posterior(LAW.denoiser(VP()), m, 3000, sampler=SMC(steps=60), batch_size=3000, seed=0).x[0].double()
    torch.testing.assert_close(x.mean(0), mean, atol=0.06, rtol=0)
    torch.testing.assert_close(x.square().mean(0), square, atol=0.05, rtol=0)
