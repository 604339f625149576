"""Particles towards a reward, on a masked chain of which everything can be counted."""

import pytest
import torch
from oracles import seeded
from scipy.stats import chi2

import girsanov as gv
from girsanov.errors import InputError
from girsanov.exact import Gaussian, SequenceTable, TableDenoiser
from girsanov.guidance import PosteriorMeanValue, TwistedSMC
from girsanov.noise import Noise
from girsanov.processes import VP, Masked
from girsanov.solvers import SOLVERS, AncestralMasked, ancestral, grid

LETTERS = 4
FACTORS = torch.softmax(torch.randn(2, LETTERS, generator=seeded(1), dtype=torch.float64), 1)
TABLE = SequenceTable(torch.einsum("a,b->ab", *FACTORS))
WORTH = torch.randn(LETTERS, LETTERS, generator=seeded(2), dtype=torch.float64)


def worth(x):
    return WORTH[x[:, 0], x[:, 1]]


class Blind:
    """No idea of what is to come, until it is there: a wrong value that ends at the reward."""

    calls = 0

    def __call__(self, model, x, t, *, cond=None, anchor=None):
        return worth(x) if t == 0 else torch.zeros(len(x))


def distance(x, law):
    counts = torch.bincount(LETTERS * x[:, 0] + x[:, 1], minlength=LETTERS**2)
    return float(((counts - len(x) * law).square() / (len(x) * law)).sum())


@pytest.mark.parametrize("value", [Blind(), PosteriorMeanValue(worth)], ids=["blind", "posterior mean"])
def test_any_value_gives_the_tilted_law_in_the_limit(value):
    n, many = 2000, 200
    sampler = TwistedSMC(AncestralMasked(3), value, many, 1.0)
    x = sampler(TableDenoiser(TABLE, Masked(LETTERS)), torch.full((n, 2), LETTERS), generator=Noise(0))
    tilted = torch.softmax(TABLE.probs.log().flatten() + WORTH.flatten(), 0)
    assert chi2.sf(distance(x, tilted), LETTERS**2 - 1) > 1e-3
    assert distance(x, TABLE.probs.flatten()) > 10 * distance(x, tilted)


@pytest.mark.parametrize("name", ["ancestral", "sa-solver", "dpm-singlestep-sde"])
def test_the_calls_counted_are_those_made(name):
    process, asked = VP(), 0

    class Counted(gv.exact.ExactDenoiser):
        def forward(self, x, t, *, cond=None, anchor=None):
            nonlocal asked
            asked += len(x)
            return super().forward(x, t, cond=cond, anchor=anchor)

    plan = SOLVERS[name](process, grid("ddpm", 5)).recast("data")
    sampler = TwistedSMC(plan, PosteriorMeanValue(lambda x: x[:, 0]), 4, 0.3)
    model = Counted(Gaussian(torch.zeros(1), 1.0), process)
    x = sampler(model, torch.randn(3, 1, generator=seeded(0)), generator=Noise(0))
    assert x.shape == (3, 1) and asked == 3 * sampler.calls


def test_gaussian_data_and_a_linear_reward():
    """exp(a x/α) moves N(0, s²) by a s²/α, here with the steps' own s² measured on the same plan."""
    process, n = VP(), 1000
    plan = ancestral(process, grid("ddpm", 20))
    model = Gaussian(torch.zeros(1), 1.0).denoiser(process)
    plain = gv.sample(model, 20_000, plan=plan, seed=1)
    x = gv.sample(model, n, plan=TwistedSMC(plan, PosteriorMeanValue(lambda x: x[:, 0]), 200, 1.0), seed=0)
    variance = float(plain.var())
    assert float(x.mean()) == pytest.approx(variance, abs=4.5 * (variance / n) ** 0.5 + 0.02)
    assert float(x.var()) == pytest.approx(variance, rel=0.2)


def test_what_makes_no_sense_is_refused():
    value = PosteriorMeanValue(worth)
    with pytest.raises(InputError, match="alpha is 0, and weights need it above 0"):
        TwistedSMC(AncestralMasked(3), value, 5, 0.0)
    with pytest.raises(InputError, match="below is 0"):
        TwistedSMC(AncestralMasked(3), value, 5, 1.0, below=0)
