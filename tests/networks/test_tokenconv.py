"""Convolutions over tokens: they commute with shifts, see as far as they say, and learn which letter follows which."""

import math

import pytest
import torch

from girsanov import Denoiser, networks, objectives, processes
from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.training import Training, fit


def alive(classes=5, **sizes):
    """A network whose last layers are not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = networks.TokenConv(classes, width=8, **sizes).double()
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return net.eval()


def test_a_shift_of_the_tokens_shifts_the_answer():
    net, t = alive(depth=2), torch.zeros(1)
    x = torch.randint(0, 6, (1, 60), generator=torch.Generator().manual_seed(0))
    found, moved = net(x, t), net(x.roll(7, 1), t)
    torch.testing.assert_close(moved[:, 13:53], found[:, 6:46])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_it_sees_two_times_two_to_the_depth_less_one(depth):
    net, reach = alive(depth=depth), 2 * (2**depth - 1)
    x = torch.zeros(1, 61, dtype=torch.long)
    y = x.clone()
    y[0, 30] = 3
    changed = (net(x, torch.zeros(1)) != net(y, torch.zeros(1))).any(-1)[0].nonzero()[:, 0]
    assert changed.min() == 30 - reach and changed.max() == 30 + reach


def test_it_learns_a_text_that_goes_round():
    """Its windows start anywhere, so their law has log 5 nats in 20 letters."""
    x = (torch.arange(20) + torch.arange(500)[:, None]) % 5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Denoiser(networks.TokenConv(5, width=16, depth=3), processes.Masked(5))
    config = Training(batch_size=32, lr=1e-2, ema=0.9, validation=0.0, progress=False, warmup=10)
    fit(model, objectives.masked_nelbo(), x, steps=80, config=config)
    loss = objectives.masked_nelbo()(model, x, generator=Noise(0)).mean().item()
    assert math.log(5) / 20 < loss < 0.5 * math.log(5)


def test_what_does_not_fit_is_refused():
    net = alive()
    for x in (torch.zeros(1, 3), torch.zeros(1, 2, 3, dtype=torch.long)):
        with pytest.raises(InputError, match=r"integers \(B, length\)"):
            net(x, torch.zeros(1))
    with pytest.raises(InputError, match="no labels"):
        net(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1), torch.zeros(1))
    for sizes in ({"depth": 13}, {"width": 0}):
        with pytest.raises(InputError):
            networks.TokenConv(5, **sizes)
    assert sum(p.numel() for p in networks.TokenConv(64).parameters()) == 189_952
