"""What RED-diff is measured on: digits apart, half of the pixels hidden, claims from known numbers."""

import pytest
import torch

from girsanov.inverse import DDRM, DPS, REDDiff
from girsanov.papers import BUDGETS, Report
from girsanov.papers.inverse import red_diff


def test_exact_draws_spread_as_the_posterior():
    class Exact:
        joint, calls = False, 0

        def __call__(self, model, x, measurement, *, cond=None, generator=None):
            laws = red_diff.truths(measurement[slice(0, None, measurement.draws)])
            return torch.cat([law.sample(measurement.draws) for law in laws]).to(x)

    for task in red_diff.TASKS:
        assert red_diff.spread(task, 0, Exact(), 256) == pytest.approx(1, abs=0.05)


def test_claims_follow_from_the_numbers():
    report = Report(red_diff.PAPER, BUDGETS["cpu"])
    found = {
        "RED-diff": 20.0,
        "DPS": 18.0,
        "ΠGDM": 19.0,
        "DDRM": 18.5,
        "DDRM, published": 17.0,
        "equal weights": 19.5,
    }
    for task in red_diff.TASKS:
        red_diff.judged(report, task, 0, found)
    numbers = {name: pair[0] for name, pair in report.numbers.items()}
    assert numbers == {
        "above the samplers, half hidden": (20.0, 19.0),
        "above the samplers, 2×2 means": (20.0, 19.0),
        "above DDRM, half hidden": (20.0, 17.0),
        "above DDRM, 2×2 means": (20.0, 17.0),
        "weighting matters": (20.0, 19.5),
    }


def test_choices_are_told():
    assert red_diff.words(REDDiff(weight=0.1, lr=0.5)) == "λ = 0.1, step 0.5"
    assert red_diff.words(DPS(scale=0.8, eta=0.0)) == "scale 0.8, η = 0"
    assert red_diff.words(DDRM(eta=0.95)) == "η = 0.95"
