"""`impute`: three files from a table with holes, series, columns that are carried along, refusals."""

import signal
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

FAST = ["--draws", 19]


def people(n=60):
    rng = np.random.default_rng(0)
    age = rng.integers(20, 70, n)
    frame = pd.DataFrame(
        {"name": [f"p{i}" for i in range(n)], "age": age, "pay": 100.0 * age + rng.normal(size=n)}
    )
    frame["town"] = np.where(age + rng.normal(size=n) > 45, "north", "south")
    return frame


@pytest.fixture
def holes(tmp_path):
    frame = people()
    rng = np.random.default_rng(1)
    for column in ("age", "pay", "town"):
        frame[column] = frame[column].mask(pd.Series(rng.random(len(frame)) < 0.2))
    path = tmp_path / "holes.csv"
    frame.to_csv(path, index=False)
    return path


def test_three_files(girsanov, holes, tmp_path):
    out = tmp_path / "new" / "full.csv"
    said = girsanov("impute", holes, "--ignore", "name", *FAST, "--out", out)
    cells, picture = out.with_name("full-cells.csv"), out.with_suffix(".png")
    assert (said.code, said.out) == (0, f"wrote {out}\nwrote {cells}\nwrote {picture}\n")
    assert "chosen:" in said.err
    given, full, lines = pd.read_csv(holes), pd.read_csv(out), pd.read_csv(cells)
    assert list(full.columns) == ["draw", *given.columns] and not full.isna().any().any()
    assert len(full) == 19 * len(given) and set(full["draw"]) == set(range(1, 20))
    for _, one in full.groupby("draw"):
        same = one.drop(columns="draw").reset_index(drop=True).where(given.notna())
        pd.testing.assert_frame_equal(same, given, check_dtype=False)
    assert (full["age"] % 1 == 0).all() and set(full["town"]) == {"north", "south"}
    assert len(lines) == given.isna().to_numpy().sum()
    pay = lines[lines["column"] == "pay"]
    truth = people()["pay"].to_numpy()[pay["row"]]
    assert np.mean((pay["low"] <= truth) & (truth <= pay["high"])) > 0.6 and pay["value"].isna().all()
    assert Image.open(picture).size[0] > 400


def test_a_series(girsanov, tmp_path):
    t = np.arange(120)
    frame = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=120), "y": np.sin(t / 5)})
    frame.loc[[30, 31, 32, 70], "y"] = np.nan
    path, out = tmp_path / "series.csv", tmp_path / "full.csv"
    frame.to_csv(path, index=False)
    said = girsanov("impute", path, "--time", "day", *FAST, "--out", out)
    assert said.code == 0, said.err
    full = pd.read_csv(out)
    drawn = full["y"].to_numpy().reshape(19, 120)[:, [30, 31, 32, 70]]
    assert np.abs(drawn.mean(0) - np.sin(np.array([30, 31, 32, 70]) / 5)).max() < 0.25
    assert list(full["day"][:120]) == list(pd.read_csv(path)["day"])


def test_everything_follows_from_the_seed(girsanov, holes, tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 1)):
        out = tmp_path / f"{name}.csv"
        assert girsanov("impute", holes, "--ignore", "name", *FAST, "--out", out, "--seed", seed).code == 0
        found.append(out.read_bytes())
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options, word",
    [
        (["--out", "full.png"], "does not end in .csv"),
        (["--draws", 18], "needs 19 draws"),
        (["--level", 1.5], "level is 1.5"),
        (["--ignore", "nam"], "unknown column 'nam'"),
        (["--time", "town"], "has no time"),
        (["--time", "name"], "holds no times"),
    ],
)
def test_what_is_refused_before_any_work(girsanov, holes, tmp_path, monkeypatch, options, word):
    monkeypatch.chdir(tmp_path)
    said = girsanov("impute", holes, "--out", "full.csv", *options)
    assert said.code == 2 and word in said.err and not list(tmp_path.glob("full*"))


@pytest.mark.parametrize(
    "text, options, word",
    [
        ("a,b\n1,2\n3,4\n5,6\n", [], "no cell of"),
        ("a,b\n1,\n3,\n5,\n", [], "column 'b' has no value"),
        ("draw,b\n1,2\n3,\n5,6\n", [], "column 'draw'"),
        ("a\n1\n\n3\n", ["--ignore", "a"], "no column of"),
        ("t,b\n1,2\n1,\n5,6\n", ["--time", "t"], "row 1 of .* is not later"),
        ("a,b\n1,x\n2,?\n3,\n,4\n,5\n,6\n", [], "is text because of others"),
    ],
)
def test_files_that_are_refused(girsanov, tmp_path, text, options, word):
    path = tmp_path / "t.csv"
    path.write_text(text)
    said = girsanov("impute", path, "--out", tmp_path / "full.csv", *options)
    assert said.code == 2 and said.out == ""
    assert pd.Series([said.err]).str.contains(word).all(), said.err


def test_a_picture_is_no_table(girsanov, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    said = girsanov("impute", tmp_path / "x.png", "--out", tmp_path / "full.csv")
    assert said.code == 2 and "holds no table" in said.err


def test_interrupted_it_leaves_nothing_behind(started, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 20))).add_prefix("x")
    frame = frame.mask(np.random.default_rng(1).random(frame.shape) < 0.2)
    frame.to_csv(tmp_path / "t.csv", index=False)
    process = started("impute", tmp_path / "t.csv", "--out", tmp_path / "full.csv")
    for line in process.stderr:
        if "components" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130 and [f.name for f in tmp_path.iterdir()] == ["t.csv"]
