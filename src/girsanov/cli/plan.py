"""`girsanov plan`: a sampler, printed and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from girsanov.cli.console import say, wrote
from girsanov.cli.options import NoSeed, lookup


def plan(
    solver: Annotated[str, typer.Argument(metavar="SOLVER", help="Such as dpm-multistep, heun, ddim.")],
    steps: Annotated[int, typer.Option("--steps", "-n", help="Steps of the grid.")] = 10,
    process: Annotated[str, typer.Option(help="Such as vp, edm, rectified-flow.")] = "edm",
    grid: Annotated[
        str | None,
        typer.Option(help="uniform, quadratic, log-snr, karras or sinh; the recommended one if left out."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A picture (.png, .pdf, .svg), or .json for `sample --plan`. [default: SOLVER-STEPS.png]"
        ),
    ] = None,
    seed: NoSeed = 0,
) -> None:
    """Print a sampler row by row, and draw it: its times, its coefficients, its calls."""
    from girsanov.processes import PROCESSES
    from girsanov.solvers import SOLVERS
    from girsanov.solvers import grid as named_grid
    from girsanov.solvers.grids import SPACINGS
    from girsanov.solvers.sampling import recommended_grid

    law = lookup(process, PROCESSES, "process")()
    make = lookup(solver, SOLVERS, "solver")
    times = recommended_grid(law, steps)
    if grid is not None:
        times = named_grid(lookup(grid, {name: name for name in SPACINGS}, "grid"), steps)
    made = make(law, times)
    path = out or Path(f"{solver.lower()}-{steps}.png")
    if path.suffix.lower() == ".json":
        made.save(path)
    else:
        made.draw(path)
    say(str(made))
    wrote(path)
