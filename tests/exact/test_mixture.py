"""The oracles themselves, against automatic differentiation, importance weights and the flow."""

import math

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, TWO_SIDED, mixture, seeded

from girsanov import exact, processes
from girsanov.errors import InputError, Unsuitable


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_score_is_the_gradient_of_the_log_density(process, t):
    law = mixture()
    x = law.marginal(process, t).sample(20, generator=seeded(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(law.marginal(process, t).log_prob(x).sum(), x)
    torch.testing.assert_close(law.denoiser(process).score(x.detach(), t), gradient, rtol=1e-8, atol=1e-8)


def test_log_density_integrates_to_one():
    law = mixture(dim=1)
    grid = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    assert torch.trapezoid(law.log_prob(grid[:, None]).exp(), grid).item() == pytest.approx(1, abs=1e-9)


def test_draws_have_the_stated_moments():
    law, n = mixture(), 200_000
    x = law.sample(n, generator=seeded(1))
    spread = law.covariance.diagonal().sqrt()
    assert ((x.mean(0) - law.mean).abs() < 5 * spread / math.sqrt(n)).all()
    torch.testing.assert_close(torch.cov(x.T), law.covariance, atol=0.02, rtol=0.05)


def test_per_sample_times_agree_with_one_time():
    law, process = mixture(), processes.VP()
    x = torch.randn(3, 3, generator=seeded(2), dtype=torch.float64)
    t = torch.tensor([0.1, 0.5, 0.9])
    each = torch.stack([law.denoiser(process).data(x[i : i + 1], t[i].item())[0] for i in range(3)])
    torch.testing.assert_close(law.denoiser(process).data(x, t.double()), each, atol=1e-7, rtol=1e-7)


def test_posterior_by_importance_weights():
    law, n = mixture(dim=2), 400_000
    a, y, noise = torch.tensor([[1.0, -0.5]]), torch.tensor([0.3]), 0.4
    posterior = law.posterior(a, y, noise=noise)
    x = law.sample(n, generator=seeded(3))
    w = torch.softmax(-(((x @ a.double().T)[:, 0] - y) ** 2) / (2 * noise**2), 0)
    mean = w @ x
    size = 1 / w.square().sum()
    spread = posterior.covariance.diagonal().sqrt()
    assert ((mean - posterior.mean).abs() < 5 * spread / size.sqrt()).all()
    second = torch.einsum("n,ni,nj->ij", w, x - mean, x - mean)
    torch.testing.assert_close(second, posterior.covariance, atol=0.01, rtol=0.05)
    as_function = law.posterior(lambda v: v @ a.to(v.dtype).T, y, noise=noise)
    torch.testing.assert_close(as_function.means, posterior.means)


def test_a_noiseless_measurement_is_met_exactly():
    law, a, y = mixture(), torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0.7])
    x = law.posterior(a, y, noise=0.0).sample(50, generator=seeded(4))
    torch.testing.assert_close((x @ a.double().T)[:, 0], y.double().expand(50), atol=1e-6, rtol=0)


def test_labels_select_components():
    law = exact.GaussianMixture(torch.tensor([[-3.0], [3.0]]), 0.01, labels=torch.tensor([0, 1]))
    model = law.denoiser(processes.VP())
    x = torch.zeros(2, 1, dtype=torch.float64)
    answer = model.data(x, 1.0, cond=torch.tensor([0, 1]))
    torch.testing.assert_close(answer, torch.tensor([[-3.0], [3.0]]).double(), atol=1e-2, rtol=0)
    with pytest.raises(InputError, match="label"):
        model.data(x, 1.0, cond=torch.tensor([0, 7]))


def test_events_of_any_shape():
    law = exact.GaussianMixture(torch.zeros(2, 1, 3, 3), torch.tensor([0.5, 2.0]))
    assert law.sample(4, generator=seeded(0)).shape == (4, 1, 3, 3)
    assert law.denoiser(processes.VP()).noise(torch.zeros(4, 1, 3, 3), 0.5).shape == (4, 1, 3, 3)


def test_anchored_denoiser_sees_the_residual():
    bridge = ANCHORED["BrownianBridge"]
    law = mixture()
    x0, end = law.sample(6, generator=seeded(5)), law.sample(6, generator=seeded(6))
    x, _ = bridge.perturb(x0, 0.02, end=end, generator=seeded(7))
    nearly = law.denoiser(bridge).data(x, 1e-6, anchor=end)
    assert (nearly - x).abs().max() < 1e-2


