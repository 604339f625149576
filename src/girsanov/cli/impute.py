"""`girsanov impute`: fill the holes of a table or a series, several times, and say how sure it is.

Three files: OUT, the completed tables one after the other with a column `draw`; OUT-cells, a line for every cell that
was missing with its mean and interval; and a picture. They are written when everything is done, each whole or not at
all, so that Ctrl-C leaves nothing behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from girsanov.cli.console import note, wrote
from girsanov.cli.options import Seed

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from girsanov.inverse import Imputation

DRAW, PANELS, POINTS = "draw", 6, 300
"""The column of the draws' numbers; panels of a picture; rows of a series that are shown."""


def impute(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="A .csv or .parquet file with empty cells.")],
    out: Annotated[Path, typer.Option(help="A .csv file; OUT-cells.csv and OUT.png go beside it.")],
    draws: Annotated[int, typer.Option(min=1, help="Completed tables.")] = 20,
    level: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.9,
    time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Rows are a series in the order of this column.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Carried along, such as names; may be repeated."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Fill the empty cells of a table with draws, learned from the table itself."""
    import torch

    from girsanov.errors import require
    from girsanov.files import write_bytes
    from girsanov.inverse import LAGS, TableImputer
    from girsanov.metrics import draw_interval

    require(out.suffix.lower() == ".csv", f"{out} does not end in .csv; give such a file")
    draw_interval(torch.zeros(draws), level)
    whole = read_table(table)
    kept = [name for name in whole.columns if name in {time, *(ignore or ())}]
    frame = learned_columns(whole, table, [*(ignore or ()), *([time] if time else [])])
    lags = tuple(lag for lag in LAGS if lag < len(frame)) if time else ()
    if time:
        check_times(whole[time], table)
    holes = int(frame.isna().to_numpy().sum())
    require(holes > 0, f"no cell of {table} is empty, so there is nothing to fill in")
    note(f"{table}: {holes:,} of {frame.size:,} cells are empty")
    imputer = TableImputer.learn(frame, lags=lags, seed=seed, report=note)
    note(f"chosen: {'; '.join(map(str, imputer.scores))}")
    found = imputer.draw(frame, draws, seed=seed)
    lines = found.cells(level)
    picture = draw_picture(frame, found, level, whole[time] if time else None)
    out.parent.mkdir(parents=True, exist_ok=True)
    cells = out.with_name(f"{out.stem}-cells.csv")
    write_bytes(out, stacked(found, whole[kept], list(whole.columns)))
    write_bytes(cells, csv_of(lines.dropna(axis=1, how="all")))
    write_bytes(out.with_suffix(".png"), picture)
    wrote(out, cells, out.with_suffix(".png"))


def read_table(source: str) -> DataFrame:
    """The table of a file, holes and all.

    Raises:
        InputError: a source that is no table.
    """
    import pandas as pd

    from girsanov.data.sources import open_source
    from girsanov.errors import require

    content = open_source(source, None).content
    require(isinstance(content, pd.DataFrame), f"{source} holds no table; give a .csv or .parquet file")
    assert isinstance(content, pd.DataFrame)
    require(DRAW not in content.columns, f"{source} has a column {DRAW!r}, which the result needs; rename it")
    return content


def learned_columns(frame: DataFrame, source: str, without: list[str]) -> DataFrame:
    """The table without the columns that are carried along.

    Raises:
        UnknownName: such a column is not there.
        InputError: none is left.
    """
    from girsanov.errors import UnknownName, require, unknown

    for name in without:
        require(name in frame.columns, unknown(name, map(str, frame.columns), "column"), UnknownName)
    left = frame.drop(columns=without)
    require(left.shape[1] > 0, f"no column of {source} is left to learn; leave fewer out")
    return left


def check_times(times: Series, source: str) -> None:
    """Refuse times that are missing, no times, or do not rise; remark on steps that differ.

    Raises:
        InputError: with the first row at fault.
    """
    import numpy as np

    from girsanov.errors import InputError, require

    require(
        not times.isna().any(), f"row {int(times.isna().to_numpy().argmax())} of {times.name!r} has no time"
    )
    try:
        steps = np.diff(at(times))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column {times.name!r} of {source} holds no times; give numbers, or dates like 2026-01-31 ({error})"
        ) from None
    bad = int((steps <= 0).argmax()) + 1 if (steps <= 0).any() else 0
    require(
        not bad,
        f"row {bad} of {source} is not later than the row before it. Sort the rows by {times.name!r}.",
    )
    if len(steps) and steps.max() > 1.5 * steps.min():
        note(f"the steps of {times.name!r} differ; rows count as equally far apart")


def at(times: Series) -> Any:
    """Times as numbers: themselves, or seconds of dates."""
    import pandas as pd

    if pd.api.types.is_numeric_dtype(times.dtype):
        return times.to_numpy(float)
    return (
        pd.to_datetime(times, format="ISO8601").astype("datetime64[ns]").astype("int64").to_numpy(float) / 1e9
    )


