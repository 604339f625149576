"""What benchmarks share: one way to time, one shape of result, one command line.

Costs are lower-is-better. Times are process times of one thread; what is compared runs in turns, A B A B, and
the least of several repeats counts, because a busy neighbour can only add to it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """One comparison: our cost, the peer's, and the largest ratio ours/peer that is good enough."""

    name: str
    ours: float
    peer: float
    peer_name: str
    peer_version: str
    bar: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.ours / self.peer

    @property
    def met(self) -> bool:
        return self.ratio <= self.bar

    def to_json(self) -> dict[str, str | float]:
        return {**self._asdict(), "ratio": self.ratio}

    @classmethod
    def from_json(cls, row: dict) -> Result:
        return cls(**{field: row[field] for field in cls._fields})


def seconds(*runs: Callable[[], object], repeats: int = 7) -> list[float]:
    """The least process time of each run, in turns, after one turn to warm up."""
    least = [float("inf")] * len(runs)
    for turn in range(repeats + 1):
        for i, run in enumerate(runs):
            start = time.process_time()
            run()
            spent = time.process_time() - start
            least[i] = min(least[i], spent) if turn else least[i]
    return least


def table(results: Sequence[Result]) -> str:
    """The results as lines of text."""
    names = [f"{r.name} ({r.unit})" for r in results]
    width = max(len(name) for name in ("", *names))
    lines = [f"{'':{width}} {'ours':>11} {'peer':>11} {'ratio':>8} {'bar':>7}"]
    for name, r in zip(names, results, strict=True):
        costs = f"{r.ours:>11.4g} {r.peer:>11.4g} {r.ratio:>8.3g} {r.bar:>7.3g}"
        lines.append(
            f"{name:{width}} {costs}  {'met' if r.met else 'MISSED'}  {r.peer_name} {r.peer_version}"
        )
    return "\n".join(lines)


def between(text: str, begin: str, end: str, page: Path) -> tuple[str, str, str]:
    """What is before, between and after two markers of a page's text; the markers are in none of them."""
    before, found, rest = text.partition(begin)
    middle, also, after = rest.partition(end)
    if not (found and also):
        raise SystemExit(f"{page} has lost its markers {begin} and {end}; put them back around the tables")
    return before, middle, after


def main(measure: Callable[[], Sequence[Result]]) -> None:
    """Measure and print: a table, or with --json a list."""
    results = measure()
    print(json.dumps([r.to_json() for r in results]) if "--json" in sys.argv[1:] else table(results))
