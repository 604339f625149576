"""S³: the best schedule of decisions for a model, by evolution with a learned ranking (Liu et al., 2023).

    the earlier solvers on several grids are scored;
    until the budget is spent: children of the best 15, by crossover and mutation, are proposed in great number;
    a small LSTM, trained to rank what was scored so far, picks the most promising; these are scored.

The score of a schedule is any function of its plan, lower is better, such as the distance to a fine teacher
(`Endpoints.distances`) or a distance between laws. It need not be differentiable; where it is, `search` follows
its gradients in a wider space. The ranking loss over pairs with s_i > s_j is

    mean max(0, m - (ŝ_i - ŝ_j)),                                                                         (1)

so only the order of the scores matters. Times are mutated in DDPM's own time at their log-SNR, where the rates below
were chosen; afterwards they are sorted and kept 10⁻³ apart. The number of calls is fixed, so that a step is added
where another is deleted, and the first and last time stay those of a parent.
Source: Liu, Ning, Yang & Wang (2023), arXiv 2312.07243, section 4; the rates of their code, thu-nics/USF. The
layer sizes are ours. Left out are DPM-Solver-v3's form, skip scaling and the analytic first step.
Oracle: a score whose best schedule is known; repaired times by their gaps (tests/solvers/test_evolution.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from statistics import NormalDist
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from girsanov.errors import NotFinite, require
from girsanov.noise import Noise, uniform
from girsanov.processes import Interpolant
from girsanov.solvers.grids import DDPM, Grid, ddpm_time
from girsanov.solvers.plan import Plan
from girsanov.solvers.unified import EARLIER, ORDERS, RELAXATIONS, SolverSchedule, SolverStep, beyond, unified

T = TypeVar("T")
Objective = Callable[[Plan], float]

PARENTS = 15
CROSSOVER, BY_STEP = 0.3, 0.5
"""How many children have two parents, and how many of these mix them step by step."""
REPLACED = 0.2 + 0.2
"""How often a step is added and another deleted."""
MUTATED = 0.3
"""How often each field changes."""
JITTER, RELAX = 0.08, 0.03
"""Standard deviations of a change of a time and of a relaxation."""
ORDER_SHARES = (0.2, 0.4, 0.3, 0.1)
GAP = 1e-3
GRIDS = ("ddpm", "log-snr", "karras")
"""Where the earlier solvers start the search, each down to 0 and to t_min."""
PROPOSED, PICKED = 64, 4
"""Children ranked by the predictor, and how many of them are scored."""
UNITS, MARGIN, RATE, EPOCHS = 64, 1.0, 3e-3, 20
"""Of the predictor: width, m of equation (1), learning rate, steps of Adam before each ranking."""


@dataclass(frozen=True)
class Evolved:
    """What a search found.

    Attributes:
        schedule, plan: the best.
        score: its objective.
        history: the best score after each evaluation of the objective.
        population: every (score, schedule), best first; a later search may start from its schedules.
    """

    schedule: SolverSchedule
    plan: Plan
    score: float
    history: tuple[float, ...] = field(repr=False)
    population: tuple[tuple[float, SolverSchedule], ...] = field(repr=False)


def search_schedule(
    objective: Objective,
    process: Interpolant,
    calls: int,
    *,
    budget: int = 200,
    population: Sequence[SolverSchedule] | None = None,
    predictor: bool = True,
    seed: int = 0,
) -> Evolved:
    """The best schedule of a number of calls that a budget of evaluations finds.

    Args:
        objective: of a plan that stores `data`; lower is better. NaN, infinity and `NotFinite` count as worst.
        process: one-sided or anchored.
        calls: denoiser calls of the plan, at least 1.
        budget: evaluations of the objective, at least 1; plans met before are not evaluated again.
        population: schedules to start from; those of other numbers of calls are left out. By default `EARLIER`.
        predictor: rank children by the LSTM; without it every child is evaluated.
        seed: everything random follows from it; the global random state is left alone.

    Raises:
        InputError: arguments out of range, no schedule of that many calls to start from, or more calls than
            there is time for.
        Unsuitable: a two-sided process.
    """
    for name, value in (("calls", calls), ("budget", budget)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and value >= 1, f"{name} is {value!r}; give a whole number of at least 1")
    first = earlier(process, calls) if population is None else [s for s in population if s.calls == calls]
    require(
        len(first) > 0,
        f"no schedule of the population has {calls} calls; give one, or leave population out to begin with "
        "the earlier solvers",
    )
    pool, breeder = Pool(objective, process, budget), Breeder(process, Dice(Noise(seed).child(SCOPE)))
    for schedule in first:
        pool.score(schedule)
    ranker = Ranker(breeder, seed) if predictor else None
    for _ in range(budget):  # each round scores something new, unless the space is exhausted
        if pool.spent:
            break
        parents = [schedule for _, schedule in pool.ranked[:PARENTS]]
        children = [breeder.child(parents) for _ in range(PROPOSED if ranker else 1)]
        if ranker:
            ranker.fit(pool.ranked)
            children = ranker.best(children, PICKED)
        for child in children:
            pool.score(child)
    score, best = pool.ranked[0]
    return Evolved(best, unified(process, best), score, tuple(pool.history), tuple(pool.ranked))


SCOPE = 0x533
"""The scope of the draws."""


def earlier(process: Interpolant, calls: int) -> list[SolverSchedule]:
    """The solvers of `EARLIER` on `GRIDS`, down to 0 and to t_min."""
    return [
        SolverSchedule.multistep(process, Grid(kind, calls, to_zero), **options)
        for options in EARLIER.values()
        for kind in GRIDS
        for to_zero in (True, False)
    ]


class Pool:
    """What was scored: each plan once, best first."""

    def __init__(self, objective: Objective, process: Interpolant, budget: int) -> None:
        self.objective, self.process, self.budget = objective, process, budget
        self.ranked: list[tuple[float, SolverSchedule]] = []
        self.history: list[float] = []
        self._met = set[object]()

    @property
    def spent(self) -> bool:
        return len(self.history) >= self.budget

    def score(self, schedule: SolverSchedule) -> None:
        """Evaluate the schedule, unless the budget is spent or its plan is known."""
        plan = unified(self.process, schedule)
        if self.spent or (known := key(plan)) in self._met:
            return
        self._met.add(known)
        try:
            with torch.no_grad():
                score = float(self.objective(plan))
        except NotFinite:
            score = math.inf
        self.ranked.append((math.inf if math.isnan(score) else score, schedule))
        self.ranked.sort(key=lambda entry: entry[0])
        self.history.append(self.ranked[0][0])


def key(plan: Plan) -> object:
    """What tells plans apart: their coefficients to nine digits."""
    return tuple(
        (row.t, frozenset((*term[:2], term.word, float(f"{term.coefficient:.9g}")) for term in row.terms))
        for row in plan.rows
    )


class Dice:
    """Uniform numbers one after another, from keyed noise."""

    def __init__(self, noise: Noise) -> None:
        self._numbers: Iterator[float] = (
            u
            for i in count()
            for u in noise.draw(torch.empty(1, 4096, dtype=torch.float64), i, uniform)[0].tolist()
        )

    def __call__(self) -> float:
        return next(self._numbers)

    def normal(self) -> float:
        return NormalDist().inv_cdf(max(self(), 1e-16))

    def pick(self, options: Sequence[T], shares: Sequence[float] | None = None) -> T:
        u = self()
        for option, share in zip(options, shares or [1 / len(options)] * len(options), strict=True):
            if (u := u - share) < 0:
                return option
        return options[-1]


Gene = dict[str, Any]
"""The fields of a step without its time."""


class Breeder:
    """Children of schedules, in DDPM's time."""

    def __init__(self, process: Interpolant, dice: Dice) -> None:
        self.process, self.dice = process, dice

    def clock(self, t: float) -> float:
        """DDPM's time at the log-SNR of t, between that of t_min and 1."""
        if beyond(self.process, t) and t > 0:
            return 1.0
        return min(ddpm_time(self.process.log_snr(max(t, self.process.t_min))), 1.0)

    def child(self, parents: Sequence[SolverSchedule]) -> SolverSchedule:
        """A mutated schedule with one parent or two."""
        dice, mother = self.dice, self.dice.pick(parents)
        times, genes = mother.times, _genes(mother)
        if dice() < CROSSOVER:
            other = _genes(dice.pick(parents))
            mixed = dice() < BY_STEP
            genes = [dice.pick((a, b)) if mixed else b for a, b in zip(genes, other, strict=True)]
        inner = [self.clock(t) for t in times[1:-1]]
        high, low = self.clock(times[0]), self.clock(times[-1])
        low -= GAP if times[-1] == 0 else 0  # before a step to 0 the last call may be at t_min
        if inner and dice() < REPLACED:
            gone = int(dice() * len(inner))
            del inner[gone], genes[gone]
            new = low + (high - low) * dice()
            place = sum(t > new for t in inner)
            inner.insert(place, new)
            genes.insert(place, self.changed({}, 1.0))
        inner = [t + JITTER * dice.normal() if dice() < MUTATED else t for t in inner]
        genes = [self.changed(gene, MUTATED) for gene in genes]
        inner = spaced(inner, high, low)
        nodes = [self.process.time_at(DDPM.log_snr(t)) for t in inner]
        return self.legal((times[0], *nodes, times[-1]), genes)

    def changed(self, gene: Gene, chance: float) -> Gene:
        """The gene with each field drawn anew with this chance."""
        dice = self.dice
        before = gene.get("relaxation", "none")
        number = (0.0 if isinstance(before, str) else before) + RELAX * dice.normal()
        fresh = {
            "form": dice.pick(("data", "noise")),
            "order": dice.pick(ORDERS, ORDER_SHARES),
            "points": dice.pick((1, 2)),
            "relaxation": dice.pick((number, dice.pick(RELAXATIONS))),
            "corrector": dice.pick(("none", "pseudo")),
        }
        return {key: value if dice() < chance else gene[key] for key, value in fresh.items()}

    def legal(self, times: Sequence[float], genes: Sequence[Gene]) -> SolverSchedule:
        """The schedule, with orders, points and correctors cut down to what there is."""
        blind, steps = beyond(self.process, times[0]), []
        for i, (t, gene) in enumerate(zip(times[1:], genes, strict=True)):
            order = 1 if t == 0 else min(gene["order"], max(1, i + 1 - blind))
            points = None if order == 1 or gene["points"] is None else min(gene["points"], order - 1)
            corrector = "none" if i < blind or i == len(genes) - 1 else gene["corrector"]
            gene = {**gene, "order": order, "points": points, "corrector": corrector}
            steps.append(SolverStep(t, **gene))
        return SolverSchedule(times[0], tuple(steps))


