"""What the loop that runs plans costs beyond the network, and what a plan costs to build.

The network answers with a tensor made beforehand, so what is left is overhead: the time of a whole run, less the
same number of bare calls, per call. The peer is the time of `DPMSolverMultistepScheduler.step` in the loop of a
pipeline, on the same 20 timesteps; both are first checked to give the same sample. The peer of building a plan is
building a scheduler for as many steps. It computes its coefficients later, in `step`, so that bar is not a ratio
to reach: it is the budget of 5 ms in units of the peer.

    python benchmarks/solver_overhead.py [--json]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from common import Result, main, seconds
from torch import Tensor

from girsanov import processes, solvers
from girsanov.denoiser import AbstractDenoiser
from girsanov.typing import Time, Tree

STEPS, RUNS = 20, 10
SHAPES = ((64, 1, 8, 8), (256, 2))
BAR, BUDGET_MS = 0.2, 5.0


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
    ]
    assert all(plan.calls == STEPS for plan in plans)

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
    *ours, asked, stepped, reset = seconds(*runs, bare, repeated(step_all), setup)
    per_call = 1e6 / (RUNS * STEPS)
    peer, name = (stepped - reset) * per_call, "diffusers DPMSolverMultistepScheduler.step"
    return [
        Result(f"overhead per call, {plan.name}, {shape}", (mine - asked) * per_call, peer, name,
               diffusers.__version__, BAR, "µs")
        for plan, mine in zip(plans, ours, strict=True)
    ]  # fmt: skip


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
