"""The filter, by hand."""

import pytest
import torch

from girsanov.errors import InputError
from girsanov.guidance import reject_high_variance

VARIANCE = torch.tensor([0.3, 0.1, 0.9, 0.2])


def test_the_least_variance_is_kept():
    assert reject_high_variance(VARIANCE, keep=0.5).tolist() == [False, True, False, True]
    assert reject_high_variance(VARIANCE, keep=1e-9).sum() == 1
    assert reject_high_variance(VARIANCE, threshold=0.3).tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    "options", [{}, {"keep": 0.0}, {"keep": 1.5}, {"threshold": -1.0}, {"keep": 0.5, "threshold": 1.0}]
)
def test_refused(options):
    with pytest.raises(InputError):
        reject_high_variance(VARIANCE, **options)
