"""A paper: what it claims, fixed before the run, and a short module that measures it.

A module `papers/<room>/<slug_with_underscores>.py` defines one `PAPER = Paper(...)`:

    CLOSER = Claim(
        name="twenty calls", says="With 20 calls, eta = 0 is closer to the data than eta = 1.",
        source="Table 1", paper="FID 6.84 against 8.36", unit="sliced Wasserstein distance",
        bar=Bar("<=", times=0.95), over="every",
    )

    def run(budget: Budget) -> Report:
        report = Report(PAPER, budget)
        n = budget.pick(smoke=200, cpu=20_000)
        for seed in budget.seeds:
            report.add(CLOSER, seed, ours=..., baseline=...)       # both in this same run
        report.kept["curve"] = ...                                 # whatever the figure needs
        return report

    def figure(report: Report) -> Figure:
        figure, (left, right) = canvas(report, panels=2)           # title and verdicts are drawn for you
        left.plot(report.kept["curve"])
        return figure

    PAPER = Paper(slug="ddim", title=..., claims=(CLOSER,), run=run, figure=figure)

A claim passes by its `bar`, a comparison that the reader sees, on every seed, on two seeds of three, or in
the mean. The verdicts are `passed`, `missed`, `undecidable` (the scale here cannot tell; `report.leave`
with the reason) and `not judged` (the budget `smoke`, or fewer seeds than the claim fixed).
Results are committed as `papers/results/<slug>.json`, figures as `docs/figures/papers/<slug>.png`.
Oracle: verdicts on numbers written by hand (tests/papers/test_paper_contract.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from girsanov.errors import choose, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from girsanov.papers.report import Report

T = TypeVar("T")

OVER = {"every": "every seed", "most": "2 of 3 seeds", "mean": "mean of seeds"}
"""How the seeds are joined, in words."""


@dataclass(frozen=True)
class Bar:
    """ours `relation` times · baseline + plus.

    `Bar("<=", times=0.75)` compares with the baseline of the same run, `Bar("<=", plus=0.01)` with a number,
    `Bar(">=", times=1, plus=-0.01)` allows to lose a hundredth.
    """

    relation: Literal["<=", ">="]
    times: float = 0.0
    plus: float = 0.0

    def __post_init__(self) -> None:
        choose(self.relation, dict.fromkeys(("<=", ">=")), "relation")

    def met(self, ours: float, baseline: float | None) -> bool:
        """Whether the comparison holds; never with NaN."""
        limit = self.plus + (self.times * baseline if self.times and baseline is not None else 0.0)
        return ours <= limit if self.relation == "<=" else ours >= limit

    def __str__(self) -> str:
        sign = "≤" if self.relation == "<=" else "≥"
        if not self.times:
            return f"ours {sign} {self.plus:g}"
        scaled = "baseline" if self.times == 1 else f"{self.times:g} × baseline"
        moved = f" {'+' if self.plus > 0 else '−'} {abs(self.plus):g}" if self.plus else ""
        return f"ours {sign} {scaled}{moved}"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement of a paper, and when it counts as reproduced. Written before the run.

    Args:
        name: a few words, unique in the paper.
        says: the claim as a sentence, on the stand-in that is run.
        source: where in the paper: a table, a figure, a section.
        paper: the paper's own number, read off the paper; None where it gives none.
        unit: what `ours` and `baseline` are.
        bar: the comparison.
        over: which seeds have to meet it: "every", "most" (two of three), or the "mean" of both numbers.
        seeds: how many seeds the claim needs; with fewer it is not judged.
        against: what the baseline is.
    """

    name: str
    says: str
    source: str
    unit: str
    bar: Bar
    paper: str | float | None = None
    over: Literal["every", "most", "mean"] = "every"
    seeds: int = 3
    against: str = ""

    def __post_init__(self) -> None:
        choose(self.over, OVER, "way to join seeds")
        require(self.seeds >= 1, f"seeds is {self.seeds}; a claim needs at least 1")

    def holds(self, pairs: list[tuple[float, float | None]]) -> bool:
        """Whether (ours, baseline) of all seeds together meet the bar."""
        if self.over == "mean":
            ours, baseline = mean([a for a, _ in pairs]), mean([b for _, b in pairs])
            return ours is not None and self.bar.met(ours, baseline)
        count = sum(self.bar.met(ours, baseline) for ours, baseline in pairs)
        return count == len(pairs) if self.over == "every" else 3 * count >= 2 * len(pairs)

    @property
    def rule(self) -> str:
        """The bar and the seeds, in words."""
        if self.seeds == 1:
            return str(self.bar)
        return f"{self.bar}, {OVER[self.over]}"


@dataclass(frozen=True)
class Budget:
    """How much may be spent: "smoke" (seconds), "cpu" (claims are judged), "paper" (the original scale)."""

    name: str
    seeds: tuple[int, ...]

    @property
    def judged(self) -> bool:
        """Whether claims get a verdict."""
        return self.name != "smoke"

    def pick(self, *, smoke: T, cpu: T, paper: T | None = None) -> T:
        """The size that goes with this budget; `paper` is that of `cpu` where it is not given."""
        if self.name == "smoke":
            return smoke
        return paper if self.name == "paper" and paper is not None else cpu


BUDGETS = {
    "smoke": Budget("smoke", (0,)),
    "cpu": Budget("cpu", (0, 1, 2)),
    "paper": Budget("paper", (0, 1, 2, 3, 4)),
}
"""The budgets by name."""


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper: `run(budget)` measures the claims, `figure(report)` draws what was found.

    Args:
        slug: its short name, with hyphens.
        title: of the paper, with authors and year.
        claims: at least one, with different names.
        run: a function of the budget; everything random in it follows from `budget.seeds`.
        figure: a matplotlib figure, best begun with `girsanov.papers.canvas`.
    """

    slug: str
    title: str
    claims: tuple[Claim, ...]
    run: Callable[[Budget], Report]
    figure: Callable[[Report], Figure]

    def __post_init__(self) -> None:
        names = [claim.name for claim in self.claims]
        require(bool(names), f"{self.slug} has no claims; give at least one")
        require(
            len(set(names)) == len(names),
            f"two claims of {self.slug} share a name: {', '.join(names)}; rename one",
        )


def mean(values: list[float | None] | list[float]) -> float | None:
    """The mean of what is there; None if nothing is, or it is not finite."""
    found = [v for v in values if v is not None]
    total = sum(found) / len(found) if found else math.nan
    return total if math.isfinite(total) else None
