"""Generalized Gaussian laws against scipy, caps against data of known law, variances of linear restorers."""

import math

import pytest
import torch
from scipy.stats import gennorm
from torch import nn

from girsanov.errors import InputError, Unsuitable
from girsanov.inverse import (
    BayesCap,
    InputPerturbation,
    MCDropout,
    TestTimeAugmentation,
    bayescap,
    generalized_gaussian_nll,
    generalized_gaussian_variance,
)
from girsanov.networks import CapNetwork
from girsanov.noise import Noise, uniform
from girsanov.training import Training, fit

E, A, B = (
    torch.tensor(v, dtype=torch.float64)
    for v in ([0.0, 0.3, -1.2, 2.0], [0.5, 1.0, 2.0, 0.7], [0.6, 1.0, 2.0, 3.5])
)


def test_likelihood_and_variance_are_scipys():
    law = gennorm(B.numpy(), scale=A.numpy())
    torch.testing.assert_close(generalized_gaussian_nll(E, A, B), -torch.from_numpy(law.logpdf(E.numpy())))
    torch.testing.assert_close(generalized_gaussian_variance(A, B), torch.from_numpy(law.var()))


def test_gauss_and_laplace_are_members():
    for beta, variance in ((2.0, A**2 / 2), (1.0, 2 * A**2)):
        torch.testing.assert_close(generalized_gaussian_variance(A, torch.full_like(A, beta)), variance)
    gauss = 0.5 * E**2 / (A**2 / 2) + 0.5 * (math.pi * A**2).log()
    torch.testing.assert_close(generalized_gaussian_nll(E, A, torch.full_like(A, 2.0)), gauss)


def test_gradients_of_the_likelihood():
    inputs = [v[1:].clone().requires_grad_() for v in (E, A, B)]
    assert torch.autograd.gradcheck(generalized_gaussian_nll, inputs)


def settings(lr=1e-2):
    return Training(batch_size=64, lr=lr, warmup=0, ema=0.0, clip=None, validation=0, seed=0, progress=False)


class Quadratic(nn.Module):
    """Channels linear in an answer and its square, pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.heads = nn.Conv2d(2, 3, 1)

    def forward(self, x):
        return self.heads(torch.cat([x, x**2], 1))


def test_a_cap_recovers_the_law_of_the_error():
    """y = ŷ + gennorm noise of β = 1.4 and 1/α = softplus(2 − 2 ŷ²), a law that the heads can express."""
    x = Noise(0).draw(torch.empty(1000, 1, 8, 8), 0, uniform) * 2 - 1
    unit = gennorm(1.4).rvs(size=tuple(x.shape), random_state=1)
    y = x + torch.from_numpy(unit).float() / nn.functional.softplus(2 - 2 * x**2)
    torch.manual_seed(0)
    cap = BayesCap(nn.Identity(), Quadratic())
    fit(cap, bayescap(likelihood=1.0), y, cond=x, steps=500, config=settings(5e-2))
    held = torch.linspace(-0.9, 0.9, 19).reshape(1, 1, 1, 19)
    mean, scale, shape = cap(held)
    alpha, beta = 1 / nn.functional.softplus(2 - 2 * held**2), torch.full_like(held, 1.4)
    assert (mean - held).abs().max() < 0.05
    torch.testing.assert_close(scale, alpha, rtol=0.1, atol=0)
    torch.testing.assert_close(shape, beta, rtol=0.1, atol=0)
    spread = generalized_gaussian_variance(alpha, beta)
    torch.testing.assert_close(cap.estimate(held).variance, spread, rtol=0.1, atol=0)


def test_without_the_likelihood_a_cap_learns_the_identity():
    x = Noise(0).draw(torch.empty(64, 1, 8, 8), 0)
    torch.manual_seed(0)
    cap = BayesCap(nn.Identity(), Quadratic())
    before = float((cap(x)[0] - x).detach().abs().mean())
    fit(cap, bayescap(likelihood=0.0), x + 5, cond=x, steps=300, config=settings())
    assert before > 0.1 and float((cap(x)[0] - x).detach().abs().mean()) < 0.02


def test_a_fresh_cap_is_the_identity_and_gaussian_and_serves_the_restorer():
    x = Noise(0).draw(torch.empty(2, 2, 6, 6), 0)
    double = nn.Conv2d(2, 2, 1).requires_grad_(False)
    cap = BayesCap(double, CapNetwork(2, scale=0.05))
    mean, scale, shape = cap(x)
    assert torch.equal(mean, x)
    torch.testing.assert_close(scale, torch.full_like(x, 0.05), rtol=1e-5, atol=0)
    torch.testing.assert_close(shape, torch.full_like(x, 2.01))
    assert torch.equal(cap.estimate(x).prediction, double(x))


@pytest.mark.parametrize("factor", [0.3, 4.0])
def test_recalibration_undoes_a_wrong_scale(factor):
    """The likeliest Gaussian scale is the root mean square of the error."""
    x = Noise(0).draw(torch.empty(200, 1, 8, 8), 0)
    error = factor * Noise(1).draw(x, 0)
    cap = BayesCap(nn.Identity(), CapNetwork(1))
    with torch.no_grad():
        cap.network.head.bias[2] = math.log(math.expm1(1.99))  # β = 2
    cap.recalibrate(x, x + error)
    found = cap.estimate(x).variance
    torch.testing.assert_close(found, error.square().mean().expand_as(found), rtol=1e-4, atol=0)
    assert cap.recalibrate(x, x + error) == pytest.approx(1, abs=1e-5)


def test_the_restorer_stays_in_evaluation_mode():
    cap = BayesCap(nn.Sequential(nn.Dropout(0.5)), CapNetwork(1)).train()
    assert cap.training and cap.network.training and not cap.restorer.training


class Gain(nn.Module):
    """Pixels times an image of weights; it does not commute with symmetries unless the weights do."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, x):
        return self.weights * x


