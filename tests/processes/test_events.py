"""The record of events: reading, cutting, counting."""

import math

import pytest
import torch

from girsanov.errors import InputError
from girsanov.processes.events import Events, packed

TIMES = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.5, 3.0]]).double()
VALUES = torch.tensor([[4, 5, 6], [7, 8, 9]])
MASK = torch.tensor([[True, False, True], [True, True, True]])
FOUND = packed(TIMES, VALUES, MASK, torch.zeros(2).double(), torch.full((2,), 4.0).double())


def test_what_is_dropped_makes_room():
    assert FOUND.values[:, :2].tolist() == [[4, 6], [7, 8]] and FOUND.counts.tolist() == [2, 3]
    assert FOUND.times.tolist() == [[0.0, 2.0, math.inf], [0.0, 0.5, 3.0]]


def test_states_and_counts_at_times():
    at = torch.tensor([0.0, 0.5, 2.5, 9.0])
    assert FOUND.at(at).tolist() == [[4, 4, 6, 6], [7, 8, 8, 9]]
    assert FOUND.count(at).tolist() == [[1, 1, 2, 2], [1, 2, 2, 3]]
    with pytest.raises(InputError, match="no entry yet"):
        FOUND.at(torch.tensor([-1.0]))


def test_rows():
    assert len(FOUND[1:]) == 1 and FOUND[torch.tensor([False, True])].values.tolist() == [[7, 8, 9]]
    with pytest.raises(InputError, match=r"give events\[0:0\+1\]"):
        FOUND[0]


def test_shapes_must_belong_together():
    with pytest.raises(InputError, match=r"must all be \(B, T\)"):
        Events(TIMES, VALUES[:, :2], MASK, TIMES[:, 0], TIMES[:, 2])
    with pytest.raises(InputError, match="one a row"):
        Events(TIMES, VALUES, MASK, TIMES[:1, 0], TIMES[:, 2])
