"""Every toy against the curve or region that its docstring states, and its law against uniform draws."""

import math
import random

import numpy as np
import pytest
import torch
from oracles import ALPHA
from scipy import stats

from girsanov import data
from girsanov.errors import InputError
from girsanov.noise import Noise

N = 20_000


def radius_and_angle(x, turn=0.0):
    """Radius, and the angle less `turn` in [0, 2π)."""
    return x.norm(dim=1), (torch.atan2(x[:, 1], x[:, 0]) - turn) % (2 * math.pi)


def on_moons(x):
    upper = (x.norm(dim=1) - 1).abs() + (-x[:, 1]).clamp(min=0)
    lower = ((x - torch.tensor([1, 0.5])).norm(dim=1) - 1).abs() + (x[:, 1] - 0.5).clamp(min=0)
    return torch.minimum(upper, lower)


def on_circles(x):
    return torch.minimum((x.norm(dim=1) - 1).abs(), (x.norm(dim=1) - 0.5).abs())


def on_checkerboard(x):
    column, row = (x + 2).floor().unbind(1)
    return ((column + row) % 2) + (x.abs() - 2).clamp(min=0).sum(1)


def on_swiss_roll(x):
    radius, _ = radius_and_angle(x)
    angle = 4.5 * math.pi * radius
    return (x - radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)).norm(dim=1)


def on_spirals(x):
    radius, angle = radius_and_angle(x)
    off = (angle - 3 * math.pi * radius) % math.pi
    return torch.minimum(off, math.pi - off) * radius


def on_pinwheel(x):
    radius, angle = radius_and_angle(x)
    arm = 2 * math.pi / 5
    off = (angle - radius) % arm
    return torch.minimum(off, arm - off) + (0.2 - radius).clamp(min=0) + (radius - 1).clamp(min=0)


def on_ring(x):
    return (x.norm(dim=1) - 1).abs()


def on_ring_of_gaussians(x):
    k = torch.arange(8) * math.pi / 4
    return torch.cdist(x, torch.stack([k.cos(), k.sin()], 1)).min(dim=1).values


DISTANCE = {
    "moons": on_moons,
    "circles": on_circles,
    "checkerboard": on_checkerboard,
    "swiss_roll": on_swiss_roll,
    "spirals": on_spirals,
    "pinwheel": on_pinwheel,
    "ring": on_ring,
    "ring_of_gaussians": on_ring_of_gaussians,
}


def test_every_toy_has_an_oracle():
    assert DISTANCE.keys() == data.TOYS.keys()


@pytest.mark.parametrize("name", DISTANCE)
def test_without_noise_the_points_lie_where_the_docstring_says(name):
    x = data.TOYS[name](N, noise=0.0, generator=Noise(1))
    assert x.shape == (N, 2) and x.dtype == torch.float32
    assert DISTANCE[name](x).max() < 1e-4


@pytest.mark.parametrize("name", DISTANCE)
def test_the_distance_can_fail(name):
    x = data.TOYS[name](N, noise=0.3, generator=Noise(1))
    assert DISTANCE[name](x).max() > 1e-2


@pytest.mark.parametrize("name", DISTANCE)
def test_noise_is_the_standard_deviation_that_is_added(name):
    toy = data.TOYS[name]
    added = toy(N, noise=0.7, generator=Noise(1)) - toy(N, noise=0.0, generator=Noise(1))
    assert all(stats.kstest(added[:, i].numpy() / 0.7, "norm").pvalue > ALPHA for i in (0, 1))


UNIFORM = {
    "moons": lambda x: x[on_ring(x) < 1e-5][:, 0].clamp(-1, 1).acos() / math.pi,
    "moons, lower": lambda x: (
        (1 - x[on_ring(x - torch.tensor([1, 0.5])) < 1e-5][:, 0]).clamp(-1, 1).acos() / math.pi
    ),
    "circles": lambda x: radius_and_angle(x)[1] / (2 * math.pi),
    "ring": lambda x: radius_and_angle(x)[1] / (2 * math.pi),
    "swiss_roll": lambda x: (x.norm(dim=1) * 4.5 - 1.5) / 3,
    "spirals": lambda x: x.norm(dim=1) ** 2,
    "pinwheel": lambda x: (x.norm(dim=1) - 0.2) / 0.8,
    "checkerboard": lambda x: (x[:, 1] + 2) / 4,
}


@pytest.mark.parametrize("name", UNIFORM)
def test_the_law_along_the_curve_is_uniform(name):
    u = UNIFORM[name](data.TOYS[name.partition(",")[0]](N, noise=0.0, generator=Noise(2))).numpy()
    assert len(u) > N / 4 and stats.kstest(u, "uniform").pvalue > ALPHA


def test_the_modes_and_parts_are_equally_likely():
    x = data.ring_of_gaussians(N, noise=0.01, modes=5, generator=Noise(3))
    mode = (radius_and_angle(x)[1] / (2 * math.pi / 5)).round().long() % 5
    outer = on_ring(data.circles(N, noise=0.0, generator=Noise(3))) < 0.25
    square = (data.checkerboard(N, generator=Noise(3)) + 2).floor().long()
    for parts in (mode, outer.long(), square[:, 0] * 2 + square[:, 1] // 2):
        assert stats.chisquare(parts.bincount().numpy()).pvalue > ALPHA
    assert len((square[:, 0] * 4 + square[:, 1]).unique()) == 8


@pytest.mark.parametrize("name", DISTANCE)
def test_a_point_does_not_depend_on_how_many_are_drawn(name):
    toy = data.TOYS[name]
    whole = toy(200, generator=Noise(5))
    assert torch.equal(
        whole, torch.cat([toy(70, generator=Noise(5)), toy(130, generator=Noise(5, first=70))])
    )
    assert toy(0).shape == (0, 2)


@pytest.mark.parametrize("name", DISTANCE)
def test_the_global_random_state_is_untouched(name):
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    data.TOYS[name](10)
    data.TOYS[name](10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (str(np.random.get_state()), random.getstate())  # noqa: NPY002


@pytest.mark.parametrize("name", DISTANCE)
@pytest.mark.parametrize(
    "n, noise, says",
    [(-1, 0.1, "n is -1"), (2.5, 0.1, "n is 2.5"), (3, -0.1, "noise is -0.1"), (3, math.nan, "nan")],
)
def test_refuses_bad_numbers(name, n, noise, says):
    with pytest.raises(InputError, match=says):
        data.TOYS[name](n, noise=noise)


def test_refuses_a_ring_without_modes():
    with pytest.raises(InputError, match="modes is 0"):
        data.ring_of_gaussians(3, modes=0)
