"""The diffusion transformer: patches, positions, and what holds without positions."""

import pytest
import torch
from network_helpers import awake
from torch.nn import functional as F

from girsanov.errors import InputError
from girsanov.networks import DiT
from girsanov.networks.dit import positions


def image(*shape):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_patches_are_those_of_unfold_and_join_again():
    net, x = DiT((3, 4, 6), patch=2, width=8, depth=1, heads=1), image(3, 4, 6)
    patches = net._cut(x)
    torch.testing.assert_close(patches, F.unfold(x, 2, stride=2).transpose(1, 2), rtol=0, atol=0)
    assert torch.equal(net._joined(patches), x)


def flipped_difference(net):
    """How far the network is from commuting with a swap of the left and right halves, made of patches."""
    x, t = image(1, 4, 4), torch.zeros(2)
    return float((net(x.roll(2, 3), t) - net(x, t).roll(2, 3)).detach().abs().max())


def test_only_positions_tell_patches_apart():
    net = awake(DiT((1, 4, 4), width=16, depth=2, heads=2))
    assert flipped_difference(net) > 1e-3
    net.positions.zero_()
    assert flipped_difference(net) < 1e-12


def test_positions_are_distinct_and_separate_rows_from_columns():
    grid = positions(3, 5, 16).reshape(3, 5, 16)
    torch.testing.assert_close(grid.square().sum(-1), torch.full((3, 5), 8.0))
    assert torch.equal(grid[:, 0, :8], grid[:, 4, :8])
    assert torch.equal(grid[0, :, 8:], grid[2, :, 8:])
    assert torch.pdist(grid.flatten(0, 1)).min() > 0.5


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"shape": (1, 25, 25)}, "patches of 2 do not tile 25×25"),
        ({"shape": (1, 8, 8), "width": 30, "heads": 1}, "width is 30; give a multiple of 4"),
        ({"shape": (1, 8, 8), "heads": 3}, "3 heads do not divide a width of 128"),
        ({"shape": (8, 8)}, r"shape is \(8, 8\).*give tuple\[int, int, int\]"),
        ({"shape": (1, 0, 8)}, "height is 0"),
        ({"shape": (1, 8, 8), "patch": 0}, "patch is 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        DiT(**arguments)
