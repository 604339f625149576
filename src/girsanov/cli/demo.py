"""`girsanov demo`: learn from real digits, sample, measure, and show it on one page.

The data are 1,797 handwritten digits, of which a fifth is held out. The training is a fixed number of steps with
fixed settings. Batches of 64 had a lower held-out loss than half as many steps of 128 (0.321 against 0.325, seed 0);
the times are EDM's own, which spend more of a short training at the noise levels where digits part.
Run again, the demo renews its own folder; a folder that holds anything else is refused.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, say, show, wrote
from girsanov.cli.options import Seed

if TYPE_CHECKING:
    from girsanov.cli.digits import Findings, Split
    from girsanov.training import History, Training

STEPS, SAMPLES = 1800, 2000
HELD_OUT, GUIDANCE = 0.2, 1.0
NAME, REPORT, PAGE = "Girsanov demo", "report.json", "report.html"


def demo(
    out: Annotated[Path, typer.Option(help="The folder to make; an earlier demo in it is renewed.")] = Path(
        "runs/demo"
    ),
    steps: Annotated[int, typer.Option(min=1, help="Steps of training.")] = STEPS,
    samples: Annotated[int, typer.Option(min=20, help="Samples to judge by.")] = SAMPLES,
    seed: Seed = 0,
) -> None:
    """Learn from real digits, sample with few network calls, and report (about 4 minutes)."""
    began = time.monotonic()
    from girsanov import __version__
    from girsanov.cli.digits import Split, measure
    from girsanov.cli.runs import Origin
    from girsanov.cli.train import LABEL_DROPOUT, build
    from girsanov.data import read
    from girsanov.objectives import score_matching
    from girsanov.processes import EDM
    from girsanov.training import Card, fit, save, split

    check_folder(out)
    digits, config = read("digits"), settings(seed)
    assert digits.cond is not None
    known, fresh = split(len(digits), HELD_OUT, seed)
    parts = Split(digits.x[known], digits.cond[known], digits.x[fresh], digits.cond[fresh])
    model = build(digits.codec.shape, EDM(), classes=10, network="auto", std=float(parts.x.std()), seed=seed)
    note(f"learning {len(known):,} handwritten digits in {steps:,} steps; {len(fresh):,} are held out")
    objective = score_matching(times="log-normal", label_dropout=LABEL_DROPOUT)
    history = fit(model, objective, digits.x, cond=digits.cond, steps=steps, config=config)
    origin = Origin.of(digits, label=None, crop=None, config=config)
    save(model, out, card=Card(name=NAME, dataset="digits", data=origin.to_config()))
    note("measuring")
    found = measure(model, parts, samples=samples, seed=seed)
    found.numbers.update(
        guidance=GUIDANCE,
        steps=steps,
        samples=samples,
        parameters=sum(p.numel() for p in model.network.parameters()),
        held_out_loss=history.validation[-1][1],
        train_seconds=round(history.seconds, 1),
        seed=seed,
        version=__version__,
        seconds=round(time.monotonic() - began, 1),
    )
    publish(found, parts, history, out)


def publish(found: Findings, parts: Split, history: History, out: Path) -> None:
    """Write the report and the page, and say what is in them."""
    from girsanov.cli.digits import verdicts
    from girsanov.cli.showcase import report_page
    from girsanov.files import write_text

    bars = [{"says": v.says, "ours": v.ours, "bar": v.bar, "met": v.met} for v in verdicts(found.numbers)]
    write_text(out / PAGE, report_page(found, parts, history, out))
    write_text(out / REPORT, json.dumps({**found.numbers, "bars": bars}, indent=2, ensure_ascii=False) + "\n")
    tell(found, out)


def settings(seed: int) -> Training:
    """How the demo trains."""
    from girsanov.training import Training

    return Training(batch_size=64, lr=4e-3, validation=HELD_OUT, seed=seed)


def check_folder(out: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo.

    Raises:
        InputError: it does; the message says what.
        SavedFileError: the model in it is damaged.
    """
    from girsanov.errors import require
    from girsanov.training import read_card

    require(not out.exists() or out.is_dir(), f"{out} is a file. Give the name of a folder: --out.")
    held = sorted(path.name for path in out.iterdir()) if out.exists() else []
    ours = "config.json" in held and read_card(out).name == NAME
    require(
        ours or not held,
        f"{out} holds {', '.join(held[:3])}{' …' if len(held) > 3 else ''}, which is not of a demo. "
        "Give another folder: --out.",
    )
    if ours:
        note(f"renewing the demo in {out}")


def tell(found: Findings, out: Path) -> None:
    """The numbers in the terminal, and where everything is."""
    from girsanov.cli.digits import verdicts

    judged = verdicts(found.numbers)
    show(("", "ours", "bar", ""), [(v.says, v.ours, v.bar, "passed" if v.met else "MISSED") for v in judged])
    missed = sum(not v.met for v in judged)
    if missed:
        say(f"{missed} of {len(judged)} bars missed")
    say(f"{found.numbers['seconds']:.0f} seconds, {found.numbers['train_seconds']:.0f} of them training")
    wrote(out / "model.safetensors", out / "config.json", out / REPORT, out / PAGE)
