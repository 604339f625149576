"""Noise-space adaptation: what it is without the denoiser, the swap, and what the denoiser looks at."""

import copy
import math

import pytest
import torch

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.networks import Beside, DnCNN, UNet
from girsanov.noise import Noise
from girsanov.processes import VP, BrownianBridge
from girsanov.training import Training, fit
from girsanov.transfer import NoiseSpaceAdaptation, noise_space_loss
from girsanov.transfer.noise_space import exchanged


def pair(seed=0, process=None):
    torch.manual_seed(seed)
    net = UNet(3, outputs=1, width=8, levels=(1,), attention=0)
    return NoiseSpaceAdaptation(
        DnCNN(1, width=8, depth=3), Denoiser(Beside(net), process or VP(), data_std=0.5)
    )


def images(n=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    angle = 6 * torch.rand(n, 1, 1, 1, generator=g)
    clean = 0.5 * torch.sin(angle + torch.linspace(0, 3, 6))
    clean = clean.expand(n, 1, 6, 6).contiguous()
    return clean, clean + 0.2 * torch.randn(n, 1, 6, 6, generator=g), clean.flip(0) * 0.8 + 0.1


def charbonnier(model, x0, *, cond=None, end=None, generator=None):
    return ((x0 - model.restorer(cond)).square() + 1e-6).sqrt().flatten(1).mean(1)


def settings(**changed):
    return Training(
        **({"batch_size": 8, "lr": 1e-2, "ema": 0.0, "validation": 0, "progress": False} | changed)
    )


def test_without_weight_it_is_training_on_the_pairs_bit_for_bit():
    y, x_s, x_r = images()
    a, b = pair(), pair()
    fit(a, noise_space_loss(ramp=5, strength=0.0), y, cond=x_s, end=x_r, steps=12, config=settings())
    fit(b, charbonnier, y, cond=x_s, end=x_r, steps=12, config=settings())
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    assert not torch.equal(a.restorer.layers[0].weight, pair().restorer.layers[0].weight)


def test_with_weight_the_real_images_move_the_restorer():
    y, x_s, x_r = images()
    a, b = pair(), pair()
    for model, real in ((a, x_r), (b, -x_r)):
        fit(model, noise_space_loss(ramp=2), y, cond=x_s, end=real, steps=12, config=settings())
    assert not torch.equal(a.restorer.layers[0].weight, b.restorer.layers[0].weight)


def test_the_weight_rises_along_its_ramp():
    loss = noise_space_loss(ramp=300)
    assert loss.weight(0) == 0
    assert loss.weight(60) == pytest.approx(0.2 * math.tanh(0.5))  # 2/(1 + e^-2u) - 1 = tanh u
    assert loss.weight(300) == loss.weight(10_000) == pytest.approx(0.2 * math.tanh(2.5))
    model, (y, x_s, x_r) = pair(), images()
    model.eval()
    loss(model, y, cond=x_s, end=x_r, generator=Noise(0))
    assert model.step == 0  # looking is not training
    model.train()
    loss(model, y, cond=x_s, end=x_r, generator=Noise(0))
    assert model.step == 1


def test_the_swap_undoes_itself():
    a, b = torch.randn(9, 2, 3), torch.randn(9, 2, 3)
    turned = torch.arange(9) % 3 == 0
    c, d = exchanged(a, b, turned)
    assert torch.equal(c[turned], b[turned]) and torch.equal(c[~turned], a[~turned])
    again = exchanged(c, d, turned)
    assert torch.equal(again[0], a) and torch.equal(again[1], b)


def test_the_terms_by_hand():
    model, (y, x_s, x_r) = pair(), images()
    torch.manual_seed(1)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    model.eval()
    model.step.fill_(4)
    plain = charbonnier(model, y, cond=x_s)
    source = Noise(3)
    kinds = {"swap": False, "contrast": False}
    free = noise_space_loss(ramp=4, **kinds)(model, y, cond=x_s, end=x_r, generator=source) - plain
    with torch.no_grad():
        u = source.draw(torch.empty(len(y), 1), 0, lambda draw: draw.uniform())[:, 0]
        t, xi = model.process.t_min + (1 - model.process.t_min) * u, source.draw(y, 1)
        alpha, gamma = (f(t).reshape(-1, 1, 1, 1) for f in (model.process.alpha, model.process.gamma))
        y_t, good, real = alpha * y + gamma * xi, model.restorer(x_s), model.restorer(x_r)
        ask = lambda c, d: (model.denoiser.noise(y_t, t, cond=torch.cat([c, d], 1)) - xi).square()  # noqa: E731
        positive = ask(good, real).flatten(1).mean(1)
        negative = ask(x_s + (real - x_r), x_r + (good - x_s)).flatten(1).mean(1)
    half = 0.1 * math.tanh(2.5)
    torch.testing.assert_close(free.detach(), half * positive, rtol=1e-4, atol=1e-6)
    both = noise_space_loss(ramp=4, margin=5.0, swap=False)(model, y, cond=x_s, end=x_r, generator=source)
    expected = half * (2 * positive - negative + 5.0)
    torch.testing.assert_close((both - plain).detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_trained_denoiser_looks_at_its_conditions():
    y, x_s, x_r = images(64)
    model = pair()
    settled = settings(lr=5e-3)
    fit(model, noise_space_loss(ramp=1, strength=2.0), y, cond=x_s, end=x_r, steps=150, config=settled)
    t, xi = torch.full((64,), 0.6), torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    alpha, gamma = model.process.alpha(0.6), model.process.gamma(0.6)
    with torch.no_grad():
        errors = [
            model.noise_error(alpha * y + gamma * xi, t, xi, c, c).mean() for c in (y, y.roll(7, 0), x_s)
        ]
    assert errors[0] < 0.8 * errors[1]


def test_only_the_restorer_is_needed_afterwards(tmp_path):
    y, x_s, x_r = images()
    model = pair()
    fit(model, noise_space_loss(ramp=2), y, cond=x_s, end=x_r, steps=3, config=settings())
    kept = copy.deepcopy(model.restorer)
    assert {name for name, _ in kept.named_parameters()} == {
        f"layers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")
    }
    assert torch.equal(kept(x_r), model.restore(x_r))


def test_what_does_not_fit_is_refused():
    model, loss, (y, x_s, x_r) = pair(), noise_space_loss(ramp=3), images()
    with pytest.raises(InputError, match="give the clean images as x"):
        loss(model, y, end=x_r)
    with pytest.raises(InputError, match="the real images are None"):
        loss(model, y, cond=x_s)
    with pytest.raises(InputError, match="the same channels and size"):
        loss(model, y, cond=x_s, end=x_r.expand(-1, 3, -1, -1))
    with pytest.raises(InputError, match="the same channels and size"):
        loss(model, y, cond=x_s, end=x_r[:5])
    with pytest.raises(Unsuitable, match="trains a NoiseSpaceAdaptation"):
        loss(model.denoiser, y, cond=x_s, end=x_r)
    with pytest.raises(Unsuitable, match="has a second end"):
        pair(process=BrownianBridge())
    with pytest.raises(InputError, match="ramp is 0"):
        noise_space_loss(ramp=0)
    with pytest.raises(InputError, match="strength is -1"):
        noise_space_loss(ramp=1, strength=-1)
    model.restorer = torch.nn.MaxPool2d(2)
    with pytest.raises(InputError, match="must keep the shape"):
        loss(model, y, cond=x_s, end=x_r)
