"""A sampler is data: the affine plan.

A plan is a straight-line program over registers. Row r builds one tensor as a linear combination of
what came before; if the row calls, the denoiser is asked at (that tensor, t) and its answers become
available. States on the time grid, Runge-Kutta stages, momentum and churned states are all just rows,
and the last row is the sample. Coefficients are Python floats (float64): plans compare, hash, print,
save and load bit for bit, are recast to another prediction, searched over, and handed to other runtimes.

    row r:  X_r = Σ coefficient · {initial x, X_i, F_i, ξ_i, anchor},   i earlier than r

F_i are the answers of row i, one for each word in `predicts`; ξ_i are the draws of noise.
A plan is legal if every term points to an earlier row that provides it; `Plan` checks itself.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, SavedFileError, require
from girsanov.noise import Randomness
from girsanov.processes import Interpolant
from girsanov.typing import Tree

INITIAL, STATE, OUTPUT, NOISE, ANCHOR = "x", "X", "F", "ξ", "x1"
FORMAT, VERSION = "girsanov.plan", 1
EPSILON = sys.float_info.epsilon

Key = tuple[str, int, int]
"""A register: its source, its number, and the word of an answer."""

Program = tuple[tuple[tuple[Key, float | Tensor], ...], ...]
"""For each row (register, coefficient), as the loop reads them; a `TensorPlan` has tensors."""


class Term(NamedTuple):
    """coefficient · source[register]; `word` tells the answers of one call apart."""

    source: str
    register: int
    coefficient: float
    word: int = 0


class Row(NamedTuple):
    """One register: its time, its terms, whether the denoiser is called on it, and its place on the grid.

    `node` is the index of the grid point whose state the row holds, or -1 for a stage or buffer.
    """

    t: float
    terms: tuple[Term, ...]
    call: bool
    node: int


@dataclass(frozen=True)
class Plan:
    """A sampler as rows of coefficients; see the head of the module.

    Attributes:
        process: the process the coefficients were made for.
        predicts: the words that a call answers with.
        rows: in order; the last one is the sample.
        spans: for each draw of noise the interval of the noise clock κ² = (α/γ)² that it covers, or
            None for a draw of its own.
        order: the order of convergence, start-up included; None if it is not a method with one.
        name, source: what it is and the paper it is from.
    """

    process: Interpolant
    predicts: tuple[str, ...]
    rows: tuple[Row, ...]
    spans: tuple[tuple[float, float] | None, ...] = ()
    order: int | None = None
    name: str = "plan"
    source: str = ""

    def __post_init__(self) -> None:
        require(len(self.rows) > 0, "a plan needs at least one row")
        for r, row in enumerate(self.rows):
            require(len(row.terms) > 0, f"row {r} of the plan is empty")
            require(0 <= row.t <= 1, f"row {r} of the plan is at t = {row.t}; times lie in [0, 1]")
            for term in row.terms:
                problem = self._problem(r, term)
                if problem is not None:  # a message for each term would take as long as the plan
                    raise InputError(f"row {r} of the plan, term {tuple(term)}: {problem}")

    def _problem(self, r: int, term: Term) -> str | None:
        if not math.isfinite(term.coefficient):
            return "the coefficient is not finite"
        limit = {STATE: r, OUTPUT: r, NOISE: len(self.spans), INITIAL: 1, ANCHOR: 1}.get(term.source)
        if limit is None:
            return f"unknown source; known are {INITIAL}, {STATE}, {OUTPUT}, {NOISE}, {ANCHOR}"
        if not 0 <= term.register < limit:
            return "it points to something that is not there yet"
        if term.source == OUTPUT and not self.rows[term.register].call:
            return "that row does not call the denoiser"
        if not 0 <= term.word < (len(self.predicts) if term.source == OUTPUT else 1):
            return "there is no such word"
        return None

    # What it costs and how it behaves.

    @property
    def calls(self) -> int:
        """Denoiser calls per sample."""
        return sum(row.call for row in self.rows)

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise beyond the initial sample."""
        return bool(self.spans)

    @property
    def grid(self) -> tuple[float, ...]:
        """The times of the states on the grid; decreasing, except where a sampler goes back up (Restart)."""
        return tuple(row.t for row in self.rows if row.node >= 0)

    @property
    def condition(self) -> float:
        """max_r Σ |coefficient|: how much rounding errors of the answers can grow in one row."""
        return max(sum(abs(term.coefficient) for term in row.terms) for row in self.rows)

    @cached_property
    def program(self) -> Program:
        """For each row its terms as the loop reads them: (register, coefficient)."""
        return tuple(
            tuple(((term.source, term.register, term.word), term.coefficient) for term in row.terms)
            for row in self.rows
        )

    @cached_property
    def releases(self) -> tuple[tuple[Key, ...], ...]:
        """For each row the states and answers that are needed no more after it."""
        last = {(STATE, r, 0): r for r in range(len(self.rows))}
        for r, row in enumerate(self.rows):
            if row.call:
                last.update({(OUTPUT, r, word): r for word in range(len(self.predicts))})
            last.update({(term.source, term.register, term.word): r for term in row.terms})
        ends: list[list[Key]] = [[] for _ in self.rows]
        for key, r in last.items():
            if key[0] in (STATE, OUTPUT):
                ends[r].append(key)
        return tuple(tuple(keys) for keys in ends)

    # Running it.

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """Run the plan from x (B, *shape), a draw of the reference law; returns the samples."""
        from girsanov.solvers.run import run

        return run(self, model, x, cond=cond, anchor=anchor, generator=generator)

    def to_diffusers(self, prediction_type: str | None = None) -> Any:
        """The plan as the scheduler of a diffusers pipeline; see `girsanov.solvers.diffusers`."""
        from girsanov.solvers.diffusers import to_diffusers

        return to_diffusers(self, prediction_type=prediction_type)

    # Algebra.

    def recast(self, stored: str | Sequence[str]) -> Plan:
        """The same sampler for a denoiser that stores other words, exactly.

        Every answer is replaced by its expression in the state it was asked at, the new answers and the
        anchor.

        Raises:
            InputError: the conversion is undefined at the time of a call.
        """
        words = (stored,) if isinstance(stored, str) else tuple(stored)
        if words == self.predicts:
            return self
        used = {(t.register, t.word) for row in self.rows for t in row.terms if t.source == OUTPUT}
        written = {
            (r, w): self.process.coefficients(word, words, row.t)
            for r, row in enumerate(self.rows)
            if row.call
            for w, word in enumerate(self.predicts)
            if (r, w) in used
        }
        rows = []
        for row in self.rows:
            terms: list[Term] = []
            for term in row.terms:
                if term.source != OUTPUT:
                    terms.append(term)
                    continue
                found, c = written[term.register, term.word], term.coefficient
                terms.append(Term(STATE, term.register, c * found.state))
                terms.append(Term(ANCHOR, 0, c * found.anchor))
                terms.extend(Term(OUTPUT, term.register, c * v, w) for w, v in enumerate(found.words))
            rows.append(row._replace(terms=collect(terms)))
        return replace(self, predicts=words, rows=tuple(rows))

    def matrix(self, source: str) -> np.ndarray:
        """Coefficients as a dense matrix (rows, registers of that source), for algebra and pictures."""
        width = {STATE: len(self.rows), OUTPUT: len(self.rows), NOISE: len(self.spans)}.get(source, 1)
        dense = np.zeros((len(self.rows), width))
        for r, row in enumerate(self.rows):
            for term in row.terms:
                if term.source == source:
                    dense[r, term.register] += term.coefficient
        return dense

    def difference(self, other: Plan) -> float:
        """The largest difference between coefficients of two plans of the same structure.

        Raises:
            InputError: the structures differ; the message says where.
        """
        require(
            len(self.rows) == len(other.rows) and self.predicts == other.predicts,
            f"plans of {len(self.rows)} and {len(other.rows)} rows, predicting {self.predicts} and "
            f"{other.predicts}, cannot be compared; recast one of them first",
        )
        largest = 0.0
        for mine, theirs in zip(self.rows, other.rows, strict=True):
            left = {(t.source, t.register, t.word): t.coefficient for t in mine.terms}
            right = {(t.source, t.register, t.word): t.coefficient for t in theirs.terms}
            for key in left.keys() | right.keys():
                largest = max(largest, abs(left.get(key, 0.0) - right.get(key, 0.0)))
        return largest

    # Showing and saving.

    def __str__(self) -> str:
        from girsanov.solvers.show import table

        return table(self)

    def draw(self, path: str | Path) -> None:
        """Draw the grid and the coefficients as a picture (PNG, PDF or SVG by the ending)."""
        from girsanov.solvers.show import draw

        draw(self, Path(path))

    def to_config(self) -> dict:
        """The plan as JSON; floats survive exactly."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "source": self.source,
            "order": self.order,
            "predicts": list(self.predicts),
            "process": self.process.to_config(),
            "spans": [None if span is None else list(span) for span in self.spans],
            "rows": [[row.t, row.call, row.node, [list(term) for term in row.terms]] for row in self.rows],
        }

    @classmethod
    def from_config(cls, config: dict) -> Plan:
        """Rebuild a plan from `to_config`; every row is checked.

        Raises:
            InputError: it is not a plan, of a newer version, or not a legal one.
        """
        require(
            isinstance(config, dict) and config.get("format") == FORMAT,
            "this is not a saved plan: its format is "
            f"{config.get('format') if isinstance(config, dict) else type(config).__name__!r}",
        )
        require(
            config.get("version") == VERSION,
            f"the plan has version {config.get('version')}; this release reads version {VERSION}",
        )
        try:
            rows = tuple(_read_row(*row) for row in config["rows"])
            spans = tuple(
                None if span is None else (float(span[0]), float(span[1])) for span in config["spans"]
            )
            words = tuple(str(word) for word in config["predicts"])
            order = None if config["order"] is None else int(config["order"])
            process = Interpolant.from_config(config["process"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the saved plan is damaged: {type(error).__name__}: {error}") from error
        name, source = str(config.get("name", "plan")), str(config.get("source", ""))
        return cls(process, words, rows, spans, order, name, source)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON, all or nothing."""
        from girsanov.files import write_text

        write_text(Path(path), json.dumps(self.to_config(), ensure_ascii=False))

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan written by `save`.

        Raises:
            SavedFileError: the file is missing or is not JSON.
        """
        try:
            config = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise SavedFileError(f"{path} cannot be read as a plan: {error}") from error
        return cls.from_config(config)


def collect(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Add up terms of the same register, in order of appearance, without what cancels to rounding."""
    sums: dict[Key, tuple[float, float]] = {}
    for term in terms:
        key = term.source, term.register, term.word
        value, size = sums.get(key, (0.0, 0.0))
        sums[key] = value + term.coefficient, size + abs(term.coefficient)
    kept = {key: value for key, (value, size) in sums.items() if abs(value) > 8 * EPSILON * size}
    return tuple(Term(source, register, value, word) for (source, register, word), value in kept.items())


def _read_row(t: float, call: bool, node: int, terms: list) -> Row:
    read = tuple(Term(str(s), int(i), float(c), int(w)) for s, i, c, w in terms)
    return Row(float(t), read, bool(call), int(node))
