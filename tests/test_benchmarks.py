"""The benchmarks' frame: timing in turns, results as JSON, the page that is renewed. Nothing is timed here."""

import ast
import importlib
import json
import math
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parents[1] / "benchmarks"
SHARED = ("common", "run", "problems", "fashion", "solver_page", "peer_deepinv", "peer_kdiffusion")
SCRIPTS = sorted(path for path in HERE.glob("*.py") if path.stem not in SHARED)


@pytest.fixture
def frame(monkeypatch):
    """The modules `common` and `run`, as a benchmark script finds them."""
    monkeypatch.syspath_prepend(str(HERE))
    for name in ("common", "run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("common"), importlib.import_module("run")
    for name in ("common", "run"):
        sys.modules.pop(name, None)


def test_what_runs_is_what_is_checked_here(frame):
    _, run = frame
    assert run.scripts() == SCRIPTS


def rows(common):
    met = common.Result("10 calls", 1.0, 4.0, "peer", "1.2", 0.5, "ms")
    return [met, met._replace(name="20 calls", ours=3.0)]


def test_results_survive_json_and_judge_themselves(frame):
    common, _ = frame
    written = json.loads(json.dumps([r.to_json() for r in rows(common)]))
    assert [common.Result.from_json(row) for row in written] == rows(common)
    assert [row["ratio"] for row in written] == [0.25, 0.75]
    assert [r.met for r in rows(common)] == [True, False]


def test_runs_take_turns(frame):
    common, _ = frame
    order = []
    common.seconds(lambda: order.append("a"), lambda: order.append("b"), repeats=2)
    assert order == ["a", "b"] * 3


def test_the_page_is_renewed_between_its_markers(frame, tmp_path):
    common, run = frame
    script = tmp_path / "speed.py"
    script.write_text('"""How fast.\n\nMore text."""\n')
    found = {script: run.Found(rows(common), "today")}
    other = "## other\n\nNot run. *long ago.*\n\n| a | 1 | ≤ 2 | met | peer 1 |"
    text = f"# Title\n\nKept.\n\n{run.BEGIN}\nold\n\n{other}\n\n## speed\n\nold\n\n{run.END}\n\nKept too.\n"
    new = run.page(text, found)
    assert (
        "old" not in new
        and other in new
        and new.startswith("# Title\n\nKept.")
        and new.endswith("Kept too.\n")
    )
    assert "2 of 3 bars met." in new and "## speed\n\nHow fast. *today.*\n" in new
    assert "| 20 calls | 0.75 | ≤ 0.5 | **missed** | peer 1.2 |" in new
    assert run.page(new, found) == new
    with pytest.raises(SystemExit, match="markers"):
        run.page("# Title\n", found)


@pytest.fixture
def folder(frame, tmp_path, monkeypatch):
    """A folder of benchmarks of its own, and `run` there."""
    common, run = frame
    for name, value in {"HERE": tmp_path, "PAGE": tmp_path / "page.md"}.items():
        monkeypatch.setattr(run, name, value)
    found = json.dumps([rows(common)[0].to_json()])
    (tmp_path / "fine.py").write_text(f'"""Fine."""\nprint({found!r})')
    return run


def test_a_script_that_fails_takes_nothing_from_the_others(folder, capsys):
    broken = folder.HERE / "broken.py"
    broken.write_text('"""Broken later."""\n' + (folder.HERE / "fine.py").read_text().partition("\n")[2])
    assert folder.main() == 0
    before = folder.PAGE.read_text()
    assert "2 of 2 bars met" in before
    broken.write_text('"""Broken later."""\nraise SystemExit(3)')
    assert folder.main() == 1
    assert folder.PAGE.read_text() == before and "broken.py failed" in capsys.readouterr().err


def test_some_benchmarks_can_be_named(folder):
    (folder.HERE / "broken.py").write_text("raise SystemExit(3)")
    assert folder.main(["fine"]) == 0
    assert "## fine" in folder.PAGE.read_text()
    with pytest.raises(SystemExit, match="no benchmark is called fast; there are broken, fine"):
        folder.main(["fast"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_measures_and_how_to_run_it(script):
    told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert told and f"python benchmarks/{script.name} [--json]" in told


# The intervals of the leaderboard.


@pytest.fixture
def leaderboard(frame, monkeypatch):
    for name in ("fashion", "leaderboard"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("leaderboard")
    for name in ("fashion", "leaderboard"):
        sys.modules.pop(name, None)


def clouds(repeats, n=400, dims=8):
    """Independent samples of one law, that is not the reference's, N(0, 1)."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.eye(dims, dtype=torch.float64) + 0.3
    return [
        0.3 + torch.randn(n, dims, generator=generator, dtype=torch.float64) @ mixed for _ in range(repeats)
    ]


STANDARD = torch.zeros(8, dtype=torch.float64), torch.eye(8, dtype=torch.float64)


def test_the_jackknife_finds_the_spread_of_independent_samples(leaderboard):
    scores = [leaderboard.jackknifed(points, *STANDARD, groups=20) for points in clouds(150)]
    told = (
        torch.tensor([score.half_width for score in scores]).square().mean().sqrt() / 2.0930
    )  # t(0.975, 19)
    spread = torch.tensor([score.value for score in scores]).std()
    assert float(told / spread) == pytest.approx(1, abs=0.2)  # the spread of 150 is known to 6 %


def test_a_ratio_knows_that_the_noises_are_the_same(leaderboard):
    ratios, scores = [], []
    for points in clouds(150):
        pair = [leaderboard.jackknifed(points * c, *STANDARD, groups=20) for c in (1.0, 1.05)]
        ratios.append(leaderboard.Ratio.of(*pair))
        scores.append(pair)
    logs = torch.tensor([ratio.value for ratio in ratios]).log()
    told = torch.tensor([math.log(ratio.high / ratio.value) for ratio in ratios]) / 2.0930
    assert float(told.square().mean().sqrt() / logs.std()) == pytest.approx(1, abs=0.2)
    apart = torch.tensor([[s.half_width / s.value / 2.0930 for s in pair] for pair in scores]).square()
    assert float(apart.sum(1).mean().sqrt() / logs.std()) > 2  # as if the noises were others


def test_rows_drawn_with_repetition_raise_the_distance(leaderboard):
    (points,) = clouds(1, n=60)
    generator = torch.Generator().manual_seed(1)
    draws = [
        leaderboard.jackknifed(
            points[torch.randint(60, (60,), generator=generator)], *STANDARD, groups=2
        ).value
        for _ in range(100)
    ]
    whole = leaderboard.jackknifed(points, *STANDARD, groups=2).value
    assert sum(draws) / 100 - whole > 4 * float(torch.tensor(draws).std()) / 10


def test_a_statement_is_decided_by_its_interval(leaderboard):
    def word(*ratio):
        return leaderboard.Verdict("", "", leaderboard.Ratio(*ratio)).word

    assert word(0.8, 0.7, 0.9) == "holds" and word(0.9, 0.8, 1.1) == "holds, within the interval"
    assert word(1.2, 1.1, 1.3) == "**fails**" and word(1.1, 0.9, 1.2) == "**fails**, within the interval"