def stacked(found: Imputation, kept: DataFrame, order: list[str]) -> bytes:
    """The completed tables one after the other, with the number of the draw in front."""
    import pandas as pd

    tables = []
    for i, table in enumerate(found.tables, 1):
        full = pd.concat([kept, table], axis=1)[order]
        full.insert(0, DRAW, i)
        tables.append(full)
    return csv_of(pd.concat(tables, ignore_index=True))


def csv_of(frame: DataFrame) -> bytes:
    """A data frame as CSV, as the reader takes it."""
    from girsanov.data.frames import write_csv

    return write_csv(frame)


def draw_picture(frame: DataFrame, found: Imputation, level: float, times: Series | None) -> bytes:
    """Numbers with holes, most holes first: as a series with its band, or as histograms of seen and drawn."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from girsanov.cli.figures import GREY, STYLE, png

    numbers = frame.select_dtypes("number").columns
    holes = frame[numbers].isna().sum().sort_values(ascending=False, kind="stable")
    names = list(holes[holes > 0].index[:PANELS])
    across = 1 if times is not None else min(3, max(1, len(names)))
    down = max(1, -(-len(names) // across))
    with rc_context(STYLE):
        figure = Figure(figsize=(9 if across == 1 else 3.2 * across, 2.4 * down + 0.3), layout="constrained")
        panels = figure.subplots(down, across, squeeze=False).flat
        for axes in panels:
            axes.set_visible(False)
        for axes, name in zip(figure.axes, names, strict=False):
            axes.set_visible(True)
            if times is None:
                paint_table(axes, frame, found, name)
            else:
                paint_series(axes, frame, found, name, level, times)
            axes.set_title(str(name))
        if names:
            figure.axes[0].legend(fontsize=8)
        else:
            figure.text(0.5, 0.5, "only categories were missing", ha="center", color=GREY)
        return png(figure)


def paint_table(axes: Any, frame: DataFrame, found: Imputation, name: str) -> None:
    """Histograms of what was there and of what was drawn."""
    import numpy as np

    from girsanov.cli.figures import BLUE, GREY

    hidden = found.missing[name].to_numpy(bool)
    seen = frame[name][~hidden].to_numpy(float)
    drawn = np.concatenate([t[name][hidden].to_numpy(float) for t in found.tables])
    edges = np.histogram_bin_edges(np.concatenate([seen, drawn]), min(40, max(8, len(seen) // 8)))
    axes.hist(seen, edges, density=True, color=GREY, alpha=0.6, label=f"there ({len(seen):,})")
    axes.hist(
        drawn,
        edges,
        density=True,
        histtype="step",
        color=BLUE,
        linewidth=1.8,
        label=f"filled in ({hidden.sum():,})",
    )
    axes.set_yticks([])


def paint_series(
    axes: Any, frame: DataFrame, found: Imputation, name: str, level: float, times: Series
) -> None:
    """What was there as a line, what was drawn as a band and three draws, around the longest gap."""
    import numpy as np
    import pandas as pd
    import torch

    from girsanov.cli.figures import BLUE, INK
    from girsanov.metrics import draw_interval

    hidden = found.missing[name].to_numpy(bool)
    runs = np.diff(np.flatnonzero(np.diff(np.r_[False, hidden, False].astype(int))))[::2]
    starts = np.flatnonzero(np.diff(np.r_[False, hidden].astype(int)) == 1)
    middle = int(starts[runs.argmax()] + runs.max() // 2)
    first = max(0, min(middle - POINTS // 2, len(frame) - POINTS))
    part = slice(first, first + POINTS)
    axis = times if pd.api.types.is_numeric_dtype(times.dtype) else pd.to_datetime(times, format="ISO8601")
    x, drawn = axis.to_numpy()[part], np.stack([t[name].to_numpy(float)[part] for t in found.tables])
    low, high = (end.numpy() for end in draw_interval(torch.from_numpy(drawn), level))
    axes.fill_between(
        x,
        low,
        high,
        where=_touching(hidden[part]),
        color=BLUE,
        alpha=0.3,
        linewidth=0,
        label=f"{level:.0%} interval",
    )
    for one in drawn[:3]:
        axes.plot(x, np.where(_touching(hidden[part]), one, np.nan), color=BLUE, linewidth=0.8)
    axes.plot(
        x,
        np.where(hidden[part], np.nan, drawn[0]),
        color=INK,
        linewidth=1.2,
        marker=".",
        markersize=3,
        label="there",
    )


def _touching(hidden: Any) -> Any:
    """The hidden rows and their neighbours, so that bands reach the line."""
    import numpy as np

    padded = np.r_[False, hidden, False]
    return padded[:-2] | padded[1:-1] | padded[2:]
