"""Bounds with several raters: the divergence by torch, one rater, permuted raters, a fit that spreads."""

import pytest
import torch
from torch import nn
from torch.distributions import Independent, kl_divergence

from girsanov.errors import InputError, Unsuitable
from girsanov.metrics import energy_divergence, sinkhorn_divergence
from girsanov.networks import ProbabilisticUNet, probabilistic_unet
from girsanov.noise import Noise
from girsanov.objectives import PixelwiseELBO, SetDistanceELBO
from girsanov.training import Training, fit

X = Noise(0).draw(torch.empty(3, 1, 8, 8), 0)
MASKS = (Noise(1).draw(torch.empty(3, 4, 1, 8, 8), 0) > 0).float()


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ProbabilisticUNet(1, latents=2, width=8, levels=(1, 2))


@pytest.fixture
def sharp(monkeypatch):
    """A network whose posteriors have no width: what it decodes is not random."""
    monkeypatch.setattr(probabilistic_unet, "LARGEST_LOG_STD", 30.0)
    model = network()
    layer = model.posterior_encoder[-1]
    with torch.no_grad():
        layer.weight[2:] = 0
        layer.bias[2:] = -12
    return model


@pytest.mark.parametrize("objective", [SetDistanceELBO, PixelwiseELBO])
def test_beta_weighs_the_mean_divergence(objective):
    model = network()
    losses = [objective(beta=beta)(model, X, cond=MASKS, generator=Noise(2)) for beta in (0.0, 1.0)]
    prior = Independent(model.prior(X), 1)
    each = [kl_divergence(Independent(model.posterior(X, MASKS[:, r]), 1), prior) for r in range(4)]
    torch.testing.assert_close(losses[1] - losses[0], torch.stack(each).mean(0), rtol=1e-4, atol=1e-5)


def test_decay_weighs_the_squared_weights_of_the_last_layers():
    model = network()
    losses = [SetDistanceELBO(decay=w)(model, X, cond=MASKS, generator=Noise(2)) for w in (0.0, 1.0)]
    squares = sum((layer.weight**2).sum() for layer in (model.join, model.mix, model.head))
    torch.testing.assert_close(losses[1] - losses[0], squares.expand(3), rtol=1e-4, atol=0)


def test_one_rater_and_one_draw_is_twice_the_distance(sharp):
    one = MASKS[:, :1]
    answer = sharp.decode(X, sharp.posterior(X, one[:, 0]).mean[:, None]).sigmoid()
    found = SetDistanceELBO(beta=0.0, decay=0.0)(sharp, X, cond=one, generator=Noise(0))
    torch.testing.assert_close(found, 2 * (answer - one).flatten(1).norm(dim=1), rtol=1e-3, atol=0)


def test_pixelwise_is_the_log_likelihood_of_independent_pixels(sharp):
    found = PixelwiseELBO(beta=0.0, decay=0.0)(sharp, X, cond=MASKS, generator=Noise(0))
    logs = []
    for r in range(4):
        p = sharp.decode(X, sharp.posterior(X, MASKS[:, r]).mean[:, None]).sigmoid()[:, 0]
        logs.append(torch.distributions.Bernoulli(p).log_prob(MASKS[:, r]).flatten(1).sum(1))
    torch.testing.assert_close(found, -torch.stack(logs).mean(0), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "objective", [SetDistanceELBO(), SetDistanceELBO(sinkhorn_divergence, draws=2), PixelwiseELBO()]
)
def test_the_order_of_raters_does_not_matter(objective, sharp):
    a, b = (objective(sharp, X, cond=m, generator=Noise(0)) for m in (MASKS, MASKS[:, [2, 0, 3, 1]]))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_a_fit_learns_two_ways_to_see_one_image():
    """One rater marks a square of 36 pixels and the other nothing.

    Any single answer is at least 2 · ½ · 6 − ½ · 6 = 3 away from the two, by the triangle inequality.
    """
    x, square = torch.linspace(-1, 1, 8).expand(32, 1, 8, 8), torch.zeros(1, 8, 8)
    square[:, 1:7, 1:7] = 1
    masks = torch.stack([square, 0 * square]).expand(32, 2, 1, 8, 8)
    model = network()
    settings = Training(batch_size=4, lr=4e-3, warmup=10, ema=0.0, validation=0, progress=False)
    fit(model, SetDistanceELBO(beta=0.1), x, cond=masks, steps=150, config=settings)
    drawn = model(x, 64, generator=Noise(5)).detach().sigmoid()
    assert energy_divergence(drawn, masks).mean() < 0.5 * 3
    one = drawn[:, :1].expand_as(drawn)
    assert energy_divergence(one, masks).min() >= 3 - 1e-4


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: SetDistanceELBO()(network(), X), "at least one rater"),
        (lambda: SetDistanceELBO()(network(), X, cond=MASKS[:, :0]), "at least one rater"),
        (lambda: PixelwiseELBO()(network(), X, cond=MASKS[..., :7]), "at least one rater"),
        (lambda: SetDistanceELBO()(network(), X, cond=MASKS / 2), "other than 0 and 1"),
        (lambda: SetDistanceELBO()(network(), X, cond=MASKS, end=X), "leave end out"),
        (lambda: SetDistanceELBO(draws=0), "draws is 0"),
        (lambda: PixelwiseELBO(beta=-1.0), "beta is -1"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_other_models_are_refused():
    with pytest.raises(Unsuitable, match="trains a ProbabilisticUNet"):
        PixelwiseELBO()(nn.Identity(), X, cond=MASKS)
