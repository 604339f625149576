"""Copies, holes and the Fréchet distance: loops over the points, known sets, closed forms."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.metrics import frechet_distance, nearest_distance, nearest_train_ratio, precision_recall
from girsanov.transport import gaussian_w2


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nearest_distance_is_that_of_a_loop():
    x, reference = draw(20, 1, 3), draw(30, 1, 3, seed=1)
    expected = [min(float((a - b).norm()) for b in reference) for a in x]
    assert nearest_distance(x, reference).tolist() == pytest.approx(expected)
    assert (nearest_distance(reference[:7], reference) == 0).all()
    assert nearest_distance(reference[:7].float() / 3, reference.float() / 3).max() == 0


def test_the_ratio_is_one_for_new_draws_and_zero_for_copies():
    sets = [[draw(100, 3, seed=3 * k + j) for j in range(3)] for k in range(200)]
    logs = torch.tensor([nearest_train_ratio(*three) for three in sets]).log()
    assert abs(float(logs.mean())) < 4 * float(logs.std()) / 200**0.5  # the two are exchangeable: mean 0
    train, heldout = draw(800, 3), draw(800, 3, seed=1)
    assert nearest_train_ratio(train[:100], train, heldout) == 0.0
    assert nearest_train_ratio(train + 0.01 * draw(800, 3, seed=3), train, heldout) < 0.2
    # scattered copies in one dimension: halving the jitter halves the distance
    near, nearer = (nearest_train_ratio(train + s, train, heldout) for s in (1e-4, 5e-5))
    assert near == pytest.approx(2 * nearer, rel=1e-6)


def test_the_ratio_refuses_heldout_data_that_are_not_held_out():
    train = draw(20, 2)
    with pytest.raises(InputError, match="also in train"):
        nearest_train_ratio(draw(5, 2, seed=1), train, train[:10])
    with pytest.raises(InputError, match="heldout has 0 samples"):
        nearest_train_ratio(train, train, train[:0])


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_those_of_a_loop(k):
    x, y = draw(25, 2), 0.5 * draw(18, 2, seed=1) + 0.5

    def share(points, centres):
        radius = [sorted(float((c - d).norm()) for d in centres)[k] for c in centres]
        inside = [
            any(float((p - c).norm()) <= r for c, r in zip(centres, radius, strict=True)) for p in points
        ]
        return sum(inside) / len(points)

    found = precision_recall(x, y, k)
    assert (found.precision, found.recall) == (share(x, y), share(y, x))
    assert 0 < found.precision < 1


def test_a_lost_mode_costs_recall_and_a_strange_one_precision():
    left, right = draw(200, 2), draw(200, 2, seed=1) + 50
    both = torch.cat([left, right])
    lost = precision_recall(draw(200, 2, seed=2), both)
    assert lost.precision > 0.9 and lost.recall == pytest.approx(0.5, abs=0.05)
    strange = precision_recall(torch.cat([draw(200, 2, seed=2), draw(200, 2, seed=3) - 50]), left)
    assert strange.precision == pytest.approx(0.5, abs=0.05) and strange.recall > 0.9
    same = precision_recall(left, left)
    assert (same.precision, same.recall) == (1.0, 1.0)
    apart = precision_recall(left, right)
    assert (apart.precision, apart.recall) == (0.0, 0.0)


def test_repeated_points_hold_their_copies():
    assert precision_recall(torch.ones(5, 2), torch.ones(8, 2)).precision == 1.0  # balls of radius 0


def test_k_must_leave_a_neighbour():
    for k in (0, 5):
        with pytest.raises(InputError, match=f"k is {k} .* from 1 to 4"):
            precision_recall(draw(5, 2), draw(9, 2), k=k)


def test_frechet_distance_of_samples_with_exact_moments():
    """Whitened samples have the wanted mean and covariance exactly, so the closed form holds exactly."""
    x = draw(50, 3)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    spread, shift = torch.tensor([2.0, 0.5, 3.0]), torch.tensor([1.0, 0.0, -2.0])
    expected = float((spread - 1).square().sum() + shift.square().sum())
    assert float(frechet_distance(x, x * spread + shift)) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_is_the_squared_gaussian_distance_and_has_its_known_bias():
    x, y = draw(500, 4), 2 * draw(400, 4, seed=1) + 1
    moments = [m for s in (x, y) for m in (s.mean(0), torch.cov(s.T))]
    assert float(frechet_distance(x, y)) == pytest.approx(float(gaussian_w2(*moments)) ** 2, rel=1e-10)
    null = [
        float(frechet_distance(draw(100, 4, seed=2 * k), draw(100, 4, seed=2 * k + 1))) for k in range(50)
    ]
    assert sum(null) / 50 > (1 / 100 + 1 / 100) * 4  # the means alone


def test_frechet_distance_with_fewer_samples_than_dimensions():
    x = draw(5, 30)
    assert float(frechet_distance(x, x.flip(0))) < 1e-20
    assert float(frechet_distance(x, 3 * x)) == pytest.approx(
        float(4 * (x.mean(0).square().sum() + torch.cov(x.T).trace())), rel=1e-9
    )
    with pytest.raises(InputError, match="at least 2"):
        frechet_distance(x[:1], x)
