"""`girsanov simulate`: paths of a process by name, as a table and a picture beside it.

The parameters of a process are options of their own, `--hurst 0.3`; lists are written 0.5,0.2 and matrices row by
row, --rates="-1,1;2,-2". What a process takes is read off its fields, so a new one needs no line here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from girsanov.cli.console import wrote
from girsanov.cli.options import Seed, hyphenated, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.processes import Started

NUMBERS = "list one of them, such as --decay 1.5, or --rates='-1,1;2,-2' for a matrix"
MOST_LINES = 60
"""Paths of a picture; the table has them all."""


def simulate(
    context: typer.Context,
    process: Annotated[
        str, typer.Argument(metavar="PROCESS", help="Such as brownian, fractional, vasicek, stable, hawkes.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many paths.")] = 5,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the uniform grid.")] = 500,
    horizon: Annotated[float, typer.Option(help="How long a path is, in the unit of the rates.")] = 1.0,
    out: Annotated[Path, typer.Option(help="A .csv file; the picture goes beside it.")] = Path("paths.csv"),
    seed: Seed = 0,
) -> None:
    """Draw paths of a stochastic process; its parameters are options, such as --hurst 0.3."""
    import torch

    from girsanov.errors import require
    from girsanov.processes import SIMULATORS
    from girsanov.processes import simulate as draw

    require(out.suffix.lower() == ".csv", f"{out} does not end in .csv; give such a file, or leave --out out")
    require(0 < horizon < float("inf"), f"horizon is {horizon:g}; give a length above 0")
    make = lookup(process, SIMULATORS, "process")
    given = parameters(process, make, context.args, horizon)
    made = make(**given)
    times = torch.linspace(0, horizon, steps + 1, dtype=torch.float64)
    paths = draw(made, n=n, times=times, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(out, times, paths)
    picture = out.with_suffix(".png")
    picture.write_bytes(draw_picture(title(process, given), times, paths))
    wrote(out, picture)


def parameters(
    process: str, make: Callable[..., Started], arguments: Sequence[str], horizon: float
) -> dict[str, Any]:
    """The fields of a process from what was typed.

    Raises:
        InputError: an option that it lacks, one that it needs, or a value that is no number.
    """
    from girsanov.errors import InputError, require

    known = {field.name: field for field in fields(make) if "Callable" not in str(field.type)}  # type: ignore[arg-type]
    typed = pairs(arguments)
    given = {lookup_option(process, name, known): value for name, value in typed.items()}
    missing = [n for n, field in known.items() if field.default is MISSING and n not in given]
    require(not missing, f"{process} needs --{' and --'.join(map(hyphenated, missing))}; {NUMBERS}")
    values: dict[str, Any] = {}
    for name, text in given.items():
        try:
            values[name] = number(text, known[name])
        except ValueError:
            told = "true or false" if known[name].type == "bool" else f"numbers: {NUMBERS}"
            raise InputError(f"--{hyphenated(name)} is {text!r}; give {told}") from None
    return {**values, "horizon": horizon} if "horizon" in known else values


def lookup_option(process: str, name: str, known: Mapping[str, Any]) -> str:
    """The field that an option means, or the nearest ones."""
    from girsanov.errors import UnknownName, unknown

    field = name.replace("-", "_")
    if field in known:
        return field
    raise UnknownName(unknown(f"--{name}", [f"--{hyphenated(k)}" for k in known], f"option of {process}"))


def pairs(arguments: Sequence[str]) -> dict[str, str]:
    """--name value and --name=value as a dictionary."""
    from girsanov.errors import InputError

    found, rest = {}, list(arguments)
    while rest:
        head = rest.pop(0)
        if not re.match(r"--[a-z]", head):
            raise InputError(f"{head!r} belongs to no option; give parameters as --name value")
        name, equals, value = head[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"--{name} has no value; give one, such as --{name} 0.5")
            value = rest.pop(0)
        found[name] = value
    return found


def number(text: str, field: Field[Any]) -> Any:
    """A number, a list 0.5,0.2 or a matrix 1,2;3,4; an integer or true and false where the field is one."""
    if field.type == "int":
        return int(text)
    if field.type == "bool":
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    if ";" in text:
        return tuple(tuple(map(float, row.split(","))) for row in text.split(";"))
    return tuple(map(float, text.split(","))) if "," in text else float(text)


def title(process: str, given: Mapping[str, Any]) -> str:
    """What was drawn, in words."""
    shown = [
        f"{name.replace('_', ' ')} {value:g}"
        for name, value in given.items()
        if isinstance(value, float | int)
    ]
    return ", ".join([process.replace("-", " "), *shown])


def write_table(path: Path, times: Tensor, paths: Tensor) -> None:
    """Times (T,) and paths (n, T) or (n, T, K) as columns."""
    import numpy as np

    if paths.ndim == 2:
        names = [f"path_{i + 1}" for i in range(len(paths))]
    else:
        names = [f"path_{i + 1}_{k + 1}" for i in range(len(paths)) for k in range(paths.shape[2])]
    columns = paths.movedim(1, 0).reshape(len(times), -1).double()
    rows = np.column_stack([times.numpy(), columns.numpy()])
    np.savetxt(path, rows, fmt="%.9g", delimiter=",", header=",".join(["time", *names]), comments="")


def draw_picture(name: str, times: Tensor, paths: Tensor) -> bytes:
    """The paths against time, as a PNG; states and counts as steps."""
    from matplotlib import colormaps

    from girsanov.cli.figures import INK, chart

    lines = paths.double().movedim(1, -1).flatten(0, -2)[:MOST_LINES].numpy()
    whole = bool((paths == paths.round()).all())
    colours = colormaps["viridis"]([0.1 + 0.75 * i / max(len(lines) - 1, 1) for i in range(len(lines))])

    def paint(axes: Any) -> None:
        for line, colour in zip(lines, colours, strict=True):
            style = "steps-post" if whole else "default"
            axes.plot(times.numpy(), line, color=colour, linewidth=1.1, alpha=0.9, drawstyle=style)
        axes.margins(x=0.01)
        axes.set(xlabel="time", title=name)
        axes.title.set_color(INK)

    return chart(paint)
