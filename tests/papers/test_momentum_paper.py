"""The parts of the momentum paper that the solvers' own tests do not cover."""

from functools import partial

import pytest
import torch

from girsanov import processes, solvers
from girsanov.papers import digits
from girsanov.papers.solvers import momentum as paper


def test_names_are_read_as_in_the_paper():
    g = solvers.grid("karras", 6)
    vp = processes.VP()
    assert paper.ghvb_of(1.5)(vp, g) == solvers.ghvb(vp, g, order=2, damping=0.5)
    assert paper.ghvb_of(3.1)(vp, g) == solvers.ghvb(vp, g, order=4, damping=0.1)
    assert paper.ghvb_of(2.0)(vp, g) == solvers.ghvb(vp, g, order=2, damping=1.0)


def test_the_data_have_next_to_no_artifacts_and_exaggerated_data_have_many():
    x = digits.split().x
    assert paper.magnitude(x) < 0.02
    assert paper.magnitude(3 * x) > 0.5


def test_the_limit_of_the_explicit_rule_of_euler_is_minus_two():
    assert paper.limit(partial(solvers.ghvb, order=1, damping=1.0), 60) == pytest.approx(-2, abs=1e-3)


def test_the_locus_passes_through_zero_and_the_real_limit():
    for b in (0.5, 1.0):
        curve = torch.from_numpy(paper.locus(2, b))
        assert curve.abs().min() < 1e-6
        assert curve.real.min().item() == pytest.approx(-(2 - b), abs=1e-3)
