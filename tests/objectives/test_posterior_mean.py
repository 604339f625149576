"""Posterior-mean matching against the paper's A, B, C, its minimizer, and a training on pairs."""

import math

import pytest
import torch
from oracles import ONE_SIDED, TWO_SIDED, mixture, seeded
from torch import nn

import girsanov as gv
from girsanov import exact, networks, processes
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.objectives import posterior_mean_matching, score_matching
from girsanov.objectives.times import uniforms

DOUBLE = torch.float64
MR = processes.MeanReverting()
MAP = torch.tensor([[0.5, -0.8], [0.3, 0.9]], dtype=DOUBLE)


class Answer(AbstractDenoiser):
    """A fixed answer for the noise."""

    def __init__(self, process, value):
        super().__init__()
        self.process, self.stored, self.value = process, ("noise",), value

    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, self.value),)


def test_it_is_the_loss_of_the_paper():
    """|x - [θ(μ - x) - σ² s] dt - x*| with θ dt = -log A, up to the square of that."""
    n, big = 64, 4000
    x0, mu = torch.randn(2, n, 3, generator=seeded(0), dtype=DOUBLE)
    found = posterior_mean_matching(big)(Answer(MR, 0.4), x0, end=mu, generator=Noise(0))
    z = Noise(0).draw(x0, 0)
    i = (uniforms(n, Noise(0), True) * big).floor() + 1
    for k in range(n):
        b, c = MR.alpha(i[k].item() / big), MR.alpha((i[k].item() - 1) / big)
        a, lam = b / c, MR.schedule.std
        gamma = lam * math.sqrt(1 - b**2)
        x = mu[k] + (x0[k] - mu[k]) * b + gamma * z[k]
        best = (
            a * (1 - c**2) / (1 - b**2) * (x - mu[k]) + c * (1 - a**2) / (1 - b**2) * (x0[k] - mu[k]) + mu[k]
        )
        theta_dt = -math.log(a)
        step = x - (theta_dt * (mu[k] - x) - 2 * lam**2 * theta_dt * (-0.4 / gamma))
        assert found[k].item() == pytest.approx((step - best).abs().mean().item(), rel=0.02, abs=1e-7)


@pytest.mark.parametrize("process", [MR, processes.MeanReverting(2.0), processes.VP()])
def test_the_exact_denoiser_has_the_least_loss(process):
    law, n = mixture(2), 20_000
    x0 = law.sample(n, generator=seeded(1))
    end = None if process.end == "noise" else torch.zeros_like(x0)
    model = law.denoiser(process)
    loss = posterior_mean_matching(200)
    least = loss(model, x0, end=end, generator=Noise(2))
    for shift in (-0.1, 0.1):

        class Shifted(type(model)):
            def forward(self, x, t, *, cond=None, anchor=None, shift=shift):
                return (super().forward(x, t, cond=cond, anchor=anchor)[0] + shift,)

        more = loss(Shifted(law, process), x0, end=end, generator=Noise(2)) - least
        assert more.mean() > 3 * more.std() / math.sqrt(n)


def test_what_does_not_fit_is_refused():
    x = torch.zeros(2, 2)
    with pytest.raises(InputError, match="at least 2"):
        posterior_mean_matching(1)
    with pytest.raises(InputError, match="needs x_1"):
        posterior_mean_matching()(Answer(MR, 0.0), x)
    for process in (TWO_SIDED["linear/brownian"], ONE_SIDED["RectifiedFlow"], processes.BrownianBridge()):
        with pytest.raises(Unsuitable, match="score_matching"):
            posterior_mean_matching()(Answer(process, 0.0), x, end=None if process.end == "noise" else x)


def pair_law():
    """Points x_0 ~ N(0, 1) and what a mixing and noise make of them."""
    eye = torch.eye(2, dtype=DOUBLE)
    joint = torch.cat([torch.cat([eye, MAP.mT], 1), torch.cat([MAP, MAP @ MAP.mT + 0.1 * eye], 1)], 0)
    return exact.GaussianMixture(torch.zeros(1, 2, 2), joint[None])


@pytest.mark.parametrize(
    "objective", [score_matching(), posterior_mean_matching()], ids=["score", "posterior"]
)
def test_fit_trains_an_anchored_model_on_pairs(objective):
    """The network is given [x_t, x_1]; its samples follow the exact posterior of each anchor."""
    joint = pair_law()
    pairs = joint.sample(4096, generator=seeded(0)).float()
    process = processes.MeanReverting(std=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = networks.MLP(4, hidden=64, depth=2, outputs=2)
    model = Denoiser(network, process, data_std=1.0)
    settings = gv.training.Training(lr=5e-3, ema=0.99, validation=0, progress=False, batch_size=256)
    gv.fit(model, objective, pairs[:, 0], end=pairs[:, 1], steps=500, config=settings)
    truth = exact.PairedDenoiser(joint, process)
    anchor = torch.tensor([0.5, 1.0])
    law = truth.posterior(anchor)
    n = 1000
    x = gv.sample(model, n, anchor=anchor.expand(n, 2), solver="ancestral", steps=50, seed=0).double()
    assert (x.mean(0) - law.mean).abs().max() < 0.15
    assert (torch.cov(x.T) - law.covariance).abs().max() < 0.1
    assert law.mean.abs().max() > 0.3  # without the anchor it would be 0
