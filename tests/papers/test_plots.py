"""Slopes and sheets, on what is known by hand."""

import pytest
import torch

from girsanov.papers.plots import sheet, slope


def test_the_slope_of_a_power():
    assert slope((10, 20, 40), [3 * n**-2.5 for n in (10, 20, 40)]) == pytest.approx(2.5)


def test_a_sheet_has_one_row_a_picture():
    pictures = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    found = sheet(pictures, -pictures, blocks=2)
    assert found.shape == (2 * 4, 2 * 2 * 4 + 3)
    assert found[1, 1] == 0 and found[5, 1] == 1 and found[5, 5] == -1  # the second picture, and its pair
    assert found[1, 12] == 2 and found[5, 16] == -3  # the second block
    assert found[0, 0] == 1  # the frame
