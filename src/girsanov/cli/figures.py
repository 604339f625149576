"""Pictures for the demo and for `evaluate`: quiet charts by matplotlib, and sheets of small images.

Nothing here touches matplotlib's global state: figures are made without pyplot, styled inside `rc_context`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, BLUE, RED, GREEN, GOLD = "#22303c", "#9aa5b1", "#2f6f8f", "#c8553d", "#6b8f71", "#c29b4b"
COLOURS = (BLUE, RED, GREEN, GOLD, GREY)
PAPER = "#fdfcf9"
STYLE: dict[Any, Any] = {
    "axes.facecolor": PAPER,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.facecolor": PAPER,
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 160,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
GAP = 1
"""White pixels between the images of a sheet."""

Line = Sequence[tuple[float, float]]


def sheet(images: Tensor, columns: int) -> bytes:
    """Images side by side as a PNG, one pixel a pixel.

    Args:
        images: (N, 1 or 3, H, W) in [-1, 1]; values outside are clipped.
        columns: images in a row; the last row may be shorter.
    """
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, sheet_pixels(images, columns), format="png")
    return buffer.getvalue()


def sheet_pixels(images: Tensor, columns: int) -> np.ndarray:
    """The pixels of a sheet, (H', W', 3), uint8."""
    n, height, width = len(images), *images.shape[-2:]
    rows = -(-n // columns)
    tall, wide = height + GAP, width + GAP
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().expand(n, 3, height, width).numpy()
    page = np.full((rows * tall - GAP, min(columns, n) * wide - GAP, 3), 255, np.uint8)
    for i, image in enumerate(pixels):
        top, left = i // columns * tall, i % columns * wide
        page[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return page


def sheets(images: Mapping[str, Tensor], columns: int) -> bytes:
    """Sheets side by side under their names, as one PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4 * len(images), 4.4), layout="constrained")
        for axes, (name, some) in zip(
            figure.subplots(1, len(images), squeeze=False)[0], images.items(), strict=True
        ):
            axes.imshow(sheet_pixels(some, columns), interpolation="nearest")
            axes.set_title(name)
            axes.set_axis_off()
        return png(figure)


def lines(curves: Mapping[str, Line], *, title: str, x: str, y: str, ticks: Sequence[float] = ()) -> bytes:
    """A chart of named curves, each a sequence of (x, y) with y above 0, as a PNG.

    With `ticks` the first axis is logarithmic, and marked there; the second always is.
    """

    def paint(axes: Axes) -> None:
        for colour, (name, points) in zip(COLOURS, curves.items(), strict=False):
            dots = "o" if len(points) < 30 else ""
            axes.plot(*zip(*points, strict=True), color=colour, marker=dots, markersize=4, label=name)
        axes.set_yscale("log")
        heights = [y for points in curves.values() for _, y in points]
        if max(heights) < 10 * min(heights):  # where powers of ten are too far apart to read by
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        if ticks:
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
            axes.xaxis.minorticks_off()
        axes.set(xlabel=x, ylabel=y, title=title)
        axes.legend(loc="upper right")

    return chart(paint)


def histograms(values: Mapping[str, Tensor], *, title: str, x: str) -> bytes:
    """Overlaid histograms of several sets of numbers, as a PNG."""

    def paint(axes: Axes) -> None:
        everything = np.concatenate([v.numpy() for v in values.values()])
        edges = np.linspace(everything.min(), everything.max() + 1e-9, 41).tolist()
        for colour, (name, numbers) in zip(COLOURS, values.items(), strict=False):
            axes.hist(numbers.numpy(), edges, color=colour, alpha=0.65, label=name)
        axes.set(xlabel=x, ylabel="count", title=title)
        axes.legend(loc="upper left")

    return chart(paint)


def clouds(points: Mapping[str, Tensor], *, title: str) -> bytes:
    """Sets of points (N, 2) side by side on the same axes, as a PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4 * len(points), 4), layout="constrained")
        panels = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
        for axes, colour, (name, cloud) in zip(panels, COLOURS, points.items(), strict=False):
            axes.plot(*cloud.numpy().T, ".", color=colour, markersize=3, alpha=0.6)
            axes.set_title(name)
        figure.suptitle(title)
        return png(figure)


def chart(paint: Callable[[Axes], None]) -> bytes:
    """One pair of axes, painted and saved as a PNG."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        paint(figure.subplots())
        return png(figure)


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
