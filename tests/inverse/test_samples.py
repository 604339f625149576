"""What is said of draws, on draws of a known law."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.inverse.samples import PosteriorSamples
from girsanov.noise import Noise

DRAWS = PosteriorSamples(2 + 0.5 * Noise(0).draw(torch.empty(3, 20_000, 4, dtype=torch.float64), 0), 10, 0.1)


def test_moments_and_intervals_are_those_of_the_law():
    torch.testing.assert_close(DRAWS.mean, torch.full((3, 4), 2.0).double(), atol=0.02, rtol=0)
    torch.testing.assert_close(DRAWS.std, torch.full((3, 4), 0.5).double(), atol=0.02, rtol=0)
    low, high = DRAWS.interval(0.9)
    torch.testing.assert_close(low, torch.full((3, 4), 2 - 0.5 * 1.6449).double(), atol=0.03, rtol=0)
    torch.testing.assert_close(high, torch.full((3, 4), 2 + 0.5 * 1.6449).double(), atol=0.03, rtol=0)


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 6, 5), (12,)])
def test_pictures(shape, tmp_path):
    draws = PosteriorSamples(torch.rand(2, 5, *shape) * 2 - 1, 10, 0.1)
    draws.draw(tmp_path / "a.png", measured=draws.x[:, 0])
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


def test_refusals(tmp_path):
    one = PosteriorSamples(torch.zeros(2, 1, 3), 10, 0.1)
    for ask in (lambda: one.std, lambda: one.interval(), lambda: DRAWS.interval(1.0)):
        with pytest.raises(InputError):
            ask()
    with pytest.raises(InputError, match="no picture"):
        PosteriorSamples(torch.zeros(2, 3, 5, 6), 10, 0.1).draw(tmp_path / "a.png")
