"""The papers by slug, found by the names of their files and imported when asked for."""

from __future__ import annotations

import json
import pkgutil
import time
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from girsanov.errors import choose
from girsanov.papers.base import BUDGETS, Paper
from girsanov.papers.report import Report

PACKAGE = "girsanov.papers"


def _found() -> dict[str, str]:
    home = Path(__file__).parent
    rooms = [m.name for m in pkgutil.iter_modules([str(home)]) if m.ispkg]
    return {
        module.name.replace("_", "-"): f"{PACKAGE}.{room}.{module.name}"
        for room in rooms
        for module in pkgutil.iter_modules([str(home / room)])
    }


PAPERS: dict[str, str] = _found()
"""The module of each paper by its slug; nothing is imported yet."""


def get(slug: str) -> Paper:
    """The paper of that slug, or the nearest names."""
    paper: Paper = import_module(choose(slug, PAPERS, "paper")).PAPER
    return paper


def run(slug: str, budget: str = "cpu") -> Report:
    """Run a paper and judge its claims. Its seconds are of processor time, which other work does not change.

    Args:
        slug: one of `PAPERS`.
        budget: "smoke", "cpu" or "paper".

    Raises:
        UnknownName: no such paper or budget.
    """
    spend, paper = choose(budget, BUDGETS, "budget"), get(slug)
    start = time.process_time()
    report = paper.run(spend)
    report.seconds = time.process_time() - start
    return report


def load_results() -> list[dict[str, Any]]:
    """The results that ship with the package, by slug; no paper is imported."""
    folder = resources.files(PACKAGE) / "results"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".json"))
    return [json.loads((folder / name).read_text(encoding="utf-8")) for name in names]
