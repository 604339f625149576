"""Run every benchmark, print the tables, and renew docs/benchmarks.md.

A benchmark is a script beside this one that prints a list of results with --json (see common.py), each in an
interpreter of its own. The page says what holds on any machine, the ratios; costs are printed here only. If a
script fails the others still run, the page is left as it is, and the exit code is 1.

    python benchmarks/run.py
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

from common import Result, table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench: begin -->", "<!-- end -->"
FRESH = f"""# Benchmarks

`make bench` runs the scripts in `benchmarks/` and renews this page. The first run trains a network and takes two hours of one
core; what it trains and scores is kept under `runs/`. Solvers side by side: [the solver benchmark](solver-benchmark.md).

{BEGIN}
{END}
"""


SHARED = ("common", "run", "problems", "fashion", "solver_page", "peer_deepinv")
"""What is no benchmark by itself."""


def scripts() -> list[Path]:
    """The benchmarks, in order."""
    return sorted(path for path in HERE.glob("*.py") if path.stem not in SHARED)


def results_of(script: Path) -> list[Result] | None:
    """What a benchmark found, or None if it failed; its errors go to ours."""
    line = [sys.executable, str(script), "--json"]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        return None
    return [Result.from_json(row) for row in json.loads(done.stdout)]


def section(script: Path, results: Sequence[Result]) -> str:
    """A benchmark's part of the page: what it measures, and its rows."""
    told = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    lines = [f"## {script.stem}", "", " ".join(told.partition("\n\n")[0].split()), ""]
    lines += ["| | ratio | bar | | peer |", "|---|---|---|---|---|"]
    for r in results:
        met = "met" if r.met else "**missed**"
        lines.append(f"| {r.name} | {r.ratio:.3g} | ≤ {r.bar:.3g} | {met} | {r.peer_name} {r.peer_version} |")
    return "\n".join(lines)


def versions() -> str:
    """What ran."""
    import torch

    import girsanov

    return f"girsanov {girsanov.__version__}, torch {torch.__version__}, Python {platform.python_version()}"


def page(text: str, found: Mapping[Path, Sequence[Result]], ran: str) -> str:
    """The page with everything between its markers written anew; `ran` says what ran and when."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE} has lost its markers {BEGIN} and {END}; put them back around the tables")
    rows = [r for results in found.values() for r in results]
    head = (
        "Ratio is our cost divided by the peer's, measured in one run; lower is better. "
        f"{sum(r.met for r in rows)} of {len(rows)} bars met; {ran}."
    )
    parts = [head, *(section(script, results) for script, results in found.items())]
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}"


def main() -> int:
    """Run all; 1 if any failed."""
    found: dict[Path, list[Result]] = {}
    for script in scripts():
        print(f"{script.name} …", flush=True)
        results = results_of(script)
        if results is None:
            print(f"{script.name} failed; see above", file=sys.stderr)
            continue
        found[script] = results
        print(table(results), end="\n\n", flush=True)
    if len(found) < len(scripts()):
        return 1
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else FRESH
    ran = f"{versions()}, {datetime.date.today().isoformat()}"
    PAGE.write_text(page(text, found, ran), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(HERE.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
