"""A gradient network: automatic differentiation agrees, its Jacobian is symmetric, it is saved and sampled."""

import pytest
import torch
from torch import nn

import girsanov as gv
from girsanov.errors import InputError
from girsanov.metrics import jacobian_asymmetry
from girsanov.networks import MLP, GradientOf, UNet, build
from girsanov.noise import Noise
from girsanov.processes import VP


def network(outputs=1):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = GradientOf(MLP(3, hidden=16, depth=1, outputs=outputs))
        nn.init.normal_(net.scalar.head.weight)
    return net.double()


@pytest.mark.parametrize("outputs", [1, 3])
def test_its_jacobian_is_symmetric(outputs):
    net, t = network(outputs), torch.full((5,), 0.3, dtype=torch.float64)
    x = Noise(0).draw(torch.empty(5, 3, dtype=torch.float64), 0)
    assert float(jacobian_asymmetry(lambda y: net(y, t), x).max()) < 1e-10
    step = 1e-5 * torch.eye(3, dtype=torch.float64)[0]
    slope = (net.potential(x + step, t) - net.potential(x - step, t)) / 2e-5
    torch.testing.assert_close(net(x, t)[:, 0], slope, rtol=1e-6, atol=1e-7)


def test_without_gradients_it_answers_the_same():
    net, t = network(), torch.zeros(4, dtype=torch.float64)
    x = Noise(0).draw(torch.empty(4, 3, dtype=torch.float64), 0)
    with torch.no_grad():
        quiet = net(x, t)
    assert not quiet.requires_grad
    torch.testing.assert_close(quiet, net(x, t).detach())


def test_its_config_builds_it_again():
    net = GradientOf(MLP(3, outputs=1))
    assert net.config["scalar"]["network"] == "MLP"
    assert build(net.config).config == net.config


def test_a_model_with_it_trains_saves_loads_and_samples(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = GradientOf(UNet(1, width=8, levels=(1,), blocks=1))
    model = gv.Denoiser(net, VP())
    x = Noise(0).draw(torch.empty(16, 1, 4, 4), 0)
    config = gv.training.Training(batch_size=8, validation=0, progress=False)
    gv.fit(model, gv.objectives.score_matching(), x, steps=3, config=config, out=tmp_path / "run")
    again = gv.load(tmp_path / "run")
    torch.testing.assert_close(gv.sample(model, 2, steps=3, seed=0), gv.sample(again, 2, steps=3, seed=0))


def test_refused():
    with pytest.raises(InputError, match="give"):
        GradientOf(nn.Linear(2, 1))
    with pytest.raises(InputError, match="a potential is"):
        GradientOf(MLP(3, outputs=2))(torch.zeros(2, 3), torch.zeros(2))
