"""Masked diffusion models are secretly time-agnostic masked models (Zheng et al., 2024).

Idea: a masked diffusion is a masked language model whose masks come off at random times; so it needs no time
input, it can be sampled from one unmasking to the next without wasted steps, and what looked like better samples
with many steps was the rounding of float32 draws.
Stand-in: all 243 sequences of five symbols with their exact denoiser; windows of 64 characters of the Python
reference's own topics (27 characters and a transformer of 100,000 parameters) for OpenWebText with 1,024 tokens;
10,000 classes of Zipf's law for the vocabulary of GPT-2. The equality of laws, the cost in calls and draws, the
loss of entropy and the uselessness of time can be judged here; perplexities under a large model cannot.
The classes come in 25 groups of 400 alike ones, so that the largest of a group's float32 uniforms, drawn from its
exact law, is all that a race needs: 26 numbers a step for 10,001.
Source: arXiv 2409.02908.
"""

from __future__ import annotations

import math
import time
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from girsanov.denoiser import Denoiser
from girsanov.exact import SequenceTable
from girsanov.networks import TokenTransformer
from girsanov.noise import Noise
from girsanov.objectives import masked_nelbo
from girsanov.papers.base import Bar, Budget, Claim, Paper
from girsanov.papers.report import PALETTE, Report, canvas
from girsanov.processes import Masked
from girsanov.solvers import (
    AncestralMasked,
    FirstHitting,
    masked_bound,
    sample,
    sample_categorical,
    truncated_gumbel_law,
)
from girsanov.training import Training, fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LENGTH, LETTERS = 64, "abcdefghijklmnopqrstuvwxyz "
GROUPS, ALIKE = 25, 400

LAW = Claim(
    name="same law",
    says="First hitting and 1,000 ancestral steps both draw the exact joint law of five symbols.",
    source="Proposition 4.1",
    unit="total variation to the exact law, the larger of the two",
    against="as many exact draws",
    bar=Bar("<=", times=1.5),
)
TEXT = Claim(
    name="same text",
    says="On text, first hitting and 1,000 ancestral steps have the same pairs of letters.",
    source="Section 4",
    unit="total variation between laws of letter pairs",
    against="two runs of first hitting",
    bar=Bar("<=", times=1.5),
)
SPEED = Claim(
    name="speed",
    says="First hitting takes at most a fifth of the time of 640 ancestral steps for 64 letters.",
    source="Abstract",
    paper="20 ×",
    unit="processor time of ancestral over that of first hitting",
    bar=Bar(">=", plus=5.0),
)
DRAWS = Claim(
    name="draws",
    says="It makes a tenth of the categorical draws that as many ancestral steps as letters make.",
    source="Section 4",
    unit="categorical draws a sample",
    against="first hitting",
    bar=Bar(">=", times=10.0),
)
COOLER = Claim(
    name="float32 loses entropy",
    says="In 10,000 steps of float32 Gumbel-max the entropy of tokens falls, by 3 standard errors or more.",
    source="Section 5",
    paper="5.6 to 5.1 nats a sentence",
    unit="fall of the entropy below float64 draws, in standard errors",
    bar=Bar(">=", plus=3.0),
)
FORMULA = Claim(
    name="truncated Gumbel",
    says="The law of the truncated Gumbel variable predicts the entropy of those tokens.",
    source="Proposition 5.1",
    unit="error of the predicted fall, as a part of it",
    bar=Bar("<=", plus=0.1),
)
GROWS = Claim(
    name="grows with steps",
    says="The fall is larger with 10,000 steps than with 1,000.",
    source="Section 5",
    unit="fall of the entropy, nats",
    against="1,000 steps",
    bar=Bar(">=", times=1.0),
)
TIMELESS = Claim(
    name="time is useless",
    says="A network without a time input bounds the likelihood as well as one with it, to 0.02 nats a letter.",
    source="Section 3",
    unit="likelihood bound of held-out text, nats a letter",
    against="with time input",
    bar=Bar("<=", times=1.0, plus=0.02),
)


