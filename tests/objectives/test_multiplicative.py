"""Score matching with multiplicative noise: minimizers, identities, gradients."""

import math

import pytest
import torch

from girsanov import objectives, processes
from girsanov.errors import InputError
from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.objectives import multiplicative_dsm, nonnegative_score_matching


def log_normal(n=20_000, mean=0.3, std=0.6):
    z = Noise(0).draw(torch.empty(n, 1, dtype=torch.float64), 0)
    return ((mean + std * z).exp(), (mean + std * z))


def minimizer(loss, features, x, **options):
    """The coefficients w of ψ = features(x) @ w at which a loss that is quadratic in them is least."""
    w = torch.zeros(len(features), dtype=torch.float64, requires_grad=True)

    def total(w):
        return loss(lambda x: sum(c * f(x) for c, f in zip(w, features, strict=True)), x, **options).mean()

    gradient = torch.autograd.functional.jacobian(total, w)
    return torch.linalg.solve(torch.autograd.functional.hessian(total, w), -gradient)


LOG_NORMAL = (lambda x: -x.log() / x, lambda x: 1 / x)
"""ψ = -(log x - μ)/(v x) - 1/x, in the order 1/v, μ/v - 1."""


def test_nonnegative_score_matching_finds_the_moments_of_the_log():
    """Stationarity in closed form: 1/v with the sample variance of log x, μ the sample mean."""
    x, u = log_normal()
    a, b = minimizer(nonnegative_score_matching(), LOG_NORMAL, x)
    v = u.var(correction=0)
    assert float(a) == pytest.approx(float(1 / v), rel=1e-9)
    assert float(b) == pytest.approx(float(u.mean() / v - 1), rel=1e-9)


def test_multiplicative_dsm_finds_the_law_with_its_noise():
    """V is added to the variance of the log; the rest within five standard errors."""
    x, u = log_normal(200_000)
    noise = 0.25
    a, b = minimizer(multiplicative_dsm(noise), LOG_NORMAL, x, generator=Noise(1))
    v = float(u.var()) + noise
    error = 5 / math.sqrt(noise * v * len(x))  # of a regression of z/√V on the log
    assert abs(float(a) - 1 / v) < error and abs(float(b) - (float(u.mean()) / v - 1)) < error


def test_pairs_keep_the_gradient_and_cut_its_variance():
    """By hand: the mean of the losses at z and -z. At V = 0.01 minimizers spread far less."""
    x, _ = log_normal(1000)
    plain, pairs = multiplicative_dsm(0.01), multiplicative_dsm(0.01, antithetic=True)
    z = Noise(7).draw(x, 0)

    def by_hand(z):
        noisy = x * (0.1 * z).exp()
        return (0.1 * (noisy * noisy.cos() + 1) + z).square().mean(1) / 2

    torch.testing.assert_close(plain(torch.cos, x, generator=Noise(7)), by_hand(z))
    torch.testing.assert_close(pairs(torch.cos, x, generator=Noise(7)), (by_hand(z) + by_hand(-z)) / 2)
    spread = [
        torch.stack([minimizer(loss, LOG_NORMAL, x, generator=Noise(k)) for k in range(8)]).std(0).norm()
        for loss in (plain, pairs)
    ]
    assert spread[1] < spread[0] / 3


def test_the_nonnegative_loss_is_that_of_hyvarinen_written_out():
    x = log_normal(50)[0].repeat(1, 2) * torch.tensor([1.0, 0.5], dtype=torch.float64)

    def score(x):
        return torch.stack([2 / x[:, 0] - x[:, 1], -x[:, 1] * x[:, 0]], 1)

    diagonal = torch.stack([-2 / x[:, 0] ** 2, -x[:, 0]], 1)
    psi = score(x)
    wanted = (2 * x * psi + x**2 * diagonal + (x * psi) ** 2 / 2).mean(1)
    torch.testing.assert_close(nonnegative_score_matching()(score, x), wanted)


@pytest.mark.parametrize("objective", [nonnegative_score_matching(), multiplicative_dsm(0.1)])
def test_gradients_match_finite_differences(objective):
    x = log_normal(20)[0]

    def total(w):
        def score(x):
            return w[0] * (w[1] * x).tanh() / x + w[2] / x

        return objective(score, x, generator=Noise(0)).mean()

    w = torch.tensor([0.7, -0.4, 1.1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(total, (w,))


def test_on_a_geometric_process_it_is_score_matching_of_the_noise():
    """V |h + 1 + z/√V|² is the squared error of the noise, at the times and noise that the objective draws."""
    process = processes.Geometric()
    model = Gaussian(torch.tensor([0.3]), 0.36).denoiser(process)
    x = log_normal(30)[0]
    found = objectives.score_matching("noise", times=lambda u, p, s: 0 * u + 0.6)(
        model, x, generator=Noise(4)
    )
    v = process.gamma(0.6) ** 2
    ours = multiplicative_dsm(v)(lambda x: (model.score(x.log(), 0.6) - 1) / x, x, generator=Noise(4))
    torch.testing.assert_close(2 * ours, found)


def test_data_below_zero_are_refused():
    for objective in (nonnegative_score_matching(), multiplicative_dsm(0.1)):
        with pytest.raises(InputError, match="above 0"):
            objective(lambda x: x, torch.tensor([[1.0], [0.0]]), generator=Noise(0))
    with pytest.raises(InputError, match="variance"):
        multiplicative_dsm(0.0)
