"""What a run of a paper found: numbers for each claim and seed, verdicts, a figure, a page.

    report.verdicts            one `Verdict` a claim
    report.draw("ddim.png")    the paper's figure
    report.html("ddim.html")   one file with the figure and the table
    report.save("ddim.json")   the results, as `girsanov papers --json` prints them

Oracle: verdicts on numbers written by hand; the JSON read back (tests/papers/test_paper_contract.py).
"""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from girsanov import __version__, files
from girsanov.errors import require
from girsanov.papers.base import Budget, Claim, Paper, mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Word = Literal["passed", "missed", "undecidable", "not judged"]

COLOURS = {"passed": "#1b7f4d", "missed": "#b3261e", "undecidable": "#9a6700", "not judged": "#6b7280"}
"""The colour of each verdict."""

PALETTE = ("#2a5caa", "#d1742f", "#3b8f6b", "#8a4f9e", "#7d7d7d")
"""The colours of curves: ours first, the baseline second."""


@dataclass(frozen=True)
class Verdict:
    """What was found on one claim; `ours` and `baseline` are means over seeds, `spread` is (least, most)."""

    name: str
    says: str
    source: str
    unit: str
    paper: str | float | None
    ours: float | None
    baseline: float | None
    bar: str
    verdict: Word
    reason: str
    spread: tuple[float, float] | None
    against: str

    def __str__(self) -> str:
        numbers = f"ours {text(self.ours)}"
        if self.baseline is not None:
            numbers += f", baseline {text(self.baseline)}"
        return f"{self.verdict:<12} {self.name}: {numbers} ({self.bar})" + (
            f". {self.reason}" if self.reason else ""
        )


@dataclass
class Report:
    """The numbers of one run. A paper's `run` fills it with `add` and `leave`."""

    paper: Paper
    budget: Budget
    seconds: float = 0.0
    """Of processor time, over all threads."""
    kept: dict[str, Any] = field(default_factory=dict)
    """Whatever the figure needs: curves, samples."""
    numbers: dict[str, dict[int, tuple[float, float | None]]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, claim: Claim, seed: int, *, ours: float, baseline: float | None = None) -> None:
        """Record what one seed measured.

        Raises:
            InputError: a claim of another paper, a seed given twice, or no baseline where the bar needs one.
        """
        self._check(claim)
        found = self.numbers.setdefault(claim.name, {})
        require(seed not in found, f"seed {seed} of {claim.name!r} was already added; add each seed once")
        require(
            baseline is not None or not claim.bar.times,
            f"{claim.name!r} is judged against a baseline ({claim.bar}); give baseline=",
        )
        found[seed] = float(ours), None if baseline is None else float(baseline)

    def leave(self, claim: Claim, reason: str) -> None:
        """Call a claim undecidable at this scale, for a stated reason."""
        self._check(claim)
        self.left[claim.name] = reason

    def note(self, claim: Claim, text: str) -> None:
        """Say what else was seen, or why a claim is missed; it stands beside the verdict, whatever that is."""
        self._check(claim)
        self.notes[claim.name] = text

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One for each claim, in their order."""
        return tuple(self._verdict(claim) for claim in self.paper.claims)

    def results(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "slug": self.paper.slug,
            "title": self.paper.title,
            "claims": [asdict(verdict) for verdict in self.verdicts],
            "budget": self.budget.name,
            "seeds": list(self.budget.seeds),
            "seconds": round(self.seconds, 1),
            "version": __version__,
            "date": date.today().isoformat(),
        }

    def save(self, path: str | Path) -> None:
        """Write the results as JSON, whole or not at all; into a folder as `<slug>.json`."""
        path = Path(path)
        target = path / f"{self.paper.slug}.json" if path.is_dir() else path
        content = json.dumps(self.results(), indent=2, ensure_ascii=False, allow_nan=False)
        files.write_text(target, content + "\n")

    def draw(self, path: str | Path) -> None:
        """Write the figure as PNG."""
        files.write_bytes(path, self._png())

    def html(self, path: str | Path) -> None:
        """Write one page that needs no other file: the figure and the table of claims."""
        picture = base64.b64encode(self._png()).decode()
        rows = "".join(_row(verdict) for verdict in self.verdicts)
        head = "".join(
            f"<th>{name}</th>" for name in ("claim", "paper", "ours", "baseline", "bar", "verdict")
        )
        title, foot = html.escape(self.paper.title), html.escape(self._foot())
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><main><h1>{title}</h1>'
            f'<img alt="{title}" src="data:image/png;base64,{picture}">'
            f"<table><tr>{head}</tr>{rows}</table><p>{foot}</p></main></html>"
        )
        files.write_text(path, page)

    def _check(self, claim: Claim) -> None:
        require(
            claim in self.paper.claims, f"{claim.name!r} is no claim of {self.paper.slug}; list it in PAPER"
        )

    def _verdict(self, claim: Claim) -> Verdict:
        pairs = list(self.numbers.get(claim.name, {}).values())
        verdict, reason = self._judge(claim, pairs)
        ours = [a for a, _ in pairs]
        average = mean(ours)
        return Verdict(
            name=claim.name,
            says=claim.says,
            source=claim.source,
            unit=claim.unit,
            paper=claim.paper,
            ours=average,
            baseline=mean([b for _, b in pairs]),
            bar=claim.rule,
            verdict=verdict,
            reason=" ".join(part for part in (reason, self.notes.get(claim.name, "")) if part),
            spread=None if average is None else (min(ours), max(ours)),
            against=claim.against,
        )

    def _judge(self, claim: Claim, pairs: list[tuple[float, float | None]]) -> tuple[Word, str]:
        if claim.name in self.left:
            return "undecidable", self.left[claim.name]
        if not self.budget.judged:
            return "not judged", f"The budget {self.budget.name} is too small to judge."
        if len(pairs) < claim.seeds:
            return "not judged", f"{len(pairs)} of {claim.seeds} seeds were run."
        if claim.holds(pairs):
            return "passed", ""
        met = sum(claim.bar.met(ours, baseline) for ours, baseline in pairs)
        return "missed", f"The bar was met on {met} of {len(pairs)} seeds." if claim.seeds > 1 else ""

    def _foot(self) -> str:
        seeds = len(self.budget.seeds)
        return (
            f"girsanov {__version__}, budget {self.budget.name}, {seeds} seed{'s' * (seeds > 1)}, "
            f"{self.seconds:.0f} s"
        )

    def _png(self) -> bytes:
        buffer = io.BytesIO()
        self.paper.figure(self).savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        return buffer.getvalue()


def canvas(
    report: Report, panels: int = 2, *, height: float = 3.6, equal: tuple[int, ...] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure in the house style: the title above, panels side by side, the verdicts below.

    Args:
        report: the verdicts are written at the foot.
        panels: 1 to 4.
        height: of the panels, in inches.
        equal: the panels with one scale for x and y and no ticks: points in the plane, pictures.

    Returns:
        The figure, and one pair of axes a panel.
    """
    from matplotlib.figure import Figure

    lines = list(_lines(report.verdicts))
    above, below = 0.75, 0.3 + 0.21 * len(lines)
    size = 11.0, above + height + 0.75 + below
    figure = Figure(figsize=size, facecolor="white")
    grid = figure.add_gridspec(
        1,
        panels,
        left=0.07,
        right=0.98,
        top=1 - above / size[1],
        bottom=(below + 0.65) / size[1],
        wspace=0.28,
    )
    figure.text(0.07, 1 - 0.32 / size[1], report.paper.title, fontsize=12.5, weight="bold", va="center")
    for i, (line, colour) in enumerate(lines):
        y = (below - 0.12 - 0.21 * i) / size[1]
        figure.text(0.07, y, line, fontsize=8.5, color=colour, va="center")
    axes = [figure.add_subplot(grid[0, i]) for i in range(panels)]
    for i, ax in enumerate(axes):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(which="both", labelsize=8)
        if i in equal:
            ax.set_aspect("equal", anchor="N")
            ax.set_xticks([])
            ax.set_yticks([])
            ax.spines[:].set_visible(False)
    return figure, axes


