"""Bures-Wasserstein distance and map: commuting, singular and ill-conditioned covariances, pushed moments."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.noise import Noise
from girsanov.transport import gaussian_map, gaussian_plan, gaussian_w2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(dim, rank=None, seed=0):
    half = draw(dim, rank or dim, seed=seed)
    return half @ half.T / dim


def rotation(dim, seed=0):
    return torch.linalg.qr(draw(dim, dim, seed=seed)).Q


ZERO = torch.zeros(5, dtype=torch.float64)


def test_commuting_covariances_compare_by_their_standard_deviations():
    axes, a, b = rotation(5), torch.arange(5.0).double(), torch.tensor([3.0, 0.0, 1.0, 2.0, 0.5]).double()
    shift = draw(5)
    found = gaussian_w2(ZERO, axes * a**2 @ axes.T, shift, axes * b**2 @ axes.T)
    assert float(found) == pytest.approx(float(((a - b).square() + shift.square()).sum().sqrt()), rel=1e-12)


def test_one_dimension():
    one = torch.ones(1)
    assert float(gaussian_w2(one, 4 * one[None], 4 * one, 25 * one[None])) == pytest.approx((9 + 9) ** 0.5)


@pytest.mark.parametrize("rank", [0, 1, 3, 5])
def test_a_law_is_at_distance_zero_from_itself(rank):
    same = covariance(5, rank) if rank else torch.zeros(5, 5)
    assert float(gaussian_w2(ZERO, same, ZERO, same)) < 1e-14
    assert float(gaussian_w2(ZERO, same, ZERO, same + 1e-9 * torch.eye(5))) < 1e-4


@pytest.mark.parametrize("ranks", [(5, 5), (2, 5), (5, 2), (2, 2), (1, 4)])
def test_it_equals_the_trace_formula(ranks):
    a, b = covariance(5, ranks[0]), covariance(5, ranks[1], seed=1)
    # tr (a^1/2 b a^1/2)^1/2 is the sum of the roots of the eigenvalues of a b, from a general eigensolver
    cross = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    expected = (a.trace() + b.trace() - 2 * cross).sqrt()
    assert float(gaussian_w2(ZERO, a, ZERO, b)) == pytest.approx(float(expected), rel=1e-6)


def test_it_is_symmetric_and_moves_with_the_frame():
    a, b, axes = covariance(5), covariance(5, 2, seed=1), rotation(5)
    there = gaussian_w2(ZERO, a, ZERO, b)
    assert float(gaussian_w2(ZERO, b, ZERO, a)) == pytest.approx(float(there), rel=1e-12)
    turned = gaussian_w2(ZERO, axes @ a @ axes.T, ZERO, axes @ b @ axes.T)
    assert float(turned) == pytest.approx(float(there), rel=1e-12)
    assert float(gaussian_w2(ZERO, 9 * a, ZERO, 9 * b)) == pytest.approx(3 * float(there), rel=1e-12)


def test_between_orthogonal_lines_nothing_is_shared():
    a, b = torch.diag(torch.tensor([4.0, 0.0])), torch.diag(torch.tensor([0.0, 9.0]))
    zero = torch.zeros(2)
    assert float(gaussian_w2(zero, a, zero, b)) == pytest.approx(13**0.5)
    with pytest.raises(InputError, match="no map exists"):
        gaussian_map(zero, a, zero, b)


SOURCES = {
    "full": (covariance(5), covariance(5, seed=1)),
    "to a line": (covariance(5), covariance(5, 1, seed=1)),
    "to a point": (covariance(5), torch.zeros(5, 5)),
    "line to line": (covariance(5, 1), covariance(5, 1, seed=1)),
    "same plane": (covariance(5, 2), 4 * covariance(5, 2)),
    "ill-conditioned": (torch.logspace(-8, 2, 5).double().diag(), covariance(5)),
}


@pytest.mark.parametrize("case", SOURCES)
def test_the_map_pushes_the_moments_at_the_cost_of_the_distance(case):
    a, b = SOURCES[case]
    mean0, mean1 = draw(5), draw(5, seed=1)
    push = gaussian_map(mean0, a, mean1, b)
    pushed = push.matrix @ a.double() @ push.matrix.T
    torch.testing.assert_close(pushed, b.double(), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(push(mean0[None])[0], mean1)
    torch.testing.assert_close(push.matrix, push.matrix.T)
    assert float(torch.linalg.eigvalsh(push.matrix).min()) > -1e-9 * float(push.matrix.abs().max() + 1)
    # E|x - T x|² for the optimal map is the squared distance: a linear map that pushes b is not yet optimal
    stay = torch.eye(5).double() - push.matrix
    paid = (mean0 - mean1).square().sum() + (stay @ a.double() @ stay.T).trace()
    assert float(paid) == pytest.approx(float(gaussian_w2(mean0, a, mean1, b)) ** 2, rel=1e-7)


PLANS = {
    "line to space": (covariance(5, 1), covariance(5, seed=1)),
    "plane to space": (covariance(5, 2), covariance(5, 3, seed=1)),
    "lines apart": (torch.diag(torch.tensor([4.0, 0, 0, 0, 0])), torch.diag(torch.tensor([0, 9.0, 0, 0, 0]))),
    "from a point": (torch.zeros(5, 5), covariance(5)),
}


@pytest.mark.parametrize("case", PLANS)
def test_where_no_map_exists_noise_makes_up_for_it(case):
    a, b = (v.double() for v in PLANS[case])
    plan = gaussian_plan(draw(5), a, draw(5, seed=1), b)
    matrix, drawn = plan.map.matrix, plan.rest @ plan.rest.T
    torch.testing.assert_close(matrix @ a @ matrix.T + drawn, b, rtol=1e-8, atol=1e-10)
    # what is paid, E|x - T x - w|², is the squared distance
    stay = torch.eye(5) - matrix
    paid = (draw(5) - draw(5, seed=1)).square().sum() + (stay @ a @ stay.T).trace() + drawn.trace()
    found = gaussian_w2(draw(5), a, draw(5, seed=1), b)
    assert float(paid) == pytest.approx(float(found) ** 2, rel=1e-6)


def root(cov):
    values, vectors = torch.linalg.eigh(cov)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


@pytest.mark.parametrize("rank", [1, 3])
def test_the_plan_is_that_of_freirich(rank):
    """Theorem 3 there, as printed, for a target of full rank."""
    a, b = covariance(5, rank), covariance(5, seed=1)
    b_root = root(b)
    b_inverse, a_inverse, mix = (
        torch.linalg.inv(b_root),
        torch.linalg.pinv(a, rtol=1e-10),
        root(b_root @ a @ b_root),
    )
    back = b_inverse @ mix @ b_inverse
    drawn = b_root @ (torch.eye(5) - b_root @ back @ a_inverse @ back @ b_root) @ b_root
    plan = gaussian_plan(ZERO, a, ZERO, b)
    torch.testing.assert_close(plan.rest @ plan.rest.T, drawn, atol=1e-7, rtol=0)
    there = draw(20, 5) @ root(a)  # the maps agree where x is
    torch.testing.assert_close(
        plan.map(there), there @ (b_root @ mix @ b_inverse @ a_inverse).T, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("case", SOURCES)
def test_a_plan_that_needs_no_noise_is_the_map(case):
    a, b = SOURCES[case]
    plan = gaussian_plan(draw(5), a, draw(5, seed=1), b)
    assert plan.rest is None
    assert torch.equal(plan(draw(9, 5)), gaussian_map(draw(5), a, draw(5, seed=1), b)(draw(9, 5)))


def test_draws_of_a_plan_have_its_moments():
    a, b, n = covariance(5, 2), covariance(5, seed=1), 40_000
    plan = gaussian_plan(ZERO, a, draw(5), b)
    y = plan(draw(n, 5, seed=2) @ root(a), generator=Noise(0))
    error = torch.cov(y.T) - b
    spread = ((b.diag()[:, None] * b.diag() + b**2) / n).sqrt()  # of an entry of the covariance
    assert bool((error.abs() < 5 * spread).all())
    assert bool(((y.mean(0) - draw(5)).abs() < 5 * (b.diag() / n).sqrt()).all())
    x = draw(6, 3, 5).float()
    whole = plan(x, generator=Noise(1))
    torch.testing.assert_close(
        torch.cat([plan(x[:4], generator=Noise(1)), plan(x[4:], generator=Noise(1, 4))]), whole
    )
    assert whole.dtype == torch.float32


def test_it_is_the_map_of_pot():
    ot = pytest.importorskip("ot")
    a, b = SOURCES["full"]
    matrix, shift = ot.gaussian.bures_wasserstein_mapping(
        *(v.numpy() for v in (draw(5), draw(5, seed=1), a, b))
    )
    x = draw(7, 5, seed=3)
    found = gaussian_plan(draw(5), a, draw(5, seed=1), b)(x)
    torch.testing.assert_close(found, x @ torch.from_numpy(matrix) + torch.from_numpy(shift))


def test_another_map_with_the_right_moments_pays_more():
    a, b = SOURCES["full"]
    other = torch.linalg.cholesky(b) @ torch.linalg.inv(torch.linalg.cholesky(a))
    torch.testing.assert_close(other @ a @ other.T, b)
    stay = torch.eye(5) - other
    assert float((stay @ a @ stay.T).trace()) > 1.01 * float(gaussian_w2(ZERO, a, ZERO, b)) ** 2


def test_the_map_of_a_batch():
    push = gaussian_map(ZERO, covariance(5), ZERO, covariance(5, seed=1))
    x = draw(3, 7, 5)
    torch.testing.assert_close(push(x)[1, 2], push.matrix @ x[1, 2])
    assert push(x.float()).dtype == torch.float32
    with pytest.raises(InputError, match="last dimension must be 5"):
        push(draw(3, 4))


def test_covariances_off_by_rounding_pass():
    a = covariance(5, 2)
    nudged = a - 1e-12 * torch.eye(5)
    nudged[0, 1] += 1e-12
    assert float(gaussian_w2(ZERO, nudged, ZERO, a)) < 1e-5
    assert float(gaussian_w2(ZERO.float(), a.float(), ZERO, a)) < 1e-3


def test_bad_input_is_refused():
    eye = torch.eye(5)
    bad = {
        "eigenvalue -1": (ZERO, eye - 2 * torch.diag(torch.eye(5)[0]), ZERO, eye),
        "symmetric": (ZERO, eye + torch.ones(5, 5).triu(1), ZERO, eye),
        r"cov1 \(4, 4\)": (ZERO, eye, ZERO, torch.eye(4)),
        "mean0 has 5 dimensions and mean1 4": (ZERO, eye, torch.zeros(4), torch.eye(4)),
        r"mean0 has shape \(1, 5\)": (ZERO[None], eye, ZERO, eye),
        "mean1 holds 5 values": (ZERO, eye, ZERO + torch.nan, eye),
        "cov0 holds": (ZERO, eye * torch.inf, ZERO, eye),
        "not a real tensor": (ZERO, eye.tolist(), ZERO, eye),
        r"mean0 has shape \(0,\)": (torch.zeros(0), torch.zeros(0, 0), ZERO, eye),
    }
    for says, arguments in bad.items():
        for function in (gaussian_w2, gaussian_map, gaussian_plan):
            with pytest.raises(InputError, match=says):
                function(*arguments)
