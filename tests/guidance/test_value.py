"""Value-based decoding, against laws that are known: a tilted Gaussian, and a masked chain that can be counted."""

import math

import pytest
import torch
from oracles import ALPHA, seeded
from scipy.stats import chi2, kstest, norm

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture, SequenceTable, TableDenoiser
from girsanov.guidance import BestOfN, PosteriorMeanValue, SoftValueDecoding, TwistedSMC
from girsanov.noise import Noise
from girsanov.papers.plots import slope
from girsanov.processes import VP, BrownianBridge, Masked
from girsanov.solvers import SOLVERS, AncestralMasked, FirstHitting, ancestral, ddim, grid

PROCESS, STD, AIM, SHARP = VP(), 0.8, 1.2, 2.0
GAUSSIAN = Gaussian(torch.zeros(1), STD**2).denoiser(PROCESS)
KERNEL = ancestral(PROCESS, grid("ddpm", 12))


def reward(x):
    return -SHARP / 2 * (x[:, 0] - AIM).square()


class Constant(Noise):
    """The same number for every draw, to read off what a plan does with it."""

    def draw(self, like, index, law=None, span=None):
        return torch.full_like(like, float(self.seed))


def chain(kernel):
    """For each time of a one-step solver: x_0 = gain · x_t + √variance · ξ on Gaussian data, by its own steps.

    A few steps of a solver have a law of their own, and it is that law which is tilted.
    """
    one, gains, stds = torch.ones(1, 1, dtype=torch.float64), [], []
    for step in zip(kernel.grid, kernel.grid[1:]):
        plan = ancestral(PROCESS, step)
        gains.append(float(plan(GAUSSIAN, one, generator=Constant(0))))
        stds.append(float(plan(GAUSSIAN, 0 * one, generator=Constant(1))))
    found, gain, variance = {kernel.grid[-1]: (1.0, 0.0)}, 1.0, 0.0
    for t, a, std in zip(kernel.grid[-2::-1], gains[::-1], stds[::-1]):
        gain, variance = gain * a, variance + (gain * std) ** 2
        found[t] = gain, variance
    return found


class ExactValue:
    """α log E[exp(r/α) | x_t] of the kernel's own law, by completing the square."""

    calls = 0

    def __init__(self, kernel, alpha):
        self.chain, self.alpha = chain(kernel), alpha

    def __call__(self, model, x, t, *, cond=None, anchor=None):
        (gain, variance), k = self.chain[t], SHARP / self.alpha
        wide = 1 + k * variance
        return self.alpha * (-k * (gain * x[:, 0] - AIM).square() / (2 * wide) - math.log(wide) / 2)


def tilted(variance, alpha):
    """Mean and variance of N(0, variance) exp(r/α)."""
    precision = 1 / variance + SHARP / alpha
    return SHARP / alpha * AIM / precision, 1 / precision


def variance_of(kernel):
    """Of the samples of the kernel."""
    gain, variance = chain(kernel)[1.0]
    return gain**2 + variance


def draw(sampler, n, seed=0):
    x = torch.randn(n, 1, generator=seeded(seed + 100), dtype=torch.float64)
    return sampler(GAUSSIAN, x, generator=Noise(seed))


def test_the_chain_is_that_of_the_kernel():
    found = draw(KERNEL, 20_000)
    assert kstest(found[:, 0].numpy(), norm(0, math.sqrt(variance_of(KERNEL))).cdf).pvalue > ALPHA


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_with_the_exact_value_it_draws_the_tilted_law(alpha):
    """The start is not chosen, so it has to have lost its say: its part in a sample is below 2 % here."""
    n, many, kernel = 2000, 200, ancestral(PROCESS, grid("ddpm", 30))
    assert abs(chain(kernel)[1.0][0]) < 0.02
    x = draw(SoftValueDecoding(kernel, ExactValue(kernel, alpha), many, alpha), n)
    mean, variance = tilted(variance_of(kernel), alpha)
    slack = 5 / many
    assert float(x.mean()) == pytest.approx(mean, abs=3 * math.sqrt(variance / n) + slack)
    assert float(x.var()) == pytest.approx(variance, abs=3 * variance * math.sqrt(2 / n) + slack)


