"""The picture of docs/choosing-a-process.md: paths of every process, forward to t = 1 and back with exact answers.

    python docs/draw_processes.py        writes docs/figures/processes.png

Nothing is learned: the data are three modes, whose exact denoiser is known, so what is seen is the process alone. A path
has the colour of the mode that it leaves, going forward, or reaches, going back.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import levy_stable
from torch import Tensor

import girsanov as gv
from girsanov.cli.figures import BLUE, GOLD, GREY, INK, RED, STYLE
from girsanov.denoiser import AbstractDenoiser
from girsanov.noise import Noise
from girsanov.processes import se3_exp
from girsanov.processes.wrapped import wrap

HUES = (BLUE, RED, GOLD)
MODES = torch.tensor([-1.1, 0.2, 1.3]).double()
ANGLES = torch.tensor([-2.6, 0.4, 2.9]).double()
PLACES = torch.tensor([0.1, 0.5, 0.85]).double()
WIDTH = 0.06
STEPS, EACH = 240, 5
WILD = ("Levy", "VE", "Geometric")
"""Drawn without their outermost hundredths."""


class Paths(NamedTuple):
    """Times in [0, 2] with their states, (B, T), there and back, and where each path belongs, (B,)."""

    times: Tensor
    states: Tensor
    mode: Tensor


class FromPoints(AbstractDenoiser):
    """The exact answer for three points, from the logarithm of the density of x_t given each of them."""

    def __init__(self, process: Any, stored: tuple[str, ...], points: Tensor, log_density: Callable) -> None:
        super().__init__()
        self.process, self.stored, self.shape, self.points, self.log = (
            process,
            stored,
            (1,),
            points,
            log_density,
        )

    def shares(self, x: Tensor, t: float) -> Tensor:
        """The posterior of the points, (B, 3)."""
        return torch.softmax(torch.stack([self.log(x, point, t) for point in self.points], 1), 1)

    def forward(self, x, t, *, cond=None, anchor=None):
        if self.stored == ("data",):
            return ((self.shares(x, t) @ self.points)[:, None],)
        with torch.enable_grad():
            y = x.detach().requires_grad_()
            total = torch.stack([self.log(y, p, t) for p in self.points], 1).logsumexp(1).sum()
            (score,) = torch.autograd.grad(total, y)
        return (score if self.stored == ("score",) else -self.process.gamma(t) * score,)


def nearest(x: Tensor, points: Tensor = MODES) -> Tensor:
    """The point that each of x (B,) is nearest to."""
    return (x[:, None] - points).abs().argmin(1)


def there_and_back(
    forward: tuple[Tensor, Tensor], backward: tuple[Tensor, Tensor], modes: Tensor = MODES
) -> list[Paths]:
    """Two bundles, with the reverse times t drawn at 2 - t; both states are (B, T)."""
    (go, out), (back, home) = forward, backward
    return [
        Paths(go, out, nearest(out[:, 0], modes)),
        Paths(2 - back, home, nearest(home[:, -1], modes)),
    ]


# --- interpolants


def interpolant(process: Any, make: Callable, *, start: float = 1.0) -> list[Paths]:
    """By exact transitions forward; by a plan, from the exact law at `start`, back."""
    law = gv.exact.GaussianMixture(MODES[:, None], WIDTH**2, [1.0, 1.0, 1.0])
    n = 3 * EACH
    x0 = MODES.repeat(EACH)[:, None] + WIDTH * Noise(0).draw(torch.empty(n, 1).double(), 0)
    x0 = process.out_of(x0)
    end = {"noise": None, "anchor": torch.full_like(x0, 0.7), "marginal": None}[process.end]
    times = torch.linspace(0, 1, STEPS + 1).double()
    go = process.into(gv.simulate(process, x0, times, end=end, seed=1))[..., 0]
    last, _ = process.perturb(x0, start, end=end, generator=Noise(2))
    least = max(process.t_min, 1e-3)
    grid = [start + (least - start) * i / STEPS for i in range(STEPS + 1)] + [0.0]
    model = law.denoiser(process)
    plan = make(process, grid).recast(model.stored)
    back = gv.solvers.trajectory(plan, model, last, anchor=end, generator=Noise(3))[..., 0]
    shown = (times, go), (torch.tensor(grid), back)
    return [p._replace(states=process.out_of(p.states)) for p in there_and_back(*shown)]


def fractional() -> list[Paths]:
    """Back with the memories: what is learned is the state without what they say of it."""
    process = gv.processes.Fractional(0.9, 3)
    law = gv.exact.GaussianMixture(MODES[:, None], WIDTH**2, [1.0, 1.0, 1.0])
    x0, times = MODES.repeat(EACH)[:, None], torch.linspace(0, 1, STEPS + 1).double()
    go = gv.simulate(process, x0, times, seed=1)[..., 0]
    grid = [1.0 - (1 - process.t_min) * i / STEPS for i in range(STEPS + 1)] + [0.0]
    last, _ = process.perturb(x0, 1.0, generator=Noise(2))
    plan = gv.solvers.augmented(process, grid, stochastic=True)
    back = plan.path(law.denoiser(process), last, generator=Noise(3))
    return there_and_back((times, go), (torch.tensor(grid), torch.cat(back, 1)))


def levy() -> list[Paths]:
    """Three points under stable noise, whose density is a table."""
    process = gv.processes.Levy(1.7)
    at = np.concatenate([np.linspace(0, 12, 241), np.geomspace(12.5, 1e4, 60)])
    table = torch.from_numpy(levy_stable(1.7, 0.0).logpdf(at))
    known = torch.from_numpy(at)

    def log_density(x: Tensor, point: Tensor, t: float) -> Tensor:
        z = ((x[:, 0] - process.alpha(t) * point) / process.gamma(t)).abs().clamp(max=9e3)
        i = torch.searchsorted(known, z, right=True).clamp(1, len(known) - 1)
        share = (z - known[i - 1]) / (known[i] - known[i - 1])
        return torch.lerp(table[i - 1], table[i], share)

    model = FromPoints(process, ("data",), MODES, log_density)
    times = torch.linspace(0, 1, STEPS + 1).double()
    x0 = MODES.repeat(EACH)[:, None]
    go = gv.simulate(process, x0, times, seed=8)[..., 0]
    grid = [0.99 - 0.98 * i / STEPS for i in range(STEPS + 1)] + [0.0]
    last, _ = process.perturb(x0, 0.99, generator=Noise(5))
    back = gv.solvers.trajectory(gv.solvers.levy(process, grid), model, last, generator=Noise(5))[..., 0]
    return there_and_back((times, go), (torch.tensor(grid), back))


def poisson_flow() -> list[Paths]:
    """Student-t noise has no paths: forward the same draw at every t, back the flow."""
    process = gv.processes.PoissonFlow(4, sigma_min=0.005, sigma_max=6.0)
    model = gv.exact.Points(MODES[:, None]).denoiser(process)
    x0, times = MODES.repeat(EACH)[:, None], torch.linspace(0, 1, STEPS + 1).double()
    go = torch.cat([process.perturb(x0, t, generator=Noise(1))[0] for t in times.tolist()], 1)
    grid = [1.0 - (1 - process.t_min) * i / STEPS for i in range(STEPS + 1)] + [0.0]
    last, _ = process.perturb(x0, 1.0, generator=Noise(6))
    back = gv.solvers.trajectory(gv.solvers.heun(process, grid), model, last)
    return there_and_back((times, go), (torch.tensor(grid), back[..., 0]))


def two_sets() -> list[Paths]:
    """From the three modes to one broad law and back, by the stochastic equation."""
    process = gv.processes.StochasticInterpolant(scale=0.6)
    here = gv.exact.GaussianMixture(MODES[:, None], WIDTH**2, [1.0, 1.0, 1.0])
    far = gv.exact.GaussianMixture(torch.tensor([[-0.6], [0.8]]), 0.02, [1.0, 1.0])
    model, n = gv.exact.MixtureInterpolant(here, far, process), 3 * EACH
    x0 = MODES.repeat(EACH)[:, None]
    x1 = far.sample(n, generator=Noise(1))
    times = torch.linspace(0, 1, STEPS + 1).double()
    walk = gv.simulate(gv.processes.BrownianMotion(), n=n, times=times, seed=4)
    bridge = (walk - times * walk[:, -1:])[
        :, :, None
    ]  # the Brownian latent itself: a path whose law at t is γ z
    go = (1 - times)[:, None] * x0[:, None] + times[:, None] * x1[:, None] + 0.6 * bridge
    grid = [0.999 - 0.998 * i / STEPS for i in range(STEPS + 1)]
    plan = gv.solvers.euler_maruyama(process, grid, strength=lambda t: 0.6).recast(model.stored)
    back = gv.solvers.trajectory(plan, model, x1, generator=Noise(8))
    return there_and_back((times, go[..., 0]), (torch.tensor(grid), back[..., 0]))


# --- other kinds


def wrapped() -> list[Paths]:
    """Angles: a path that leaves at the top comes in at the bottom."""
    process = gv.processes.Wrapped()

    def log_density(x: Tensor, point: Tensor, t: float) -> Tensor:
        return process.log_density(x, point.expand_as(x), t)

    model = FromPoints(process, ("noise",), ANGLES, log_density)
    x0, times = ANGLES.repeat(EACH)[:, None], torch.linspace(0, 1, STEPS + 1).double()
    go = gv.simulate(process, x0, times, seed=2)[..., 0]
    x = process.reference(x0, generator=Noise(5))
    back = [x]
    for k in range(STEPS, 0, -1):
        s, t = k / STEPS, (k - 1) / STEPS
        x = process.reverse(x, model(x, s)[0], s, t, Noise(6).draw(x, k))
        back.append(x)
    both = there_and_back((times, go), (times.flip(0), torch.cat(back, 1)))
    home = wrap(back[-1] - ANGLES).abs().argmin(1)
    return [both[0], both[1]._replace(mode=home)]


def constrained() -> list[Paths]:
    """Reflected Brownian motion on an interval, whose density is a sum over mirror images."""
    process = gv.processes.Constrained(gv.processes.Box([0.0], [1.0]), steps=STEPS, variance=0.6)

    def log_density(x: Tensor, point: Tensor, t: float) -> Tensor:
        images = torch.cat([sign * point[None] + 2 * k for k in range(-3, 4) for sign in (1, -1)])
        return (-(x - images).square() / (2 * process.clock(t))).logsumexp(1)

    model = FromPoints(process, ("score",), PLACES, log_density)
    x0, times = PLACES.repeat(EACH)[:, None], torch.linspace(0, 1, STEPS + 1).double()
    go = gv.simulate(process, x0, times, seed=2)[..., 0]
    last = process.reference(x0, generator=Noise(3))
    back = torch.cat(gv.solvers.ReverseWalk(STEPS).path(model, last, generator=Noise(4)), 1)
    return there_and_back((times, go), (times.flip(0), back), PLACES)


WORDS = ("noise", "drift", "score")


def draw_masked(axes: Axes) -> None:
    """Three words, masked letter by letter and found again."""
    letters = sorted(set("".join(WORDS)))
    rows = torch.tensor([[letters.index(letter) for letter in word] for word in WORDS])
    probs = torch.zeros([len(letters)] * 5)
    probs[tuple(rows.T)] = 1 / 3
    process = gv.processes.Masked(len(letters))
    times = torch.linspace(0, 1, 6).double()
    go = gv.simulate(process, rows, times, seed=1)
    model = gv.exact.SequenceTable(probs).denoiser(process)
    found = gv.solvers.FirstHitting(5).decode(model, process.reference(rows), generator=Noise(13))
    for i in range(3):
        home = int((rows == found.x[i]).all(1).nonzero()[0])
        for t, state in zip(times.tolist(), go[i], strict=True):
            spell(axes, t, i, [letters[k] if k < len(letters) else "" for k in state], HUES[i])
        for t in times.flip(0).tolist()[1:]:
            shown = [letters[k] if at >= t else "" for k, at in zip(found.x[i], found.times[i], strict=True)]
            spell(axes, 2 - t, i, shown, HUES[home])
    axes.set(ylim=(-0.6, 2.6), yticks=[])


def spell(axes: Axes, at: float, row: int, letters: list[str], hue: str) -> None:
    for j, letter in enumerate(letters):
        place = at + 0.03 * (j - 2) + 0.09 * (1 - at)
        axes.text(
            place, 2 - row, letter or "·", color=hue if letter else GREY, ha="center", va="center", family="monospace",
            fontsize=8.5,
        )  # fmt: skip


def draw_rigid(axes: Axes) -> None:
    """Three motions of a body, shown by where they take a flag; the answer of the reverse is the truth."""
    process = gv.processes.SE3Diffusion(rotation_std=0.3, translation_std=0.12)
    twists = torch.tensor(
        [[0.4, 0.3, 2.2, 0, 0, 0], [1.2, -0.4, -1.0, 0, 0, 0], [0.3, 0.5, -2.2, 0, 0, 0]]
    ).double()
    motions = se3_exp(twists)
    flag = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.75, 0.35, 0.0], [0.5, 0.0, 0.0]]).double()
    flag[:, 0] -= 0.5

    def show(at: float, motion: Tensor, row: int, hue: str) -> None:
        points = flag @ motion[:3, :3].mT + motion[:3, 3]
        x, y = at + 0.13 * points[:, 0] + 0.09 * (1 - at), 2 - row + 0.75 * points[:, 1]
        axes.plot(x[:2], y[:2], color=hue, linewidth=1.8, solid_capstyle="round")
        axes.fill(x[1:], y[1:], color=hue, alpha=0.55, linewidth=0)

    times = [i / 6 for i in range(7)]
    for i in range(3):
        truth = motions[i : i + 1]
        for k, t in enumerate(times):
            show(t, process.perturb(truth, t, generator=Noise(k + 20 * i))[0], i, HUES[i])
        now = process.perturb(truth, 1.0, generator=Noise(6 + 20 * i))
        for s, t in zip(times[:0:-1], times[-2::-1], strict=True):
            now = process.reverse(now, truth, s, t, noise=True, key=round(6 * s), generator=Noise(i))
            show(2 - t, now[0], i, HUES[i])
    axes.set(ylim=(-0.6, 2.6), yticks=[])


# --- the page


def panels() -> list[tuple[str, str, Callable[[], list[Paths]] | Callable[[Axes], None]]]:
    """Name, what it is for, and how its paths are made."""
    p, ancestral = gv.processes, gv.solvers.ancestral
    wide = {"MeanReverting": p.MeanReverting(std=0.35), "OUVE": p.OUVE(sigma_max=0.6)}

    def by(process: Any, make: Callable = ancestral, **options: Any) -> Callable[[], list[Paths]]:
        return lambda: interpolant(process, make, **options)

    return [
        ("VP", "the usual choice", by(p.VP())),
        ("CosineVP", "the same, noise later", by(p.CosineVP())),
        ("SubVP", "the same, less noise", by(p.SubVP())),
        ("VE", "noise that grows", by(p.VE(0.01, 6.0))),
        ("EDM", "noise that grows evenly", by(p.EDM(0.005, 6.0))),
        ("OrnsteinUhlenbeck", "relaxation", by(p.OrnsteinUhlenbeck())),
        ("RectifiedFlow", "straight lines; back by the flow", by(p.RectifiedFlow(), gv.solvers.euler)),
        ("Trigonometric", "a quarter circle; back by the flow", by(p.Trigonometric(), gv.solvers.euler)),
        ("Fractional", "noise that remembers, H = 0.9", fractional),
        ("Levy", "noise that jumps", levy),
        ("PoissonFlow", "Student-t noise; back by the flow", poisson_flow),
        ("Geometric", "data above 0: noise multiplies", by(p.Geometric(0.01, 1.2))),
        ("Bounded", "shares, between 0 and 1", by(p.Bounded())),
        ("BrownianBridge", "to a degraded sample", by(p.BrownianBridge(0.7), start=0.999)),
        ("MeanReverting", "to a degraded sample and noise", by(wide["MeanReverting"])),
        ("Residual", "the same, in few steps", by(p.Residual(STEPS * 3), start=1.0)),
        ("OUVE", "to noisy speech", by(wide["OUVE"])),
        ("StochasticInterpolant", "from one data set to another", two_sets),
        ("Wrapped", "angles: top and bottom are one", wrapped),
        ("Constrained", "data inside a set", constrained),
        ("Masked", "text and categories", draw_masked),
        ("SE3Diffusion", "rigid motions", draw_rigid),
    ]  # fmt: skip


def paint(axes: Axes, paths: list[Paths], *, seam: float | None = None, wild: bool = False) -> None:
    """Bundles of paths in the colours of their modes."""
    low, high = np.quantile(
        torch.cat([p.states.flatten() for p in paths]).numpy(), [0.01, 0.99] if wild else [0.001, 0.999]
    )
    for bundle in paths:
        for line, mode in zip(bundle.states.clone(), bundle.mode.tolist(), strict=True):
            if seam is not None:
                line[1:][line.diff().abs() > seam] = math.nan
            axes.plot(bundle.times, line, color=HUES[mode], linewidth=0.75, alpha=0.8)
    margin = 0.06 * (high - low)
    axes.set(ylim=(low - margin, high + margin))
    axes.tick_params(axis="y", labelsize=7, length=2)


def draw() -> Figure:
    """All panels on one page."""
    kinds = panels()
    with rc_context({**STYLE, "axes.titlesize": 9.5, "font.size": 8.5}):
        figure = Figure(figsize=(13, 1.75 * math.ceil(len(kinds) / 3)), layout="constrained")
        grid = figure.subplots(math.ceil(len(kinds) / 3), 3, squeeze=False).flatten()
        for axes, (name, says, make) in zip(grid, kinds, strict=False):
            if make in (draw_masked, draw_rigid):
                make(axes)  # type: ignore[call-arg]
            else:
                paint(axes, make(), seam=math.pi if name == "Wrapped" else None, wild=name in WILD)  # type: ignore[call-arg, arg-type]
            axes.axvspan(1, 2, color="#f1eee5", zorder=0, linewidth=0)  # the way back
            axes.set(xlim=(0, 2), xticks=[0, 0.5, 1, 1.5, 2])
            axes.set_xticklabels(["data", "", "t = 1", "", "data"])
            axes.tick_params(axis="x", labelsize=7, length=2)
            axes.set_title(name, fontweight="bold", color=INK)
            axes.set_title(says, loc="right", fontsize=8, color="#5d6975")
        for axes in grid[len(kinds) :]:
            axes.set_axis_off()
    return figure


def save(figure: Figure, path: Path) -> None:
    """As a PNG of 128 colours, a third of the size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    Image.open(buffer).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


if __name__ == "__main__":
    save(draw(), Path(__file__).parent / "figures" / "processes.png")
