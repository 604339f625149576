"""The reverse walk: the law of the data from the exact score, and never a sample outside."""

import pytest
import torch
from interval import Exact, draw, process
from scipy.stats import ks_2samp
from set_examples import SETS, within

import girsanov as gv
from girsanov.denoiser import AbstractDenoiser
from girsanov.errors import InputError, NotFinite, Unsuitable
from girsanov.noise import Noise
from girsanov.processes import Constrained
from girsanov.processes.uniform import size
from girsanov.solvers import ReverseWalk

START = 0.004


def drawn(steps, n=5000):
    model = Exact(process(steps), start=START)
    x = model.process.reference(torch.empty(n, 1, dtype=torch.float64), generator=Noise(0))
    with torch.no_grad():
        return ReverseWalk(steps)(model, x, generator=Noise(1))


def test_more_steps_are_nearer_to_the_data():
    data = draw(50_000, START, torch.Generator().manual_seed(0))
    distances = [ks_2samp(drawn(steps)[:, 0], data[:, 0]).statistic for steps in (10, 40, 160)]
    assert distances[0] > distances[1] > distances[2]


class Adversary(AbstractDenoiser):
    """A score that pushes out of the set, as hard as the walk is long."""

    def __init__(self, process, centre):
        super().__init__()
        self.process, self.stored, self.shape, self.centre = process, ("score",), tuple(centre.shape), centre

    def forward(self, x, t, *, cond=None, anchor=None):
        return (5 / self.process.variance * (x - self.centre),)


@pytest.mark.parametrize("name", SETS)
def test_no_sample_is_outside_in_a_million(name):
    """Judged by another formula; every chunk in float32, as `sample` draws."""
    inside = SETS[name]
    process = Constrained(inside, steps=8, variance=size(inside).most ** 2 / inside.features, margin=0.01)
    generator, moved = torch.Generator().manual_seed(0), 0
    like = torch.empty(100_000, process.inside.features)
    few = like[:1000] if name == "matrices 3" else like  # whose uniform law takes a long walk
    start = process.reference(few, generator=generator).repeat(len(like) // len(few), 1)
    model = Adversary(process, start[:1000].mean(0))
    for _ in range(10):
        x = ReverseWalk(6)(model, start, generator=generator)
        assert within(name, x).all()
        moved += int((x != start).any(1).sum())
    assert moved > 100_000  # they do walk


def test_sample_knows_it_and_every_sample_is_the_same_whatever_the_batch():
    model = Exact(process(20), start=START)
    x = gv.sample(model, 50, steps=20, seed=3)
    assert model.process.inside.contains(x).all()
    torch.testing.assert_close(gv.sample(model, 50, steps=20, seed=3, batch_size=7), x)


def test_it_spends_the_calls_it_states():
    class Counting(Exact):
        calls = 0

        def forward(self, x, t, *, cond=None, anchor=None):
            Counting.calls += 1
            return super().forward(x, t, cond=cond, anchor=anchor)

    sampler = ReverseWalk(7)
    path = sampler.path(Counting(process(7)), torch.full((3, 1), 0.5), generator=Noise(0))
    assert Counting.calls == sampler.calls == 7 and len(path) == 8


class Broken(Exact):
    def forward(self, x, t, *, cond=None, anchor=None):
        return (torch.full_like(x, torch.nan),)


def test_what_does_not_fit_is_refused():
    sampler, inside = ReverseWalk(3), torch.full((2, 1), 0.5)
    with pytest.raises(NotFinite, match="at t = 1 is NaN or infinite"):
        sampler(Broken(process(3)), inside)
    with pytest.raises(InputError, match=r"2 of 2 rows of x are outside.*index 0"):
        sampler(Exact(process(3)), inside + 1)
    with pytest.raises(InputError, match="no x_1"):
        sampler(Exact(process(3)), inside, anchor=inside)
    with pytest.raises(Unsuitable, match="reverses a Constrained process"):
        sampler(gv.Denoiser(gv.networks.MLP(1), gv.processes.VP()), inside)
    with pytest.raises(InputError, match="steps is 0"):
        ReverseWalk(0)
