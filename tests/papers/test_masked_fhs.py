"""The short cut through groups of like classes, the entropy, and the text."""

import math

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers.processes import masked_fhs as paper


def test_groups_and_their_entropy():
    law = paper.zipf().repeat_interleave(paper.ALIKE)
    assert len(law) == 10_000 and float(law.sum()) == pytest.approx(1)
    assert paper.entropy(paper.zipf() * paper.ALIKE) == pytest.approx(float(torch.special.entr(law).sum()))
    assert paper.entropy(torch.full((25,), 1 / 25)) == pytest.approx(math.log(10_000))


def test_in_one_step_nothing_is_lost():
    """With no small probabilities float32 draws the law: the largest of each group has the right one."""
    n = 20_000
    found = paper.frequencies(paper.token_groups(n, 1, Noise(0)), paper.GROUPS)
    law = paper.zipf() * paper.ALIKE
    assert bool(((found - law).abs() < 4.5 * (law * (1 - law) / n).sqrt()).all())
    assert abs(paper.predicted(1)) < 0.01 and paper.predicted(50) > paper.predicted(1)


def test_the_text_is_letters():
    x = paper.windows()
    assert x.shape[1] == 64 and len(x) > 2_000 and int(x.max()) == 26 and int(x.min()) == 0
