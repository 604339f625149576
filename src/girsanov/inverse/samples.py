"""Draws from posteriors: their mean, their spread, their intervals, and a picture of them.

Oracle: the closed form of a Gaussian posterior (tests/inverse/test_samples.py).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.errors import require
from girsanov.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PosteriorSamples:
    """n draws for each of B measurements.

    Args:
        x: (B, n, *shape).
        calls: denoiser calls for a draw.
        seconds: of processor time for all.
    """

    x: Tensor
    calls: int
    seconds: float

    @property
    def mean(self) -> Tensor:
        """(B, *shape), the estimate with the least squared error."""
        return self.x.mean(1)

    @property
    def std(self) -> Tensor:
        """(B, *shape), how far the draws differ.

        Raises:
            InputError: a single draw.
        """
        require(self.x.shape[1] > 1, "one draw has no spread; draw n = 2 or more")
        return self.x.std(1)

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The central interval of every coordinate, two of (B, *shape), by quantiles of the draws.

        Of n draws the outermost are the widest: an interval of 90 % needs some 20 of them.

        Raises:
            InputError: a level outside (0, 1), or a single draw.
        """
        require(0 < level < 1, f"level is {level}; give a number between 0 and 1, such as 0.9")
        require(self.x.shape[1] > 1, "one draw has no interval; draw n = 2 or more")
        ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=self.x.dtype, device=self.x.device)
        low, high = torch.quantile(self.x, ends, dim=1)
        return low, high

    def draw(self, path: str | Path, *, measured: Tensor | None = None) -> None:
        """A picture of the first eight measurements, each a row: draws, mean and spread, or lines with an interval.

        Args:
            path: of a .png file; it is replaced.
            measured: (B, *shape), what to show in front, such as A⁺y.

        Raises:
            InputError: signals that are neither images (1 or 3, H, W) nor vectors (d,).
        """
        shape = tuple(self.x.shape[2:])
        picture = len(shape) == 3 and shape[0] in (1, 3)
        require(
            picture or len(shape) == 1,
            f"signals of shape {shape} have no picture; draw images (1 or 3, H, W) or vectors (d,)",
        )
        write_bytes(path, _images(self, measured) if picture else _lines(self, measured))


def _images(draws: PosteriorSamples, measured: Tensor | None) -> bytes:
    """Rows of images: what was measured, up to four draws, the mean, and where the draws differ."""
    from matplotlib.figure import Figure

    x = draws.x[:8].detach().cpu()
    columns = {"measured": measured[:8].cpu()} if measured is not None else {}
    columns |= {f"draw {i + 1}": x[:, i] for i in range(min(4, x.shape[1]))} | {"mean": x.mean(1)}
    spread = x.std(1, correction=0).mean(1)
    figure = Figure(figsize=(1.2 * (len(columns) + 1), 1.2 * len(x) + 0.3), layout="constrained")
    axes = figure.subplots(len(x), len(columns) + 1, squeeze=False)
    for row, ax in enumerate(axes):
        for place, (name, images) in zip(ax, columns.items(), strict=False):
            pixels = ((images[row].clamp(-1, 1) + 1) / 2).movedim(0, -1)
            place.imshow(pixels.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
            place.set_title(name if row == 0 else "", fontsize=8)
        seen = ax[-1].imshow(spread[row].numpy(), cmap="magma", vmin=0, vmax=max(float(spread.max()), 1e-6))
        ax[-1].set_title("standard deviation" if row == 0 else "", fontsize=8)
        for place in ax:
            place.set_axis_off()
    bar = figure.colorbar(seen, ax=axes[:, -1].tolist(), shrink=0.8)
    bar.ax.tick_params(labelsize=7)
    return _png(figure)


def _lines(draws: PosteriorSamples, measured: Tensor | None) -> bytes:
    """A panel for each measurement: the mean, the middle 90 % of the draws, and some of them."""
    from matplotlib.figure import Figure

    x = draws.x[:8].detach().cpu()
    low, high = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=x.dtype), dim=1)
    figure = Figure(figsize=(7, 1.6 * len(x) + 0.4), layout="constrained")
    places, at = figure.subplots(len(x), 1, squeeze=False, sharex=True)[:, 0], range(x.shape[2])
    for row, ax in enumerate(places):
        ax.fill_between(at, low[row], high[row], alpha=0.25, lw=0, label="90 % of the draws")
        ax.plot(at, x[row, :4].T, lw=0.6, color="0.5")
        ax.plot(at, x[row].mean(0), lw=1.8, label="mean")
        if measured is not None:
            ax.plot(at, measured[row].cpu(), ".", ms=4, color="0.2", label="measured")
    places[0].legend(frameon=False, fontsize=8)
    places[-1].set_xlabel("coordinate")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
