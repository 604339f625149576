"""Writing a plan as in the paper: symbolic expressions whose coefficients are recorded.

    plan = PlanBuilder(process, name="ddim", order=1)
    x = plan.start
    for s, t in pairwise(times):
        x, now = plan.call(x, s)                       # adds a row and asks the denoiser there
        x = alpha(t) * now.data + gamma(t) * now.noise
    return plan.finish(x, times[-1])

`Affine` is a linear combination of registers; `+`, `-`, `* number`, `/ number` act on coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from girsanov.errors import Unsuitable, require
from girsanov.noise import Law, normal
from girsanov.processes import Interpolant
from girsanov.solvers.plan import ANCHOR, INITIAL, NOISE, OUTPUT, STATE, Plan, Row, Term

Key = tuple[str, int, int]


class Affine:
    """A linear combination of registers of a plan."""

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Key, float]) -> None:
        self.terms = dict(terms)

    def __add__(self, other: Affine) -> Affine:
        total = dict(self.terms)
        for key, value in other.terms.items():
            total[key] = total.get(key, 0.0) + value
        return Affine(total)

    def __mul__(self, factor: float) -> Affine:
        return Affine({key: value * factor for key, value in self.terms.items()} if factor != 0 else {})

    def __neg__(self) -> Affine:
        return self * -1.0

    def __sub__(self, other: Affine) -> Affine:
        return self + -other

    def __truediv__(self, divisor: float) -> Affine:
        return self * (1 / divisor)

    __rmul__ = __mul__


ZERO = Affine({})


class Prediction:
    """The answers of one call, in any word, as expressions; multistep methods ask for them again."""

    def __init__(self, builder: PlanBuilder, row: int, t: float) -> None:
        self._builder, self._row, self.t = builder, row, t
        self._words: dict[str, Affine] = {}

    @cached_property
    def log_snr(self) -> float:
        """λ at the time of the call."""
        return self._builder.process.log_snr(self.t)

    def word(self, name: str) -> Affine:
        """E[word | x_t] on the state, the stored answers and the anchor."""
        if name not in self._words:
            self._words[name] = self._written(name)
        return self._words[name]

    def _written(self, name: str) -> Affine:
        builder = self._builder
        found = builder.process.coefficients(name, builder.predicts, self.t)
        answers = {(OUTPUT, self._row, w): float(v) for w, v in enumerate(found.words)}
        return Affine(
            {**answers, (STATE, self._row, 0): float(found.state), (ANCHOR, 0, 0): float(found.anchor)}
        )

    @property
    def data(self) -> Affine:
        return self.word("data")

    @property
    def noise(self) -> Affine:
        return self.word("noise")

    @property
    def velocity(self) -> Affine:
        return self.word("velocity")

    @property
    def score(self) -> Affine:
        return self.word("score")


class PlanBuilder:
    """Records the rows of a plan.

    Args:
        process: the process to reverse.
        name, source: what the sampler is and the paper it is from.
        order: its order of convergence.
        predicts: the stored words; by default `data`, or what a two-sided process needs.
    """

    def __init__(
        self,
        process: Interpolant,
        *,
        name: str,
        source: str = "",
        order: int | None = None,
        predicts: tuple[str, ...] | None = None,
    ) -> None:
        self.process, self.name, self.source, self.order = process, name, source, order
        self.predicts = predicts or storage(process)
        self.start = Affine({(INITIAL, 0, 0): 1.0})
        self.anchor = Affine({(ANCHOR, 0, 0): 1.0}) if process.end == "anchor" else ZERO
        self._rows: list[Row] = []
        self._spans: list[tuple[float, float] | None] = []
        self._nodes = 0

    def call(self, x: Affine, t: float, *, stage: bool = False) -> tuple[Affine, Prediction]:
        """Add the row x at time t and ask the denoiser there; a `stage` is not a state of the grid."""
        row = self._add(x, t, call=True, node=not stage)
        return _state(row), Prediction(self, row, t)

    def hold(self, x: Affine, t: float, *, stage: bool = True) -> Affine:
        """Add a row without asking: a buffer, or with stage=False a state of the grid."""
        return _state(self._add(x, t, call=False, node=not stage))

    def noise(self, span: tuple[float, float] | None = None, *, law: Law = normal) -> Affine:
        """A fresh draw of the law; `span` is the interval of the clock κ² it covers.

        Raises:
            Unsuitable: the noise of the process has another law.
        """
        require(
            law == self.process.law,
            f"{self.name} adds noise that is {law!r}, which the noise of {self.process!r} is not. Take a "
            "deterministic solver, such as the recommended one, or solvers.levy for stable noise.",
            Unsuitable,
        )
        self._spans.append(span)
        return Affine({(NOISE, len(self._spans) - 1, 0): 1.0})

    def finish(self, x: Affine, t: float) -> Plan:
        """End with x at time t as the sample."""
        self._add(x, t, call=False, node=True)
        spans = tuple(self._spans)
        return Plan(self.process, self.predicts, tuple(self._rows), spans, self.order, self.name, self.source)

    def _add(self, x: Affine, t: float, *, call: bool, node: bool) -> int:
        require(bool(x.terms), "a row of a plan needs at least one term")
        terms = tuple(Term(s, i, float(c), w) for (s, i, w), c in x.terms.items() if c != 0.0)
        self._rows.append(Row(float(t), terms, call, self._nodes if node else -1))
        self._nodes += node
        return len(self._rows) - 1


def storage(process: Interpolant) -> tuple[str, ...]:
    """The words a plan stores unless told otherwise."""
    if process.end != "marginal":
        return ("data",)
    return ("velocity",) if process.noiseless else ("velocity", "noise")


def _state(row: int) -> Affine:
    return Affine({(STATE, row, 0): 1.0})
