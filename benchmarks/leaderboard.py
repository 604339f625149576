"""The CPU-sized CIFAR: named solvers on a small U-Net of Fashion-MNIST, by Fréchet distance, in 4 to 10 calls.

P3 of the solver benchmark. Model and judge are those of fashion.py. Every solver starts from the same 2,000 noises
and, as in the CIFAR-10 table of zju-pi/diff-sampler, runs on EDM's grid (ρ = 7) down to σ = 0.002; *recommended* is
on the grid of its own. Its pictures, in 8 bits, are set against the 10,000 test pictures in the judge's 64 features.

Intervals: pictures drawn with repetition raise the distance, so the percentile bootstrap is not valid here. The
pictures are split into G = 40 groups instead, and with D_(g) the distance without group g

    se² = (G - 1)/G Σ_g (D_(g) - mean D_(·))²,    D ± t(0.975, G - 1) se,                               (1)

the delete-a-group jackknife, consistent for smooth functions of means, as D is of those of the features and their
products (Shao & Tu, 1995, The Jackknife and Bootstrap, section 2.1; Kott, 2001, J. Official Statistics 17, 521).
A ratio of two solvers leaves out the same noises in both, and (1) is for its logarithm. Model, judge and test
pictures are held fixed. `search` is given noises other than those that judge, and does not see the judge.

Scores are kept under runs/ and computed again where plan, model or judge has changed.

    python benchmarks/leaderboard.py [--json] [PLAN.json ...]     plans of one's own (Plan.save) join the table
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import fashion
import torch
from common import Result, main
from scipy import stats
from torch import Tensor

import girsanov
from girsanov import data, solvers
from girsanov.files import write_text
from girsanov.solvers import Plan, grid
from girsanov.transport import gaussian_w2

CALLS, SAMPLES, SEED, GROUPS = (4, 6, 8, 10), 2000, 2**20, 40
CIFAR = {
    "Euler": "ddim", "Heun": "heun", "DPM-Solver-2": "dpm-solver-2", "DPM-Solver++(3M)": "dpm-multistep-3m",
    "UniPC-3": "unipc-3", "DEIS-tAB3": "deis-tab3", "iPNDM-4": "ipndm",
}  # fmt: skip
"""The rows of the CIFAR-10 table, by the names that we have for them."""

OTHERS = ("dpm-multistep", "ipndm3", "ghvb-2.8", "exponential4-ddpm")
RECOMMENDED, SEARCHED, STARTED = "recommended", "searched", "where the search started"
SEARCH = {"noises": 24, "steps": 70}
SEARCH_BARS = {4: 0.9, 6: 0.9, 8: 0.9}
FINE = 30
"""Calls of the recommended rule that show what the model itself can do."""

CACHE = fashion.RUNS / "leaderboard.json"


class Score(NamedTuple):
    """A Fréchet distance, and what it is without each group."""

    value: float
    left_out: tuple[float, ...]

    @property
    def half_width(self) -> float:
        """Of the interval of equation (1)."""
        return spread(self.left_out)


class Ratio(NamedTuple):
    """A quotient of two scores on the same noises, with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, a: Score, b: Score) -> Ratio:
        logs = [math.log(x / y) for x, y in zip(a.left_out, b.left_out, strict=True)]
        value, width = a.value / b.value, math.exp(spread(logs))
        return cls(value, value / width, value * width)

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def spread(left_out: list[float] | tuple[float, ...]) -> float:
    """Half the interval of equation (1)."""
    n = len(left_out)
    values = torch.tensor(left_out, dtype=torch.float64)
    error = ((n - 1) / n * (values - values.mean()).square().sum()).sqrt()
    return float(error) * float(stats.t.ppf(0.975, n - 1))


def jackknifed(points: Tensor, mean: Tensor, cov: Tensor, groups: int = GROUPS) -> Score:
    """The Fréchet distance of points (N, D) to a Gaussian; point i is in group i mod `groups`."""

    def distance(rows: Tensor) -> float:
        return float(gaussian_w2(rows.mean(0), torch.cov(rows.T), mean, cov).square())

    points = points.double()
    group = torch.arange(len(points)) % groups
    return Score(distance(points), tuple(distance(points[group != g]) for g in range(groups)))


