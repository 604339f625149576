"""Slopes and sheets, on what is known by hand."""

import pytest
import torch
from matplotlib.figure import Figure

from girsanov.papers.plots import heat, ink, sheet, slope, tiled


def test_the_slope_of_a_power():
    assert slope((10, 20, 40), [3 * n**-2.5 for n in (10, 20, 40)]) == pytest.approx(2.5)


def test_a_sheet_has_one_row_a_picture():
    pictures = torch.arange(4.0)[:, None, None, None].expand(4, 1, 2, 2)
    found = sheet(pictures, -pictures, blocks=2)
    assert found.shape == (2 * 4, 2 * 2 * 4 + 3)
    assert found[1, 1] == 0 and found[5, 1] == 1 and found[5, 5] == -1  # the second picture, and its pair
    assert found[1, 12] == 2 and found[5, 16] == -3  # the second block
    assert found[0, 0] == 1  # the frame


def test_ink_is_dark_and_tiles_lie_side_by_side():
    colours = ink(torch.tensor([[-1.0, 0.0], [1.0, 3.0]]))
    assert colours.shape == (2, 2, 3) and colours[..., 0].tolist() == [[1, 0.5], [0, 0]]
    scale = heat(torch.tensor([[0.0, 1.0]]), "gray")
    assert scale[0, :, 0].tolist() == [0, 1]
    ax = Figure().add_subplot()
    tiled(ax, [[colours, 0 * colours], [colours, colours]], ("one", "two"))
    drawn = ax.get_images()[0].get_array()
    assert drawn.shape == (8, 8, 3) and drawn[1, 1, 0] == 1 and drawn[1, 5, 0] == 0
    assert [text.get_text() for text in ax.get_xticklabels()] == ["one", "two"]
