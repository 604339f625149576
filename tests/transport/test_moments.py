"""Moments in parts are the moments of the whole."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.transport import RunningMoments

X = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("cuts", [(50,), (20, 30), (1, 48, 1), (17, 17, 16)])
def test_parts_add_up_to_the_whole(cuts):
    first, *others = (RunningMoments.of(part) for part in X.split(cuts))
    found = sum(others, start=first)
    assert found.count == 50
    torch.testing.assert_close(found.mean, X.mean(0))
    torch.testing.assert_close(found.covariance, torch.cov(X.T))


def test_far_from_zero_nothing_cancels():
    far = X + 1e7
    found = RunningMoments.of(far[:20]) + RunningMoments.of(far[20:])
    torch.testing.assert_close(found.covariance, torch.cov((far - 1e7).T), rtol=1e-6, atol=1e-8)
    naive = far.T @ far / 49 - 50 / 49 * torch.outer(far.mean(0), far.mean(0))
    assert float((naive - torch.cov(X.T)).abs().max()) > 1e-3  # as sums of squares it would be lost


def test_half_precision_is_summed_in_double():
    assert RunningMoments.of(X.half()).mean.dtype == torch.float64


def test_bad_input_is_refused():
    for says, call in {
        r"\(50,\)": lambda: RunningMoments.of(X[:, 0]),
        r"\(0, 4\)": lambda: RunningMoments.of(X[:0]),
        "NaN|nan|holds": lambda: RunningMoments.of(X * torch.nan),
        "one point": lambda: RunningMoments.of(X[:1]).covariance,
        "4 dimensions and those 3": lambda: RunningMoments.of(X) + RunningMoments.of(X[:, :3]),
    }.items():
        with pytest.raises(InputError, match=says):
            call()
