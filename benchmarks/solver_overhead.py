"""What the loop that runs plans costs beyond the network, and what a plan costs to build.

The network answers with a tensor made beforehand, so what is left is overhead: the time of a whole run, less the
same number of bare calls, per call. The peer is the time of `DPMSolverMultistepScheduler.step` in the loop of a
pipeline, on the same 20 timesteps; both are first checked to give the same sample. The peer of building a plan is
building a scheduler for as many steps. It computes its coefficients later, in `step`, so that bar is not a ratio
to reach: it is the budget of 5 ms in units of the peer. The samplers with a loop of their own are compared with
the recommended plan.

    python benchmarks/solver_overhead.py [--json]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from common import Result, main, seconds
from torch import Tensor

import girsanov
from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.typing import Time, Tree

STEPS, RUNS = 20, 10
SHAPES = ((64, 1, 8, 8), (256, 2))
BAR, OWN_LOOP_BAR, BUDGET_MS = 0.2, 2.0, 5.0


class Prepared(AbstractDenoiser):
    """A network without work."""

    def __init__(self, process: processes.Interpolant, answer: Tensor) -> None:
        super().__init__()
        self.process, self.stored, self.answer = process, ("noise",), answer

    def forward(
        self, x: Tensor, t: Time, *, cond: Tree = None, anchor: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        return (self.answer,)


def repeated(run: Callable[[], object], times: int = RUNS) -> Callable[[], None]:
    def all_of_them() -> None:
        with torch.inference_mode():
            for _ in range(times):
                run()

    return all_of_them


def overhead(shape: tuple[int, ...]) -> list[Result]:
    """Microseconds per call of plans and of the peer, for samples of a shape."""
    import diffusers

    scheduler = diffusers.DPMSolverMultistepScheduler()
    scheduler.set_timesteps(STEPS)
    process = processes.DiscreteVP(scheduler.alphas_cumprod.double().tolist())
    generator = torch.Generator().manual_seed(0)
    x, answer = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    model = Prepared(process, answer)
    times = [(int(t) + 1) / 1000 for t in scheduler.timesteps] + [0.0]
    plans = [
        solvers.ddim(process, times).recast("noise"),
        solvers.dpm_multistep(process, times).recast("noise"),
        solvers.recommended(process, STEPS).recast("noise"),
        *(
            plan.recast("noise")
            for make in solvers.SOLVERS.values()
            if not (plan := make(process, times)).stochastic
        ),
    ]
    own = [
        solvers.EVODiff(process, times),
        solvers.PredictorCorrector(process, times, solvers.ddim, step="annealed"),
    ]

    def step_all() -> Tensor:
        scheduler.set_timesteps(STEPS)
        sample = x
        for t in scheduler.timesteps:
            sample = scheduler.step(answer, t, sample).prev_sample
        return sample

    same = solvers.run(plans[1], model, x)
    assert torch.allclose(same, step_all(), rtol=1e-3, atol=1e-3 * same.abs().max().item())
    runs = [repeated(lambda plan=plan: solvers.run(plan, model, x)) for plan in plans]  # type: ignore[misc]
    bare, setup = (
        repeated(lambda: model(x, 0.5), RUNS * STEPS),
        repeated(lambda: scheduler.set_timesteps(STEPS)),
    )
    loops = [repeated(lambda sampler=sampler: sampler(model, x)) for sampler in own]  # type: ignore[misc]
    *spent, asked, stepped, reset = seconds(*runs, *loops, bare, repeated(step_all), setup)
    per_call = 1e6 / RUNS
    ours = [
        (mine - asked * sampler.calls / STEPS) * per_call / sampler.calls
        for sampler, mine in zip([*plans, *own], spent, strict=True)
    ]
    peer, name = (stepped - reset) * per_call / STEPS, "diffusers DPMSolverMultistepScheduler.step"
    of, version = f"overhead per call, {{}}, {shape}", diffusers.__version__
    slowest = max(range(3, len(plans)), key=ours.__getitem__)
    rows = [Result(of.format(plans[i].name), ours[i], peer, name, version, BAR, "µs") for i in range(3)]
    worst = of.format(f"slowest of {len(plans) - 3} named: {plans[slowest].name}")
    rows.append(Result(worst, ours[slowest], peer, name, version, BAR, "µs"))
    for sampler, mine in zip(own, ours[len(plans) :], strict=True):
        label = of.format(type(sampler).__name__)
        rows.append(
            Result(
                label, mine, ours[2], "girsanov, recommended plan", girsanov.__version__, OWN_LOOP_BAR, "µs"
            )
        )
    return rows


def construction() -> list[Result]:
    """Milliseconds to build a plan of 20 steps, on a continuous process and on a chain of 1,000 steps."""
    import diffusers

    chain = processes.DiscreteVP(diffusers.DPMSolverMultistepScheduler().alphas_cumprod.double().tolist())
    cases = {
        "2M on VP": lambda: solvers.dpm_multistep(processes.VP(), solvers.grid("uniform", STEPS)),
        "2M on a chain": lambda: solvers.dpm_multistep(chain, solvers.grid("uniform", STEPS)),
        "recommended on VP": lambda: solvers.recommended(processes.VP(), STEPS),
        "recommended on a chain": lambda: solvers.recommended(chain, STEPS),
    }
    *ours, peer = (
        1e3 * spent / RUNS
        for spent in seconds(
            *(repeated(build) for build in cases.values()),
            repeated(lambda: diffusers.DPMSolverMultistepScheduler().set_timesteps(STEPS)),
        )
    )
    name, bar = "diffusers DPMSolverMultistepScheduler, built", BUDGET_MS / peer
    return [
        Result(f"build a plan of {STEPS} steps, {case}", mine, peer, name, diffusers.__version__, bar, "ms")
        for case, mine in zip(cases, ours, strict=True)
    ]


def measure() -> list[Result]:
    """All rows."""
    torch.set_num_threads(1)
    return [row for shape in SHAPES for row in overhead(shape)] + construction()


if __name__ == "__main__":
    main(measure)
