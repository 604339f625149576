"""What STSL is measured on: digits apart, calls that are counted, distances that vanish for exact draws, claims."""

import pytest
import torch

from girsanov.inverse import STSL
from girsanov.papers import BUDGETS, Report
from girsanov.papers.inverse import stsl


def test_nothing_is_tuned_on_what_is_judged():
    known = stsl.Latents(torch.arange(500.0)[:, None], None, None, None)
    rows = torch.cat([stsl.wide(seed, known, 32)[:, 0] for seed in (None, *BUDGETS["paper"].seeds)])
    assert len(rows.unique()) == len(rows) == 16 + 5 * 32


def test_psld_has_four_times_the_calls():
    ours, theirs = stsl.candidates(50, 5).values()
    assert len(ours) == len(theirs)
    assert {one.calls for one in ours} == {500} and {one.calls for one in theirs} == {2000}
    assert min(one.trace_scale for one in ours) > 0


def test_the_judged_half_is_hidden_by_the_operator_alone():
    x = torch.rand(1, *stsl.WIDE)
    seen = stsl.TASKS["half mask"].pinv(stsl.TASKS["half mask"](x))
    assert torch.equal(seen[:, :, :14], x[:, :, :14]) and float(seen[:, :, 14:].abs().max()) == 0


def test_exact_draws_are_near_and_none_goes_astray():
    known = stsl.truth(0, 3, 40)
    other = stsl.drawn(known, STSL(4, 1, 0.0, 0.0, eta=1.0), 0)  # which ignores the measurement
    near, far = stsl.distances(known, known.some), stsl.distances(known, other)
    assert len(near) == 3 and all(3 * a < b for a, b in zip(near, far, strict=True))
    assert stsl.astray(known, known.some) <= 0.02 and stsl.astray(known, other) > 0.5


@pytest.mark.parametrize("better", [True, False])
def test_claims_follow_from_the_numbers(monkeypatch, better):
    report = Report(stsl.PAPER, BUDGETS["cpu"])
    plain = [0.1, 0.2, 0.15, 0.12]
    other = [(0.97 if better else 1.03) * v - 1e-4 * i for i, v in enumerate(plain)]
    monkeypatch.setattr(stsl, "drawn", lambda known, one, seed: known.some + one.trace_scale)
    found = {0.3: other, 0.0: plain}
    monkeypatch.setattr(stsl, "distances", lambda known, x: found[round(float((x - known.some).mean()), 6)])
    stsl.second_order(report, 0, STSL(trace_scale=0.3), 4, 2)
    ours, theirs = report.numbers["the trace matters"][0]
    assert (ours, theirs) == pytest.approx((sum(other) / 4, sum(plain) / 4))
    assert (report.numbers["and not by chance"][0][0] < 0.05) == better