def test_augmentation_sees_what_breaks_the_symmetry():
    x = torch.ones(2, 1, 4, 4)
    assert TestTimeAugmentation(Gain(torch.full((4, 4), 2.0))).estimate(x).variance.abs().max() == 0
    weights = torch.arange(16.0).reshape(4, 4)
    orbit = torch.stack([torch.rot90(w, k) for w in (weights, weights.flip(1)) for k in range(4)])
    found = TestTimeAugmentation(Gain(weights)).estimate(x)
    torch.testing.assert_close(found.variance[0, 0], orbit.var(0))
    assert torch.equal(found.prediction, weights * x)


def test_augmentation_undoes_what_it_does():
    """A convolution with a symmetric kernel commutes with all eight, on images without symmetry."""
    net = nn.Conv2d(1, 1, 3, padding=1, bias=False).requires_grad_(False)
    net.weight.data = torch.tensor([[1.0, 2, 1], [2, 5, 2], [1, 2, 1]]).reshape(1, 1, 3, 3)
    for shape in ((2, 1, 5, 5), (2, 1, 4, 6)):
        x = Noise(0).draw(torch.empty(*shape), 0)
        assert TestTimeAugmentation(net).estimate(x).variance.max() < 1e-9


def test_noise_on_the_input_of_a_linear_restorer():
    weights = torch.tensor([0.5, 1.0, 3.0])
    x = torch.zeros(50, 3, dtype=torch.float64)
    found = InputPerturbation(Gain(weights), 0.2, n=200).estimate(x, generator=Noise(0))
    torch.testing.assert_close(
        found.variance.mean(0), (0.2 * weights.double()) ** 2, rtol=4 * math.sqrt(2 / 1e4), atol=0
    )
    assert torch.equal(found.prediction, x)


def test_dropout_of_the_input():
    """x times 0 or 1/(1 − p): the variance is x² p/(1 − p)."""
    net, x = nn.Sequential(nn.Dropout(0.1)).eval(), torch.full((20_000, 1), 3.0)
    state = torch.get_rng_state()
    for rate in (None, 0.3):
        p = rate or 0.1
        found = MCDropout(net, rate, n=20).estimate(x, generator=Noise(0))
        assert float(found.variance.mean()) == pytest.approx(9 * p / (1 - p), rel=0.03)
        assert torch.equal(
            found.variance, MCDropout(net, rate, n=20).estimate(x, generator=Noise(0)).variance
        )
        assert torch.equal(found.prediction, x)
    assert torch.equal(state, torch.get_rng_state()) and net[0].p == 0.1 and not net[0].training


CAP, ONE = BayesCap(nn.Identity(), CapNetwork(1)), torch.zeros(2, 1, 4, 4)


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: BayesCap(nn.Conv2d(1, 1, 1), CapNetwork(1)), "frozen"),
        (lambda: bayescap()(CAP, ONE, cond=ONE[:, :, :3]), "give equal shapes"),
        (lambda: bayescap()(CAP, ONE * torch.nan, cond=ONE), "NaN"),
        (lambda: bayescap()(CAP, ONE), "cond="),
        (lambda: bayescap(likelihood=-1.0), "likelihood is -1"),
        (lambda: BayesCap(nn.Identity(), nn.Identity())(ONE), "must answer"),
        (lambda: CAP.recalibrate(ONE, ONE[:1]), "give equal shapes"),
        (lambda: CapNetwork(1)(ONE[0]), "takes"),
        (lambda: CapNetwork(1, scale=0.0), "scale is 0"),
        (lambda: generalized_gaussian_nll(E, -A, B), "scale is not above 0"),
        (lambda: generalized_gaussian_variance(A, 0 * B), "shape is not above 0"),
        (lambda: TestTimeAugmentation(nn.Identity()).estimate(E), "images"),
        (lambda: InputPerturbation(nn.Identity(), 0.0), "std is 0"),
        (lambda: InputPerturbation(nn.Identity(), 1.0, n=1), "n is 1"),
        (lambda: MCDropout(nn.Identity()), "no dropout layers"),
        (lambda: MCDropout(nn.Dropout(0.1), 1.5), "rate is 1.5"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_other_models_are_refused():
    with pytest.raises(Unsuitable, match="trains a BayesCap"):
        bayescap()(nn.Identity(), ONE, cond=ONE)
