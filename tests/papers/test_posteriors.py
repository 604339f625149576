"""What papers on posterior samplers share: digits apart, half of the pixels hidden, time that is spent."""

import torch

from girsanov.inverse import DPS
from girsanov.papers import BUDGETS, posteriors


def test_nothing_is_tuned_on_what_is_judged():
    rows = torch.cat([posteriors.held_out(seed, 32) for seed in (None, *BUDGETS["paper"].seeds)])
    assert len(rows) == 8 + 5 * 32
    assert float((torch.cdist(rows.flatten(1), rows.flatten(1)) + 9 * torch.eye(len(rows))).min()) > 0


def test_half_of_the_pixels_is_hidden_another_half_for_each_seed():
    a, b = (posteriors.half(seed) for seed in (0, 1))
    assert a.out_shape == (32,) and not torch.equal(a.known, b.known)


def test_more_steps_take_more_time():
    few, many = posteriors.least_seconds((DPS(steps=2), DPS(steps=12)), 0.05, 2)
    assert 0 < few < many / 3
