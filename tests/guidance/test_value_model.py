"""The regression of rewards, against the closed soft value of Gaussian data."""

import pytest
import torch
from oracles import seeded
from torch import nn

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian
from girsanov.guidance import SoftValueDecoding, ValueModel, fit_value
from girsanov.noise import Noise
from girsanov.processes import VP, Masked, StochasticInterpolant
from girsanov.solvers import AncestralMasked, ancestral, grid

PROCESS = VP()


def reward(x):
    return x[:, 0] + 1


def fitted(alpha):
    """The value of the reward x + 1 on N(0, 1), where E[r | x_t] = α_t x_t + 1 and the spread of x_0 is γ_t."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = ValueModel(gv.networks.MLP(1, hidden=32, depth=1), PROCESS, reward, alpha=alpha, data_std=1.0)
    samples = torch.randn(20_000, 1, generator=seeded(0))
    config = gv.training.Training(batch_size=512, lr=5e-3, ema=0.99, validation=0, progress=False)
    fit_value(value, samples, steps=500, config=config)
    return value


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_it_learns_the_soft_value(alpha):
    value = fitted(alpha)
    x = torch.linspace(-1.5, 1.5, 7)[:, None]
    for t in (0.2, 0.5, 0.9):
        soft = PROCESS.gamma(t) ** 2 / (2 * alpha) if alpha else 0.0
        expected = PROCESS.alpha(t) * x[:, 0] + 1 + soft
        assert float((value(None, x, t) - expected).abs().max()) < 0.15
    model = Gaussian(torch.zeros(1), 1.0).denoiser(PROCESS)
    assert torch.equal(value(model, x, 0.0), reward(x))


def test_it_steers():
    value, plan = fitted(0.0), ancestral(PROCESS, grid("ddpm", 10))
    model = Gaussian(torch.zeros(1), 1.0).denoiser(PROCESS)
    sampler = SoftValueDecoding(plan, value, 8)
    assert sampler.calls == plan.calls  # candidates cost no call of the denoiser
    x = gv.sample(model, 200, plan=sampler, seed=0)
    assert float(x.mean()) > 1


class Counts(nn.Module):
    """A perceptron of how many of each token there are."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, x, t):
        return self.layers(nn.functional.one_hot(x, 4).float().sum(1))


def test_tokens_have_values_too():
    """Three fair tokens of three kinds: with n masked and c zeros the count of zeros is c + n/3."""
    process = Masked(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        value = ValueModel(Counts(), process, lambda x: (x == 0).sum(1))
    samples = torch.randint(3, (5000, 3), generator=seeded(0))
    config = gv.training.Training(batch_size=256, lr=1e-2, ema=0.99, validation=0, progress=False)
    fit_value(value, samples, steps=300, config=config)
    x = torch.tensor([[3, 3, 3], [0, 3, 3], [1, 2, 3], [0, 0, 3]])
    assert torch.allclose(value(None, x, 0.5).float(), torch.tensor([1, 5 / 3, 1 / 3, 7 / 3]), atol=0.1)
    uniform = gv.exact.TableDenoiser(gv.exact.SequenceTable(torch.full((3, 3, 3), 1 / 27).double()), process)
    sampler = SoftValueDecoding(AncestralMasked(6), value, 10)
    found = sampler(uniform, torch.full((100, 3), 3), generator=Noise(0))
    assert float((found == 0).sum(1).float().mean()) > 2.5


def test_what_makes_no_sense_is_refused():
    net = gv.networks.MLP(1, hidden=8, depth=1)
    with pytest.raises(InputError, match="alpha is -1"):
        ValueModel(net, PROCESS, reward, alpha=-1)
    with pytest.raises(InputError, match="data_std is 0"):
        ValueModel(net, PROCESS, reward, data_std=0)
    with pytest.raises(Unsuitable, match="data_std scales states of one random end"):
        ValueModel(net, StochasticInterpolant(), reward, data_std=1.0)
    with pytest.raises(InputError, match=r"the reward gave \(5, 1\) for 5 samples"):
        fit_value(ValueModel(net, PROCESS, lambda x: x), torch.zeros(5, 1))
    with pytest.raises(InputError, match=r"the value network gave \(4, 2\) for 4 samples"):
        ValueModel(gv.networks.MLP(2, hidden=8, depth=1), PROCESS, reward)(None, torch.zeros(4, 2), 0.5)
