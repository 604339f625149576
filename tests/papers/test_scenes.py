"""Scenes are what they say, and the paper that edits them is measured right."""

import torch

from girsanov.papers import scenes
from girsanov.papers.guidance import diffeditor as paper


def test_scenes_are_texture_outside_the_box():
    made = scenes.scenes(20, 0)
    mask = scenes.boxes(made.corner)[:, None]
    torch.testing.assert_close(made.image * (1 - mask), made.texture * (1 - mask))
    assert mask.sum((1, 2, 3)).tolist() == [64.0] * 20
    assert torch.equal(made.elsewhere(made.corner), made.image)
    assert made.image.abs().max() <= 1 and made.texture.max() <= 0.21


def test_the_centroid_follows_the_digit():
    made = scenes.scenes(20, 1)
    corner = paper.elsewhere(made.corner, 0)
    assert (corner >= 0).all() and (corner <= 16).all()
    assert ((corner - made.corner).abs() >= 5).float().mean() > 0.8
    moved = scenes.centre(made.elsewhere(corner)) - scenes.centre(made.image)
    torch.testing.assert_close(moved, (corner - made.corner).float(), atol=0.2, rtol=0)


def test_scenes_follow_from_the_seed():
    assert torch.equal(scenes.scenes(5, 3).image, scenes.scenes(5, 3).image)
    assert not torch.equal(scenes.scenes(5, 3).image, scenes.scenes(5, 4).image)
    assert torch.equal(scenes.scenes(5, 3).image, scenes.scenes(9, 3).image[:5])
