"""Implicit score matching along paths: its minimizer is the score of reflected Brownian motion."""

import pytest
import torch
from interval import POINTS, Exact, draw, process
from stand_ins import standard_errors

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.objectives import path_score_matching
from girsanov.processes import Box, Constrained

N = 4000
X0 = POINTS.repeat(N // len(POINTS))[:, None]


def slope(value, factor, times=16):
    """The derivative of the loss along a shift of the exact score, in standard errors."""
    walk = process(steps=200)
    shift = torch.full((N, 1), value, dtype=torch.float64, requires_grad=True)
    model = Exact(walk, shift=shift.repeat_interleave(times, 0), factor=factor(walk))
    path_score_matching(times)(model, X0, generator=Noise(0)).sum().backward()
    return standard_errors(shift.grad).item()


def strip(walk):
    return lambda x: walk.boundary_factor(x)[:, None]


def test_the_score_is_the_minimizer_among_fields_that_vanish_at_the_boundary():
    assert slope(0.0, strip) < 4
    assert slope(0.5, strip) > 8


def test_without_the_factor_the_boundary_has_its_say():
    """The same shift without m(x): integration by parts leaves p(1) - p(0), and the loss is wrong."""
    assert slope(0.0, lambda walk: torch.ones_like) > 8


class Quadratic(Exact):
    """s(x) = A x² in the box, so that the trace is known."""

    def __init__(self, walk):
        super().__init__(walk)

    def forward(self, x, t, *, cond=None, anchor=None):
        return (x**2,)


@pytest.mark.parametrize("d", [3, 12])
def test_the_loss_of_a_known_field(d):
    """½|x²|² + 2 Σx, exact up to ten coordinates; above, a Rademacher slice of a diagonal matrix is exact too."""
    walk = Constrained(Box([-1.0] * d, [1.0] * d), steps=4, variance=1.0)
    x0 = walk.reference(torch.empty(50, d, dtype=torch.float64), generator=Noise(0))
    losses = path_score_matching(4)(Quadratic(walk), x0, generator=Noise(1))
    path = walk.simulate(x0, torch.linspace(0, 1, 5), generator=Noise(1).child(0))[:, 1:]
    weight = walk.width(torch.linspace(0, 1, 5)[1:].double()) ** 2
    expected = (weight * ((path**4).sum(2) / 2 + 2 * path.sum(2))).mean(1) / d
    torch.testing.assert_close(losses, expected)


def test_fit_learns_and_the_model_samples(tmp_path):
    walk = process(steps=50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = gv.Denoiser(gv.networks.MLP(1, hidden=32, depth=2), walk, predicts="score", data_std=None)
    settings = gv.training.Training(batch_size=64, lr=5e-3, ema=0.98, validation=0, seed=0, progress=False)
    gv.fit(model, path_score_matching(8), X0.float(), steps=400, config=settings, out=tmp_path / "run")
    model, t = gv.load(tmp_path / "run"), 0.3
    x = draw(2000, walk.clock(t), torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, exact = model.score(x.float(), t), Exact(walk).score(x, t)
    exact = exact * strip(walk)(x)
    assert (found - exact).square().mean() < 0.5 * exact.square().mean()  # of a network that says 0, 1
    assert walk.inside.contains(gv.sample(model, 500, steps=50, seed=0)).all()


def test_what_does_not_fit_is_refused():
    loss = path_score_matching()
    vp = gv.Denoiser(gv.networks.MLP(1), gv.processes.VP())
    with pytest.raises(Unsuitable, match="trains a denoiser of a Constrained process"):
        loss(vp, X0)
    with pytest.raises(Unsuitable):
        gv.objectives.score_matching()(Exact(process(10)), X0)
    with pytest.raises(InputError, match="rows of x0 are outside"):
        loss(Exact(process(10)), X0 + 1)
    with pytest.raises(InputError, match="times is 0"):
        path_score_matching(0)


def test_validation_needs_no_gradient_and_repeats():
    model = Exact(process(10))
    with torch.no_grad():
        first = path_score_matching()(model, X0[:20], generator=Noise(0))
        again = path_score_matching()(model, X0[:20], generator=Noise(0))
    assert not first.requires_grad and torch.equal(first, again)
