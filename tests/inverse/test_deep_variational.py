"""Score-prior-guided variational inference: its terms against torch.distributions, its Gaussian fixed point."""

import math

import pytest
import torch
from torch.distributions import Dirichlet, Gamma, Normal, kl_divergence

from girsanov.errors import InputError
from girsanov.inverse import GammaPrecision, ScoreDVI, blind_noise_level, score_surrogate
from girsanov.inverse.deep_variational import (
    Factors,
    dirichlet_divergence,
    expected_log_likelihood,
    label_divergence,
)
from girsanov.noise import Noise


def positive(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + 0.1


def test_the_divergence_of_precisions():
    a, b = positive(50), positive(50, seed=1)
    expected = kl_divergence(Gamma(a, b), Gamma(torch.tensor(1.3).double(), torch.tensor(0.02).double()))
    torch.testing.assert_close(GammaPrecision(1.3, 0.02).divergence(a, b), expected, rtol=1e-6, atol=1e-6)
    assert abs(GammaPrecision(2.0, 0.5).divergence(torch.tensor(2.0), torch.tensor(0.5))) < 1e-6


def test_the_divergences_of_labels_and_shares():
    d = positive(3, 40)
    expected = kl_divergence(Dirichlet(d.T), Dirichlet(torch.ones(3).double()))
    torch.testing.assert_close(dirichlet_divergence(d), expected, rtol=1e-6, atol=1e-6)
    shares = positive(3, seed=2)
    shares = shares / shares.sum()
    omega = Dirichlet(d[:, 0]).sample((200_000,))
    log = (shares * (shares.log() - omega.log())).sum(1)
    error = 4 * log.std() / math.sqrt(len(log))
    assert abs(label_divergence(shares, d[:, 0]) - log.mean()) < error < 0.05


def test_the_likelihood_by_monte_carlo():
    torch.manual_seed(0)
    y, mean, variance, a, b = (torch.tensor(v).double() for v in (0.7, 0.4, 0.09, 2.5, 0.3))
    x = mean + variance.sqrt() * torch.randn(400_000).double()
    values = Normal(x, Gamma(a, b).sample((400_000,)).rsqrt()).log_prob(y) + 0.5 * math.log(2 * math.pi)
    error = 4 * values.std() / math.sqrt(len(values))
    assert abs(expected_log_likelihood(y, mean, variance, a, b) - values.mean()) < error < 0.03


def test_the_surrogate_is_x_with_the_score_as_its_slope():
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    denoised, variance = 0.3 * x.detach() + 1, positive(5)
    found = score_surrogate(x, denoised, variance)
    assert torch.equal(found, x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(slope, (denoised - x.detach()) / variance, rtol=1e-14, atol=0)


def slope_at(mean, *, y=0.8, tau2=0.5, m2=0.04, s2=0.1):
    """dL/dμ of one pixel under the prior N(0, τ²) and known noise, and its standard error."""
    model = ScoreDVI((lambda x: x * tau2 / (tau2 + m2),), weight=1.0)
    n = 20_000
    full = lambda value: torch.full((1, n, 1, 1), value, dtype=torch.float64)  # noqa: E731
    mu = full(mean).requires_grad_()
    certain = 1e8  # the precision is a/b, known
    q = Factors(mu, full(math.log(m2)), full(certain), full(certain * s2), full(1.0), full(1.0))
    noise = torch.randn(1, 1, n, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = model.loss(full(y)[0], q, 1.0, noise)
    (slope,) = torch.autograd.grad(loss.sum(), mu)
    return float(slope.mean()), float(slope.std()) / math.sqrt(n)


def test_the_fixed_point_is_that_of_the_prior_smoothed_by_the_variational_noise():
    y, tau2, m2, s2 = 0.8, 0.5, 0.04, 0.1
    slope, error = slope_at(y * (tau2 + m2) / (tau2 + m2 + s2))
    assert abs(slope) < 4 * error
    slope, error = slope_at(y * tau2 / (tau2 + s2))  # of the prior itself: not the fixed point
    assert abs(slope) > 20 * error


@pytest.mark.parametrize("std", [0.02, 0.1])
def test_the_noise_level_of_a_smooth_image(std):
    line = torch.linspace(0, 1, 128)
    smooth = (0.5 + 0.3 * torch.sin(2 * line + line[:, None])).expand(3, -1, -1)
    noisy = smooth + std * torch.randn(3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert blind_noise_level(noisy) == pytest.approx(std, rel=0.05)


def test_a_noisy_image_gets_better_and_the_same_again():
    line = torch.linspace(0, 1, 24)
    clean = (0.5 + 0.4 * torch.sin(5 * line + 3 * line[:, None]))[None]
    y = clean + 0.1 * torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(0))

    def smooth(x):  # the mean of 3×3 pixels
        return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (1,) * 4, mode="replicate"), 3, 1)

    model = ScoreDVI((smooth, smooth), steps=60, draws=1, width=8)
    state = torch.get_rng_state()
    found = model(y, generator=Noise(0))
    assert torch.equal(torch.get_rng_state(), state)
    assert (found.mean - clean).square().mean() < 0.6 * (y - clean).square().mean()
    assert found.shares.shape == (2, 1, 24, 24)
    torch.testing.assert_close(found.shares.sum(0), torch.ones(1, 24, 24))
    assert torch.equal(model(y, generator=Noise(0)).mean, found.mean)


def test_what_does_not_fit_is_refused():
    keep = lambda x: x  # noqa: E731
    with pytest.raises(InputError, match="no denoiser"):
        ScoreDVI(())
    with pytest.raises(InputError, match="weight is 0"):
        ScoreDVI((keep,), weight=0.0)
    with pytest.raises(InputError, match="steps is 0"):
        ScoreDVI((keep,), steps=0)
    with pytest.raises(InputError, match="a shape and a rate above 0"):
        GammaPrecision(1.0, 0.0)
    model = ScoreDVI((keep, lambda x: x[..., 1:]))
    with pytest.raises(InputError, match="denoiser 1 answers"):
        model(torch.rand(3, 16, 16))
    with pytest.raises(InputError, match="16×16"):
        model(torch.rand(3, 15, 40))
    with pytest.raises(InputError, match=r"scale it to \[0, 1\]"):
        model(torch.rand(3, 16, 16) * 255)
    with pytest.raises(InputError, match="NaN"):
        model(torch.full((1, 16, 16), math.nan))
