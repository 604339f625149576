"""What the figures of papers share: rows of small pictures, and curves on logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from girsanov.papers.report import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    ax.set_xticks(x, [str(value) for value in x])
    ax.minorticks_off()
    ax.legend(fontsize=7.5, frameon=False)
