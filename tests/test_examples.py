"""The scripts in examples/ run from the first line to the last, at a size that takes seconds."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {"STEPS": "2", "SAMPLES": "20"}
WRITES = {
    "quickstart": {"digits.png", "typical.png", "runs"},
    "plans": {"plan.png", "plan.json"},
    "exact_mixture": set(),
    "table": {"wines.csv"},
}
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def test_every_example_is_listed():
    assert {script.stem for script in SCRIPTS} == set(WRITES)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(script), run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == WRITES[script.stem]
    assert capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_is_short_and_says_what_it_does(script):
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"python examples/{script.name}" in text


def test_the_small_sizes_are_those_that_the_scripts_read():
    texts = [script.read_text(encoding="utf-8") for script in SCRIPTS]
    assert all(any(f'os.environ.get("{name}"' in text for text in texts) for name in SMALL)
