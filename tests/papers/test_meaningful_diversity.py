"""What the paper on diversity measures, on draws made by hand."""

import pytest
import torch

from girsanov.papers.inverse import meaningful_diversity as paper


def test_the_nearest_other_is_over_hidden_pixels():
    lower = paper.operators()["lower half"]
    x = torch.zeros(1, 3, 1, 8, 8)
    x[:, :, :, :4] = torch.rand(1, 3, 1, 4, 8)  # known, not counted
    x[0, 1, 0, 7, 7], x[0, 2, 0, 7, 7] = 3.0, 4.0
    assert paper.nearest(x, lower) == pytest.approx(5 / 3, abs=1e-4)


def test_labels_are_counted_once_a_measurement():
    class Reader(torch.nn.Module):
        def forward(self, x, t):
            return torch.nn.functional.one_hot(x[:, 0, 0, 0].long(), 10).float()

    x = torch.zeros(2, 3, 1, 8, 8)
    x[0, :, 0, 0, 0] = torch.tensor([1.0, 1, 2])
    x[1, :, 0, 0, 0] = torch.tensor([4.0, 5, 6])
    assert paper.labels(x, Reader()) == 2.5


def test_prior_draws_are_likely():
    x = paper.model().law.sample(1000, generator=paper.Noise(3))
    assert 0.97 < paper.likely(x[:, None]) <= 1
