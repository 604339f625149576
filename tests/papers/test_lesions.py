"""The raters on a square drawn by hand, and what the images promise."""

import torch

from girsanov.papers import lesions as paper


def square(low, high):
    mask = torch.zeros(2, 1, 24, 24, dtype=torch.bool)
    mask[:, :, low:high, low:high] = True
    return mask


def test_each_rater_by_hand():
    large, small = square(5, 10), square(18, 21)
    masks = paper.annotated(large, small, torch.tensor([True, False]))
    assert masks[0].flatten(1).sum(1).tolist() == [49 + 25, 9 + 1, 25, 25 + 9]
    assert masks[1].flatten(1).sum(1).tolist() == [49 + 25, 9 + 1, 25 + 9, 25 + 9]
    assert torch.equal(masks[0, 3], (square(6, 11) | square(19, 22))[0].float())


def test_images_have_what_the_head_says():
    data = paper.lesions(400, 0)
    assert data.image.shape == (400, 1, 24, 24) and data.masks.shape == (400, 4, 1, 24, 24)
    again = paper.lesions(400, 0)
    assert all(torch.equal(a, b) for a, b in zip(data, again))
    assert not torch.equal(data.image, paper.lesions(400, 1).image)
    share = float((data.small.flatten(1).sum(1) > 0).float().mean())
    assert 0.15 < share < 0.5  # those with room for it
    sizes = data.masks.flatten(2).sum(2)
    assert (sizes.amax(1) > sizes.amin(1)).all() and float(sizes.amin()) >= 0
    # the widest mask is anywhere in the four: no rater has a place of its own
    counts = torch.bincount(sizes.argmax(1), minlength=4)
    assert counts.min() > 60
