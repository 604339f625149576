"""Tables come back equal, dtypes and all; what is no complete table is refused by cell."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from pandas.testing import assert_frame_equal

from girsanov import data
from girsanov.data.columns import MAX_VALUES
from girsanov.data.tables import MAX_WIDTH, TableCodec
from girsanov.errors import InputError, SavedFileError


def frame(n=20):
    i = np.arange(n)
    return pd.DataFrame(
        {
            "income": 1e4 + 37.25 * i**2,
            "age": 20 + i % 50,
            "small": (i % 3 - 1).astype("int8"),
            "unsigned": (i % 5).astype("uint64"),
            "single": (i / 7).astype("float32"),
            "half": (i / 8).astype("float16"),
            "nullable": pd.array(i, dtype="Int64"),
            "nullable float": pd.array(i / 4, dtype="Float64"),
            "arrow": pd.array(i, dtype="int64[pyarrow]"),
            "arrow float": pd.array(i / 4, dtype="double[pyarrow]"),
            "city": np.array(["Zürich", "La Paz", "=cmd()"])[i % 3],
            "object": pd.Series(np.array(["a", "b"], object)[i % 2], dtype=object),
            "string": pd.array(np.array(["u", "v"])[i % 2], dtype="string"),
            "arrow text": pd.array(np.array(["u", "v"])[i % 2], dtype="string[pyarrow]"),
            "flag": i % 2 == 0,
            "nullable flag": pd.array(i % 2 == 0, dtype="boolean"),
            "grade": pd.Categorical.from_codes(i % 2, ["low", "mid", "high"], ordered=True),
            "zone": pd.Series(i % 4).astype("category"),
            "constant": 0.1,
            "constant text": "x",
            "constant int": 7,
            3: i * 1.0,
        }
    )


def test_round_trip_keeps_names_order_types_and_values():
    given = frame()
    codec = TableCodec.learn(given)
    x = codec.encode(given)
    assert x.dtype == torch.float32 and x.shape == (20, *codec.shape)
    back = codec.decode(x)
    exact = [name for name in given.columns if "float" not in str(given[name].dtype).lower()]
    exact = [name for name in exact if "double" not in str(given[name].dtype)]
    assert_frame_equal(back[exact], given[exact])
    assert_frame_equal(back, given, check_exact=False, rtol=1e-3, atol=1e-4)  # float16 has three digits
    assert_frame_equal(back[["income"]], given[["income"]], check_exact=False, rtol=1e-6)


def test_numbers_have_mean_0_and_variance_1_and_categories_are_signs():
    given = frame(200)
    x = TableCodec.learn(given[["income", "age", "city"]]).encode(given[["income", "age", "city"]])
    assert x.shape == (200, 5)
    torch.testing.assert_close(x[:, :2].mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(x[:, :2].std(0, correction=0), torch.ones(2), atol=1e-6, rtol=0)
    assert (x[:, 2:].abs() == 1).all() and (x[:, 2:].sum(1) == -1).all()
    assert x[0, 2:].tolist() == [-1, -1, 1]  # values are sorted: =cmd(), La Paz, Zürich


def test_generated_rows_are_legal():
    given = frame()
    codec = TableCodec.learn(given)
    noise = 3 * torch.randn(500, *codec.shape, generator=torch.Generator().manual_seed(0))
    back = codec.decode(noise)
    assert (back.dtypes == given.dtypes).all()
    for name in ("age", "small", "unsigned", "nullable", "arrow"):
        assert back[name].between(given[name].min(), given[name].max()).all()
    for name in ("city", "object", "flag", "zone"):
        assert set(back[name]) <= set(given[name]) and back[name].nunique() > 1
    assert back["income"].max() > given["income"].max()  # other numbers are not clipped
    assert (back["constant"] == 0.1).all() and (back["constant int"] == 7).all()


def test_the_largest_feature_decides():
    codec = TableCodec.learn(pd.DataFrame({"c": ["a", "b", "c"]}))
    assert codec.decode(torch.tensor([[-3.0, -2.0, -2.5], [9.0, 8.0, 0.0]]))["c"].tolist() == ["b", "a"]


def test_the_users_frame_is_not_changed():
    given = frame()
    before = given.copy(deep=True)
    codec = TableCodec.learn(given)
    codec.encode(given)
    assert_frame_equal(given, before)


def test_the_index_and_the_order_of_columns_do_not_matter():
    given = frame()
    codec = TableCodec.learn(given)
    other = given[list(reversed(given.columns))].set_axis(np.arange(20) * 3 - 7)
    assert torch.equal(codec.encode(other), codec.encode(given))


def test_a_codec_survives_json():
    codec = TableCodec.learn(frame())
    again = data.codec_from_config(json.loads(json.dumps(codec.to_config())))
    assert again == codec
    noise = torch.randn(9, *codec.shape, generator=torch.Generator().manual_seed(0))
    assert_frame_equal(again.decode(noise), codec.decode(noise))


def test_no_rows_decode_to_an_empty_table():
    codec = TableCodec.learn(frame())
    empty = codec.decode(torch.zeros(0, *codec.shape))
    assert len(empty) == 0 and list(empty.columns) == list(frame().columns)


def test_one_row_is_a_table():
    given = frame(1)
    codec = TableCodec.learn(given)
    assert_frame_equal(codec.decode(codec.encode(given)), given)


@pytest.mark.parametrize(
    "cells",
    [
        [1.0, 2.0, np.nan, np.nan],
        pd.array([1, 2, None, None], dtype="Int64"),
        pd.array([1.0, 2.0, None, None], dtype="Float64"),
        pd.array([1, 2, None, None], dtype="int64[pyarrow]"),
        pd.array([1.0, 2.0, None, None], dtype="double[pyarrow]"),
        pd.array([True, False, None, None], dtype="boolean"),
        pd.array(["a", "b", None, None], dtype="string"),
        pd.Categorical(["a", "b", None, None]),
        ["a", "b", None, None],
        np.array(["a", "b", None, np.nan], object),
        np.array(["a", "b", pd.NA, pd.NaT], object),
    ],
)
def test_a_missing_cell_is_refused_by_row_and_column(cells):
    given = pd.DataFrame({"ok": [1, 2, 3, 4], "holes": cells})
    with pytest.raises(InputError, match=r"row 2 of column 'holes' is missing .* 2 cells"):
        TableCodec.learn(given)
    codec = TableCodec.learn(given[:2])
    with pytest.raises(InputError, match="row 2 of column 'holes' is missing"):
        codec.encode(given)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "double[pyarrow]"])
def test_an_infinite_cell_is_refused_by_row_and_column(bad, dtype):
    given = pd.DataFrame({"ok": [1, 2, 3], "income": [0.0, 1.0, bad]}).astype({"income": dtype})
    with pytest.raises(InputError, match=f"row 2 of column 'income' is {bad}"):
        TableCodec.learn(given)


@pytest.mark.parametrize(
    "given, says",
    [
        (pd.DataFrame(), "0 rows and 0 columns"),
        (pd.DataFrame({"a": []}), "0 rows and 1 columns"),
        (pd.DataFrame(index=range(3)), "3 rows and 0 columns"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "column a occurs twice"),
        (pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), "not a text"),
        (pd.DataFrame({"day": pd.to_datetime(["2024-01-01"])}), "'day' holds datetime64.*numbers first"),
        (pd.DataFrame({"z": [1 + 2j]}), "column 'z' holds complex128"),
        (pd.DataFrame({"mixed": [1, "a"]}), "column 'mixed' holds values of type int, str"),
        (pd.DataFrame({"lists": [[1], [2]]}), "column 'lists' holds values of type list"),
        (pd.DataFrame({"cut": pd.cut([1, 2, 3], 2)}), "column 'cut' holds values of type Interval"),
        (pd.DataFrame({"id": [2**60, 1]}), "column 'id' holds whole numbers"),
        (pd.DataFrame({"id": np.array([2**64 - 1, 1], "uint64")}), "column 'id' holds whole numbers"),
        (pd.DataFrame({"name": [f"n{i}" for i in range(MAX_VALUES + 1)]}), "'name' has 1001 different"),
        (pd.DataFrame(np.zeros((1, MAX_WIDTH + 1))), "10,001 columns; at most 10,000"),
        ({"a": [1]}, "of type dict; give a pandas.DataFrame"),
        (pd.Series([1]), "of type Series"),
    ],
)
def test_refuses_what_is_no_table(given, says):
    with pytest.raises(InputError, match=says):
        TableCodec.learn(given)


def test_refuses_a_table_that_becomes_too_wide():
    names = [f"n{i}" for i in range(1000)]
    with pytest.raises(InputError, match=r"11,000 features.*at most 10,000"):
        TableCodec.learn(pd.DataFrame({f"c{k}": names for k in range(11)}))


def test_a_table_that_differs_is_refused_with_every_difference():
    codec = TableCodec.learn(frame())
    other = frame().drop(columns=["age", 3]).assign(extra=1, income="a lot", city=3, zone="far")
    other["object"] = ["a"] * 19 + ["z"]
    with pytest.raises(InputError) as error:
        codec.encode(other)
    for says in (
        "column 'age' is missing",
        "column 3 is missing",
        "column 'extra' is new",
        "column 'income' was numbers and is now a category (a lot)",
        "column 'city' was a category (=cmd(), La Paz, Zürich) and is now numbers",
        "column 'zone' has the value 'far' in row 0, which was not learned",
        "column 'object' has the value 'z' in row 19, which was not learned",
    ):
        assert says in str(error.value)
    assert "small" not in str(error.value)


def test_numbers_may_change_their_width_and_categories_their_dtype():
    given = frame()[["age", "zone", "city", "flag"]]
    codec = TableCodec.learn(given)
    other = given.astype({"age": "float32", "zone": "int64", "city": "category", "flag": object})
    assert torch.equal(codec.encode(other), codec.encode(given))


def test_refuses_numbers_beyond_float32_after_scaling():
    codec = TableCodec.learn(pd.DataFrame({"a": [0.0, 1.0]}))
    with pytest.raises(InputError, match="standardized table"):
        codec.encode(pd.DataFrame({"a": [1e200]}))


@pytest.mark.parametrize("x", [torch.zeros(2, 3), torch.full((2, 2), torch.nan), torch.zeros(2)])
def test_refuses_other_rows(x):
    with pytest.raises(InputError):
        TableCodec.learn(pd.DataFrame({"a": [0.0, 1.0], "b": [1, 2]})).decode(x)


NUMBER = TableCodec.learn(pd.DataFrame({"a": [1.0, 2.0]})).to_config()["columns"][0]
CATEGORY = TableCodec.learn(pd.DataFrame({"a": ["x", "y"]})).to_config()["columns"][0]


@pytest.mark.parametrize(
    "columns",
    [
        None,
        [],
        [3],
        [{}],
        [{**NUMBER, "kind": "code"}],
        [{**NUMBER, "name": None}],
        [{**NUMBER, "dtype": "object"}],
        [{**NUMBER, "dtype": "float64 + __import__('os')"}],
        [{**NUMBER, "scale": None}],
        [NUMBER, NUMBER],
        [{**CATEGORY, "values": []}],
        [{**CATEGORY, "values": ["x", "x"]}],
        [{**CATEGORY, "values": [["x"]]}],
        [{**CATEGORY, "values": list(range(MAX_VALUES + 1))}],
        [{**CATEGORY, "dtype": "int64"}],
        [{**CATEGORY, "ordered": 1}],
    ],
)
def test_refuses_a_changed_config(columns):
    with pytest.raises((SavedFileError, InputError)):
        data.codec_from_config({"kind": "table", "columns": columns})
