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


def test_exact_draws_are_near_and_others_far():
    near = stsl.far(0, None, 3, 40)
    other = stsl.far(0, STSL(4, 1, 0.0, 0.0, eta=1.0), 3, 40)  # which ignores the measurement
    assert len(near) == 3 and all(3 * a < b for a, b in zip(near, other, strict=True))


@pytest.mark.parametrize("better", [True, False])
def test_claims_follow_from_the_numbers(monkeypatch, better):
    report = Report(stsl.PAPER, BUDGETS["cpu"])
    plain = [0.1, 0.2, 0.15, 0.12]
    other = [(0.97 if better else 1.03) * v - 1e-4 * i for i, v in enumerate(plain)]
    found = {0.0: plain, 0.3: other}
    monkeypatch.setattr(stsl, "far", lambda seed, one, *sizes: found[one.trace_scale] if one else [0.03])
    stsl.second_order(report, 0, STSL(trace_scale=0.3), 4, 8)
    ours, theirs = report.numbers["the trace matters"][0]
    assert (ours, theirs) == pytest.approx((sum(other) / 4, sum(plain) / 4))
    assert (report.numbers["and not by chance"][0][0] < 0.05) == better
