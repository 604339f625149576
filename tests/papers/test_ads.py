"""What active subsampling is measured on: digits apart, fixed masks, Kendall's τ."""

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers.inverse import ads


def test_nobody_is_trained_and_judged_on_the_same_digits():
    train, *rest = ads.digits(4000), *(ads.digits(ads.N, seed=seed) for seed in range(5))
    assert train.shape == (4000, *ads.DIGIT) and all(x.shape == (ads.N, *ads.DIGIT) for x in rest)
    whole = torch.cat([train, *rest]).flatten(1)
    assert len(whole.unique(dim=0)) == len(whole)


def test_fixed_masks():
    variance = torch.tensor([0.0, 4.0, 1.0, 2.0, 0.0, 1e-3])
    found = ads.masks(2000, 2, variance.double(), Noise(0))
    assert tuple(found) == ads.FIXED
    assert found["data variance"].tolist() == [1, 3]
    share = {name: torch.bincount(mask.flatten(), minlength=6) / 2000 for name, mask in found.items()}
    torch.testing.assert_close(share["random"], torch.full((6,), 1 / 3), atol=0.05, rtol=0)
    drawn = share["drawn by variance"]
    assert drawn[0] == drawn[4] == 0 and drawn[1] > drawn[3] > drawn[2] > drawn[5]
    first = torch.bincount(found["drawn by variance"][:, 0], minlength=6) / 2000
    torch.testing.assert_close(first, variance / variance.sum(), atol=0.04, rtol=0)
    assert all(len(set(row)) == 2 for name in ("random", "drawn by variance") for row in found[name].tolist())


def test_tau_counts_rising_pairs():
    assert ads.kendall(torch.tensor([3.0, 2.0, 1.0, 0.5])) == pytest.approx(-1)
    assert ads.kendall(torch.tensor([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)  # two of three pairs rise


def test_measured_places_are_drawn_in_their_order():
    known = torch.zeros(2, 2, dtype=torch.bool)
    known[0, 1] = known[1, 0] = True
    picture = torch.zeros(2, 2, 3)
    plain = ads.places(picture, known, None)
    assert (plain[0, 0] == 0.65).all() and torch.equal(plain[0, 1], plain[1, 0])
    ordered = ads.places(picture, known, torch.tensor([2, 1]))
    assert ordered[1, 0].sum() < ordered[0, 1].sum()  # the first is darker
