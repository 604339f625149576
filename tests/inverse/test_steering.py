"""Steering by a circuit: nothing at a = 1, and the exact answer where the circuit knows more than the denoiser."""

import pytest
import torch

from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian
from girsanov.inverse import CircularBlur, Inpainting, Measurement, RePaint, posterior
from girsanov.inverse.circuits import HiddenChowLiuTree, fit_tree
from girsanov.inverse.steering import CircuitSteering, Steered, grey_levels
from girsanov.noise import Noise, uniform
from girsanov.processes import VP

SHAPE = (1, 2, 2)
MASK = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
MODEL = Gaussian(torch.zeros(SHAPE), 1.0).denoiser(VP())


def pictures(n, seed=0):
    """All four pixels black or white together."""
    u = Noise(seed).draw(torch.empty(n, 1), 0, uniform)
    return torch.where(u > 0.5, 1.0, -1.0).reshape(n, 1, 1, 1).expand(n, *SHAPE)


TREE = fit_tree(grey_levels(pictures(400), 2), 2, hidden=2, steps=40, smoothing=0.01, generator=Noise(1))


def measured(n=3):
    return Measurement.of(Inpainting(MASK), pictures(n, 2))


def test_the_denoiser_alone_at_weight_one():
    plain = posterior(MODEL, measured(), 2, sampler=RePaint(10), seed=0).x
    for steering in (
        CircuitSteering(RePaint(10), TREE, floor=1.0),
        CircuitSteering(RePaint(10), TREE, until=1.0),
    ):
        assert torch.equal(posterior(MODEL, measured(), 2, sampler=steering, seed=0).x, plain)


def test_known_pixels_tell_the_hidden_ones():
    """Pixels that always agree: with the circuit alone (a = 0) the hidden ones become what is known."""
    m = measured(6)
    x = Noise(3).draw(torch.empty(6, *SHAPE), 0)
    steering = CircuitSteering(RePaint(10), TREE, floor=0.0, decay=50.0, until=0.0)
    data = Steered(MODEL, steering, m).data(x, 0.9)
    truth = pictures(6, 2)
    assert ((data - truth)[:, 0] * (1 - MASK[0])).abs().max() < 0.45
    assert (data.sign()[:, 0] == truth.sign()[:, 0])[:, MASK[0] == 0].all()


def test_independent_pixels_are_mixed_by_hand():
    """One level pair, no dependence: the marginal is p w normalized, and the mix its power."""
    emission = torch.tensor([[[0.8, 0.2]]], dtype=torch.float64).expand(4, 1, 2)
    one = torch.ones(4, 1, 1, dtype=torch.float64)
    tree = HiddenChowLiuTree(torch.tensor([-1, 0, 1, 2]), torch.ones(1, dtype=torch.float64), one, emission)
    steering = CircuitSteering(RePaint(10), tree, floor=0.5, decay=50.0, until=0.0)
    m, t = measured(1), 0.7
    x = Noise(4).draw(torch.empty(1, *SHAPE, dtype=torch.float64), 0)
    plain = MODEL.data(x, t)
    r2 = VP().gamma(t) ** 2 / (VP().gamma(t) ** 2 + VP().alpha(t) ** 2)
    w = torch.softmax(-0.5 * (plain[..., None] - torch.tensor([-1.0, 1.0])) ** 2 / r2, -1)
    p = w * torch.tensor([0.8, 0.2])
    mixed = w**0.5 * (p / p.sum(-1, keepdim=True)) ** 0.5
    mixed = mixed / mixed.sum(-1, keepdim=True)
    wanted = plain + (mixed - w) @ torch.tensor([-1.0, 1.0], dtype=torch.float64)
    found = Steered(MODEL, steering, m).data(x, t)
    torch.testing.assert_close(found[:, 0, 1], wanted[:, 0, 1])
    torch.testing.assert_close(found[0, 0, 0, 0], plain[0, 0, 0, 0])  # known, left to the sampler


def test_levels_and_refusals():
    assert grey_levels(torch.tensor([[-1.0, 0.1, 1.0, 3.0]]), 3).tolist() == [[0, 1, 2, 2]]
    blurred = Measurement(CircularBlur.gaussian(0.5, SHAPE), torch.zeros(1, *SHAPE), 0.1)
    with pytest.raises(Unsuitable, match="steers inpainting"):
        posterior(MODEL, blurred, sampler=CircuitSteering(RePaint(10), TREE))
    small = Measurement(Inpainting(torch.tensor([1.0, 0.0])), torch.zeros(1, 1))
    with pytest.raises(Unsuitable, match="4 variables"):
        Steered(MODEL, CircuitSteering(RePaint(10), TREE), small)
    for options in ({"floor": 2.0}, {"decay": -1.0}, {"until": 2.0}, {"data_std": 0.0}):
        with pytest.raises(InputError):
            CircuitSteering(RePaint(10), TREE, **options)
