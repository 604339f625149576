"""`girsanov sample`: draw from a run, in the units of its data.

Sample i is the same whatever -n and the batch size are. Without --label the classes are drawn as often as they
occur in the data. A guided model asks the network twice a call, and the number of calls says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from girsanov.cli.console import note, wrote
from girsanov.cli.options import BatchSize, Device, RunFolder, Seed, lookup

if TYPE_CHECKING:
    from torch import Tensor

    from girsanov.cli.console import Tick
    from girsanov.cli.runs import Run
    from girsanov.denoiser import AbstractDenoiser
    from girsanov.noise import Randomness
    from girsanov.solvers import NamedSampler, Sampler
    from girsanov.typing import Tree


def sample(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="A .png (one grid), .npy, .csv, .parquet or .txt file.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the sampler.")] = 20,
    solver: Annotated[
        str | None, typer.Option(help="Such as ddim, heun, dpm-multistep; the recommended one if left out.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="A sampler that `plan --out` saved, instead of both.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The class to draw; all, as often as in the data, if left out.")
    ] = None,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance: 1 is none, 2 strong.")] = 1.0,
    batch_size: BatchSize = 256,
    device: Device = None,
    seed: Seed = 0,
) -> None:
    """Draw new samples from a trained model."""
    from girsanov.cli.output import prepare, write
    from girsanov.cli.runs import open_run

    opened = open_run(run, device)
    prepare(out, opened)
    cond = opened.condition(label, n, seed)
    sampler = chosen_plan(opened, solver, steps, plan)
    model = guided(opened, guidance)
    calls = sampler.calls * model.calls_per_call
    note(f"{sampler.name}: {calls} network calls a sample")
    x = draw(model, n, sampler, cond=cond, batch_size=batch_size, seed=seed)
    write(out, x, opened, cond)
    wrote(out)


def chosen_plan(run: Run, solver: str | None, steps: int, plan: Path | None) -> NamedSampler:
    """The sampler that was asked for, or the recommended one.

    Raises:
        InputError: both a solver and a plan.
        Unsuitable: one that does not fit the model's process.
    """
    from girsanov.errors import require
    from girsanov.solvers import SOLVERS, Plan
    from girsanov.solvers.sampling import make_sampler

    require(plan is None or solver is None, "--plan is a whole sampler. Leave --solver out, or --plan.")
    if plan is not None:
        return Plan.load(plan)
    return make_sampler(run.model, steps, None if solver is None else lookup(solver, SOLVERS, "solver"))


def guided(run: Run, guidance: float) -> AbstractDenoiser:
    """The model, with classifier-free guidance if any was asked for."""
    from girsanov.errors import require
    from girsanov.guidance import classifier_free

    if guidance == 1:
        return run.model
    require(
        bool(run.classes),
        f"--guidance is {guidance:g}, and the model in {run.folder} was trained without classes",
    )
    return classifier_free(run.model, guidance)


def draw(
    model: AbstractDenoiser,
    n: int,
    plan: Sampler,
    *,
    cond: Tensor | None,
    seed: int,
    batch_size: int = 256,
    what: str = "sampling",
) -> Tensor:
    """Sample with a progress bar; (n, *shape) on the CPU."""
    from girsanov.cli.console import progress
    from girsanov.solvers import sample as draw_samples

    with progress(what, n) as tick:
        watched = Watched(plan, tick)
        return draw_samples(model, n, cond=cond, plan=watched, batch_size=batch_size, seed=seed).cpu()


class Watched:
    """A sampler that tells how many samples are done."""

    def __init__(self, plan: Sampler, tick: Tick) -> None:
        self.plan, self.tick = plan, tick

    @property
    def calls(self) -> int:
        return self.plan.calls

    def __call__(
        self,
        model: AbstractDenoiser,
        x: Tensor,
        *,
        cond: Tree = None,
        anchor: Tensor | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        done = self.plan(model, x, cond=cond, anchor=anchor, generator=generator)
        self.tick(len(done))
        return done