def run(budget: Budget) -> Report:
    report = Report(PAPER, budget)
    steps = budget.pick(smoke=(10, 20), cpu=(100, 1_000, 10_000))
    report.kept["fall"] = {n: predicted(n) for n in steps}
    for seed in budget.seeds:
        symbols(report, seed)
        letters(report, seed)
        rounding(report, seed)
    report.note(
        DRAWS,
        "An ancestral step that first tosses a coin for each masked letter, and draws letters only where it falls, "
        "makes as few categorical draws as first hitting, and as many coin tosses as are counted here.",
    )
    return report


# Five symbols, where everything is known.


def symbols(report: Report, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    probs = torch.rand([3] * 5, generator=g, dtype=torch.float64) ** 3
    law, n = SequenceTable(probs / probs.sum()), report.budget.pick(smoke=500, cpu=10_000)
    model = law.denoiser(Masked(3))
    many = AncestralMasked(report.budget.pick(smoke=20, cpu=1_000), cached=True)
    drawn = {
        "first hitting": sample(model, n, seed=seed, batch_size=n),
        "ancestral": sample(model, n, plan=many, seed=seed + 100, batch_size=n),
    }
    exact = sample_categorical(law.probs.flatten().expand(n, -1), generator=Noise(seed + 200))
    found = {name: frequencies(law.index(x), 243) for name, x in drawn.items()}
    far = {name: distance(f, law.probs.flatten()) for name, f in found.items()}
    report.add(
        LAW, seed, ours=max(far.values()), baseline=distance(frequencies(exact, 243), law.probs.flatten())
    )
    report.kept.setdefault("joint", (law.probs.flatten(), found))


def frequencies(index: Tensor, size: int) -> Tensor:
    return torch.bincount(index.flatten(), minlength=size).double() / index.numel()


def distance(p: Tensor, q: Tensor) -> float:
    """Total variation."""
    return float((p - q).abs().sum() / 2)


# Text.


@cache
def windows() -> Tensor:
    """Windows (N, 64) of the topics of Python's reference as letters and spaces; the same for one Python version."""
    from pydoc_data.topics import topics

    raw = " ".join(topics[name] for name in sorted(topics)).lower()
    clean = " ".join("".join(c if c in LETTERS else " " for c in raw).split())
    index = torch.tensor([LETTERS.index(c) for c in clean])
    return index[: len(index) // LENGTH * LENGTH].reshape(-1, LENGTH)


def trained(report: Report, seed: int, *, timed: bool) -> Denoiser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TokenTransformer(len(LETTERS), LENGTH, width=64, depth=2, timed=timed)
    model = Denoiser(network, Masked(len(LETTERS)), predicts="logits", data_std=None)
    config = Training(batch_size=32, lr=3e-3, seed=seed, validation=0.0, device="cpu", progress=False)
    fit(
        model,
        masked_nelbo(),
        windows()[::2],
        steps=report.budget.pick(smoke=2, cpu=350, paper=20_000),
        config=config,
    )
    return model


def letters(report: Report, seed: int) -> None:
    free, timed = (trained(report, seed, timed=timed) for timed in (False, True))
    n, fresh = report.budget.pick(smoke=2, cpu=64), windows()[1::2]
    held = fresh[torch.linspace(0, len(fresh) - 1, report.budget.pick(smoke=4, cpu=256)).long()]
    nats = [-float(masked_bound(m, held, 8, generator=Noise(seed)).mean()) / LENGTH for m in (free, timed)]
    report.add(TIMELESS, seed, ours=nats[0], baseline=nats[1])
    start, ours, done = Masked(len(LETTERS)).reference(torch.empty(n, LENGTH)), FirstHitting(LENGTH), {}
    many, spent = report.budget.pick(smoke=65, cpu=1_000), {}
    samplers: dict[str, FirstHitting | AncestralMasked] = {
        "first hitting": ours,
        "again": ours,
        "640 steps": AncestralMasked(report.budget.pick(smoke=66, cpu=10 * LENGTH)),
        "64 steps": AncestralMasked(LENGTH),
    }
    with torch.no_grad():
        for i, (name, sampler) in enumerate(samplers.items()):
            before = time.process_time()
            done[name] = sampler.decode(free, start, generator=Noise(10 * seed + i))
            spent[name] = time.process_time() - before
        far = AncestralMasked(many, cached=True)(free, start, generator=Noise(10 * seed + 9))
    pairs = [letter_pairs(x) for x in (done["first hitting"].x, done["again"].x, far)]
    report.add(TEXT, seed, ours=distance(pairs[0], pairs[2]), baseline=distance(pairs[0], pairs[1]))
    quick = min(spent["first hitting"], spent["again"])
    report.add(SPEED, seed, ours=spent["640 steps"] / quick)
    drawn = {name: float(d.draws.double().mean()) for name, d in done.items()}
    report.add(DRAWS, seed, ours=drawn["64 steps"], baseline=drawn["first hitting"])
    shown = ("first hitting", "64 steps", "640 steps")
    report.kept["spent"] = {k: (spent[k] / n, drawn[k], float(done[k].calls.double().mean())) for k in shown}
    report.kept["text"] = "".join(LETTERS[i] for i in done["first hitting"].x[0].tolist())


def letter_pairs(x: Tensor) -> Tensor:
    return frequencies(x[:, :-1] * len(LETTERS) + x[:, 1:], len(LETTERS) ** 2)


# Rounding: one token of 10,000 classes, unmasked in N steps.


def zipf() -> Tensor:
    """The probability of a class in each group, (GROUPS,), by Zipf's law at the middle of the group."""
    law = 1 / (torch.arange(GROUPS, dtype=torch.float64) * ALIKE + ALIKE / 2)
    return law / law.sum() / ALIKE


def entropy(groups: Tensor) -> float:
    """Of a token, nats, from the probabilities of the groups."""
    return float(torch.special.entr(groups).sum()) + math.log(ALIKE)


def predicted(steps: int) -> float:
    """The fall of the entropy in N float32 steps by the truncated law."""
    left, total = 1.0, torch.zeros(GROUPS, dtype=torch.float64)
    for j in range(steps, 0, -1):
        law = zipf().repeat_interleave(ALIKE) / j
        drawn = truncated_gumbel_law(torch.cat([law, torch.tensor([1 - 1 / j], dtype=torch.float64)]))
        total += left * drawn[:-1].reshape(GROUPS, ALIKE).sum(1)
        left *= float(drawn[-1])
    return entropy(zipf() * ALIKE) - entropy(total / total.sum())


def token_groups(n: int, steps: int, source: Noise) -> Tensor:
    """The groups of n tokens unmasked in N steps of float32 Gumbel-max, (n,).

    The largest of m uniforms on the lattice of 2⁻²⁴ is ⌊2²⁴ V^{1/m}⌋ 2⁻²⁴, for V uniform.
    """
    alike = torch.tensor([float(ALIKE)] * GROUPS + [1.0], dtype=torch.float64)
    groups, waiting = torch.full((n,), -1), torch.arange(n)
    g = torch.Generator().manual_seed(source.seed)
    for j in range(steps, 0, -1):
        keys = torch.rand(len(waiting), GROUPS + 1, generator=g, dtype=torch.float64)
        largest = ((keys ** (1 / alike)) * 2**24).floor() / 2**24
        law = torch.cat([zipf() / j, torch.tensor([1 - 1 / j], dtype=torch.float64)]).float()
        won = (law / -largest.float().log()).argmax(1)
        hit = won < GROUPS
        groups[waiting[hit]] = won[hit]
        waiting = waiting[~hit]
        if not len(waiting):
            break
    return groups


def rounding(report: Report, seed: int) -> None:
    n, curve = report.budget.pick(smoke=200, cpu=3_000), {}
    law = zipf() * ALIKE
    for steps in report.kept["fall"]:
        found = token_groups(n, steps, Noise(1_000 * seed + steps))
        exact = sample_categorical(law.expand(n, -1), generator=Noise(seed))
        drops = [law[x].log() for x in (exact, found)]
        curve[steps] = entropy(frequencies(exact, GROUPS)) - entropy(frequencies(found, GROUPS))
        error = math.sqrt(sum(float(d.var()) for d in drops) / n)
    few, many = list(curve)[-2:]
    foreseen = report.kept["fall"][many]
    report.add(COOLER, seed, ours=curve[many] / error)
    report.add(FORMULA, seed, ours=abs(curve[many] - foreseen) / abs(foreseen))
    report.add(GROWS, seed, ours=curve[many], baseline=curve[few])
    report.kept.setdefault("curves", []).append(curve)


def figure(report: Report) -> Figure:
    drawn, (joint, fall, cost) = canvas(report, panels=3)
    exact, found = report.kept["joint"]
    joint.plot([1e-6, 0.1], [1e-6, 0.1], color=PALETTE[4], lw=0.8)
    for i, (name, freq) in enumerate(found.items()):
        joint.loglog(exact, freq, ".", ms=3.5, color=PALETTE[i], label=name, alpha=0.7)
    joint.set_xlim(1e-4, float(exact.max()) * 1.3)
    joint.set_ylim(1e-4, float(exact.max()) * 1.3)
    joint.set_xlabel("exact probability of a sequence", fontsize=8)
    joint.set_title("frequency in the samples", fontsize=9)
    joint.legend(fontsize=7.5, frameon=False)
    foreseen = report.kept["fall"]
    top = entropy(zipf() * ALIKE)
    fall.axhline(top, color=PALETTE[4], lw=0.8, label="float64")
    fall.semilogx(
        list(foreseen), [top - v for v in foreseen.values()], "-", color=PALETTE[1], label="float32, foreseen"
    )
    for i, curve in enumerate(report.kept["curves"]):
        heights = [top - v for v in curve.values()]
        fall.semilogx(
            list(curve), heights, "o", ms=4, color=PALETTE[0], label="float32, drawn" if i == 0 else None
        )
    fall.set_xlabel("ancestral steps", fontsize=8)
    fall.set_title("entropy of a token, nats", fontsize=9)
    fall.legend(fontsize=7.5, frameon=False)
    costs(cost, report)
    return drawn


def costs(ax: Axes, report: Report) -> None:
    """Calls, categorical draws and processor time of a text of 64 letters."""
    spent = report.kept["spent"]
    for i, (name, colour) in enumerate(zip(spent, (PALETTE[0], PALETTE[3], PALETTE[1]), strict=True)):
        seconds, draws, calls = spent[name]
        values = (calls, draws, 1e3 * seconds)
        places = [k + 0.27 * (1 - i) for k in range(3)]
        ax.barh(places, values, 0.25, color=colour, label=name)
        for place, value in zip(places, values, strict=True):
            ax.text(value * 1.1, place, f"{value:,.0f}", va="center", fontsize=6.5)
    ax.set_xscale("log")
    ax.set_xlim(right=ax.get_xlim()[1] * 6)
    ax.set_yticks(range(3), ["network calls", "categorical\ndraws", "milliseconds"])
    ax.set_title("cost of a text of 64 letters", fontsize=9)
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    ax.set_xlabel(f"“{report.kept['text'][:46]}…”", fontsize=6.5, family="monospace")


PAPER = Paper(
    slug="masked-fhs",
    title="Masked diffusion is a time-agnostic masked model (Zheng et al., 2024)",
    claims=(LAW, TEXT, SPEED, DRAWS, COOLER, FORMULA, GROWS, TIMELESS),
    run=run,
    figure=figure,
)
