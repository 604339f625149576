"""`likelihood` of a run that is a Gaussian, against the Gaussian's own density."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats


@pytest.fixture
def exact(table) -> np.ndarray:
    """The log-density of every row at the scale of the model, in nats."""
    data = pd.read_csv(table)[["weight", "height"]]
    standard = ((data - data.mean()) / data.std(ddof=0)).to_numpy()
    return stats.norm(0, standard.std(ddof=1)).logpdf(standard).sum(1)


def test_every_row_has_its_density(girsanov, gaussian, table, exact, tmp_path):
    out = tmp_path / "scores.csv"
    said = girsanov("likelihood", gaussian, table, "--out", out, "--tolerance", "1e-5", "--batch-size", 150)
    assert said.code == 0
    assert f"wrote {out}" in said.out
    scores = pd.read_csv(out)
    assert list(scores.columns) == ["row", "nats", "bits_per_dim", "class"]
    np.testing.assert_allclose(scores.nats, exact, atol=1e-2)
    np.testing.assert_allclose(scores.bits_per_dim, -exact / (2 * math.log(2)), atol=1e-2)
    assert list(scores["class"]) == list(pd.read_csv(table).kind)


def test_the_strangest_rows_come_first(girsanov, gaussian, table, exact):
    said = girsanov("likelihood", gaussian, table)
    named = [int(line.split()[0]) for line in said.out.splitlines()[3:8]]
    assert named == list(np.argsort(exact)[:5])


def test_the_mean_is_told(girsanov, gaussian, table, exact):
    said = girsanov("likelihood", gaussian, table)
    mean, deviation = map(float, re.search(r"log-likelihood (\S+) ± (\S+) nats", said.out).groups())
    assert mean == pytest.approx(exact.mean(), abs=0.01)
    assert deviation == pytest.approx(exact.std(), rel=0.02)


def test_rows_without_classes_are_scored_without(girsanov, gaussian, table, exact, tmp_path):
    bare = tmp_path / "bare.csv"
    pd.read_csv(table)[:20].drop(columns="kind").to_csv(bare, index=False)
    said = girsanov("likelihood", gaussian, bare, "--out", tmp_path / "scores.csv")
    assert "scored without classes" in said.err
    np.testing.assert_allclose(pd.read_csv(tmp_path / "scores.csv").nats, exact[:20], atol=0.05)


def test_other_columns_are_refused(girsanov, gaussian, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("weight,length,kind\n1,2,rare\n3,4,rare\n")
    said = girsanov("likelihood", gaussian, other)
    assert said.code == 2
    assert "column 'height' is missing" in said.err


@pytest.mark.parametrize(
    "options, says", [(["--out", "x.png"], "does not end in .csv"), (["--tolerance", "7"], "tolerance is 7")]
)
def test_bad_options(girsanov, gaussian, table, options, says):
    said = girsanov("likelihood", gaussian, table, *options)
    assert said.code == 2
    assert says in said.err
