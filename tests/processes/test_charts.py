"""Coordinates: where data come in and samples go out."""

import pytest
import torch
from oracles import ALPHA
from scipy import stats

from girsanov import Denoiser, exact, log_likelihood, networks, objectives, processes, sample
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.processes.charts import CHARTS
from girsanov.processes.saved import process_from

GEOMETRIC = processes.Geometric()


@pytest.mark.parametrize("name", list(CHARTS))
def test_charts_are_bijections_with_their_slope(name):
    x = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)[:, None].requires_grad_()
    u = CHARTS[name].into(x)
    torch.testing.assert_close(CHARTS[name].out_of(u), x)
    (slope,) = torch.autograd.grad(u.sum(), x)
    torch.testing.assert_close(slope.log(), CHARTS[name].log_slope(x))


def test_log_normal_data_are_recovered_and_have_their_density():
    law = exact.GaussianMixture(
        torch.zeros(1, 1), torch.ones(1, 1, 1)
    )  # the reference is that of unit variance
    model = law.denoiser(GEOMETRIC)
    model.shape = (1,)
    x = sample(model, 20_000, steps=30, seed=0)
    assert stats.kstest(x[:, 0].double().log().numpy(), "norm").pvalue > ALPHA
    some = torch.tensor([[0.8], [1.7], [2.4]], dtype=torch.float64)
    wanted = stats.lognorm(1.0).logpdf(some.numpy())[:, 0]
    torch.testing.assert_close(log_likelihood(model, some), torch.from_numpy(wanted), rtol=0, atol=2e-3)


def test_training_takes_data_as_they_are():
    torch.manual_seed(0)
    model = Denoiser(networks.MLP(1, hidden=16), GEOMETRIC, shape=(1,))
    objective = objectives.score_matching()
    assert objective(model, torch.rand(8, 1) + 0.5, generator=Noise(0)).isfinite().all()
    with pytest.raises(InputError, match="above 0"):
        objective(model, torch.zeros(8, 1), generator=Noise(0))
    assert (sample(model, 4, steps=3, seed=0) > 0).all()
    assert process_from(GEOMETRIC.to_config()) == GEOMETRIC
