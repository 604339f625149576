"""What the figures of papers share: curves over seeds, sheets of pictures, slopes of errors.

Oracle: powers and pictures written by hand (tests/papers/test_plots.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from girsanov.papers.report import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def slope(counts: Sequence[int], errors: Sequence[float]) -> float:
    """The order p of errors ~ counts^-p, by a line through the logarithms."""
    a, b = (torch.as_tensor(v, dtype=torch.float64).log() for v in (counts, errors))
    a = a - a.mean()
    return float(-(a @ b) / (a @ a))


def band(ax: Axes, x: Sequence[float], curves: Sequence[Sequence[float]], *, label: str, color: str) -> None:
    """The mean of the curves of several seeds, (S, N), and what lies between the least and the most."""
    found = torch.as_tensor(curves, dtype=torch.float64)
    ax.plot(x, found.mean(0), "o-", markersize=3.5, color=color, label=label)
    ax.fill_between(x, found.amin(0), found.amax(0), color=color, alpha=0.2, linewidth=0)


def named_ticks(ax: Axes, values: Sequence[int]) -> None:
    """These numbers, and no others, along the x axis."""
    ax.set_xticks(values, [str(v) for v in values])
    ax.xaxis.minorticks_off()


def sheet(*columns: Tensor, blocks: int = 2) -> Tensor:
    """Grey pictures (N, 1, H, W) side by side, one row a picture, the rows set in several blocks.

    Returns:
        (rows, columns), with a frame of the value 1 around each picture.
    """
    framed = torch.cat([pad(column[:, 0], (1, 1, 1, 1), value=1.0) for column in columns], dim=2)
    height = len(framed) // blocks
    parts = [framed[i * height : (i + 1) * height].flatten(0, 1) for i in range(blocks)]
    return torch.cat([pad(part, (0, 3), value=1.0) for part in parts], dim=1)[:, :-3]


def pictures(ax: Axes, rows: Iterable[tuple[str, Tensor]], *, columns: int = 8) -> None:
    """Draw rows of grey pictures with their names on the left; ink is dark.

    Args:
        ax: one of the `equal` panels of a canvas.
        rows: a name and pictures (N, 1, H, W) or (N, H, W) in [-1, 1] each, all of one size.
        columns: how many of each row are shown.
    """
    rows = list(rows)
    plain = [x.detach()[:columns].reshape(-1, *x.shape[-2:]).clamp(-1, 1) for _, x in rows]
    framed = [pad(x, (1, 1, 1, 1), value=-1.0) for x in plain]
    height = framed[0].shape[-2]
    ax.imshow(torch.cat([torch.cat(list(x), 1) for x in framed]).cpu(), cmap="gray_r", vmin=-1, vmax=1)
    ax.set_yticks([height * i + (height - 1) / 2 for i in range(len(rows))], [name for name, _ in rows])
    ax.tick_params(length=0, labelsize=7.5)


def curves(
    ax: Axes,
    x: Sequence[int],
    lines: Mapping[str, Sequence[float]],
    *,
    colours: Sequence[str] = PALETTE,
) -> None:
    """Draw lines on logarithmic axes, a tick at each x, and their names in a legend.

    Args:
        ax: a panel of a canvas.
        x: numbers of calls or steps.
        lines: values at x, by name.
        colours: in the order of the lines, at least as many.
    """
    for colour, (name, values) in zip(colours, lines.items(), strict=False):
        ax.loglog(x, values, "o-", color=colour, label=name, markersize=4)
    named_ticks(ax, x)
    ax.yaxis.minorticks_off()
    ax.legend(fontsize=7.5, frameon=False)


def ink(x: Tensor) -> Tensor:
    """Grey values in [-1, 1] as colours (..., 3); 1 is black."""
    return ((1 - x.detach().clamp(-1, 1)) / 2)[..., None].repeat(*[1] * x.ndim, 3)


def heat(x: Tensor, name: str = "magma_r") -> Tensor:
    """Values in [0, 1] as colours (..., 3) of a matplotlib colour map."""
    from matplotlib import colormaps

    return torch.from_numpy(colormaps[name](x.detach().clamp(0, 1).numpy())[..., :3]).to(torch.float32)


def tiled(ax: Axes, rows: Sequence[Sequence[Tensor]], names: Sequence[str]) -> None:
    """Draw rows of coloured pictures (H, W, 3) of one size, with the names of the columns above them."""
    framed = [torch.cat([pad(x, (0, 0, 1, 1, 1, 1), value=0.75) for x in row], 1) for row in rows]
    ax.imshow(torch.cat(framed).numpy(), interpolation="nearest")
    width = framed[0].shape[1] / len(names)
    ax.xaxis.tick_top()
    ax.set_xticks([width * (i + 0.5) - 0.5 for i in range(len(names))], names)
    ax.set_yticks([])
    ax.tick_params(length=0, labelsize=7.5)
