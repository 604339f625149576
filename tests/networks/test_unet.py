"""The U-Net at sizes that do not halve evenly."""

import pytest
import torch
from network_helpers import awake

from girsanov.errors import InputError
from girsanov.networks import UNet


@pytest.mark.parametrize("rows, columns", [(1, 1), (2, 3), (8, 8), (9, 16), (25, 25), (28, 28), (31, 32)])
def test_any_size_goes(rows, columns):
    net = UNet(1, width=8, levels=(1, 2, 2), blocks=1, attention=2)
    assert net(torch.zeros(2, 1, rows, columns), torch.zeros(2)).shape == (2, 1, rows, columns)


@pytest.mark.parametrize("attention", [0, 2])
def test_every_pixel_sees_every_other(attention):
    """A wrong crop would leave a last row or column blind."""
    net = awake(UNet(1, width=8, levels=(1, 1, 2), blocks=1, attention=attention))
    x = torch.randn(1, 1, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: net(x, torch.zeros(1)), x).reshape(35, 35)
    assert jacobian.abs().min() > 0


def test_dropout_acts_in_training_only():
    net = awake(UNet(1, width=8, dropout=0.5, attention=2))
    x, t = torch.ones(2, 1, 4, 4, dtype=torch.float64), torch.zeros(2)
    with torch.random.fork_rng():
        assert not torch.equal(net(x, t), net(x, t))
    net.eval()
    assert torch.equal(net(x, t), net(x, t))


def test_heads_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="4 heads do not divide a width of 45"):
        UNet(1, width=15)


def test_the_answer_is_stored_as_images_are():
    """So that `view` and the arithmetic of samplers meet one layout."""
    assert UNet(2, width=8)(torch.zeros(2, 2, 8, 8), torch.zeros(2)).is_contiguous()
