"""The benchmarks' frame: timing in turns, results as JSON, the page that is renewed. Nothing is timed here."""

import ast
import importlib
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "benchmarks"
SHARED = ("common", "run", "problems", "fashion", "solver_page")
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
    found = {script: rows(common)}
    text = f"# Title\n\nKept.\n\n{run.BEGIN}\nold\n{run.END}\n\nKept too.\n"
    new = run.page(text, found, "today")
    assert "old" not in new and new.startswith("# Title\n\nKept.") and new.endswith("Kept too.\n")
    assert "1 of 2 bars met; today." in new and "## speed\n\nHow fast.\n" in new
    assert "| 20 calls | 0.75 | ≤ 0.5 | **missed** | peer 1.2 |" in new
    assert run.page(new, found, "today") == new
    with pytest.raises(SystemExit, match="markers"):
        run.page("# Title\n", found, "today")


def test_a_script_that_fails_leaves_the_page(frame, tmp_path, monkeypatch, capsys):
    _, run = frame
    page = tmp_path / "page.md"
    page.write_text("old")
    (tmp_path / "broken.py").write_text("raise SystemExit(3)")
    (tmp_path / "fine.py").write_text('"""Fine."""\nprint("[]")')
    monkeypatch.setattr(run, "HERE", tmp_path)
    monkeypatch.setattr(run, "PAGE", page)
    assert run.main() == 1
    assert page.read_text() == "old" and "broken.py failed" in capsys.readouterr().err


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_says_what_it_measures_and_how_to_run_it(script):
    told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert told and f"python benchmarks/{script.name} [--json]" in told
