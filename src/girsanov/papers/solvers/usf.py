"""A unified sampling framework for solver searching of diffusion models (Liu et al., 2023).

Idea: let every step of a sampler choose its time, its prediction, its order, how it estimates derivatives and whether
it corrects, and search these choices for one model and number of calls; S³ ranks candidates by a small predictor.
Stand-in: mixtures of six Gaussians in the plane with exact answers, for CIFAR-10 and other image models; a search has
200 evaluations, for thousands. The score is the mean distance of samples to those of 200 calls from the same 256
noises, in standard deviations of the data, for FID, so that FIDs cannot be judged. The best fixed solver, grid and
end (0 or t_min) are chosen on the very noises of the test; that favours it. How many children are proposed and scored
in a round was chosen on two mixtures other than those here.
Source: arXiv 2312.07243.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from girsanov.exact import GaussianMixture
from girsanov.noise import Noise
from girsanov.papers import PALETTE, Bar, Budget, Claim, Paper, Report, canvas
from girsanov.processes import VP
from girsanov.solvers import (
    Endpoints,
    Evolved,
    Plan,
    SolverSchedule,
    exponential,
    grid,
    search_schedule,
    solver,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CALLS, RUNS, MODES, VARIANCE = 5, 5, 6, 0.02
FIXED = ("ddim", "dpm-multistep", "dpm-multistep-3m", "deis-tab4", "unipc-2", "unipc-3")
GRIDS = ("uniform", "quadratic", "log-snr")
FAR = 0.3
DISTANCE = "mean distance to 200 calls from the same noises, in standard deviations of the data, 5 calls"

BETTER = Claim(
    name="searched against fixed",
    says="With 5 calls, the schedule that S³ finds is closer to the exact samples than the best fixed solver.",
    source="abstract and Table 2, CIFAR-10",
    paper="FID 6.86 at 5 calls, 2.69 at 10",
    unit=DISTANCE + ", fresh noises",
    bar=Bar("<=", times=0.7),
    against="the best of DDIM, 2M, 3M, tAB3, UniPC-2 and -3 on 3 grids",
)
PREDICTS = Claim(
    name="predictor, mean",
    says="After 200 evaluations the predictor's search has a score no worse than evolution without it.",
    source="section 4.2",
    unit=f"best score, mean of {RUNS} searches",
    bar=Bar("<=", times=1.0),
    over="mean",
    against="the same evolution, every child evaluated",
)
OFTEN = Claim(
    name="predictor, how often",
    says="In three of five pairs of searches the one with the predictor ends better.",
    source="section 4.2",
    unit=f"share of {RUNS} pairs of searches",
    bar=Bar(">=", plus=0.6),
    over="mean",
)
TRANSFERS = Claim(
    name="fresh noises",
    says="A schedule found on 256 noises is as good on 4096 others.",
    source="section 5, scores from few samples in the search",
    unit=DISTANCE,
    bar=Bar("<=", times=1.15),
    against="its score in the search",
)


def score(ends: Endpoints, plan: Plan) -> float:
    """The mean distance to where the flow ends."""
    return float(ends.distances(plan.recast("data")).mean())


def law(seed: int) -> GaussianMixture:
    """Six modes at random places."""
    return GaussianMixture(Noise(seed).draw(torch.empty(MODES, 2, dtype=torch.float64), 0), VARIANCE)


def fixed_plans() -> dict[str, Plan]:
    """Every fixed solver on every grid, to 0 and to t_min."""
    return {
        f"{name}, {kind}, {'to 0' if to_zero else 'to t_min'}": solver(name)(
            VP(), grid(kind, CALLS, to_zero=to_zero)
        )
        for name in FIXED
        for kind in GRIDS
        for to_zero in (True, False)
    }


def run_paper(budget: Budget) -> Report:
    """One mixture a seed; five searches with the predictor and five without, from the same start."""
    report = Report(PAPER, budget)
    spend, runs = budget.pick(smoke=(60, 1), cpu=(200, RUNS))
    fine, n, fresh = budget.pick(smoke=(30, 64, 128), cpu=(200, 256, 4096))
    teacher = exponential(VP(), grid("ddpm", fine), order=4, variable="ddpm")
    for seed in budget.seeds:
        model = law(seed).denoiser(VP())
        ends, held = (
            Endpoints.of(model, teacher, m, noise=Noise(seed).child(i)) for i, m in ((1, n), (2, fresh))
        )
        search = partial(search_schedule, partial(score, ends), VP(), CALLS, budget=spend)
        ours, plain = (
            [search(predictor=p, seed=RUNS * seed + r) for r in range(runs)] for p in (True, False)
        )
        fixed = {name: score(held, plan) for name, plan in fixed_plans().items()}
        best, found = min(fixed, key=fixed.__getitem__), score(held, ours[0].plan)
        report.add(BETTER, seed, ours=found, baseline=fixed[best])
        report.add(PREDICTS, seed, ours=mean_score(ours), baseline=mean_score(plain))
        wins = [a.score < b.score for a, b in zip(ours, plain, strict=True)]
        report.add(OFTEN, seed, ours=sum(wins) / runs)
        report.add(TRANSFERS, seed, ours=found, baseline=ours[0].score)
        report.kept.setdefault("schedules", []).append(ours[0].schedule)
        report.kept.setdefault("best", []).append((best, fixed[best], found))
        plans = {"fixed": fixed_plans()[best], "S³": ours[0].plan}
        longer = search(predictor=False, seed=seed, budget=budget.pick(smoke=60, cpu=1000)).plan
        report.kept.setdefault("beside", []).append(beside(ends, held, plans, longer))
        curves = report.kept.setdefault("curves", {"S³": [], "without predictor": []})
        for name, searches in zip(curves, (ours, plain), strict=True):
            curves[name] += [[v / fixed[best] for v in one.history] for one in searches]
        if seed == budget.seeds[0]:
            few = held.take(torch.arange(min(fresh, 600)))
            report.kept["samples"] = {name: plan(few.model, few.x) for name, plan in plans.items()}
            report.kept["apart"] = {name: few.distances(plan) for name, plan in plans.items()}
    explain(report)
    return report


def beside(ends: Endpoints, held: Endpoints, plans: dict[str, Plan], longer: Plan) -> dict[str, float]:
    """What explains the numbers of one mixture."""
    fixed, ours = (held.distances(plan.recast("data")) for plan in plans.values())
    far = ours > FAR
    return {
        "longer": score(held, longer) / float(fixed.mean()),
        "median": float(ours.median() / fixed.median()),
        "far": float(far.double().mean()),
        "far of the mean": float(ours[far].sum() / ours.sum()),
        "fixed, fresh": float(fixed.mean()) / score(ends, plans["fixed"]),
    }


def explain(report: Report) -> None:
    """Why claims are missed, by numbers of the same run; mixtures in the order of the seeds."""

    def each(key: str, form: str = ".2f") -> str:
        return ", ".join(format(one[key], form) for one in report.kept["beside"])

    ratios = ", ".join(f"{found / fixed:.2f}" for _, fixed, found in report.kept["best"])
    report.note(
        BETTER,
        f"Ratios of the mixtures: {ratios}, against {'; '.join(best for best, _, _ in report.kept['best'])}. "
        f"The mean is ruled by samples that end far from where they should: {each('far', '.1%')} are more than {FAR} away and "
        f"make {each('far of the mean', '.0%')} of it; the ratios of the medians are {each('median')}. 200 evaluations "
        f"are few: evolution of 1000, without the predictor, has ratios {each('longer')}.",
    )
    report.note(
        TRANSFERS,
        "The same few samples decide. The best fixed solver, which was fitted to nothing, has on the fresh noises "
        f"{each('fixed, fresh')} of its score on those of the search.",
    )


def mean_score(searches: list[Evolved]) -> float:
    return sum(one.score for one in searches) / len(searches)


def timeline(ax: Axes, schedules: list[SolverSchedule]) -> None:
    """The calls of each schedule along the log-SNR: form, order, corrector."""
    colours = {"data": PALETTE[0], "noise": PALETTE[1]}
    for row, schedule in enumerate(schedules):
        for t, step in zip(schedule.times, schedule.steps, strict=False):
            edge = "black" if step.corrector == "pseudo" else "none"
            ax.scatter(
                VP().log_snr(t),
                -row,
                s=190,
                color=colours[step.form],
                edgecolor=edge,
                linewidth=1.6,
                zorder=2,
            )
            ax.text(
                VP().log_snr(t), -row, str(step.order), color="white", ha="center", va="center", fontsize=8
            )
        ax.axhline(-row, color="#d0d0d0", lw=0.8, zorder=0)
    ax.set(
        xlabel="log-SNR of the call",
        title="found: order of each step",
        xlim=(-6, 4.6),
        ylim=(-len(schedules) + 0.3, 0.9),
    )
    ax.set_yticks([-i for i in range(len(schedules))], [f"mixture {i + 1}" for i in range(len(schedules))])
    for form, colour in colours.items():
        ax.scatter([], [], s=60, color=colour, label=form)
    ax.scatter([], [], s=60, color="white", edgecolor="black", label="corrected")
    ax.legend(fontsize=7, frameon=False, ncols=3, loc="upper center", columnspacing=0.8, handletextpad=0.1)


def figure(report: Report) -> Figure:
    """The samples of the best fixed solver and of the found one, the searches, the schedules."""
    drawing, (one, two, middle, right) = canvas(report, panels=4, equal=(0, 1), height=3.2)
    name, of_fixed, of_found = report.kept["best"][0]
    titles = {
        "fixed": f"{name}\nmean distance {of_fixed:.3f}",
        "S³": f"found by S³\nmean distance {of_found:.3f}",
    }
    for ax, (key, x) in zip((one, two), report.kept["samples"].items(), strict=True):
        colour = report.kept["apart"][key].clamp(min=1e-3).log10()
        shown = ax.scatter(x[:, 0], x[:, 1], c=colour, s=4, cmap="viridis", vmin=-3, vmax=0, linewidths=0)
        ax.set_title(titles[key], fontsize=9)
        bar = drawing.colorbar(shown, ax=ax, location="bottom", shrink=0.8, pad=0.03)
        bar.set_ticks([-3, -2, -1, 0], labels=["0.001", "0.01", "0.1", "1"])
        bar.ax.tick_params(labelsize=7)
    for colour, (label, curves) in zip(PALETTE, report.kept["curves"].items(), strict=False):
        of_mixtures = torch.tensor(curves).unflatten(0, (len(report.kept["best"]), -1)).mean(1)
        middle.plot(of_mixtures.T, color=colour, lw=0.9, alpha=0.45)
        middle.plot(of_mixtures.mean(0), color=colour, lw=2.2, label=label)
    middle.axhline(1, color="#7d7d7d", lw=0.8, ls="--")
    middle.set(
        xlabel="evaluations",
        ylabel="score / best fixed solver on fresh noises",
        title="searches: 3 mixtures, their mean",
        ylim=(0, 2),
    )
    middle.legend(fontsize=8, frameon=False)
    timeline(right, report.kept["schedules"])
    for ax in (middle, right):
        ax.title.set_fontsize(9)
    return drawing


PAPER = Paper(
    slug="usf",
    title="A unified sampling framework for solver searching of diffusion probabilistic models (Liu et al., 2023)",
    claims=(BETTER, PREDICTS, OFTEN, TRANSFERS),
    run=run_paper,
    figure=figure,
)
