"""Loneliness among data, against a loop and against the definition."""

import pytest
import torch
from oracles import seeded

from girsanov.errors import InputError
from girsanov.metrics import average_knn, local_outlier_factor


def points(n, seed):
    return torch.randn(n, 2, 2, generator=seeded(seed), dtype=torch.float64)


def test_average_knn_is_a_loop_over_the_points():
    x, reference = points(7, 0), points(30, 1)
    for k in (1, 5, 30):
        expected = [sorted(float((a - r).norm()) for r in reference)[:k] for a in x]
        found = average_knn(x, reference, k)
        assert found.tolist() == pytest.approx([sum(row) / k for row in expected])


def test_the_local_outlier_factor_is_that_of_its_definition():
    """Breunig et al., definitions 5 to 7, with neighbours among the reference only."""
    x, reference, k = points(5, 2).flatten(1), points(40, 3).flatten(1), 4

    def neighbours(a, leave=None):
        d = (reference - a).norm(dim=1)
        if leave is not None:
            d[leave] = torch.inf
        return d.sort()

    reach = [float(neighbours(r, i).values[k - 1]) for i, r in enumerate(reference)]

    def density(a, leave=None):
        d, index = neighbours(a, leave)
        return k / sum(max(reach[int(j)], float(v)) for v, j in zip(d[:k], index[:k]))

    expected = []
    for a in x:
        near = neighbours(a).indices[:k].tolist()
        expected.append(sum(density(reference[j], j) for j in near) / k / density(a))
    assert local_outlier_factor(x, reference, k).tolist() == pytest.approx(expected)


def test_a_lonely_point_stands_out():
    reference = points(200, 4)
    x = torch.cat([torch.zeros(1, 2, 2).double(), torch.full((1, 2, 2), 5.0).double()])
    assert (
        float(local_outlier_factor(x, reference)[0]) < 1.5 < 3 < float(local_outlier_factor(x, reference)[1])
    )


@pytest.mark.parametrize("measure, most", [(average_knn, 10), (local_outlier_factor, 9)])
def test_k_is_checked(measure, most):
    for k in (0, most + 1):
        with pytest.raises(
            InputError, match=f"k is {k} for 10 reference points; give a number from 1 to {most}"
        ):
            measure(points(3, 0), points(10, 1), k)