# Scores and plans that are kept.


@cache
def trained() -> str:
    """A digest of model and judge, which are trained where they are not there."""
    fashion.model()
    fashion.judge()
    files = (fashion.MODEL / "model.safetensors", fashion.JUDGE)
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


def kept(key: str, what: object, make: Callable[[], Any]) -> Any:
    """The JSON that `make` returns, from the file if it is there, made of the same and by the same model."""
    of = hashlib.blake2b(json.dumps([trained(), what]).encode(), digest_size=8).hexdigest()
    known = json.loads(CACHE.read_text(encoding="utf-8")) if CACHE.exists() else {}
    if known.get(key, {}).get("of") != of:
        started, found = time.process_time(), make()
        spent = time.process_time() - started
        known[key] = {"of": of, "seconds": spent, "found": found}
        write_text(CACHE, json.dumps(known, indent=0))
        print(f"{key}: {spent:.0f} s", file=sys.stderr, flush=True)
    return known[key]["found"]


@cache
def reference() -> tuple[torch.nn.Module, Tensor, Tensor]:
    """The judge, and the mean and covariance of its features on the test pictures."""
    network = fashion.judge()
    points = fashion.features(network, data.fashion_mnist("test")[0]).double()
    return network, points.mean(0), torch.cov(points.T)


def judged(x: Tensor) -> Score:
    """The score of pictures (N, 1, 28, 28), rounded to 8 bits."""
    network, mean, cov = reference()
    eight = ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    return jackknifed(fashion.features(network, eight), mean, cov)


def score(name: str, plan: Plan) -> Score:
    """The score of a plan's pictures."""

    def make() -> Score:
        return judged(solvers.sample(fashion.model(), SAMPLES, plan=plan, seed=SEED))

    key = f"{name}, {plan.calls} calls, seed {SEED}"
    value, left_out = kept(key, [plan.to_config(), SAMPLES, GROUPS], make)
    return Score(value, tuple(left_out))


def real() -> Score:
    """The floor: as many training pictures."""
    value, left_out = kept("real", [SAMPLES, GROUPS], lambda: judged(data.fashion_mnist()[0][-SAMPLES:]))
    return Score(value, tuple(left_out))


def found(calls: int) -> dict[str, Any]:
    """What `search` finds: its plan, the named one it started from, their errors, and its seconds."""

    def make() -> dict[str, Any]:
        model, started = fashion.model(), time.process_time()
        teacher = solvers.exponential(model.process, grid("ddpm", 60), order=4, variable="ddpm")
        done = solvers.search(model, calls, teacher=teacher, **SEARCH)
        return {
            "plan": done.plan.to_config(), "start": done.start.to_config(), "error": done.error,
            "start_error": done.start_error, "seconds": time.process_time() - started,
        }  # fmt: skip

    return kept(f"search, {calls} calls", SEARCH, make)


# The table.

Scores = dict[str, dict[int, Score]]
"""By solver and number of calls."""


