"""The enlargement and the distance of the paper on optimal boundary conditions."""

import torch

from girsanov.papers import digits
from girsanov.papers.inverse import optimal_bc


def test_an_even_picture_is_enlarged_to_itself():
    x = torch.full((2, 1, 8, 8), 0.3)
    torch.testing.assert_close(optimal_bc.enlarged(x), x)
    ramp = torch.linspace(-1, 1, 8).expand(1, 1, 8, 8)
    found = optimal_bc.enlarged(ramp)
    torch.testing.assert_close(found, -found.flip(3))  # where it should be: no shift
    assert (found.diff(dim=3) > 0).all()


def test_the_distance_is_that_of_unit_features():
    reader, x = digits.reader(steps=2), digits.split().fresh[:6]
    far = optimal_bc.feature_distances(reader, x, x.flip(0))
    assert optimal_bc.feature_distances(reader, x, x).abs().max() < 1e-6
    assert (far >= 0).all() and (far <= 4).all() and far.max() > 1e-4
    torch.testing.assert_close(far, optimal_bc.feature_distances(reader, x.flip(0), x))