def _genes(schedule: SolverSchedule) -> list[Gene]:
    return [{k: v for k, v in asdict(step).items() if k != "t"} for step in schedule.steps]


def spaced(times: Sequence[float], high: float, low: float, gap: float = GAP) -> list[float]:
    """The times sorted, decreasing, moved as little as needed to lie `gap` apart and from high and low.

    Raises:
        InputError: there is no room for so many.
    """
    require(
        high - low >= (len(times) + 1) * gap,
        f"{len(times)} times do not fit between {high:.6g} and {low:.6g}, {gap:g} apart; ask for fewer calls",
    )
    found, before = [], high
    for t in sorted(times, reverse=True):
        found.append(before := min(t, before - gap))
    after = low
    for i in reversed(range(len(found))):
        found[i] = after = max(found[i], after + gap)
    return found


class Ranker(nn.Module):
    """ŝ of a schedule: each step embedded, an LSTM over the steps, a number; trained by equation (1)."""

    def __init__(self, breeder: Breeder, seed: int) -> None:
        super().__init__()
        self.breeder = breeder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Sequential(nn.Linear(FEATURES, UNITS), nn.ReLU())
            self.lstm = nn.LSTM(UNITS, UNITS, batch_first=True)
            self.head = nn.Sequential(nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 1))
        self.optimizer = torch.optim.Adam(self.parameters(), lr=RATE)

    def forward(self, x: Tensor) -> Tensor:
        """(B, steps, FEATURES) to (B,)."""
        answers, _ = self.lstm(self.embed(x))
        return self.head(answers[:, -1])[:, 0]

    def fit(self, ranked: Sequence[tuple[float, SolverSchedule]]) -> None:
        """Train on all pairs of what was scored."""
        x = self.features([schedule for _, schedule in ranked])
        scores = torch.tensor([score for score, _ in ranked], dtype=torch.float64)
        pairs = (scores[:, None] > scores).float()
        pairs /= pairs.sum().clamp(min=1)
        with torch.enable_grad():
            for _ in range(EPOCHS):
                found = self(x)
                loss = ((MARGIN - (found[:, None] - found)).clamp(min=0) * pairs).sum()
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()

    @torch.no_grad()
    def best(self, schedules: Sequence[SolverSchedule], n: int) -> list[SolverSchedule]:
        """The n of them that promise most."""
        order = self(self.features(schedules)).argsort(stable=True)
        return [schedules[i] for i in order[:n].tolist()]

    def features(self, schedules: Sequence[SolverSchedule]) -> Tensor:
        """(B, steps, FEATURES)."""
        return torch.tensor([self._features(schedule) for schedule in schedules])

    def _features(self, schedule: SolverSchedule) -> list[list[float]]:
        clocks, rows = [self.breeder.clock(t) for t in schedule.times], []
        for step, s, t in zip(schedule.steps, clocks, clocks[1:], strict=False):
            named = isinstance(step.relaxation, str)
            row = [s, t, math.log(s / t), step.t == 0, step.form == "data", step.corrector == "pseudo"]
            row += [step.order == n for n in ORDERS]
            row += [(step.order - 1 if step.points is None else step.points) / 3]
            row += [step.relaxation == name for name in RELAXATIONS]
            row += [not named, 0.0 if named else 10 * float(step.relaxation)]
            rows.append([float(v) for v in row])
        return rows


FEATURES = 6 + len(ORDERS) + 1 + len(RELAXATIONS) + 2
