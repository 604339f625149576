"""Estimators for papers: frozen, of the shape they are given, and better than what they are given."""

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers import estimators


def test_patches_go_there_and_back():
    def same(x, t, cond):
        assert x.shape == (3, 4, 4, 5)
        return x

    x = Noise(0).draw(torch.empty(3, 1, 8, 10), 0)
    assert torch.equal(estimators.Patched(same)(x, torch.zeros(3)), x)


def test_an_estimator_learns_the_posterior_mean_and_is_frozen():
    """x = a constant picture of N(0, 1), y = x + noise of variance 1: E[x | y] has error 1/(64 + 1)."""
    x = Noise(0).draw(torch.empty(2000, 1, 1, 1), 0).expand(-1, -1, 8, 8).contiguous()
    y = x + Noise(1).draw(x, 0)
    f = estimators.estimator(x[:1700], y[:1700], seed=0, steps=150)
    assert not f.training and not any(p.requires_grad for p in f.parameters())
    error = float((f(y[1700:]) - x[1700:]).square().mean())
    assert 1 / 65 * 0.8 < error < 0.1


def test_everything_follows_from_the_seed():
    a, b, c = (torch.cat([p.flatten() for p in estimators.unet(1, s).parameters()]) for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_fresh_network_answers_zeros(channels):
    assert not estimators.unet(channels, 0)(torch.ones(2, channels, 6, 4), torch.zeros(2)).any()