def test_the_error_falls_like_one_over_the_candidates():
    """One choice among candidates N(0, b²), of which infinitely many would give the tilted law."""
    kernel, n = ancestral(PROCESS, (1.0, 0.05, 0.0)), 100_000
    value, many = ExactValue(kernel, 1.0), (4, 8, 16, 32, 64)
    limit, _ = tilted(value.chain[1.0][1], 1.0)

    def error(m):
        sampler = SoftValueDecoding(kernel, value, m, 1.0)
        return limit - float(sampler(GAUSSIAN, torch.zeros(n, 1), generator=Noise(m)).double().mean())

    errors = [error(m) for m in many]
    assert slope(many, errors) == pytest.approx(1, abs=0.25)


def test_a_constant_reward_changes_no_law():
    constant = PosteriorMeanValue(lambda x: torch.ones(len(x)))
    law = norm(0, math.sqrt(variance_of(KERNEL)))
    for alpha in (0.0, 1.0):
        x = draw(SoftValueDecoding(KERNEL, constant, 5, alpha), 4000)
        assert kstest(x[:, 0].numpy(), law.cdf).pvalue > ALPHA


@pytest.mark.parametrize(
    "name", [name for name, make in SOLVERS.items() if make(VP(), grid("ddpm", 6)).stochastic]
)
def test_one_candidate_is_the_sampler_itself_bit_for_bit(name):
    process = VP()
    law = GaussianMixture(torch.tensor([[-1.0, 0.3], [1.0, 0.0]]), 0.1)
    plan, model = SOLVERS[name](process, grid("ddpm", 6)), law.denoiser(process)
    x = torch.randn(40, 2, generator=seeded(0))
    one = SoftValueDecoding(plan, PosteriorMeanValue(lambda x: x[:, 1]), 1)
    plain = plan(model, x, generator=Noise(1))
    assert torch.equal(one(model, x, generator=Noise(1)), plain)
    many = SoftValueDecoding(plan, PosteriorMeanValue(lambda x: x[:, 1]), 8)
    assert float((many(model, x, generator=Noise(1)) - plain).mean(0)[1]) > 0.1  # every one can be steered


@pytest.mark.parametrize("name", ["ancestral", "sa-solver", "dpm-singlestep-sde", "edm-churn", "restart"])
def test_the_calls_counted_are_those_made(name):
    process = VP()
    asked = 0

    class Counted(gv.exact.ExactDenoiser):
        def forward(self, x, t, *, cond=None, anchor=None):
            nonlocal asked
            asked += len(x)
            return super().forward(x, t, cond=cond, anchor=anchor)

    model = Counted(Gaussian(torch.zeros(1), 1.0), process)
    plan = SOLVERS[name](process, grid("ddpm", 5)).recast("data")
    sampler = SoftValueDecoding(plan, PosteriorMeanValue(lambda x: x[:, 0]), 4)
    sampler(model, torch.randn(3, 1, generator=seeded(0)), generator=Noise(0))
    assert asked == 3 * sampler.calls
    if name == "ancestral":
        assert sampler.calls == 1 + 4 * 4  # the first, and then one a candidate, the chosen one's among them


