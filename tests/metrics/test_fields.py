"""Fields: linear ones in closed form, a mixture's own score, and what a gauge field leaves alone."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.exact import GaussianMixture
from girsanov.metrics import (
    add_gauge_field,
    circles,
    circulation,
    gauge_residual,
    helmholtz_projection,
    jacobian_asymmetry,
    line_integral,
    transport_error,
)
from girsanov.noise import Noise
from girsanov.processes import VP

LAW = GaussianMixture(torch.tensor([[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]]), torch.tensor([0.3, 0.5, 0.4]))
TURN = torch.tensor([[0.0, 2.0], [-2.0, 0.0]], dtype=torch.float64)


def score(x):
    with torch.enable_grad():
        here = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(LAW.log_prob(here).sum(), here, create_graph=x.requires_grad)[0]


def linear(matrix):
    return lambda x: (x.flatten(1) @ matrix.to(x).T).reshape(x.shape)


def points(n, *shape, seed=0):
    return Noise(seed).draw(torch.empty(n, *shape, dtype=torch.float64), 0)


def test_the_asymmetry_of_a_matrix():
    a = points(5, 5)
    wanted = float((a - a.T).norm() / (a + a.T).norm())
    found = jacobian_asymmetry(linear(a), points(3, 5, seed=1))
    torch.testing.assert_close(found, torch.full((3,), wanted, dtype=torch.float64))


def test_a_score_is_a_gradient():
    x = LAW.sample(50, generator=Noise(0))
    assert float(jacobian_asymmetry(score, x).max()) < 1e-6
    assert float(jacobian_asymmetry(add_gauge_field(score, TURN), x).min()) > 1e-2


def test_random_directions_are_unbiased():
    a = points(80, 80)
    pairs = jacobian_asymmetry(linear(a), points(200, 80, seed=1), projections=8, generator=Noise(2))
    wanted = float((a - a.T).norm() / (a + a.T).norm())
    assert float(pairs.mean()) == pytest.approx(wanted, abs=0.05)
    symmetric = jacobian_asymmetry(linear(a + a.T), points(4, 80, seed=1), projections=4)
    assert float(symmetric.max()) < 1e-12


def test_circulation_is_area_times_the_antisymmetric_part():
    a = torch.tensor([[1.0, 3.0], [-1.0, 0.5]], dtype=torch.float64)
    n, radius = 64, 0.7
    loop = circles(points(1, 2), radius, points=n, generator=Noise(1))
    area = n / 2 * math.sin(2 * math.pi / n) * radius**2
    assert abs(float(line_integral(linear(a), loop).work)) == pytest.approx(4 * area)


def test_circulation_of_a_score_is_the_quadrature_error():
    loops = circles(LAW.sample(20, generator=Noise(0)), 0.5, points=12, generator=Noise(1))
    errors = [float(circulation(score, loops, quadrature=q).max()) for q in (1, 3, 8)]
    assert errors[0] > 10 * errors[1] > 10 * errors[2]
    assert errors[2] < 1e-9
    assert float(circulation(add_gauge_field(score, TURN), loops).mean()) > 0.05


def test_work_is_the_difference_of_the_potentials():
    path = points(6, 4, 2)
    found = line_integral(score, path, quadrature=40)
    torch.testing.assert_close(
        found.work, LAW.log_prob(path[:, -1]) - LAW.log_prob(path[:, 0]), atol=1e-6, rtol=0
    )
    assert bool((found.work.abs() <= found.most).all())


def test_a_turned_score_is_free():
    x = LAW.sample(30, generator=Noise(0))
    turned = add_gauge_field(score, TURN)
    assert float(gauge_residual(lambda y: turned(y) - score(y), score, x).abs().max()) < 1e-9
    assert float(gauge_residual(lambda y: 0.1 * score(y), score, x).abs().max()) > 0.01


def test_random_directions_leave_the_residual_unbiased():
    a, x = points(70, 70), points(400, 70, seed=1)
    found = gauge_residual(linear(a), lambda y: -y, x, projections=1, generator=Noise(3))
    wanted = a.trace() - (linear(a)(x) * x).sum(1)
    spread = float((found - wanted).std()) / 20
    assert abs(float((found - wanted).mean())) < 3 * spread


def test_the_likelihood_does_not_see_a_gauge_field():
    # along dx/dt = r the log-density changes by ∇·r + r·∇log p = 0: a rotation of N(0, I) keeps it
    x = points(20, 2)
    flow = torch.linalg.matrix_exp(TURN)
    torch.testing.assert_close((x @ flow.T).square().sum(1), x.square().sum(1))
    assert float(gauge_residual(linear(TURN), lambda y: -y, x).abs().max()) < 1e-12


def test_projection_takes_the_gauge_field_away():
    # E⟨∇φ, r⟩ = 0 holds in the mean: what the projection finds of r is an error of the sample, with square ~ 1/N
    fresh, turned = LAW.sample(2000, generator=Noise(1)), add_gauge_field(score, TURN)
    energy, found = float(score(fresh).square().sum(1).mean()), []
    for n in (2000, 32_000):
        x = LAW.sample(n, generator=Noise(0))
        part = helmholtz_projection(lambda y: turned(y) - score(y), x, waves=64)
        found.append(float(part(fresh).square().sum(1).mean()) / (4 * energy))
    assert found[1] < 0.02 and found[0] / found[1] > 8
    whole = helmholtz_projection(score, x)
    assert float((whole(fresh) - score(fresh)).square().sum(1).mean()) < 0.02 * energy
    assert float(jacobian_asymmetry(whole, fresh[:20]).max()) < 1e-9


def test_projection_of_a_quadratic_is_exact():
    a = points(3, 3)
    x = points(500, 3, seed=1)
    part = helmholtz_projection(linear(a + a.T), x, waves=0, ridge=1e-12)
    torch.testing.assert_close(part.quadratic, a + a.T, atol=1e-8, rtol=0)
    step = points(500, 3, seed=2) * 1e-5
    torch.testing.assert_close(
        (part(x) * step).sum(1), (part.value(x + step) - part.value(x - step)) / 2, rtol=1e-4, atol=1e-9
    )


def test_transport_error_tells_the_harmful_part():
    x = LAW.sample(30_000, generator=Noise(0))
    free = transport_error(add_gauge_field(score, TURN), score, x, waves=64)
    harmful = transport_error(lambda y: 1.2 * score(y), score, x, waves=64)
    assert free.share < 0.02
    assert harmful.share > 0.95
    assert harmful.total == pytest.approx(0.04 * float(score(x[1::2]).square().sum(1).mean()))


def test_denoisers_are_fields():
    model = LAW.denoiser(VP())
    x = points(5, 2)
    assert float(jacobian_asymmetry(lambda y: model.score(y, 0.5), x).max()) < 1e-6


@pytest.mark.parametrize(
    "bad, says",
    [
        (lambda: jacobian_asymmetry(score, points(2, 65)), "projections=16"),
        (lambda: jacobian_asymmetry(score, points(2, 2), projections=1), "at least 2"),
        (lambda: jacobian_asymmetry(lambda x: x.detach(), points(2, 2)), "automatic differentiation"),
        (lambda: jacobian_asymmetry(lambda x: x[:, :1], points(2, 2)), "the shape of x"),
        (lambda: gauge_residual(score, score, points(2, 65)), "projections=16"),
        (lambda: circulation(score, points(2, 5, 2)), "not closed"),
        (lambda: circulation(score, points(2, 2, 2)), "3 edges"),
        (lambda: circles(points(2, 1), 1.0), "two dimensions"),
        (lambda: add_gauge_field(score, torch.eye(2)), "not antisymmetric"),
        (lambda: add_gauge_field(score, torch.zeros(3, 3))(points(2, 2)), "2 coordinates"),
        (lambda: helmholtz_projection(score, points(4, 2) / 0), "infinite"),
        (lambda: transport_error(score, score, points(8, 2)), "agree at every point"),
    ],
)
def test_refused(bad, says):
    with pytest.raises(InputError, match=says):
        bad()
