"""Plans for people: a table in the terminal, a picture for a page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from girsanov.errors import UnknownName, require

if TYPE_CHECKING:
    from girsanov.solvers.plan import Plan, Row

ENDINGS = (".png", ".pdf", ".svg")


def table(plan: Plan) -> str:
    """One line a row: its time, log-SNR, whether it calls, and its terms."""
    order = "no order" if plan.order is None else f"order {plan.order}"
    noise = f", {len(plan.spans)} draws of noise" if plan.stochastic else ""
    lines = [
        f"{plan.name}: {plan.calls} calls, {order}, predicts {', '.join(plan.predicts)}{noise}, "
        f"condition {plan.condition:.3g}" + (f"  [{plan.source}]" if plan.source else ""),
        f"{'row':>4} {'t':>9} {'log-SNR':>8}  call  = sum of",
    ]
    return "\n".join(lines + [_line(plan, r, row) for r, row in enumerate(plan.rows)])


def _line(plan: Plan, r: int, row: Row) -> str:
    terms = " ".join(
        f"{term.coefficient:+.6g}·{term.source}{'' if term.source in ('x', 'x1') else term.register}"
        + (f".{plan.predicts[term.word]}" if len(plan.predicts) > 1 and term.source == "F" else "")
        for term in row.terms
    )
    log_snr = plan.process.log_snr(row.t)
    shown = f"{log_snr:8.3f}" if math.isfinite(log_snr) else f"{log_snr:>8}"
    return f"{r:>4} {row.t:9.6f} {shown}  {'yes ' if row.call else '    '}  {terms}"


def draw(plan: Plan, path: Path) -> None:
    """The grid in log-SNR above, the weight of every answer in every row below.

    Raises:
        UnknownName: the ending is not that of a picture.
    """
    require(
        path.suffix.lower() in ENDINGS,
        f"{path} does not end in {', '.join(ENDINGS)}; give a picture's name",
        UnknownName,
    )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[1, 2])
    times = [row.t for row in plan.rows]
    heights = [plan.process.log_snr(t) for t in times]
    for call, marker, label in ((True, "o", "asks the denoiser"), (False, "s", "does not")):
        chosen = [r for r, row in enumerate(plan.rows) if row.call is call and math.isfinite(heights[r])]
        above.plot([times[r] for r in chosen], [heights[r] for r in chosen], marker, label=label, ms=5)
    above.invert_xaxis()
    above.set(xlabel="diffusion time t (noise left, data right)", ylabel="log-SNR λ")
    above.set_title(f"{plan.name}: {plan.calls} calls")
    above.legend(frameon=False)
    weights = plan.matrix("F")
    asked = [r for r, row in enumerate(plan.rows) if row.call]
    limit = float(abs(weights).max()) or 1.0
    image = below.imshow(weights[:, asked], cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    below.set(
        xlabel="answer of call", ylabel="row", title=f"weight of each answer ({', '.join(plan.predicts)})"
    )
    below.set_xticks(range(len(asked)), [str(r) for r in asked])
    figure.colorbar(image, ax=below)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