def test_samples_do_not_depend_on_the_batch():
    law = GaussianMixture(torch.tensor([[-1.0, 0.3], [1.0, 0.0]]), 0.1)
    sampler = SoftValueDecoding(KERNEL, PosteriorMeanValue(lambda x: -x[:, 1]), 3, 0.1)
    whole = gv.sample(law.denoiser(PROCESS), 70, plan=sampler, seed=0)
    parts = gv.sample(law.denoiser(PROCESS), 70, plan=sampler, seed=0, batch_size=9)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_conditions_and_anchors_follow_their_sample():
    labels = torch.tensor([0, 1])
    law = GaussianMixture(torch.tensor([[-2.0], [2.0]]), 0.05, labels=labels)
    sampler = SoftValueDecoding(KERNEL, PosteriorMeanValue(lambda x: -x[:, 0]), 4)
    cond = torch.tensor([0, 1, 1, 0, 1])
    x = gv.sample(law.denoiser(PROCESS), 5, cond=cond, plan=sampler, seed=0)
    assert torch.equal(x[:, 0] > 0, cond == 1)
    process = BrownianBridge(0.1)
    plan = ancestral(process, grid("uniform", 8))
    pull = SoftValueDecoding(plan, PosteriorMeanValue(lambda x: -x[:, 0]), 4)
    wide = GaussianMixture(torch.zeros(1, 1), 1.0).denoiser(process)
    anchor = torch.tensor([[-1.0], [0.0], [1.0]])
    x = pull(wide, anchor, anchor=anchor, generator=Noise(0))
    assert x.shape == (3, 1) and bool((x < plan(wide, anchor, anchor=anchor, generator=Noise(0))).all())


# Tokens.

LENGTH, LETTERS, STEPS = 3, 4, 4
MASKING = Masked(LETTERS)


def product():
    factors = torch.softmax(torch.randn(LENGTH, LETTERS, generator=seeded(1), dtype=torch.float64), 1)
    return SequenceTable(torch.einsum("a,b,c->abc", *factors))


TABLE = product()
WORTH = torch.randn(LETTERS**LENGTH, generator=seeded(2), dtype=torch.float64)
"""Rewards of all sequences; they tie the letters to each other."""


def number(x):
    return (x * LETTERS ** torch.arange(LENGTH - 1, -1, -1)).sum(1)


class CountedValue:
    """log E[exp r | known tokens], by adding up all sequences; looked up by the number of the state."""

    calls = 0

    def __init__(self):
        digits = torch.arange(LETTERS + 1)
        states, known = torch.cartesian_prod(digits, digits, digits), TABLE.sequences
        agree = ((states[:, None] == known) | (states[:, None] == LETTERS)).all(-1).double()
        weights = agree * TABLE.probs.flatten()
        self.values = ((weights @ WORTH.exp()) / weights.sum(1)).log()

    def __call__(self, model, x, t, *, cond=None, anchor=None):
        return self.values[(x * (LETTERS + 1) ** torch.arange(LENGTH - 1, -1, -1)).sum(1)]


def test_a_masked_chain_has_the_tilted_law():
    """Letters are independent beforehand, so that the kernel's own law is exact whatever its steps."""
    n, many = 3000, 200
    sampler = SoftValueDecoding(AncestralMasked(STEPS), CountedValue(), many, 1.0)
    start = torch.full((n, LENGTH), LETTERS)
    x = sampler(TableDenoiser(TABLE, MASKING), start, generator=Noise(0))
    expected = torch.softmax(TABLE.probs.flatten().log() + WORTH, 0)
    counts = torch.bincount(number(x), minlength=LETTERS**LENGTH)

    def distance(law):
        return float(((counts - n * law).square() / (n * law)).sum())

    assert chi2.sf(distance(expected), LETTERS**LENGTH - 1) > 1e-3
    assert distance(TABLE.probs.flatten()) > 10 * distance(expected)


def test_one_candidate_is_masked_ancestral_sampling():
    model, start = TableDenoiser(TABLE, MASKING), torch.full((50, LENGTH), LETTERS)
    value = PosteriorMeanValue(lambda x: WORTH[number(x)])
    one = SoftValueDecoding(AncestralMasked(STEPS), value, 1)(model, start, generator=Noise(0))
    assert torch.equal(one, AncestralMasked(STEPS)(model, start, generator=Noise(0)))


def test_a_token_value_is_that_of_the_likeliest_completion():
    seen = []
    value = PosteriorMeanValue(lambda x: (seen.append(x), torch.zeros(len(x)))[1])
    x = torch.tensor([[LETTERS, 2, LETTERS], [0, LETTERS, 1]])
    value(TableDenoiser(TABLE, MASKING), x, 0.5)
    best = [
        TABLE.probs.sum((1, 2)).argmax(),
        TABLE.probs.sum((0, 2)).argmax(),
        TABLE.probs.sum((0, 1)).argmax(),
    ]
    assert seen[0].tolist() == [[int(best[0]), 2, int(best[2])], [0, int(best[1]), 1]]


