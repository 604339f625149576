"""The documentation: its examples run, and its generated pages say what the results say."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def examples(page: Path) -> str:
    """The code of a page, at the line numbers it has there; fences of `py` are shown and not run."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


PAGES = [
    page
    for page in (ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if examples(page).strip()
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(examples(page), str(page), "exec"), {"__name__": page.stem})


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        line, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").exists()


def script(name: str):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_processes_has_them_all(monkeypatch):
    """And a path that goes forward leaves the mode whose colour it has."""
    pytest.importorskip("matplotlib", reason="the extra for pictures is not installed")
    from girsanov.processes import PROCESSES

    drawing = script("draw_processes")
    monkeypatch.setattr(drawing, "STEPS", 12)
    panels = {name: make for name, _, make in drawing.panels()}
    assert set(panels) == {*PROCESSES, "Wrapped", "Constrained", "Masked", "SE3Diffusion"}
    for name in set(panels) - {"Masked", "SE3Diffusion"}:
        there, back = panels[name]()
        assert there.states.isfinite().all() and back.states.isfinite().all()
        assert there.times[0] == 0 and back.times[-1] >= 1.99
        assert (
            len(there.mode) == 3 * drawing.EACH and (there.mode.bincount(minlength=3) == drawing.EACH).all()
        )


@pytest.fixture
def gen(tmp_path, monkeypatch):
    """The generator, looking at an empty repository with the rooms' order of ours."""
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    module = script("gen")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "PACKAGE", tmp_path / "girsanov")
    return module


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_room_is_listed_by_the_modules_that_define_its_names(gen):
    write(gen.PACKAGE / "noise.py", '"""Draws."""\nLAW = 1\n"""A law."""\nhidden = 2\ndef draw(): ...\n')
    write(
        gen.PACKAGE / "solvers" / "__init__.py",
        '"""Solvers."""\nfrom girsanov.solvers.plan import Plan, private\n'
        'from girsanov.noise import draw\n__all__ = ["Plan", "draw"]\n',
    )
    assert gen.layers() == ["noise", "solvers"]
    assert gen.exports("noise") == {"girsanov.noise": ["LAW", "draw"]}
    assert gen.exports("solvers") == {"girsanov.solvers.plan": ["Plan"]}


def test_the_gallery_shows_every_claim(gen):
    claim = {
        "name": "a | b",
        "paper": 3.1,
        "ours": 2.9,
        "baseline": None,
        "bar": "≤ 3",
        "reason": "too few walks",
    }
    paper = {
        "slug": "walk", "title": "A walk", "budget": "cpu", "seeds": [0, 1], "seconds": 1.5,
        "version": "0.1.0", "date": "2026-01-01",
        "claims": [{**claim, "verdict": "passed"}, {**claim, "name": "c", "verdict": "missed"}],
    }  # fmt: skip
    write(gen.PACKAGE / "papers" / "results" / "walk.json", json.dumps(paper))
    assert "figures" not in gen.gallery()
    write(gen.ROOT / "docs" / "figures" / "papers" / "walk.png", "")
    page = gen.gallery()
    assert "| [A walk](#walk) | 2 | 1 passed, 1 missed |" in page
    assert "| a \\| b | 3.1 | 2.9 | – | ≤ 3 | passed |" in page
    assert "- **c**: too few walks" in page
    assert "![A walk](figures/papers/walk.png)" in page
    assert "2 seeds, 1.5 s, version 0.1.0, 2026-01-01" in page


def test_a_page_that_asks_the_network_is_seen(gen):
    assert gen.NETWORK.search('<script src="https://cdn.example/x.js">')
    assert gen.NETWORK.search('<link rel="preconnect" href="//fonts.example">')
    assert not gen.NETWORK.search('<a href="https://example.org">a link</a><script src="assets/x.js">')
