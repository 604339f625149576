"""The parts of the gauge paper that the library's own tests do not cover."""

import torch

from girsanov.noise import Noise
from girsanov.papers.processes import gauge_freedom as paper


def test_the_permutation_test_knows_the_same_law_from_another():
    x, y = (Noise(0).child(i).draw(torch.empty(300, 2), 0) for i in range(2))
    assert paper.mmd_test(x, y, 0)[1] > 0.01
    assert paper.mmd_test(x, 1.5 * y, 0)[1] < 0.01


def test_embedding_is_an_isometry():
    for shape in paper.SHAPES:
        x, flat = paper.embedded(shape, 50, 3), shape.draw(50, Noise(3).child(1))
        torch.testing.assert_close(x @ x.T, flat @ flat.T, atol=1e-4, rtol=1e-4)
        assert x.shape == (50, shape.ambient)
