"""The page that the demo writes: what was found, in pictures and words."""

from __future__ import annotations

import shlex
from pathlib import Path

import torch
from torch import Tensor

from girsanov.cli import figures, html
from girsanov.cli.digits import CALLS, FEW, MANY, SHIFT, Findings, Split, verdicts
from girsanov.training import History

SHOWN = 100


def report_page(found: Findings, split: Split, history: History, out: Path) -> str:
    """The whole report as HTML."""
    n = found.numbers
    lead = (
        f"A network of {n['parameters']:,.0f} parameters looked at {len(split.x):,} handwritten digits of 8×8 pixels "
        f"for {n['train_seconds']:.0f} seconds. What follows is what it learned, measured against "
        f"{len(split.fresh):,} digits that it never saw."
    )
    parts = [numbers(found), pictures(found, split), way(found), calls(found), holes(found), strange(found)]
    parts += [training(history), onward(out)]
    foot = f"Written by girsanov {n['version']} with seed {n['seed']:.0f} in {n['seconds']:.0f} seconds."
    return html.page("Digits, learned from noise", lead, parts, foot)


def numbers(found: Findings) -> str:
    """The bars."""
    n = found.numbers
    rows = [(v.says, v.ours, v.bar, "passed" if v.met else "missed") for v in verdicts(n)]
    text = (
        f"{n['samples']:,.0f} samples, {n['samples'] / 10:,.0f} of each digit, guidance {n['guidance']:g} (none). "
        f"The classifier never saw a sample; on held-out digits it is right in {n['classifier_accuracy']:.1%} of "
        "the cases. The bars were fixed before the first run."
    )
    return html.section("The numbers", text, html.table(("", "ours", "bar", ""), rows))


def pictures(found: Findings, split: Split) -> str:
    """Samples beside data."""
    shown = min(SHOWN, len(found.samples) // 10 * 10)
    data = held_out_digits(split, shown)
    return html.section(
        "Samples beside data",
        f"One column a digit. Each sample took {FEW} calls of the network.",
        html.row(
            html.figure(figures.sheet(found.samples[:shown], 10), "Samples", pixels=True),
            html.figure(figures.sheet(data, 10), "Held-out digits", pixels=True),
        ),
    )


def held_out_digits(split: Split, n: int) -> Tensor:
    """n held-out digits in the order of `ten_classes`; where a class runs out, it begins again."""
    places = [(split.fresh_label == k).nonzero()[:, 0] for k in range(10)]
    return torch.stack([split.fresh[places[i % 10][i // 10 % len(places[i % 10])]] for i in range(n)])


def way(found: Findings) -> str:
    """The path from noise to data."""
    states, guesses = (part.transpose(0, 1) for part in found.path)
    columns = states.shape[1]
    return html.section(
        "From noise to data",
        "Left to right, one call of the network after the other. Above, the noisy picture; below, what the network "
        "expects to come of it: a mean over all digits that still fit, sharper as the noise recedes.",
        html.figure(figures.sheet(states.flatten(0, 1), columns), "The state", pixels=True),
        html.figure(figures.sheet(guesses.flatten(0, 1), columns), "The expectation", pixels=True),
    )


def calls(found: Findings) -> str:
    """Solvers compared."""
    chart = figures.lines(
        found.errors,
        title=f"Distance from the sample of {MANY} calls",
        x="network calls",
        y="root mean square, a pixel",
        ticks=CALLS,
    )
    return html.section(
        "How few calls are enough?",
        f"Every solver starts from the same noise and should end where the exact path ends, here taken from {MANY} "
        "calls. Pixels run from -1 to 1.",
        html.figure(chart, f"The same noise, {len(CALLS)} budgets of calls, {len(found.errors)} solvers"),
    )


def holes(found: Findings) -> str:
    """Inpainting."""
    columns = found.filled.shape[1]
    return html.section(
        "Filling in what is missing",
        "Held-out digits of which the lower half was taken away. The model completes them, each time anew: where "
        "several digits fit what is left, it does not settle on one.",
        html.figure(
            figures.sheet(found.filled.flatten(0, 1), columns),
            f"First column the digit, second what the model was shown, then {columns - 2} completions",
            pixels=True,
        ),
    )


def strange(found: Findings) -> str:
    """Likelihood."""
    usual, shifted = found.likelihood
    chart = figures.histograms(
        {"held-out digits": usual, f"rolled by {SHIFT} columns": shifted}, title="Log-likelihood", x="nats"
    )
    return html.section(
        "What the model finds strange",
        f"The probability flow gives the density of any picture. Of {len(usual)} held-out digits, those rolled to the right "
        f"by {SHIFT} columns are less likely in {found.numbers['shifted_told_by_likelihood']:.1%} of all pairs.",
        html.figure(chart, "Digits against shifted digits"),
    )


def training(history: History) -> str:
    """The loss."""
    size = max(1, history.steps // 60)
    means = [part.mean().item() for part in history.losses.split(size)]
    curves = {"training": [((i + 0.5) * size, loss) for i, loss in enumerate(means)]}
    curves["held-out"] = [(float(step), loss) for step, loss in history.validation]
    chart = figures.lines(curves, title="Loss", x="step", y="mean squared error")
    return html.section(
        "How it was learned",
        "Denoising score matching: the mean squared error of the denoiser, in units of what has to be learned. The "
        "held-out digits are looked at with the averaged weights.",
        html.figure(chart, f"{history.steps:,} steps in {history.seconds:.0f} seconds"),
    )


def onward(out: Path) -> str:
    """How to go on."""
    run = shlex.quote(str(out))
    lines = (
        f"girsanov sample {run} -n 64 --label 3 --steps {FEW} --out threes.png",
        f"girsanov evaluate {run} digits",
        f"girsanov likelihood {run} digits --out scores.csv",
        f"girsanov info {run}",
        "girsanov train my-table.csv --out runs/table",
    )
    return html.section(
        "How to go on",
        "The model is an ordinary run folder, and your own data (a table, an array, a folder of images) take one line.",
        html.code("\n".join(lines)),
    )
