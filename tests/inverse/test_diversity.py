"""Draws that are moved apart, and points chosen from many."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.inverse import DDNM, Inpainting, Measurement, posterior
from girsanov.inverse.diversity import Apart, furthest_points, representatives, uniformized
from girsanov.noise import Noise
from girsanov.processes import VP

MASK = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
OPERATOR = Inpainting(MASK)


def measured(n=2, b=1):
    return Measurement(OPERATOR, torch.zeros(b, 2)).repeat(n)


def test_two_neighbours_part_by_the_formula():
    x = torch.tensor([[[[0.0, 0], [1, 0]]], [[[0.0, 0], [2, 1]]]])
    moved = Apart(0.5)(x, measured(), 0.6)
    gap = x[1] - x[0]
    torch.testing.assert_close(moved[1] - moved[0], (1 + 2 * 0.5 * 0.6) * gap)


def test_far_neighbours_are_left_and_only_hidden_pixels_count():
    x = torch.zeros(2, 1, 2, 2)
    x[1, 0, 0] = 5.0  # known pixels
    x[1, 0, 1] = torch.tensor([3.0, 4.0])  # hidden: root mean square 5/√2
    assert torch.equal(Apart(0.5, radius=3.5)(x, measured(), 0.5), x)
    assert not torch.equal(Apart(0.5, radius=3.6)(x, measured(), 0.5), x)
    assert torch.equal(Apart(0.0)(x, measured(), 0.5), x)


def test_measurements_do_not_see_each_other():
    x = Noise(0).draw(torch.empty(6, 1, 2, 2), 0)
    both = Apart(0.3)(x, measured(3, 2), 0.5)
    torch.testing.assert_close(both[3:], Apart(0.3)(x[3:], measured(3, 1), 0.5))
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        Apart(0.3)(x[order], measured(3), 0.5), Apart(0.3)(x[:3], measured(3), 0.5)[order]
    )


def test_restorations_differ_more_and_keep_what_is_known():
    model = Gaussian(torch.zeros(1, 2, 2), 0.25).denoiser(VP())
    m = Measurement(OPERATOR, torch.full((20, 2), 0.3))
    plain = posterior(model, m, 4, sampler=DDNM(steps=30), seed=0).x
    spread = [float(plain.std(1)[:, 0, 1].mean())]
    for strength in (0.3, 1.0):
        apart = posterior(model, m, 4, sampler=DDNM(steps=30, apart=Apart(strength)), seed=0).x
        spread.append(float(apart.std(1)[:, 0, 1].mean()))
    assert spread[0] < spread[1] < spread[2]
    torch.testing.assert_close(apart[..., 0, :], torch.full((20, 4, 1, 2), 0.3), atol=1e-5, rtol=0)
    none = posterior(model, m, 4, sampler=DDNM(steps=30, apart=Apart(0.0)), seed=0).x
    assert torch.equal(none, plain)


def test_points_are_chosen_greedily():
    x = torch.tensor([[0.0], [1.0], [5.0], [9.0], [10.0]])
    assert furthest_points(x, 4).tolist()[:3] == [0, 4, 2]
    assert furthest_points(x, 3, first=1).tolist() == [1, 4, 2]


def test_one_point_stands_for_each_cluster():
    x = torch.cat(
        [c + 0.01 * Noise(int(c)).draw(torch.empty(20, 2), 0) for c in torch.tensor([0.0, 5.0, 9.0])]
    )
    assert sorted((representatives(x, 3) // 20).tolist()) == [0, 1, 2]


def test_weights_undo_the_density():
    """Four draws in five lie on one half of a square; chosen evenly, one in two."""
    u = Noise(0).draw(torch.empty(2000, 2), 0).erf() / 2 + 0.5
    dense = torch.arange(2000) < 1600
    u[dense, 0], u[~dense, 0] = u[dense, 0] / 2, 0.5 + u[~dense, 0] / 2
    chosen = uniformized(u, 200, outliers=0.0, generator=Noise(1))
    assert len(chosen.unique()) == 200
    assert 0.35 < float(dense[chosen].float().mean()) < 0.65


@pytest.mark.parametrize(
    "make",
    [
        lambda: Apart(-0.1),
        lambda: Apart(0.1, radius=-1.0),
        lambda: Apart()(torch.zeros(1, 1, 2, 2), measured(1), 0.5),
        lambda: furthest_points(torch.zeros(3, 2), 4),
        lambda: representatives(torch.full((3, 2), math.nan), 2),
        lambda: uniformized(torch.zeros(3, 2), 2, outliers=1.0),
    ],
)
def test_refusals(make):
    with pytest.raises(InputError):
        make()