def text(value: float | str | None) -> str:
    """A number as it stands in a table."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else f"{value:.4g}"


def _lines(verdicts: tuple[Verdict, ...]) -> Iterator[tuple[str, str]]:
    for v in verdicts:
        against = "" if v.baseline is None else f" against {text(v.baseline)}"
        words = f"{v.verdict}: {v.says} {v.unit}: {text(v.ours)}{against} ({v.bar})."
        for i, line in enumerate(textwrap.wrap(words, 150)):
            yield ("" if i == 0 else "    ") + line, COLOURS[v.verdict]


def _row(v: Verdict) -> str:
    spread = (
        "" if v.spread is None or v.spread[0] == v.spread[1] else f"{text(v.spread[0])} – {text(v.spread[1])}"
    )
    cells = (
        (v.says, f"{v.source}. {v.unit}"),
        (text(v.paper), ""),
        (text(v.ours), spread),
        (text(v.baseline), v.against),
        (v.bar, ""),
    )
    body = "".join(f"<td>{html.escape(a)}<small>{html.escape(b)}</small></td>" for a, b in cells)
    colour = COLOURS[v.verdict]
    return f'<tr>{body}<td><b style="color:{colour}">{v.verdict}</b><small>{html.escape(v.reason)}</small></td></tr>'


STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1f2328;background:#f6f7f9;margin:0}
main{max-width:1100px;margin:2rem auto;padding:2rem;background:#fff;border-radius:12px;box-shadow:0 1px 4px #0002}
h1{font-size:1.4rem;margin-top:0}img{width:100%}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .6rem;border-bottom:1px solid #e5e7eb}
small{display:block;color:#6b7280}p{color:#6b7280;font-size:.85rem}
"""