def named(name: str, calls: int) -> Plan | None:
    """A named solver on EDM's grid, if it can spend exactly that many calls there."""
    process = fashion.model().process
    for steps in (calls, calls // 2):
        plan = solvers.SOLVERS[name](process, grid("karras", steps, to_zero=False))
        if plan.calls == calls:
            return plan
    return None


def entries(calls: int) -> dict[str, Plan]:
    """All plans of that many calls: named solvers, the recommended rule, what `search` found and where it started."""
    plans = [named(name, calls) for name in (*CIFAR.values(), *OTHERS)]
    rows = {plan.name: plan for plan in plans if plan is not None}
    rows[RECOMMENDED] = solvers.recommended(fashion.model().process, calls)
    if calls in SEARCH_BARS:
        rows[SEARCHED], rows[STARTED] = (Plan.from_config(found(calls)[key]) for key in ("plan", "start"))
    return rows


@cache
def board() -> Scores:
    """All scores."""
    scores: Scores = {}
    for calls in CALLS:
        for name, plan in entries(calls).items():
            scores.setdefault(name, {})[calls] = score(name, plan)
    return scores


def best_named(scores: Mapping[str, Mapping[int, Score]], calls: int) -> str:
    """The name of the least distance among all that were not searched."""
    rivals = {name: row[calls].value for name, row in scores.items() if name != SEARCHED and calls in row}
    return min(rivals, key=rivals.__getitem__)


def limits() -> dict[str, Score]:
    """What there is to compare with: real pictures, and the model in many calls."""
    fine = solvers.recommended(fashion.model().process, FINE)
    return {"real pictures": real(), f"recommended, {FINE} calls": score(RECOMMENDED, fine)}


# The ranking of the CIFAR-10 table.


class Verdict(NamedTuple):
    """A statement of the CIFAR-10 table, and what the pictures say of it."""

    says: str
    rival: str
    ratio: Ratio

    @property
    def word(self) -> str:
        sure = not self.ratio.low <= 1 <= self.ratio.high
        return ("holds" if self.ratio.value < 1 else "**fails**") + ("" if sure else ", within the interval")


def ranking(scores: Scores) -> list[Verdict]:
    """What holds of: iPNDM best, DEIS second to 6 calls, UniPC and DPM-Solver++ past it from 7, searched below."""
    process = fashion.model().process
    names = {
        title: solvers.SOLVERS[name](process, grid("karras", 4, to_zero=False)).name
        for title, name in CIFAR.items()
    }
    verdicts = []

    def add(says: str, mine: str, rivals: list[str], calls: int) -> None:
        row = {name: scores[name][calls] for name in (mine, *rivals)}
        rival = min(rivals, key=lambda name: row[name].value)
        verdicts.append(Verdict(f"{says}, {calls} calls", rival, Ratio.of(row[mine], row[rival])))

    for calls in CALLS:
        rest = [name for title, name in names.items() if title != "iPNDM-4"]
        add("iPNDM-4 is the best of the seven", names["iPNDM-4"], rest, calls)
    for calls in (4, 6):
        rest = [name for title, name in names.items() if title not in ("iPNDM-4", "DEIS-tAB3")]
        add("DEIS-tAB3 is the best after iPNDM-4", names["DEIS-tAB3"], rest, calls)
    for calls in (8, 10):
        for title in ("UniPC-3", "DPM-Solver++(3M)"):
            add(f"{title} is past DEIS-tAB3", names[title], [names["DEIS-tAB3"]], calls)
    for calls in SEARCH_BARS:
        add("the searched plan is below all", SEARCHED, [best_named(scores, calls)], calls)
    return verdicts


def text(scores: Scores) -> str:
    """The leaderboard as lines, best at 6 calls first."""
    lines = [" " * 32 + "".join(f"{n:>17}" for n in CALLS)]
    for name in sorted(scores, key=lambda name: scores[name].get(6, Score(math.inf, ())).value):
        cells = (scores[name].get(n) for n in CALLS)
        shown = "".join(f"{c.value:>9.3f} ± {c.half_width:<5.3f}" if c else " " * 17 for c in cells)
        lines.append(f"{name:32}{shown}")
    lines += [f"{name}: {s.value:.3f} ± {s.half_width:.3f}" for name, s in limits().items()]
    lines += [f"{v.says}: {v.word.replace('*', '')}; {v.ratio} of {v.rival}" for v in ranking(scores)]
    return "\n".join(lines)


def measure() -> list[Result]:
    torch.set_num_threads(1)
    scores, results = dict(board()), []
    version = f"girsanov {girsanov.__version__}"
    for calls, bar in SEARCH_BARS.items():
        peer = best_named(scores, calls)
        name = f"P3 searched, {calls} calls"
        mine, theirs = scores[SEARCHED][calls].value, scores[peer][calls].value
        results.append(Result(name, mine, theirs, peer, version, bar, "Fréchet distance"))
    for path in (Path(argument) for argument in sys.argv[1:] if not argument.startswith("--")):
        plan = Plan.load(path)
        scores[path.stem] = {plan.calls: score(path.stem, plan)}
    print(text(scores), file=sys.stderr)
    return results


if __name__ == "__main__":
    main(measure)
