"""The U-Net that corrects an anchor, against a law of which a fresh one is the exact denoiser."""

import pytest
import torch
from network_helpers import awake

from girsanov import exact, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError
from girsanov.networks import AnchoredUNet, Beside
from girsanov.noise import Noise

X = Noise(0).draw(torch.empty(3, 1, 5, 4, dtype=torch.float64), 0)
END = Noise(1).draw(X, 0)


@pytest.mark.parametrize("process", [processes.OUVE(), processes.MeanReverting()])
@pytest.mark.parametrize("t", [0.04, 0.3, 1.0])
def test_a_fresh_network_knows_that_data_lie_around_the_anchor(process, t):
    """x_0 = x_1 + 0.3 ξ: the exact posterior mean."""
    model = Denoiser(AnchoredUNet(1, std=0.3).double(), process, data_std=0.3)
    pair = torch.tensor([[1.09, 1.0], [1.0, 1.0]], dtype=torch.float64)
    law = exact.PairedDenoiser(exact.GaussianMixture(torch.zeros(1, 2, 1), pair[None]), process)
    found = model.data(X, t, anchor=END)
    expected = law.data(X.reshape(-1, 1), t, anchor=END.reshape(-1, 1)).reshape(X.shape)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_patches_are_put_back_where_they_were():
    net = AnchoredUNet(3, patch=2)
    x = torch.randn(2, 3, 6, 4)
    assert torch.equal(net._unfolded(net._folded(x)), x)
    assert torch.equal(net._folded(x)[0, :4, 0, 0], x[0, 0, :2, :2].flatten())


def test_what_is_beside_is_seen_and_must_fit():
    net = awake(Beside(AnchoredUNet(1, extra=2)))
    both, t = torch.cat([X, END], 1), torch.zeros(3, dtype=torch.float64)
    other = torch.cat([END, X], 1)
    assert not torch.equal(net(both, t, other), net(both, t, 2 * other))
    for wrong in (None, other[:2], other[..., :3]):
        with pytest.raises(InputError, match="a picture of the same size"):
            net(both, t, wrong)


@pytest.mark.parametrize("options", [{"std": 0.0}, {"patch": 0}, {"channels": 0}])
def test_bad_sizes_are_refused(options):
    with pytest.raises(InputError):
        AnchoredUNet(**options)
