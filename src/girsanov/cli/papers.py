"""`girsanov papers` and `girsanov reproduce`: what every paper claims, and what we measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from girsanov.cli.console import note, say, show, wrote
from girsanov.cli.options import NoSeed, lookup

VERDICTS = ("passed", "missed", "undecidable", "not judged")


def papers(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as JSON.")] = False,
    seed: NoSeed = 0,
) -> None:
    """List the papers with the verdicts on their claims."""
    from girsanov.papers import load_results

    results = load_results()
    if as_json:
        say(json.dumps(results, indent=2, ensure_ascii=False))
        return
    rows = [
        (found["slug"], tally(c["verdict"] for c in found["claims"]), found["title"]) for found in results
    ]
    show(("paper", "claims", "title"), rows)
    say("next: girsanov reproduce SLUG" if results else "no results were shipped with this version")


def reproduce(
    slug: Annotated[str | None, typer.Argument(metavar="SLUG", help="A paper, as `papers` lists it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    budget: Annotated[
        str, typer.Option(help="smoke (seconds), cpu (where claims are judged), paper (the original scale).")
    ] = "cpu",
    out: Annotated[Path, typer.Option(help="The folder for the results, one folder a paper.")] = Path(
        "runs/papers"
    ),
    seed: Annotated[int, typer.Option(help="Accepted by every command; the claims fix their own seeds.")] = 0,
) -> None:
    """Run a paper, judge its claims, and draw what was found."""
    from girsanov.errors import require
    from girsanov.papers import BUDGETS, PAPERS, run

    require((slug is None) == every, "give the name of one paper, or --all. `girsanov papers` lists them.")
    spend = lookup(budget, {name: name for name in BUDGETS}, "budget")
    known = {name: name for name in PAPERS}
    wanted = list(known) if slug is None else [lookup(slug, known, "paper")]
    for name in wanted:
        note(f"{name}, budget {spend}")
        report = run(name, budget=spend)
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{name}.{ending}" for ending in ("json", "png", "html")]
        for write, file in zip((report.save, report.draw, report.html), files, strict=True):
            write(file)
        for verdict in report.verdicts:
            say(str(verdict))
        wrote(*files)


def tally(verdicts: Iterable[str]) -> str:
    """Verdicts counted, as "3 passed, 1 undecidable"."""
    counts = Counter(verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
