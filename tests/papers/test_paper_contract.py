"""Papers, claims and reports: verdicts on numbers written by hand, and what is written to disk."""

import json

import pytest

from girsanov import papers
from girsanov.errors import InputError, UnknownName
from girsanov.papers import BUDGETS, Bar, Budget, Claim, Paper, Report, canvas


def claim(name="closer", **changed):
    facts = {"says": "Ours is closer.", "source": "Table 1", "unit": "distance", "bar": Bar("<=", times=0.5)}
    return Claim(name=name, **(facts | changed))


def paper(*claims):
    def figure(report):
        drawn, (left, _) = canvas(report, panels=2, equal=(1,))
        left.plot([0, 1], [0, 1])
        return drawn

    return Paper(
        slug="a-toy", title="A toy (2026)", claims=claims, run=lambda b: Report(toy, b), figure=figure
    )


toy = paper(claim())


def judged(pairs, budget="cpu", **changed):
    one = claim(**changed)
    report = Report(paper(one), BUDGETS[budget])
    for seed, (ours, baseline) in enumerate(pairs):
        report.add(one, seed, ours=ours, baseline=baseline)
    return report.verdicts[0].verdict


WIN, LOSE, WIDE = (1.0, 2.5), (1.0, 1.5), (1.0, 9.0)


@pytest.mark.parametrize(
    "over, pairs, word",
    [
        ("every", [WIN, WIN, WIN], "passed"),
        ("every", [WIN, WIN, LOSE], "missed"),
        ("most", [WIN, WIN, LOSE], "passed"),
        ("most", [WIN, LOSE, LOSE], "missed"),
        ("mean", [WIDE, LOSE, LOSE], "passed"),
        ("mean", [WIN, LOSE, LOSE], "missed"),
        ("every", [WIN, WIN], "not judged"),
        ("every", [WIN, WIN, (float("nan"), 1.0)], "missed"),
        ("mean", [WIN, WIN, (float("inf"), 1.0)], "missed"),
    ],
)
def test_verdicts(over, pairs, word):
    assert judged(pairs, over=over) == word


def test_smoke_is_never_judged():
    assert judged([WIN], budget="smoke", seeds=1) == "not judged"


@pytest.mark.parametrize(
    "bar, ours, baseline, met",
    [
        (Bar("<=", plus=0.01), 0.01, None, True),
        (Bar("<=", plus=0.01), 0.011, None, False),
        (Bar(">=", times=1, plus=-0.01), 0.98, 0.985, True),
        (Bar(">=", times=20), 1.9, 0.1, False),
    ],
)
def test_bars(bar, ours, baseline, met):
    assert bar.met(ours, baseline) is met


def test_a_bar_reads_as_it_judges():
    assert str(Bar(">=", times=1, plus=-0.01)) == "ours ≥ baseline − 0.01"
    assert str(Bar("<=", times=0.75)) == "ours ≤ 0.75 × baseline"
    assert str(Bar("<=", plus=0.01)) == "ours ≤ 0.01"


def test_undecidable_says_why():
    report = Report(toy, BUDGETS["cpu"])
    report.leave(toy.claims[0], "FID needs an Inception network.")
    found = report.verdicts[0]
    assert (found.verdict, found.reason) == ("undecidable", "FID needs an Inception network.")


def test_results_are_read_back(tmp_path):
    report = Report(toy, BUDGETS["cpu"])
    for seed in range(3):
        report.add(toy.claims[0], seed, ours=seed, baseline=4.0)
    report.save(tmp_path / "x.json")
    report.save(tmp_path)
    assert (tmp_path / "x.json").read_text() == (tmp_path / "a-toy.json").read_text()
    found = json.loads((tmp_path / "x.json").read_text())
    assert {"slug", "title", "claims", "budget", "seeds", "seconds", "version", "date"} == set(found)
    assert {"name", "paper", "ours", "baseline", "bar", "verdict", "reason"} <= set(found["claims"][0])
    assert (found["claims"][0]["ours"], found["claims"][0]["spread"]) == (1.0, [0.0, 2.0])


def test_numbers_that_are_not_finite_still_save(tmp_path):
    report = Report(toy, BUDGETS["cpu"])
    for seed, ours in enumerate((1.0, float("nan"), float("inf"))):
        report.add(toy.claims[0], seed, ours=ours, baseline=4.0)
    report.save(tmp_path)
    assert json.loads((tmp_path / "a-toy.json").read_text())["claims"][0]["ours"] is None


def test_figure_and_page(tmp_path):
    report = Report(toy, BUDGETS["smoke"])
    report.draw(tmp_path / "x.png")
    report.html(tmp_path / "x.html")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "x.html").read_text()
    assert "A toy (2026)" in page and "data:image/png;base64," in page and "http" not in page


def test_wrong_records_are_refused():
    report = Report(toy, BUDGETS["cpu"])
    report.add(toy.claims[0], 0, ours=1.0, baseline=1.0)
    with pytest.raises(InputError, match="already added"):
        report.add(toy.claims[0], 0, ours=1.0, baseline=1.0)
    with pytest.raises(InputError, match="give baseline="):
        report.add(toy.claims[0], 1, ours=1.0)
    with pytest.raises(InputError, match="no claim of a-toy"):
        report.leave(claim("another"), "")
    with pytest.raises(InputError, match="share a name"):
        paper(claim(), claim())
    with pytest.raises(UnknownName):
        Bar("<", times=1.0)
    with pytest.raises(UnknownName):
        claim(over="some")


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown budget 'cpus'.*cpu"):
        papers.run("score-sde", budget="cpus")
    with pytest.raises(UnknownName, match="unknown paper"):
        papers.get("no-such-paper")


def test_the_budget_picks():
    assert Budget("paper", (0,)).pick(smoke=1, cpu=2) == 2
    assert [b.pick(smoke=1, cpu=2, paper=3) for b in BUDGETS.values()] == [1, 2, 3]
