"""What PMRF is measured on: digits apart, degradations that lose what they say, claims from known numbers."""

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers import BUDGETS, Report
from girsanov.papers.inverse import pmrf


def test_nobody_is_trained_and_judged_on_the_same_digits():
    x, label, truth, fresh = pmrf.known()
    assert (len(x), len(label), len(truth), len(fresh)) == (4000, 4000, 300, 700)
    assert float(torch.cdist(truth.flatten(1), x.flatten(1)).min()) > 0
    assert float(torch.cdist(fresh.flatten(1), truth.flatten(1)).min()) > 0
    assert x.shape[1:] == pmrf.SHAPE and float(x.min()) == -1 and float(x.max()) <= 1


def test_degradations_keep_what_they_measure_and_no_more():
    x = pmrf.known().truth
    means, half = (pmrf.degraded(x, task, Noise(0)) for task in ("4×4 means", "half hidden"))
    block = means.reshape(-1, 4, 4, 4, 4).transpose(2, 3).flatten(3)
    torch.testing.assert_close(block, block[..., :1].expand_as(block))
    error = block[..., 0] - torch.nn.functional.avg_pool2d(x, 4)[:, 0]
    assert float(error.std()) == pytest.approx(0.1, rel=0.05)
    assert not half[..., 8:].any()
    assert float((half - x)[..., :8].std()) == pytest.approx(0.1, rel=0.05)
    assert float((pmrf.degraded(x, "noise", Noise(0)) - x).std()) == pytest.approx(1, rel=0.02)


def test_claims_follow_from_the_numbers():
    names = ("PMRF", "posterior", "from y", "estimate", "5 steps", "50 steps")
    error = dict(zip(names, (0.15, 0.2, 0.3, 0.1, 0.15, 0.15), strict=True))
    far = dict(zip(names, (1.0, 2.0, 1.5, 9.0, 1.2, 1.0), strict=True))
    worse = {**error, "PMRF": 0.25, "from y": 0.2}
    tasks = list(pmrf.TASKS)
    report = Report(pmrf.PAPER, BUDGETS["cpu"])
    pmrf.judged(report, 0, dict(zip(tasks, (error, error, worse), strict=True)), dict.fromkeys(tasks, far))
    found = {name: numbers[0][0] for name, numbers in report.numbers.items()}
    expected = {
        f"error, {tasks[0]}": 0.15,
        f"error, {tasks[1]}": 0.15,
        f"error, {tasks[2]}": 0.25,
        "as real": 0.5,
        "not from the degraded image": 2,
        "few steps": 1.2,
        "at most twice": 2.5,
        "never below": 1.5,
    }
    assert found == pytest.approx(expected)
