"""What a probabilistic U-Net must satisfy: shapes, draws that differ only by z, the join as a convolution."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.networks import ProbabilisticUNet
from girsanov.noise import Noise

X = Noise(0).draw(torch.empty(2, 2, 12, 9), 0)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ProbabilisticUNet(2, latents=3, width=8, levels=(1, 2))
        for p in model.unet.head.parameters():
            p.data.normal_()  # a fresh one answers zeros
    return model.eval()


def test_shapes():
    model = network()
    assert model(X, 5, generator=Noise(0)).shape == (2, 5, 1, 12, 9)
    assert model.prior(X).mean.shape == model.posterior(X, torch.ones(2, 1, 12, 9)).stddev.shape == (2, 3)


def test_the_join_is_the_convolution_of_features_beside_z():
    model, z = network(), Noise(1).draw(torch.empty(2, 4, 3), 0)
    features = torch.nn.functional.silu(model.unet(X, torch.zeros(2)))
    for k in range(4):
        beside = torch.cat([features, z[:, k, :, None, None].expand(-1, -1, 12, 9)], 1)
        h = torch.nn.functional.silu(model.join(beside))
        expected = model.head(torch.nn.functional.silu(model.mix(h)))
        torch.testing.assert_close(model.decode(X, z)[:, k], expected)


def test_draws_follow_the_prior():
    """Draws made at z = μ + σ ε, the ε of the generator; one draw is the first of several images alone."""
    model = network()
    law, noise = model.prior(X), Noise(3).draw(torch.empty(2, 6, 3), 0)
    expected = model.decode(X, law.mean[:, None] + law.stddev[:, None] * noise)
    torch.testing.assert_close(model(X, 6, generator=Noise(3)), expected)
    torch.testing.assert_close(model(X[:1], 6, generator=Noise(3)), expected[:1])


def test_the_posterior_sees_the_mask_and_the_prior_does_not():
    model = network()
    one, none = (torch.full((2, 1, 12, 9), v) for v in (1.0, 0.0))
    assert not torch.allclose(model.posterior(X, one).mean, model.posterior(X, none).mean, atol=1e-4)


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: network()(X[:, :1]), "give .B, 2, H, W"),
        (lambda: network()(X, 0), "n is 0"),
        (lambda: network().posterior(X, torch.ones(2, 1, 12, 8)), "the mask is"),
        (lambda: network().decode(X, torch.zeros(2, 1, 4)), "z is"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()
