"""The parts of the papers on heavy tails and multiplicative noise that the library's own tests do not cover."""

import copy

import pytest
import torch
from oracles import seeded

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.exact import Points
from girsanov.noise import Noise
from girsanov.objectives import nonnegative_score_matching
from girsanov.papers.processes import dale_langevin, lim, pfgmpp
from girsanov.processes import PoissonFlow
from girsanov.solvers import grid, heun


def test_the_tail_of_digits_is_long():
    counts = torch.bincount(lim.digits.split().label, minlength=10)
    assert counts[1:].min() > 178 * 0.6 and int(counts[0]) < 178  # only zeros are fewer than asked for
    wanted = [int(counts[0]), 106, 64, 38, 23, 13, 8, 4, 2, 1]
    assert len(lim.long_tailed()) == sum(wanted)


def test_noise_is_added_after_every_step_and_at_no_other_place():
    """With all answers 0 the flow of EDM is linear; at the last step only its noise is left."""

    class Zero(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return torch.zeros_like(x)

    model = Denoiser(Zero(), PoissonFlow(8), data_std=None, shape=(64,))
    x = pfgmpp.drawn(model, 50, seed=0, noise=0.1)
    torch.testing.assert_close(x, 0.1 * Noise(0).child(5).draw(x, pfgmpp.HEUN))
    assert torch.equal(pfgmpp.drawn(model, 5, seed=0), torch.zeros(5, 64))


def test_quantized_weights_take_few_values_and_stay_near():
    with torch.random.fork_rng():
        net = networks.MLP(64, hidden=16)
    model = Denoiser(net, PoissonFlow(8), data_std=0.5)
    before = copy.deepcopy(model.state_dict())
    coarse = pfgmpp.quantized(model, 3)
    for (name, old), new in zip(before.items(), coarse.state_dict().values(), strict=True):
        assert torch.equal(old, model.state_dict()[name])
        assert len(new.unique()) <= 7
        assert float((new - old).abs().max()) <= float(old.abs().max()) / 3 / 2 + 1e-7


def test_samples_of_the_exact_denoiser_are_data():
    law = Points(pfgmpp.scaled(torch.randn(4, 1, 8, 8, generator=seeded(0))))
    process = PoissonFlow(64)
    x = process.reference(torch.empty(20, 64, dtype=torch.float64), generator=Noise(0))
    end = heun(process, grid("karras", pfgmpp.HEUN))(law.denoiser(process), x)
    assert float(torch.cdist(end, law.points).amin(1).max()) < 1e-3


def test_the_minimizer_of_a_gamma_fit_is_found():
    """ψ = (a - 1)/x - b: from (2) of `objectives.multiplicative`, b = E x/Var x and a = b E x."""
    x = Noise(0).draw(torch.empty(500, 4, dtype=torch.float64), 0).square().sum(1, keepdim=True)
    loss = nonnegative_score_matching()
    a, b = dale_langevin.minimizer(lambda psi: loss(psi, x).mean(), dale_langevin.FAMILIES["Gamma"])
    mean, mean_square = float(x.mean()), float(x.square().mean())
    rate = mean / (mean_square - mean**2)
    assert float(-b) == pytest.approx(rate) and float(a) == pytest.approx(rate * mean - 1)


def test_pictures_survive_the_geometric_mean():
    x, _ = dale_langevin.positive()
    assert float(x.log().mean()) == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(dale_langevin.pictured(x), lim.digits.split().x)
