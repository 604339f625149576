"""The scores of the PULASki paper on draws whose worth is known."""

import torch
from torch import nn

from girsanov.papers.inverse import pulaski as paper
from girsanov.papers.lesions import lesions

DATA = lesions(30, 0)


class Raters(nn.Module):
    """Draws the raters' masks, each four times; or the first rater's only."""

    def __init__(self, repeat):
        super().__init__()
        self.repeat, self.at = repeat, 0

    def forward(self, image, n, *, generator=None):
        masks = DATA.masks[self.at : self.at + len(image)]
        self.at += len(image)
        return (masks.repeat(1, 4, 1, 1, 1) if self.repeat else masks[:, :1].repeat(1, n, 1, 1, 1)) - 0.5


def test_the_raters_themselves_are_perfect_draws():
    found = paper.scores(Raters(True), DATA, 0)
    torch.testing.assert_close(found.distance, torch.zeros(30, dtype=torch.float64))
    torch.testing.assert_close(found.dice, torch.ones(30))
    assert found.skipped == paper.skipping(DATA.masks, DATA.small)


def test_one_rater_is_not():
    """One mask for all: Dice with the first rater is 1, and the distance is above that of the set."""
    found = paper.scores(Raters(False), DATA, 0)
    assert found.distance.min() > 0 and found.dice.min() > 0.25 and found.dice.max() < 1


def test_skipping_by_hand():
    small = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    small[0, 0, 1, 1] = True  # the second image has none
    masks = torch.zeros(2, 4, 1, 3, 3)
    masks[0, 0, 0, 1, 1] = 1
    masks[0, 1, 0, 0, 0] = 1
    assert paper.skipping(masks, small) == 0.75
