"""Masks and the circuit of the paper on tractable steering."""

import torch

from girsanov.inverse import grey_levels
from girsanov.papers import digits
from girsanov.papers.inverse import tiramisu as paper


def test_masks_hide_what_they_say():
    hidden = {name: ~a.known for name, a in paper.masks().items()}
    assert {name: int(h.sum()) for name, h in hidden.items()} == {
        "left half": 32, "upper half": 32, "outer columns": 32,
    }  # fmt: skip
    assert hidden["left half"][..., :4].all() and hidden["upper half"][:, :4].all()


def test_the_circuit_learns_the_digits():
    x = grey_levels(digits.split().x, paper.LEVELS)
    fresh = grey_levels(digits.split().fresh, paper.LEVELS)
    few, more = paper.circuit(0, 1), paper.circuit(0, 12)
    assert more.log_prob(x).mean() > few.log_prob(x).mean() + 1
    assert more.log_prob(fresh).mean() > few.log_prob(fresh).mean()


def test_the_distance_of_the_truth_is_zero():
    reader = digits.reader(steps=2)
    x = digits.split().fresh[:4]
    assert paper.distance(reader, x.repeat_interleave(3, 0), x) < 1e-5
    assert paper.distance(reader, torch.zeros(12, 1, 8, 8), x) > 0
