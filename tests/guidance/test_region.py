"""Energies of features, the regions of a move, and where their gradients act."""

import pytest
import torch

from girsanov import networks
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.guidance.region import Features, move, pull, shifted, similarity
from girsanov.noise import Noise
from girsanov.processes import VP

SIDE = 8
MASK = torch.zeros(2, SIDE, SIDE)
MASK[:, 1:4, 1:4] = 1


def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = networks.UNet(1, width=16, levels=(1, 2), blocks=1)
        for p in net.parameters():  # layers that start at zero would answer nothing
            torch.nn.init.normal_(p, std=0.1)
    return Denoiser(net.eval().requires_grad_(False), VP(), shape=(1, SIDE, SIDE))


def draw(*shape, seed=0):
    return Noise(seed).draw(torch.empty(*shape), 0)


def test_the_energy_is_least_where_features_agree():
    a, b = draw(2, 5, SIDE, SIDE), draw(2, 5, SIDE, SIDE, seed=1)
    torch.testing.assert_close(similarity(a, 3 * a, MASK), torch.full((2,), 0.2))
    torch.testing.assert_close(similarity(a, -a, MASK), torch.ones(2))
    assert (similarity(a, b, MASK) > 0.2).all()
    assert similarity(a, b, torch.zeros(1, SIDE, SIDE)).tolist() == [0.0, 0.0]


def test_shifts_leave_zeros_behind():
    x = torch.arange(9.0).reshape(1, 3, 3)
    assert shifted(x, torch.tensor([[1, 0]])).tolist() == [[[0, 0, 0], [0, 1, 2], [3, 4, 5]]]
    assert shifted(x, torch.tensor([[0, -2]])).tolist() == [[[2, 0, 0], [5, 0, 0], [8, 0, 0]]]


def test_a_move_asks_for_what_would_be_there():
    """Features that are already those of the moved object over a constant background have the least energy."""
    background, thing = torch.ones(2, 1, SIDE, SIDE), torch.tensor([-1.0, 2.0])
    then = torch.cat([background, 0 * background], 1)
    then[:, :, 1:4, 1:4] = thing[:, None, None]
    now = torch.cat([background, 0 * background], 1)
    now[:, :, 4:7, 2:5] = thing[:, None, None]
    regions = move(MASK, (3, 1))
    for part in regions.parts:
        torch.testing.assert_close(part.energy(now, then), torch.full((2,), 0.2), atol=1e-4, rtol=0)
    assert regions.where.sum() == 2 * 18


def test_gradients_stay_inside_their_masks():
    x, y = draw(2, 1, SIDE, SIDE), draw(2, 1, SIDE, SIDE, seed=1)
    features = Features(model(), ("up.0.0",))
    regions = move(MASK, (3, 1))
    inner = regions.parts[:2]
    noise, gradient = pull(features, type(regions)(inner, regions.where), x, y, 0.5, None)
    assert (gradient[:, 0][regions.where == 0] == 0).all() and gradient.abs().max() > 0
    torch.testing.assert_close(noise, features(x, 0.5)[0])
    _, outer = pull(features, type(regions)(regions.parts[2:], regions.where), x, y, 0.5, None)
    assert (outer[:, 0][regions.where == 1] == 0).all() and outer.abs().max() > 0


def test_features_come_at_the_size_of_the_image_and_leave_no_hook():
    m = model()
    _, found = Features(m, ("up.0.0", "middle"))(draw(2, 1, SIDE, SIDE), 0.5)
    assert [tuple(f.shape[2:]) for f in found] == [(SIDE, SIDE)] * 2
    assert not any(module._forward_hooks for module in m.network.modules())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: move(torch.zeros(1, SIDE, SIDE), (1, 1)), "empty"),
        (lambda: move(MASK, (5, 0)), "out of the image"),
        (lambda: move(MASK * 0.5, (1, 0)), "of 0 and 1"),
        (lambda: move(MASK[0], (1, 0)), "give"),
        (lambda: Features(model(), ("up.9",)), "no layer 'up.9'"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says):
        make()
