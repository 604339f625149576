"""Inversion against the linear flow of a Gaussian, and its round trip."""

import math

import pytest
import torch

from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.processes import EDM, OUVE, VP
from girsanov.solvers.inversion import ddim, invert

X = Noise(0).draw(torch.empty(5, 2, dtype=torch.float64), 0)


def times(process, steps, top=0.9):
    return [process.t_min + (top - process.t_min) * i / steps for i in range(steps + 1)]


@pytest.mark.parametrize("process", [VP(), EDM(sigma_max=10.0)], ids=["VP", "EDM"])
def test_it_tends_to_the_flow_of_a_gaussian_at_first_order(process):
    law = Gaussian(torch.zeros(2), 0.25)

    def width(t):
        return math.sqrt(0.25 * process.alpha(t) ** 2 + process.gamma(t) ** 2)

    errors = []
    for steps in (200, 400):
        grid = times(process, steps)
        states = invert(law.denoiser(process), X, grid)
        assert len(states) == steps + 1 and states[0] is X
        errors.append(float((states[-1] - X * width(grid[-1]) / width(grid[0])).abs().max()))
    assert errors[1] < 0.1 * width(grid[-1]) and errors[0] / errors[1] == pytest.approx(2, rel=0.15)


def test_the_round_trip_comes_home_at_first_order():
    process, errors = VP(), []
    model = Gaussian(torch.ones(2), 0.25).denoiser(process)
    for steps in (200, 400):
        grid = times(process, steps)
        x = invert(model, X, grid)[-1]
        for t, s in zip(grid[::-1], grid[-2::-1], strict=False):
            x = ddim(model, x, t, s)
        errors.append(float((x - X).abs().max()))
    assert errors[1] < 0.05 and errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_refusals():
    model = Gaussian(torch.zeros(2), 1.0).denoiser(VP())
    for grid in ([], [0.5, 0.4], [0.0, 0.5], [0.5, 1.1]):
        with pytest.raises(InputError, match="rising"):
            invert(model, X, grid)
    with pytest.raises(InputError, match="x"):
        invert(model, X * math.nan, [0.1, 0.2])
    with pytest.raises(Unsuitable, match="one-sided"):
        invert(Gaussian(torch.zeros(2), 1.0).denoiser(OUVE()), X, [0.1, 0.2])
