"""The demo, far too short to be good: what it writes, what it refuses, and how its numbers are computed."""

import json

import pytest
import torch
from cli_helpers import check_page
from scipy import stats

from girsanov.cli import digits, showcase
from girsanov.cli.digits import Split, ten_classes, verdicts
from girsanov.cli.runs import open_run
from girsanov.exact import GaussianMixture
from girsanov.processes import EDM
from girsanov.solvers import sample
from girsanov.training import load, read_card

BARS = {"class_accuracy_10_calls", "class_accuracy_100_calls", "two_sample_1nn", "nearest_train_ratio"}
SHORT = ("--steps", 4, "--samples", 20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "runs" / "demo <b>"


@pytest.fixture
def report(girsanov, folder):
    """What a short demo wrote; made once."""
    if not folder.exists():
        said = girsanov("demo", "--out", folder, *SHORT, "--seed", 3)
        assert said.code == 0, said.err
        assert said.out.count("wrote ") == 4
        assert "2 of 4 bars missed" in said.out or "MISSED" in said.out
        assert "\x1b" not in said.err
    return json.loads((folder / "report.json").read_text())


def test_the_report_has_what_was_promised(report):
    assert BARS | {"guidance", "seconds"} <= set(report)
    assert report["guidance"] == 1.0
    assert (report["steps"], report["samples"], report["seed"]) == (4, 20, 3)
    assert report["classifier_accuracy"] > 0.95  # judged by one who can read
    assert report["class_accuracy_10_calls"] < 0.9  # four steps teach nothing, and the report says so
    assert [bar["met"] for bar in report["bars"]] == [v.met for v in verdicts(report)]


def test_the_page_stands_alone(report, folder):
    found = check_page((folder / "report.html").read_text())
    assert len(found.addresses) == 8
    text = " ".join(found.text)
    assert "missed" in found.text
    assert f"girsanov sample '{folder}'" in text


def test_the_folder_is_a_run_like_any_other(report, girsanov, folder, tmp_path):
    assert isinstance(load(folder).process, type(EDM()))
    run = open_run(folder)
    assert run.classes == tuple("0123456789")
    assert run.origin.holds(run.read("digits"))
    assert girsanov("sample", folder, "-n", 1, "--steps", 1, "--out", tmp_path / "x.png").code == 0


def test_a_second_demo_renews_its_own_folder(report, girsanov, folder, monkeypatch):
    found = digits.Findings(
        numbers={name: report[name] for name in report if isinstance(report[name], float)},
        samples=torch.zeros(20, 1, 8, 8),
        path=(torch.zeros(11, 4, 1, 8, 8), torch.zeros(11, 4, 1, 8, 8)),
        errors={"one": [(5.0, 0.1), (10.0, 0.01)]},
        filled=torch.zeros(2, 3, 1, 8, 8),
        likelihood=(torch.zeros(9), torch.ones(9)),
    )
    monkeypatch.setattr(digits, "measure", lambda *_, **__: found)  # it takes longer than all else
    (folder / "notes.txt").write_text("mine")
    before = (folder / "model.safetensors").read_bytes()
    said = girsanov("demo", "--out", folder, *SHORT, "--seed", 4)
    assert said.code == 0
    assert "renewing the demo" in said.err
    assert (folder / "model.safetensors").read_bytes() != before
    assert (folder / "notes.txt").read_text() == "mine"
    assert json.loads((folder / "report.json").read_text())["seed"] == 4


@pytest.mark.parametrize("held", ["notes.txt", "config.json", "run"])
def test_a_folder_with_anything_else_is_refused(girsanov, tmp_path, gaussian, held):
    out = tmp_path / "out"
    if held == "run":
        out = gaussian
    else:
        out.mkdir()
        (out / held).write_text("{}")
    before = sorted(out.iterdir())
    said = girsanov("demo", "--out", out, *SHORT)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert sorted(out.iterdir()) == before
    assert read_card(gaussian).dataset.endswith("table.csv")


def test_a_file_in_its_place_is_refused(girsanov, tmp_path):
    (tmp_path / "x").write_text("")
    said = girsanov("demo", "--out", tmp_path / "x")
    assert said.code == 2
    assert "is a file" in said.err


# --- the numbers


def numbers(**changed) -> dict:
    met = {
        "class_accuracy_10_calls": 0.97,
        "class_accuracy_100_calls": 0.98,
        "two_sample_1nn": 0.58,
        "nearest_train_ratio": 0.8,
    }
    return {**met, **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"class_accuracy_10_calls": 0.9699, "class_accuracy_100_calls": 0.97},
        {"class_accuracy_100_calls": 0.9801},
        {"two_sample_1nn": 0.581},
        {"two_sample_1nn": 0.419},
        {"nearest_train_ratio": 0.799},
    ],
)
def test_a_bar_is_met_up_to_its_edge(changed):
    assert all(v.met for v in verdicts(numbers()))
    assert sum(v.met for v in verdicts(numbers(**changed))) == 3


def test_auc_is_that_of_mann_and_whitney():
    generator = torch.Generator().manual_seed(0)
    usual, strange = torch.randn(50, generator=generator) + 1, torch.randn(40, generator=generator)
    expected = stats.mannwhitneyu(usual, strange).statistic / (50 * 40)
    assert digits.auc(usual, strange) == pytest.approx(expected)


def test_the_two_sample_test_is_a_mean_over_disjoint_sets():
    generator = torch.Generator().manual_seed(0)
    x, fresh = torch.randn(2000, 2, generator=generator), torch.randn(350, 2, generator=generator)
    assert digits.two_sample(x, fresh) == pytest.approx(0.5, abs=4 * 0.5 / 700**0.5)
    assert digits.two_sample(x + 5, fresh) > 0.95


def law():
    """A mixture of two points a class with its exact denoiser, in place of a model of digits."""
    means = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    model = GaussianMixture(means, 0.01, labels=torch.arange(20) % 10).denoiser(EDM())
    return model, (means[:10] + means[10:]) / 2


def test_the_path_ends_in_the_samples():
    model, means = law()
    states, guesses = digits.path(model, 5, 10, seed=1)
    x = sample(model, 5, cond=ten_classes(5), plan=digits.plan_of(model, 10), seed=1)
    assert torch.allclose(states[-1].to(x), x, atol=1e-5)
    assert torch.equal(states[-1], guesses[-1])
    assert states.shape == guesses.shape == (11, 5, 2)
    assert torch.allclose(guesses[0].to(means), means[:5], atol=0.1)  # at first, the mean of the class


@pytest.mark.parametrize("solver", digits.SOLVERS.values())
@pytest.mark.parametrize("calls", digits.CALLS)
def test_no_solver_takes_more_than_its_calls(solver, calls):
    plan = digits.plan_of(law()[0], calls, solver)
    assert calls - 2 < plan.calls <= calls


def test_solvers_come_closer_with_more_calls():
    model, _ = law()
    exact = sample(model, 50, cond=ten_classes(50), plan=digits.plan_of(model, 400), seed=2)
    for curve in digits.solver_errors(model, exact, seed=2).values():
        assert curve[-1][1] < curve[0][1] / 2


def test_held_out_digits_stand_under_their_class():
    label = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3])
    fresh = torch.arange(11.0)[:, None, None, None].expand(11, 1, 8, 8)
    shown = showcase.held_out_digits(Split(fresh, label, fresh, label), 20)[:, 0, 0, 0]
    assert shown[:10].tolist() == list(range(10))
    assert shown[10:].tolist() == [0, 1, 2, 10, 4, 5, 6, 7, 8, 9]
