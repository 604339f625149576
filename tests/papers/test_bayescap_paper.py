"""The parts of the BayesCap paper that the library's own tests do not cover."""

import torch
from torch import nn

from girsanov.inverse import Estimate
from girsanov.noise import Noise
from girsanov.papers import restoration
from girsanov.papers.inverse import bayescap as paper

X = Noise(0).draw(torch.empty(120, 1, 4, 4), 0)


def test_coarse_pixels_are_means_repeated():
    y = paper.coarse(torch.arange(16.0).reshape(1, 1, 4, 4), Noise(0))
    assert torch.equal(y[..., ::2, ::2], y[..., 1::2, 1::2])
    torch.testing.assert_close(y[0, 0, ::2, ::2], torch.tensor([[2.5, 4.5], [10.5, 12.5]]), atol=0.1, rtol=0)


def test_scaled_fits_the_first_images_and_keeps_the_rest():
    n = paper.CALIBRATION
    variance = torch.full_like(X, 7.0)
    found = paper.scaled(3 * X, variance)
    assert torch.equal(found.error, 3 * X[n:])
    torch.testing.assert_close(found.variance[0, 0, 0, 0], (9 * X[:n].square()).mean())


class Stated(nn.Module):
    """Answers 0 and a stated variance that is right in every row of pixels but for a power."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def estimate(self, x, *, generator=None):
        return Estimate(torch.zeros_like(x), (x.abs() ** self.power).clamp(min=1e-6))


def test_the_best_is_the_one_whose_variance_follows_the_error():
    known = restoration.Pairs(X, X, X, X)
    methods = [Stated(power) for power in (0.0, 2.0, -2.0)]
    assert paper.best(methods, known, 0) is methods[1]


def test_what_a_restorer_changes_is_what_is_missing():
    f = paper.Restorer()
    torch.testing.assert_close(X + paper.Change(f)(X, torch.zeros(120)), f(X))
