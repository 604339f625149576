"""The editor: without regions a round trip, noise of the right size where it may be, refusals."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.guidance.editing import Editor
from girsanov.guidance.region import Regions
from girsanov.noise import Noise
from girsanov.processes import VP
from girsanov.solvers.inversion import ddim, invert

SIDE = 4
X = Noise(0).draw(torch.empty(6, 1, SIDE, SIDE, dtype=torch.float64), 0)
NOWHERE, EVERYWHERE = torch.zeros(1, SIDE, SIDE), torch.ones(1, SIDE, SIDE)


class Flat(torch.nn.Module):
    """The exact answer of N(0, 1) data with the times of a Denoiser: x_0 = α x."""

    def forward(self, x, t, cond=None):
        return torch.zeros_like(x)


def exact():
    """A `Denoiser` whose preconditioning alone is the answer of N(0, 1): F = 0 with data_std = 1."""
    from girsanov.denoiser import Denoiser

    return Denoiser(Flat(), VP(), data_std=1.0)


def test_the_flat_network_is_the_gaussian():
    law = Gaussian(torch.zeros(1, SIDE, SIDE), 1.0).denoiser(VP())
    torch.testing.assert_close(exact().noise(X, 0.4), law.noise(X, 0.4))


def test_without_regions_it_comes_home_with_steps():
    errors = [
        float((Editor((), steps=n, eta=0.0)(exact(), X, Regions((), NOWHERE)) - X).abs().max())
        for n in (100, 200)
    ]
    assert errors[1] < 0.05 and errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_noise_enters_only_where_it_may():
    where = torch.zeros(1, SIDE, SIDE)
    where[0, :2] = 1
    plain = Editor((), steps=20, eta=0.0)(exact(), X, Regions((), where))
    noisy = Editor((), steps=20, eta=0.6)(exact(), X, Regions((), where), generator=Noise(1))
    assert torch.equal(plain[:, :, 2:], noisy[:, :, 2:])
    assert (plain[:, :, :2] != noisy[:, :, :2]).all()


def test_everywhere_it_is_ddim_with_that_eta():
    """For N(0, 1) data every DDIM step keeps the law, so that it can be followed by hand: x ← (αα' + γ'... )."""
    steps, eta = 10, 0.5
    found = Editor((), steps=steps, eta=eta, repeat=1, start=0.8)(
        exact(), X, Regions((), EVERYWHERE), generator=Noise(2)
    )
    model, process = exact(), VP()
    times = [process.t_min + (0.8 - process.t_min) * i / steps for i in range(steps + 1)]
    x = invert(model, X, times)[-1]
    for i in range(steps):
        t, s = times[steps - i], times[steps - i - 1]
        if not 0.2 < i / steps < 0.4:
            x = ddim(model, x, t, s)
            continue
        a, b = process.alpha(t), process.alpha(s)
        std = eta * math.sqrt((1 - b**2) / (1 - a**2) * (1 - a**2 / b**2))
        z = model.noise(x, t)
        data = (x - math.sqrt(1 - a**2) * z) / a
        x = b * data + math.sqrt(1 - b**2 - std**2) * z + std * Noise(2).draw(x, i)
    torch.testing.assert_close(found, x)


def test_time_travel_of_an_exact_flow_changes_little():
    once = Editor((), steps=100, eta=0.0, repeat=1)(exact(), X, Regions((), NOWHERE))
    thrice = Editor((), steps=100, eta=0.0, repeat=3)(exact(), X, Regions((), NOWHERE))
    assert 0 < float((once - thrice).abs().max()) < 0.02


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Editor((), steps=2), "steps is 2"),
        (lambda: Editor((), start=0.0), "start is 0"),
        (lambda: Editor((), eta=1.5), "eta is 1.5"),
        (lambda: Editor((), repeat=0), "repeat is 0"),
        (lambda: Editor((), scale=math.nan), "scale is nan"),
        (lambda: Editor(())(exact(), X[0], Regions((), NOWHERE)), "image has the shape"),
        (lambda: Editor(())(exact(), X, Regions((), torch.zeros(1, 3, 3))), "a mask has the shape"),
        (lambda: Editor(())(exact(), X * math.nan, Regions((), NOWHERE)), "image"),
        (lambda: Editor(("up",))(exact(), X, Regions((), NOWHERE)), "no layer"),
    ],
)
def test_refusals(make, says):
    with pytest.raises(InputError, match=says):
        make()
