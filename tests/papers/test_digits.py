"""The digits for papers: the split, dequantization, and a classifier that can be trusted to judge."""

import torch

from girsanov.noise import Noise
from girsanov.papers import digits


def test_no_digit_is_on_both_sides():
    d = digits.split()
    assert (len(d.x), len(d.fresh)) == (1437, 360)
    assert torch.cdist(d.x.flatten(1), d.fresh.flatten(1)).min() > 0


def test_dequantization_stays_in_its_bin():
    x = digits.split().fresh
    y = digits.dequantized(x, 0)
    level = (y + 1) * digits.LEVELS / 2
    assert torch.equal(level.floor(), ((x + 1) * 8).round())
    assert y.min() >= -1 and y.max() <= 1


def test_the_judge_reads_unseen_digits_and_not_noise():
    d, judge = digits.split(), digits.reader(steps=100)
    assert digits.accuracy(judge, d.fresh, d.fresh_label) > 0.95
    assert digits.accuracy(judge, Noise(0).draw(d.fresh, 0), d.fresh_label) < 0.25


def test_training_leaves_the_global_state_alone():
    from girsanov.processes import VP

    before = torch.get_rng_state()
    digits.model(VP(), seed=5, steps=2)
    assert torch.equal(before, torch.get_rng_state())


def test_features_do_not_change_the_classifier():
    net, x = digits.reader(steps=1), digits.split().x[:4]
    before = net(x, torch.zeros(4))
    assert digits.features(net, x).shape == (4, 64)
    assert torch.equal(net(x, torch.zeros(4)), before)


def test_ten_gaussians_have_the_moments_of_the_digits():
    law, x = digits.gaussians(), digits.split().x.double()
    torch.testing.assert_close(law.mean, x.mean(0))
    torch.testing.assert_close(law.covariance, torch.cov(x.flatten(1).T), rtol=0.02, atol=0.01)
