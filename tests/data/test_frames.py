"""CSV as the world writes it; and what pandas would repair in silence is refused."""

import codecs
import csv
import io

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from girsanov.data.frames import read_csv, read_parquet, write_csv
from girsanov.data.tables import MAX_WIDTH
from girsanov.errors import InputError, SavedFileError

PLAIN = pd.DataFrame({"age": [31, 45], "height": [1.7, 1.82], "city": ["Bern", "Wien"], "old": [False, True]})


def read(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_line_ends_and_marks(tmp_path, separator, end, encoding):
    text = PLAIN.to_csv(index=False, sep=separator, lineterminator=end)
    assert_frame_equal(read(tmp_path, text.encode(encoding)), PLAIN)


def test_decimal_commas(tmp_path):
    text = PLAIN.to_csv(index=False, sep=";", decimal=",")
    assert "1,82" in text
    assert_frame_equal(read(tmp_path, text), PLAIN)


def test_quoted_separators_quotes_and_line_breaks(tmp_path):
    given = pd.DataFrame({"a, b": ["one,two", 'say "x"', "two\nlines", "two\r\nlines"], "n": [1, 2, 3, 4]})
    assert_frame_equal(read(tmp_path, given.to_csv(index=False)), given)


def test_one_column_blank_lines_and_a_strange_name(tmp_path):
    assert read(tmp_path, "\na\n1\n\n2\n", "ünï code\n.csv").to_dict("list") == {"a": [1, 2]}


def test_what_is_written_is_read_back(tmp_path):
    given = PLAIN.assign(
        formula=["=1+1", "+x"],
        minus=["-x", "@y"],
        quote=["'z", "''="],
        grade=pd.Categorical(["-a", "b"]),
        neg=[-1, -2.5],
    ).rename(columns={"age": "=age"})
    before = given.copy(deep=True)
    content = write_csv(given)
    assert_frame_equal(given, before)
    assert_frame_equal(read(tmp_path, content), given.astype({"grade": "str"}))


def test_no_cell_that_is_written_is_a_formula():
    cells = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "plain", "a=b"]
    given = pd.DataFrame(
        {"=name": cells, "ok": cells, "category": pd.Categorical(cells), "n": -np.arange(8.0)}
    )
    content = write_csv(given)
    records = csv.reader(io.StringIO(content.decode(), newline=""))
    assert {cell[:1] for record in records for cell in record[:3]} == {"'", "p", "a", "o", "c"}
    assert b",-7.0\n" in content  # numbers stay numbers


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("a,b\n1,2\n3,4,5\n", "line 3 .* has 3 cells; the header has 2 names, separated by ','"),
        ("a,b\n1,2,3\n4,5,6\n", "line 2 .* has 3 cells"),  # pandas would take the first column as an index
        ("a,b\n1,2\n3\n", "line 3 .* has 1 cells"),
        ("a,b\n1;2\n3;4\n", "line 2 .* has 1 cells"),
        ('a,b\n"x\ny",2\n3\n', "line 4 .* has 1 cells"),
        ("a,b,\n1,2,3\n", r"column \[2\] .* has no name"),
        (",a\n0,1\n", r"column \[0\] .* saved index"),
        ("a,b,a\n1,2,3\n", "2 columns named 'a'"),
        ("1.5,2\n3,4\n", "holds numbers: 1.5, 2. Add a line of column names"),
        ("a\n1\n2\nthree\n", "column 'a' .* holds numbers in 2 of 3 cells .* 'three' in row 2"),
        ("a;b\n1,5;2.5\n2,5;3.5\n", "column 'b' .* holds numbers in 2 of 2"),
        ("a,b\n1,2\0\n", "NUL"),
        (",".join(f"c{i}" for i in range(100_000)) + "\n", "100,000 columns; at most 10,000"),
    ],
)
def test_refuses_what_pandas_would_repair(tmp_path, text, says):
    assert MAX_WIDTH == 10_000
    with pytest.raises((InputError, SavedFileError), match=says):
        read(tmp_path, text)


def test_refuses_other_encodings_by_line(tmp_path):
    with pytest.raises(SavedFileError, match="line 2 holds the byte 0xfc"):
        read(tmp_path, "a,b\n1,Zürich\n".encode("latin-1"))
    with pytest.raises(SavedFileError, match="not text"):
        read(tmp_path, codecs.BOM_UTF16_LE + b"\x00")


def test_refuses_a_cell_without_end(tmp_path):
    with pytest.raises(SavedFileError, match="could not be read as CSV"):
        read(tmp_path, 'a,b\n"' + "x" * 200_000)


def test_parquet(tmp_path):
    given = PLAIN.assign(grade=pd.Categorical(["a", "b"], ["b", "a"], ordered=True))
    given.to_parquet(tmp_path / "a.parquet")
    assert_frame_equal(read_parquet(tmp_path / "a.parquet"), given)
    content = (tmp_path / "a.parquet").read_bytes()
    for bad in (b"", content[:-5], content[: len(content) // 2], b"PAR1" + bytes(50) + b"PAR1"):
        (tmp_path / "bad.parquet").write_bytes(bad)
        with pytest.raises(SavedFileError, match="could not be read as Parquet"):
            read_parquet(tmp_path / "bad.parquet")
