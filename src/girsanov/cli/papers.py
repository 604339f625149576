"""`girsanov papers` and `girsanov reproduce`: what every paper claims, and what we measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, say, show, wrote
from girsanov.cli.options import NoSeed

if TYPE_CHECKING:
    from girsanov.papers import Report

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
    rows = [(found["slug"], tally(c["verdict"] for c in found["claims"]), found["title"]) for found in results]
    show(("paper", "claims", "title"), rows)
    say("next: girsanov reproduce SLUG")


def reproduce(
    slug: Annotated[str | None, typer.Argument(metavar="SLUG", help="A paper, as `papers` lists it.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, one after the other.")] = False,
    budget: Annotated[
        str, typer.Option(help="smoke (seconds), cpu (where claims are judged), paper (the original scale).")
    ] = "cpu",
    out: Annotated[Path, typer.Option(help="The folder for the results, one folder a paper.")] = Path("runs/papers"),
    seed: Annotated[int, typer.Option(help="Accepted by every command; the claims fix their own seeds.")] = 0,
) -> None:
    """Run a paper, judge its claims, and draw what was found."""
    from girsanov.cli.options import lookup
    from girsanov.errors import require
    from girsanov.papers import PAPERS, run

    require((slug is None) == every, "give the name of one paper, or --all")
    budget = lookup(budget, {name: name for name in ("smoke", "cpu", "paper")}, "budget")
    known = {name: name for name in PAPERS}
    for name in list(known) if slug is None else [lookup(slug, known, "paper")]:
        note(f"{name}, budget {budget}")
        report = run(name, budget=budget)
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        report.save(folder)
        report.draw(folder / f"{name}.png")
        tell(report)
        wrote(folder)


def tell(report: Report) -> None:
    """The verdict on each claim."""
    for verdict in report.verdicts:
        say(str(verdict))


def tally(verdicts: Iterable[str]) -> str:
    """Verdicts counted, as "3 passed, 1 undecidable"."""
    counts = Counter(verdicts)
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
