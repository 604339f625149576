"""Measures of uncertainty on errors whose law is known."""

import math

import pytest
import torch
from scipy.stats import pearsonr

from girsanov.errors import InputError
from girsanov.metrics import auroc, correlation, coverage, uncertainty_calibration_error
from girsanov.noise import Noise, uniform

N = 200_000
VARIANCE = Noise(0).draw(torch.empty(N, 1, dtype=torch.float64), 0, uniform)[:, 0] + 0.5
ERROR = VARIANCE.sqrt() * Noise(1).draw(torch.empty(N, 1, dtype=torch.float64), 0)[:, 0]


def test_a_right_variance_has_a_calibration_error_of_sampling_only():
    """In each of 100 bins of n elements the mean square differs by √(2/n)·σ²; its mean size is √(2/π) of that."""
    expected = math.sqrt(2 / math.pi) * math.sqrt(2 / (N / 100))
    found = float(uncertainty_calibration_error(ERROR, VARIANCE))
    assert found == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize("factor", [0.5, 1.7])
def test_a_scaled_variance_is_off_by_its_excess(factor):
    found = float(uncertainty_calibration_error(ERROR, factor * VARIANCE))
    assert found == pytest.approx(abs(1 - factor), rel=0.02)  # the mean variance is 1


def test_right_on_the_average_is_not_right():
    """A constant variance of 1 has no error; the true variances handed to the wrong elements have one."""
    assert float(uncertainty_calibration_error(ERROR, torch.ones_like(ERROR))) < 0.01
    assert float(uncertainty_calibration_error(ERROR, 2 - VARIANCE)) == pytest.approx(0.5, rel=0.02)


def test_bins_by_hand():
    variance = torch.tensor([0.0, 0.1, 0.9, 1.0])
    error = torch.tensor([1.0, 0.0, 2.0, 1.0])
    by_hand = (abs(1 + 0 - 0.1) + abs(4 + 1 - 1.9)) / 4
    assert float(uncertainty_calibration_error(error, variance, bins=2)) == pytest.approx(by_hand)


def test_coverage_counts_what_lies_inside():
    half = 1.6448536269514722 * VARIANCE.sqrt()
    assert float(coverage(-half, half, ERROR)) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / N))
    low, high = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0])
    assert float(coverage(low, high, torch.tensor([1.0, -0.1, 0.5]))) == pytest.approx(2 / 3)


def test_correlation_is_pearsons():
    x, y = ERROR[:50].reshape(5, 10), (ERROR[:50] + VARIANCE[:50]).reshape(5, 10)
    assert float(correlation(x, y)) == pytest.approx(pearsonr(x.flatten(), y.flatten()).statistic)


def test_auroc_is_the_share_of_pairs_in_order():
    usual, strange = torch.tensor([0.1, 0.4, 0.4, 0.7]), torch.tensor([0.4, 0.9, 0.2])
    pairs = [(b > a) + (b == a) / 2 for a in usual.tolist() for b in strange.tolist()]
    assert auroc(usual, strange) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: uncertainty_calibration_error(ERROR, VARIANCE[:5]), "one shape"),
        (lambda: uncertainty_calibration_error(ERROR, -VARIANCE), "at least 0"),
        (lambda: uncertainty_calibration_error(ERROR, VARIANCE, bins=0), "bins is 0"),
        (lambda: uncertainty_calibration_error(ERROR * torch.nan, VARIANCE), "NaN"),
        (lambda: coverage(VARIANCE, -VARIANCE, ERROR), "swap"),
        (lambda: correlation(torch.ones(4), ERROR[:4]), "one value"),
        (lambda: auroc(torch.ones(2, 2), torch.ones(2)), "one score a case"),
    ],
)
def test_bad_input_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()
