"""Predictions: what a network may be asked for, and how one answer gives the others.

Every word is a row of coefficients over (x_0, x_1, z), so its conditional expectation given x_t is the
same combination of E[x_0 | x_t], E[x_1 | x_t] and E[z | x_t]:

    data          (1, 0, 0)          noise  (0, 0, 1)          end    (0, 1, 0)
    velocity      (α', β', γ')       score  (0, 0, -1/γ)       v_prediction  (-γ, 0, α)

The state is the row (α, β, γ), known exactly. The wanted row is written on the state, the stored words
and, where x_1 is a known anchor, the row (0, 1, 0): one 2×2 or 3×3 solve by Cramer's rule, the same code
on floats for plans and on tensors for losses.

`velocity` is the flow velocity dx/dt; `v_prediction` is that of Salimans & Ho (2022), and the score is
Tweedie's, -E[z | x_t]/γ, valid where z is all the randomness given the ends.
Oracle: round trips through all pairs on every process (tests/processes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from girsanov.errors import InputError, Unsuitable, choose, require
from girsanov.noise import normal
from girsanov.processes.base import Conversion
from girsanov.typing import Scalar

if TYPE_CHECKING:
    from girsanov.processes.interpolant import Interpolant

Row = tuple[Scalar, Scalar, Scalar]

WORDS = ("data", "noise", "score", "velocity", "end", "v_prediction")
CONSTANT: dict[str, Row] = {"data": (1.0, 0.0, 0.0), "end": (0.0, 1.0, 0.0), "noise": (0.0, 0.0, 1.0)}


def row(process: Interpolant, word: str, t: Scalar) -> Row:
    """The coefficients of a word over (x_0, x_1, z) at time t."""
    if word in CONSTANT:
        return CONSTANT[word]
    if word == "velocity":
        return process.schedule.rates(t)
    choose(word, dict.fromkeys(WORDS), "prediction")
    alpha, _, gamma = process.schedule.values(t)
    if word == "score":
        if process.law is not normal:
            raise Unsuitable(
                f"the score of {process!r} is no multiple of E[z | x_t], which is all that is learned of it; ask "
                "for data, noise or velocity, or take a process with normal noise"
            )
        return 0.0, 0.0, -1 / _nonzero(gamma, word, t, "γ")
    return -gamma, 0.0, alpha


def solve(process: Interpolant, want: str, stored: tuple[str, ...], t: Scalar) -> Conversion:
    """Write the word `want` on the state, the stored words and the anchor, at time t.

    Args:
        want: one of WORDS.
        stored: one word; two for a two-sided process with γ > 0.
        t: float, array or tensor; the coefficients have its kind.

    Raises:
        InputError: the stored words do not determine the wanted one, in general or at this t.
    """
    if want in stored:
        return Conversion(0.0, tuple(float(word == want) for word in stored), 0.0)
    target = row(process, want, t)
    twin = {"score": "noise", "noise": "score"}.get(want)
    if twin in stored:  # proportional, so no other word is needed
        ratio = target[2] / row(process, twin, t)[2]
        return Conversion(0.0, tuple(ratio if word == twin else 0.0 for word in stored), 0.0)
    state = process.schedule.values(t)
    known = [state, *(row(process, word, t) for word in stored)]
    anchored = process.end == "anchor"
    if anchored:
        known.append((0.0, 1.0, 0.0))
    axes = unknowns(process)
    require(
        len(known) == len(axes),
        f"{want} cannot be derived from {', '.join(stored)} on {process!r}: it has {len(axes)} unknowns, and "
        f"the state and the stored predictions give {len(known)} equations. Store "
        + ("one word." if len(axes) == 2 or anchored else "two words, such as ('velocity', 'noise')."),
    )
    weights = _cramer([[line[a] for a in axes] for line in known], [target[a] for a in axes])
    if weights is None:
        raise InputError(
            f"{want} is undefined from {', '.join(stored)} at t = {t}, where α, β, γ = "
            f"{state}; move t inside (0, 1) or store another prediction"
        )
    anchor = weights.pop() if anchored else 0.0
    return Conversion(weights[0], tuple(weights[1:]), anchor)


def unknowns(process: Interpolant) -> tuple[int, ...]:
    """Which of (x_0, x_1, z) the process mixes."""
    if process.end == "noise":
        return (0, 2)
    return (0, 1) if process.noiseless else (0, 1, 2)


def _cramer(lines: Sequence[Sequence[Scalar]], target: Sequence[Scalar]) -> list[Scalar] | None:
    """Weights w with Σ w_i lines[i] = target; None where a float system is singular."""
    whole = _determinant(lines)
    if isinstance(whole, float) and abs(whole) < 1e-300:
        return None
    return [
        _determinant([target if j == i else line for j, line in enumerate(lines)]) / whole
        for i in range(len(lines))
    ]


def _determinant(m: Sequence[Sequence[Scalar]]) -> Scalar:
    if len(m) == 2:
        return m[0][0] * m[1][1] - m[0][1] * m[1][0]
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _nonzero(value: Scalar, word: str, t: Scalar, symbol: str) -> Scalar:
    if isinstance(value, float) and value == 0:
        raise InputError(f"{word} is undefined at t = {t}, where {symbol} = 0; move t inside (0, 1)")
    return value
