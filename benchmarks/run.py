"""Run every benchmark, print the tables, and renew docs/benchmarks.md.

A benchmark is a script beside this one that prints a list of results with --json (see common.py), each in an
interpreter of its own. The page says what holds on any machine, the ratios; costs are printed here only. Only
the section of a script is written anew, as soon as it has run, so that one that fails, or an interrupt, takes nothing
from the others; the exit code is then 1.

    python benchmarks/run.py [NAME ...]      all of them, or some: python benchmarks/run.py search inverse
"""

from __future__ import annotations

import ast
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common import Result, between, table

from girsanov.files import write_text

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench: begin -->", "<!-- end -->"
FRESH = f"""# Benchmarks

`make bench` runs the scripts in `benchmarks/` and renews this page. The first run trains a network and takes two hours of one
core; what it trains and scores is kept under `runs/`. Solvers side by side: [the solver benchmark](solver-benchmark.md).

{BEGIN}
{END}
"""


SHARED = ("common", "run", "problems", "fashion", "solver_page", "peer_deepinv", "peer_kdiffusion")
"""What is no benchmark by itself."""


class Found(NamedTuple):
    """What a script found, and what it ran with and when."""

    results: list[Result]
    ran: str


def scripts() -> list[Path]:
    """The benchmarks, in order."""
    return sorted(path for path in HERE.glob("*.py") if path.stem not in SHARED)


def told(script: Path) -> str:
    """What a script says of itself."""
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem


def measured(script: Path) -> Found | None:
    """What a benchmark finds, or None if it failed; its errors go to ours. One with a page of its own writes it."""
    line = [sys.executable, str(script), "--json", *(["--docs"] if "[--docs]" in told(script) else [])]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        return None
    return Found([Result.from_json(row) for row in json.loads(done.stdout)], f"{versions()}, {today()}")


def section(script: Path, found: Found) -> str:
    """A benchmark's part of the page: what it measures, and its rows."""
    first = " ".join(told(script).partition("\n\n")[0].split())
    lines = [f"## {script.stem}", "", f"{first} *{found.ran}.*", ""]
    lines += ["| | ratio | bar | | peer |", "|---|---|---|---|---|"]
    for r in found.results:
        met = "met" if r.met else "**missed**"
        lines.append(f"| {r.name} | {r.ratio:.3g} | ≤ {r.bar:.3g} | {met} | {r.peer_name} {r.peer_version} |")
    return "\n".join(lines)


def versions() -> str:
    """What ran."""
    import torch

    import girsanov

    return f"girsanov {girsanov.__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def today() -> str:
    """The date."""
    return datetime.date.today().isoformat()


def page(text: str, found: Mapping[Path, Found]) -> str:
    """The page with the sections of what was found written anew, and those of other benchmarks as they were."""
    before, old, after = between(text, BEGIN, END, PAGE)
    parts = {part.split()[0]: f"## {part.strip()}" for part in old.split("\n## ")[1:]}
    parts |= {script.stem: section(script, one) for script, one in found.items()}
    told = "\n\n".join(parts[name] for name in sorted(parts))
    met, missed = told.count("| met |"), told.count("| **missed** |")
    head = (
        "Ratio is our cost divided by the peer's, measured in one run; lower is better. "
        f"{met} of {met + missed} bars met."
    )
    return f"{before}{BEGIN}\n\n{head}\n\n{told}\n\n{END}{after}"


def chosen(names: Sequence[str]) -> list[Path]:
    """The scripts of these names; all for none."""
    known = {script.stem: script for script in scripts()}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def main(names: Sequence[str] = ()) -> int:
    """Run those of these names, all for none; 1 if any failed."""
    failed = False
    for script in chosen(names):
        print(f"{script.name} …", flush=True)
        found = measured(script)
        if found is None:
            print(f"{script.name} failed; see above", file=sys.stderr)
            failed = True
            continue
        print(table(found.results), end="\n\n", flush=True)
        text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else FRESH
        write_text(PAGE, page(text, {script: found}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
