"""`papers` and `reproduce`, on a paper made for the test."""

import json
import sys
import types

import pytest
from matplotlib.figure import Figure
from PIL import Image

from girsanov import papers
from girsanov.papers import Bar, Claim, Paper, Report

SMALL = Claim(name="small", says="Ours is small.", source="Table 1", unit="length", bar=Bar("<=", plus=1))
LARGE = Claim(name="large", says="Ours is large.", source="Table 2", unit="length", bar=Bar(">=", plus=3))


def run(budget) -> Report:
    report = Report(PAPER, budget)
    for seed in budget.seeds:
        report.add(SMALL, seed, ours=0.5)
        report.add(LARGE, seed, ours=0.5)
    return report


PAPER = Paper(
    slug="a-test", title="A <test> für alle", claims=(SMALL, LARGE), run=run, figure=lambda _: Figure()
)


@pytest.fixture(autouse=True)
def shelf(monkeypatch):
    """A library that holds this paper only."""
    module = types.ModuleType("a_test")
    module.PAPER = PAPER
    monkeypatch.setitem(sys.modules, "a_test", module)
    for name in list(papers.PAPERS):
        monkeypatch.delitem(papers.PAPERS, name)
    monkeypatch.setitem(papers.PAPERS, "a-test", "a_test")
    monkeypatch.setattr(papers, "load_results", lambda: [papers.run("a-test", budget="cpu").results()])


def test_verdicts_are_listed(girsanov):
    said = girsanov("papers")
    assert said.code == 0
    assert "1 passed, 1 missed" in said.out
    assert "A <test> für alle" in said.out


def test_json_has_the_fields_that_were_promised(girsanov):
    (found,) = json.loads(girsanov("papers", "--json").out)
    assert {"slug", "title", "claims", "budget", "seeds", "seconds", "version", "date"} <= set(found)
    for claim in found["claims"]:
        assert {"name", "paper", "ours", "baseline", "bar", "verdict", "reason"} <= set(claim)
    assert [claim["verdict"] for claim in found["claims"]] == ["passed", "missed"]


@pytest.mark.parametrize("wanted", [["A_Test"], ["--all"]])
def test_a_run_is_judged_and_written(girsanov, tmp_path, wanted):
    said = girsanov("reproduce", *wanted, "--budget", "cpu", "--out", tmp_path / "new")
    assert said.code == 0, said.err
    folder = tmp_path / "new" / "a-test"
    written = [folder / f"a-test.{ending}" for ending in ("json", "png", "html")]
    assert said.out.splitlines()[-3:] == [f"wrote {path}" for path in written]
    assert [claim["verdict"] for claim in json.loads(written[0].read_text())["claims"]] == [
        "passed",
        "missed",
    ]
    assert Image.open(written[1]).format == "PNG"
    assert "passed" in said.out


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["a-tset"], "Did you mean a-test"),
        ([], "give the name of one paper, or --all"),
        (["a-test", "--all"], "give the name of one paper, or --all"),
        (["a-test", "--budget", "huge"], "known are cpu, paper, smoke"),
    ],
)
def test_bad_input_is_one_message(girsanov, tmp_path, arguments, says):
    said = girsanov("reproduce", *arguments, "--out", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert says in said.err
    assert list(tmp_path.iterdir()) == []
