"""The pairs, models and measures of the papers on restoration, and the baseline of `mrs`."""

import math

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers import restoration
from girsanov.papers.solvers import mrs
from girsanov.processes import VP, MeanReverting
from girsanov.solvers import ancestral, grid, sample


def test_the_blur_keeps_the_mean_and_spreads_by_its_width():
    x = torch.full((1, 1, 15, 15), -1.0)
    x[0, 0, 7, 7] = 0.0
    worse = restoration.degraded(x.expand(4000, -1, -1, -1), Noise(0))
    spread = worse.mean(0)[0] + 1
    assert spread.sum().item() == pytest.approx(1, abs=0.15)
    assert (worse - worse.mean(0)).std().item() == pytest.approx(restoration.NOISE, rel=0.01)
    at = torch.arange(15.0) - 7
    weights = torch.exp(-(at**2) / (2 * restoration.BLUR**2)) * (at.abs() <= 3)
    torch.testing.assert_close(spread[7] / spread[7].sum(), weights / weights.sum(), atol=0.03, rtol=0)


def test_pairs_differ_between_seeds_in_the_noise_only():
    a, b = restoration.pairs(0), restoration.pairs(1)
    assert torch.equal(a.x, b.x) and not torch.equal(a.fresh_worse, b.fresh_worse)
    assert (a.fresh_worse - b.fresh_worse).std().item() == pytest.approx(
        math.sqrt(2) * restoration.NOISE, rel=0.05
    )


def test_psnr_of_a_known_error():
    truth = torch.zeros(3, 1, 4, 4)
    assert restoration.psnr(truth + 0.2, truth) == pytest.approx(20)  # (2/0.2)² is 20 dB


def test_a_law_is_at_no_distance_from_itself():
    x = restoration.pairs(0).fresh
    assert restoration.feature_distance(x, x, 2) < 1e-6
    assert restoration.feature_distance(-x, x, 2) > 1e-3


@pytest.mark.parametrize("process", [MeanReverting(), VP()])
def test_models_are_told_the_degraded_digit(process):
    known = restoration.pairs(0)
    model = restoration.restorer(process, steps=60)
    told = "anchor" if process.end == "anchor" else "cond"
    right, wrong = known.fresh_worse[:60], known.fresh_worse[60:120]
    errors = [
        float(
            (sample(model, 60, **{told: w}, solver="ancestral", steps=20, seed=0) - known.fresh[:60])
            .square()
            .mean()
        )
        for w in (right, wrong)
    ]
    assert errors[0] < 0.75 * errors[1]


def test_with_a_hundred_nodes_nothing_is_skipped():
    process = MeanReverting()
    ours, authors = (make(process, grid("uniform", 100)) for make in (ancestral, mrs.one_hundredth))
    assert authors.calls == ours.calls
    for a, b in zip(ours.rows, authors.rows, strict=True):
        found = {term[:2]: term.coefficient for term in b.terms}
        assert found == pytest.approx({term[:2]: term.coefficient for term in a.terms}, abs=1e-9)
