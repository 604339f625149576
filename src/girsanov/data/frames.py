r"""CSV and Parquet files as data frames, and data frames as CSV.

A CSV file is UTF-8 (UTF-16 with its mark), has one line of column names, and is separated by whichever of
`,` `;` tab and `|` splits that line into most names; with `;`, numbers may have decimal commas. Quoted cells
may hold separators and line breaks. Every record must have as many cells as there are names: pandas would
fill or shift the others in silence.

Cells that a spreadsheet would run as a formula (they begin with = + - @ tab or return, and are not numbers)
are written with an apostrophe in front, and the reader takes it off again.

Oracle: what is written is read back equal (tests/data/test_frames.py).
Source: RFC 4180; OWASP, CSV injection.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from girsanov.data.tables import MAX_WIDTH
from girsanov.errors import InputError, SavedFileError, UnknownName, extra, require, unknown

if TYPE_CHECKING:
    from pandas import DataFrame, Series

SEPARATORS = (",", ";", "\t", "|")
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")


def read_csv(path: Path) -> DataFrame:
    """Read a CSV file.

    Raises:
        SavedFileError: missing, or not text.
        InputError: no header line, names that are empty or repeat, a record with more or fewer cells than
            names, too many columns.
    """
    pd = extra("pandas", "data")
    text = _text(path)
    try:
        separator = _separator(text)
        names = _check_records(text, separator, path)
        decimal = "," if separator == ";" and _has_decimal_commas(text) else "."
        frame = pd.read_csv(io.StringIO(text), sep=separator, decimal=decimal, low_memory=False)
    except (csv.Error, pd.errors.ParserError) as error:
        raise SavedFileError(f"{path} could not be read as CSV: {error}. Write it again.") from error
    frame.columns = pd.Index([_unescape(name) for name in names])
    _check_numbers(frame, path)
    return _map_texts(frame, _unescape)


def write_csv(frame: DataFrame) -> bytes:
    """A data frame as UTF-8 CSV without the index; formula cells and names are escaped."""
    safe = _map_texts(frame, _escape)
    safe.columns = [_escape(str(name)) for name in frame.columns]
    # All texts are quoted: "minimal" quoting lets a lone return through, which readers take for a new line.
    content: str = safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return content.encode("utf-8")


def read_parquet(path: Path) -> DataFrame:
    """Read a Parquet file. Raises SavedFileError if it is missing, truncated or of another format."""
    pd = extra("pandas", "data")
    extra("pyarrow", "data")
    try:
        frame: DataFrame = pd.read_parquet(path)
    except Exception as error:  # Arrow has its own tree of errors, some of them not exported
        raise SavedFileError(f"{path} could not be read as Parquet: {error}. Save it again.") from error
    return frame


def split_label(frame: DataFrame, label: str) -> tuple[DataFrame, list[Any]]:
    """The frame without the column of labels, and the labels. Raises UnknownName without such a column."""
    require(label in frame.columns, unknown(label, map(str, frame.columns), "column"), UnknownName)
    return frame.drop(columns=[label]), frame[label].tolist()


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SavedFileError(f"{path} could not be read: {error.strerror}.") from error
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SavedFileError(
            f"{path} is not text in UTF-8: line {line} holds the byte 0x{content[error.start]:02x}. "
            "Save it as CSV UTF-8 first."
        ) from error
    require("\0" not in text, f"{path} holds NUL bytes, so it is not a CSV file. Save it as CSV UTF-8 first.")
    return text


def _separator(text: str) -> str:
    """The separator that splits the header into most names; a comma for one column."""

    def names(separator: str) -> int:
        try:
            return len(_header(_records(text, separator)))
        except csv.Error:  # a long header is one cell, too large, to every other separator
            return 0

    return max(SEPARATORS, key=names)


def _records(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator)


def _header(records: Iterator[list[str]]) -> list[str]:
    """The first record that is no blank line."""
    return next((record for record in records if record), [])


def _has_decimal_commas(text: str) -> bool:
    """Whether some cell between semicolons is a number with a decimal comma."""
    cells = (cell for record in _records(text, ";") for cell in record)
    return any("," in cell and NUMBER.fullmatch(cell) for cell in cells)


def _check_records(text: str, separator: str, path: Path) -> list[str]:
    """Refuse headers and records that pandas would repair in silence; the column names are returned."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = _header(reader)
    _check_header(names, path)
    for record in reader:
        require(
            len(record) in (0, len(names)),
            f"line {reader.line_num} of {path} has {len(record)} cells; the header has {len(names)} names, "
            f"separated by {separator!r}. Use one separator, and quote cells that contain it.",
        )
    return names


def _check_header(names: Sequence[str], path: Path) -> None:
    require(
        any(names), f"{path} is empty: it has no line of column names. Give a header and at least one row."
    )
    require(
        len(names) <= MAX_WIDTH,
        f"{path} has {len(names):,} columns; at most {MAX_WIDTH:,} are accepted as a table.",
    )
    unnamed = [i for i, name in enumerate(names) if not name.strip()]
    require(
        not unnamed,
        f"column {unnamed[:1]} of {path} has no name. If it is a saved index, write the file without it "
        "(index=False); else name it.",
    )
    require(
        not all(NUMBER.fullmatch(name) for name in names),
        f"the first line of {path} holds numbers: {', '.join(names[:3])}. Add a line of column names, or "
        "save the numbers as .npy.",
    )
    twice, times = Counter(names).most_common(1)[0]
    require(times == 1, f"{path} has {times} columns named {twice!r}; give every column a name of its own.")


def _check_numbers(frame: DataFrame, path: Path) -> None:
    """Refuse a column that is text only because of a few cells: as a category it would be silently wrong."""
    pd = extra("pandas", "data")
    for name in frame.columns:
        column = frame[name].dropna()
        if pd.api.types.is_numeric_dtype(column.dtype) or len(column) == 0:
            continue
        numeric = pd.to_numeric(column, errors="coerce").notna()
        if numeric.mean() > 0.5:
            row = numeric.idxmin()  # the first cell that is no number
            raise InputError(
                f"column {name!r} of {path} holds numbers in {int(numeric.sum())} of {len(column)} cells "
                f"and is text because of others, such as {column[row]!r} in row {row}. Correct those cells, "
                "or leave the column out."
            )


def _map_texts(frame: DataFrame, change: Callable[[str], str]) -> DataFrame:
    """A new frame with every text cell changed; pandas categories become texts."""
    pd = extra("pandas", "data")

    def column(name: Hashable) -> Series:
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values.dtype):  # booleans included
            return values
        kept = object if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype
        cells = [change(cell) if isinstance(cell, str) else cell for cell in values.tolist()]
        return pd.Series(cells, index=values.index, dtype=kept)

    return pd.DataFrame({name: column(name) for name in frame.columns})


def _escape(cell: str) -> str:
    return f"'{cell}" if FORMULA.match(cell) else cell


def _unescape(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and FORMULA.match(cell[1:]) else cell