def test_the_calls_counted_for_tokens_are_those_made():
    asked = 0

    class Counted(TableDenoiser):
        def forward(self, x, t, *, cond=None, anchor=None):
            nonlocal asked
            asked += len(x)
            return super().forward(x, t, cond=cond, anchor=anchor)

    value = PosteriorMeanValue(lambda x: WORTH[number(x)])
    for sampler in (
        SoftValueDecoding(AncestralMasked(STEPS), value, 6),
        SoftValueDecoding(AncestralMasked(STEPS), CountedValue(), 6),
        TwistedSMC(AncestralMasked(STEPS), value, 6),
        TwistedSMC(AncestralMasked(STEPS), CountedValue(), 6),
    ):
        asked = 0
        sampler(Counted(TABLE, MASKING), torch.full((2, LENGTH), LETTERS), generator=Noise(0))
        assert asked == 2 * sampler.calls


# Baselines, and what is refused.


def test_the_best_of_n_is_the_best_of_its_draws():
    law = Gaussian(torch.zeros(1), 1.0).denoiser(PROCESS)
    best = BestOfN(KERNEL, lambda x: x[:, 0], 8)
    assert best.calls == 8 * KERNEL.calls
    std, n = math.sqrt(variance_of(KERNEL)), 2000
    expected = 1.4236 * std  # of the largest of eight standard normals (Harter, 1961)
    assert float(draw(best, n).mean()) == pytest.approx(expected, abs=4.5 * 0.611 * std / math.sqrt(n))
    one = BestOfN(KERNEL, lambda x: x[:, 0], 1)
    assert torch.equal(gv.sample(law, 9, plan=one, seed=0), gv.sample(law, 9, plan=KERNEL, seed=0))
    tokens = BestOfN(FirstHitting(LENGTH), lambda x: WORTH[number(x)], 200)
    found = tokens(TableDenoiser(TABLE, MASKING), torch.full((20, LENGTH), LETTERS), generator=Noise(0))
    assert float(WORTH[number(found)].min()) > float(WORTH.quantile(0.9))


def test_what_makes_no_sense_is_refused():
    value = PosteriorMeanValue(lambda x: x[:, 0])
    with pytest.raises(Unsuitable, match="candidates coincide; use a stochastic plan"):
        SoftValueDecoding(ddim(PROCESS, grid("ddpm", 5)), value)
    with pytest.raises(Unsuitable, match="from a plan or from AncestralMasked, and this is FirstHitting"):
        SoftValueDecoding(FirstHitting(3), value)
    with pytest.raises(InputError, match="alpha is -1"):
        SoftValueDecoding(KERNEL, value, alpha=-1)
    with pytest.raises(InputError, match="candidates is 0"):
        SoftValueDecoding(KERNEL, value, 0)
    model = Gaussian(torch.zeros(2), 1.0).denoiser(PROCESS)
    flat = SoftValueDecoding(KERNEL, PosteriorMeanValue(lambda x: x), 2)
    with pytest.raises(InputError, match=r"the reward gave \(6, 2\) for 6 samples; give a tensor \(6,\)"):
        gv.sample(model, 3, plan=flat, seed=0)
    broken = PosteriorMeanValue(lambda x: torch.where(torch.arange(len(x)) == 4, torch.nan, 0.0))
    with pytest.raises(InputError, match="of 1 samples is NaN or infinite, first that of number 4"):
        gv.sample(model, 3, plan=SoftValueDecoding(KERNEL, broken, 2), seed=0)
    with pytest.raises(Unsuitable, match="the plan was made for"):
        gv.sample(
            Gaussian(torch.zeros(2), 1.0).denoiser(gv.processes.VE()),
            3,
            plan=SoftValueDecoding(KERNEL, value),
        )
