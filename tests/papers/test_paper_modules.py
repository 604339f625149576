"""Every paper at the smoke budget, and the results that ship."""

import json
from importlib import resources

import pytest

from girsanov import papers
from girsanov.papers import BUDGETS, Report

WORDS = {"passed", "missed", "undecidable", "not judged"}


@pytest.mark.parametrize("slug", sorted(papers.PAPERS))
def test_a_paper_runs_and_draws(slug, tmp_path):
    report = papers.run(slug, budget="smoke")
    assert {found.verdict for found in report.verdicts} == {"not judged"}
    report.draw(tmp_path / "figure.png")
    report.html(tmp_path / "page.html")
    report.save(tmp_path)
    assert json.loads((tmp_path / f"{slug}.json").read_text())["slug"] == slug


@pytest.mark.parametrize("slug", sorted(papers.PAPERS))
def test_the_slug_is_the_file(slug):
    assert papers.get(slug).slug == slug


def test_results_belong_to_the_claims_as_they_are():
    for found in papers.load_results():
        paper = papers.get(found["slug"])
        assert found["budget"] == "cpu" and found["seeds"] == list(BUDGETS["cpu"].seeds)
        rules = [(claim.name, claim.rule) for claim in paper.claims]
        assert [(claim["name"], claim["bar"]) for claim in found["claims"]] == rules
        assert {claim["verdict"] for claim in found["claims"]} <= WORDS
        assert all(claim["reason"] for claim in found["claims"] if claim["verdict"] != "passed")


def test_results_lie_beside_the_package():
    names = {entry.name for entry in (resources.files("girsanov.papers") / "results").iterdir()}
    assert {f"{found['slug']}.json" for found in papers.load_results()} == {
        n for n in names if n.endswith(".json")
    }


def test_a_paper_that_measures_nothing_is_not_judged():
    paper = papers.get("score-sde")
    assert {found.verdict for found in Report(paper, BUDGETS["cpu"]).verdicts} == {"not judged"}
