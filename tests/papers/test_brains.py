"""Complex slices and the masks of k-space."""

import pytest
import torch

from girsanov.noise import Noise
from girsanov.papers import brains


def test_images_are_magnitudes_with_a_phase_and_test_slices_are_apart():
    x = brains.images(20, Noise(0))
    assert x.shape == (20, 2, 48, 48)
    size = brains.magnitude(x)
    assert size.min() >= 0 and size.max() <= brains.BRIGHT and (size.amax((1, 2)) > 0.5 * brains.BRIGHT).all()
    assert x[:, 1].abs().max() > 0.3 * brains.BRIGHT  # not real
    assert torch.equal(x, brains.images(20, Noise(0)))
    inner = set(range(brains.BAND.start, brains.BAND.stop))
    assert len(inner) == 20 and not torch.equal(x, brains.images(20, Noise(0), fresh=True))


def test_similarity_is_one_of_the_truth_and_less_of_a_blur():
    truth = brains.magnitude(brains.images(3, Noise(1)))
    blurred = torch.nn.functional.avg_pool2d(truth, 5, 1, 2)
    assert brains.ssim(truth, truth) == pytest.approx(1)
    assert brains.ssim(blurred, truth) < 0.95


def test_masks_by_hand():
    assert brains.centre(4).tolist() == [46, 47, 0, 1]
    fixed = brains.equispaced(12, 4)
    assert len(set(fixed.tolist())) == 12
    rest = fixed[4:]
    assert set(rest.diff().tolist()) <= {5, 6} and rest.min() >= 2 and rest.max() < 46
    masks = brains.variable(500, 12, 4, 2.0, Noise(0))
    assert masks.shape == (500, 12) and all(len(set(row)) == 12 for row in masks.tolist())
    counts = torch.bincount(masks.flatten(), minlength=48)
    assert (counts[brains.centre(4)] == 500).all()
    assert counts[2:10].sum() > 3 * counts[16:24].sum()
    assert abs(int(counts[3:21].sum()) - int(counts[28:46].sum())) < 200  # k = 3 … 20 and their mirror images
