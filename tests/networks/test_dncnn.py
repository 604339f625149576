"""DnCNN: homogeneous without biases, the reach of a pixel, and what it refuses."""

import pytest
import torch
from network_helpers import awake

from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.networks import DnCNN
from girsanov.processes import EDM


def image(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_without_biases_it_is_homogeneous_and_its_own_linearization():
    net, x = awake(DnCNN(2, width=6, depth=4, bias_free=True)), image(1, 2, 7, 6)
    torch.testing.assert_close(net(3.7 * x), 3.7 * net(x))
    _, along = torch.autograd.functional.jvp(net, x, x)
    torch.testing.assert_close(along, net(x))


def test_with_biases_it_is_not():
    net, x = awake(DnCNN(2, width=6, depth=4)), image(1, 2, 7, 6)
    assert (net(3.7 * x) - 3.7 * net(x)).abs().max() > 1e-2


def test_a_pixel_reaches_as_far_as_the_convolutions():
    net, x = awake(DnCNN(1, width=6, depth=3)), image(1, 1, 15, 15)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(net(x)[0, 0, 7, 7], x)
    reached = slope[0, 0].abs() > 1e-12
    assert reached[4:11, 4:11].all() and reached.sum() == 7 * 7


def test_a_fresh_one_leaves_images_alone_and_answers_zeros_otherwise():
    x = image(2, 3, 5, 4).float()
    assert torch.equal(DnCNN(3, width=4)(x), x)
    assert torch.equal(DnCNN(3, outputs=7, width=4)(x), torch.zeros(2, 7, 5, 4))


def test_a_denoiser_holds_it():
    x = image(3, 1, 8, 8).float()
    model = Denoiser(DnCNN(1, width=4), EDM(), data_std=None)
    assert torch.equal(model.data(x, 0.5), x)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="depth is 1; give at least 2"):
        DnCNN(1, depth=1)
    with pytest.raises(InputError, match="width is 0"):
        DnCNN(1, width=0)
    with pytest.raises(InputError, match=r"takes \(B, 2, any, any\)"):
        DnCNN(2)(torch.zeros(1, 1, 4, 4))