@pytest.mark.parametrize("process", TWO_SIDED.values(), ids=TWO_SIDED)
def test_two_sided_velocity_transports_one_law_to_the_other(process):
    """Euler in small steps from x_1 to x_0: the second moments of x_0 appear."""
    here, there = mixture(dim=1, components=2), mixture(dim=1, components=2, seed=9)
    model = exact.MixtureInterpolant(here, there, process)
    n, steps = 4000, 400
    x = there.sample(n, generator=seeded(8))
    for i in range(steps):  # midpoint rule, which never asks for t = 0 or 1
        t = 1 - (i + 0.5) / steps
        x = x - model.velocity(x, t) / steps
    spread = here.covariance.item() ** 0.5
    assert abs(x.mean().item() - here.mean.item()) < 6 * spread / math.sqrt(n) + 0.01
    assert abs(x.std().item() - spread) < 6 * spread / math.sqrt(2 * n) + 0.02


@pytest.mark.parametrize("process", TWO_SIDED.values(), ids=TWO_SIDED)
def test_two_sided_answers_are_finite_at_the_ends(process):
    model = exact.MixtureInterpolant(mixture(dim=2), mixture(dim=2, seed=5), process)
    x = torch.ones(3, 2, dtype=torch.float64)
    for t in (0.0, 1.0):
        near = abs(t - 1e-7)
        for here, there in zip(model(x, t), model(x, near), strict=True):
            torch.testing.assert_close(here, there, atol=1e-2, rtol=1e-2)


def test_two_sided_noise_is_the_score():
    process = processes.StochasticInterpolant("linear", "brownian")
    here, there = mixture(dim=2), mixture(dim=2, seed=5)
    model, t = exact.MixtureInterpolant(here, there, process), 0.3
    pairs = [(i, j) for i in range(4) for j in range(4)]
    a, b, g = process.schedule.values(t)
    law = exact.GaussianMixture(
        torch.stack([a * here.means[i] + b * there.means[j] for i, j in pairs]),
        torch.stack(
            [a**2 * here.covariances[i] + b**2 * there.covariances[j] + g**2 * torch.eye(2) for i, j in pairs]
        ),
        torch.stack([here.weights[i] * there.weights[j] for i, j in pairs]),
    )
    x = law.sample(10, generator=seeded(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(law.log_prob(x).sum(), x)
    torch.testing.assert_close(model.score(x.detach(), t), gradient, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: exact.GaussianMixture(torch.zeros(2, 2), torch.eye(2).expand(3, 2, 2)), r"\(2, 2, 2\)"),
        (lambda: exact.GaussianMixture(torch.zeros(1, 2), -torch.eye(2)[None]), "eigenvalue"),
        (lambda: exact.GaussianMixture(torch.zeros(1, 2), torch.ones(2, 2).triu()[None]), "symmetric"),
        (lambda: exact.GaussianMixture(torch.zeros(1, 2), -1.0), "at least 0"),
        (lambda: exact.GaussianMixture(torch.full((1, 2), math.nan), 1.0), "NaN"),
        (lambda: exact.GaussianMixture(torch.zeros(2, 2), 1.0, [1.0, 0.0]), "positive"),
        (lambda: exact.GaussianMixture(torch.zeros(0, 2), 1.0), "means"),
        (lambda: mixture().posterior(torch.eye(3), torch.zeros(3), noise=-1.0), "noise"),
        (lambda: mixture().posterior(torch.eye(3), torch.zeros(2), noise=1.0), "3"),
        (lambda: mixture().posterior(torch.ones(2, 3), torch.zeros(2), noise=0.0), "singular"),
    ],
)
def test_bad_laws_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_singular_covariances_have_scores_but_no_density():
    flat = exact.GaussianMixture(torch.zeros(1, 2), torch.diag(torch.tensor([1.0, 0.0]))[None])
    assert torch.isfinite(flat.denoiser(processes.VP()).score(torch.zeros(1, 2), 0.1)).all()
    with pytest.raises(Unsuitable, match="singular"):
        flat.log_prob(torch.zeros(1, 2))
    with pytest.raises(Unsuitable, match="MixtureInterpolant"):
        flat.denoiser(processes.StochasticInterpolant())


def test_the_score_of_a_float32_state_is_exact_where_the_noise_is_small():
    """Converted from a float32 answer it is not: (α data - x)/γ² has lost its digits there."""
    law, process = exact.Gaussian(torch.tensor([4.0, 0.0]), 0.04), processes.VE()
    x, t = law.sample(50, generator=seeded(3)), process.t_min
    model = law.denoiser(process)
    expected = model.score(x.float().double(), t)
    torch.testing.assert_close(model.score(x.float(), t).double(), expected, rtol=1e-6, atol=1e-6)
    rounded = (model.data(x.float(), t) - x.float()) / process.gamma(t) ** 2
    assert float((rounded.double() - expected).abs().max()) > 1
