"""Chains over noisy samples and noise levels, and samples from them, against Gaussians with closed laws."""

import math

import pytest
import torch
from oracles import seeded
from scipy import stats
from stand_ins import Stored

from girsanov import processes, solvers
from girsanov.classifier import NoisyClassifier
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture, LevelClassifier
from girsanov.montecarlo import Chains, DenoisingMCMC, LangevinGibbs
from girsanov.networks import MLP
from girsanov.noise import Noise, Rows, Sequential
from girsanov.solvers import PlanBuilder, grid

ALPHA = 1e-5
EDM = processes.EDM(0.5, 2.0)
LAW = Gaussian(torch.zeros(1), 1.0)
LEVELS = 12


def kernel(step, gibbs="sample", process=EDM, law=LAW, levels=LEVELS):
    return LangevinGibbs(law.denoiser(process), LevelClassifier(law, process, levels=levels), step, gibbs)


def joint(n, process=EDM, variance=1.0, levels=LEVELS):
    """Independent draws of the target: a level at random, and x given it."""
    level = torch.randint(levels, (n,), generator=seeded(0))
    sigma = process.gamma(kernel(0.1, process=process).times(levels))[level]
    x = (variance + sigma**2).sqrt() * torch.randn(n, generator=seeded(1), dtype=torch.float64)
    return Chains(x[:, None], level, levels)


def walked(transition, chains, steps):
    source = Sequential(seeded(3))  # fast for many chains
    for _ in range(steps):
        chains = transition(chains, source)
    return chains


def p_values(chains, process=EDM, variance=1.0):
    """That the levels are even, and that x has the right law at its level: together the joint law."""
    counts = torch.bincount(chains.level, minlength=chains.levels)
    sigma = process.gamma(kernel(0.1, process=process).times(chains.levels))[chains.level]
    scaled = (chains.x[:, 0] / (variance + sigma**2).sqrt()).numpy()
    # A correlation of |x| with the level would leave both marginal laws as they are.
    linked = stats.spearmanr(abs(scaled), chains.level.numpy()).pvalue if len(counts.nonzero()) > 1 else 0.0
    return stats.chisquare(counts.numpy()).pvalue, stats.kstest(scaled, "norm").pvalue, linked


@pytest.mark.parametrize("start", ["exact", "one point"])
def test_the_joint_law_is_stationary_and_reached(start):
    n = 4000
    chains = (
        joint(n) if start == "exact" else Chains(torch.full((n, 1), 1.5).double(), torch.zeros(n).long(), 12)
    )
    assert (min(p_values(chains)) < ALPHA) == (start == "one point")
    # The slowest mode relaxes at η/(2 · 5) a step; the variance is right to η/(4 · 1.25).
    assert min(p_values(walked(kernel(0.05), chains, 600))) > ALPHA


def test_the_mode_in_place_of_a_draw_has_another_law():
    assert min(p_values(walked(kernel(0.05, "mode"), joint(4000), 50))) < ALPHA


@pytest.mark.parametrize("step", [0.4, 1.0])
def test_at_a_fixed_level_the_variance_has_the_bias_of_the_unadjusted_algorithm(step):
    process, law, n = processes.EDM(1.0, 2.0), Gaussian(torch.zeros(1), 1e-12), 40_000
    fixed = LangevinGibbs(law.denoiser(process), lambda x: torch.zeros(len(x), 1), step)
    chains = walked(fixed, Chains(torch.zeros(n, 1).double(), torch.zeros(n).long(), 1), 80)
    variance = float(process.gamma(fixed.times(1))) ** 2
    expected = variance / (1 - step / (4 * variance))
    assert float(chains.x.var()) == pytest.approx(expected, abs=4.5 * expected * math.sqrt(2 / n))
    assert abs(variance - expected) > 4.5 * expected * math.sqrt(2 / n)  # the bias can be seen


def test_without_a_step_the_sample_stays():
    chains = walked(kernel(0.0), joint(10), 3)
    assert torch.equal(chains.x, joint(10).x) and not torch.equal(chains.level, joint(10).level)


def test_a_level_is_drawn_from_its_law():
    logits = torch.tensor([[0.1, 0.2, 0.7]]).log().expand(30_000, 3)
    found = LangevinGibbs(LAW.denoiser(EDM), lambda x: logits, 0.0).start(torch.zeros(30_000, 1), Noise(0))
    counts = torch.bincount(found.level, minlength=3).numpy()
    assert stats.chisquare(counts, [3000, 6000, 21_000]).pvalue > ALPHA


# Samples.

WIDE = processes.EDM(0.01, 20.0)
POINTS = GaussianMixture(torch.tensor([[-3.0, 0.0], [3.0, 0.0]]), 0.04, [1.0, 3.0])


def heun(start):
    return solvers.heun(WIDE, grid("karras", 3, start=start))


def uneven(start):
    """Two structures: a row more for states above half of the noise."""
    plan = PlanBuilder(WIDE, name="uneven")
    x, now = plan.call(plan.start, start)
    if start > 0.05:
        x = plan.hold(x, start, stage=False)
    x, now = plan.call(x + 0.01 * plan.noise(), start / 2, stage=True)
    return plan.finish(now.data, 0.0)


def sampler(denoise=heun, skip=4, step=0.5):
    return DenoisingMCMC(kernel(step, process=WIDE, law=POINTS, levels=200), denoise, skip)


def test_samples_follow_the_data():
    """With a stable step, every state emitted, and a plan of small error the law is that of the data."""
    process = processes.EDM(0.2, 8.0)
    walk = DenoisingMCMC(
        kernel(0.16, process=process, law=POINTS, levels=100),
        lambda start: solvers.heun(process, grid("karras", 10, start=start)),
        skip=1,
    )
    drawn = walk.sample(256 * 80, chains=256, start=POINTS.sample(256, generator=Noise(9)), seed=0)
    right = drawn.x[:, 0] > 0
    per_chain = torch.stack([right[drawn.chain == c].double().mean() for c in range(256)])
    assert per_chain.std() > 0 and abs(per_chain.mean() - 0.75) < 4.5 * per_chain.std() / 16
    within = drawn.x - torch.where(right[:, None], 3.0, -3.0) * torch.tensor([1.0, 0.0])
    # The last step is to the mean: of a variance of 0.04 it leaves 0.04²/(0.04 + 0.2²).
    assert float(within.var()) == pytest.approx(0.02, rel=0.1) and within.abs().max() < 1


@pytest.mark.parametrize("denoise, calls", [(heun, 5), (uneven, 2)])
def test_calls_are_counted_honestly(denoise, calls):
    counted = Stored(POINTS.denoiser(WIDE), "data")
    asked = []

    def classify(x):
        asked.append(len(x))
        return LevelClassifier(POINTS, WIDE, levels=200)(x)

    rows = []
    counted.register_forward_pre_hook(lambda module, args: rows.append(len(args[0])))
    method = DenoisingMCMC(LangevinGibbs(counted, classify, 0.5), denoise, skip=4)
    assert method.calls == 4 + calls
    drawn = method.sample(50, chains=8, burn_in=3, seed=0)
    assert drawn.x.shape == (50, 2) and drawn.calls * 50 == pytest.approx(sum(rows))
    assert drawn.classifier_calls * 50 == pytest.approx(sum(asked))
    assert 50 * drawn.calls == pytest.approx(8 * (20 + 3 + 7 * method.calls))


@pytest.mark.parametrize("denoise", [heun, uneven])
def test_a_chain_is_the_same_alone_and_among_others(denoise):
    few, many = (sampler(denoise).sample(4 * n, chains=n, seed=5) for n in (3, 64))
    torch.testing.assert_close(few.x.reshape(4, 3, 2), many.x.reshape(4, 64, 2)[:, :3])
    assert torch.equal(few.sigma.reshape(4, 3), many.sigma.reshape(4, 64)[:, :3])
    again = sampler(denoise).sample(12, chains=3, seed=5)
    assert torch.equal(few.x, again.x) and len(few.sigma.unique()) > 3


def test_the_state_of_the_lowest_noise_is_emitted_and_denoised_from_its_level():
    one = sampler(skip=1).sample(40, chains=8, burn_in=0, start=torch.zeros(8, 2), seed=1)
    four = sampler(skip=4).sample(8, chains=8, burn_in=0, start=torch.zeros(8, 2), seed=1)
    lowest = one.sigma.reshape(5, 8)[:4].min(0).values
    assert torch.equal(four.sigma, lowest)
    exact = DenoisingMCMC(kernel(0.0, process=WIDE, law=POINTS, levels=200), heun, 1)
    start = torch.tensor([[2.0, 1.0]]).double()
    drawn = exact.sample(1, chains=1, burn_in=0, start=start, seed=2)
    plan = heun(float(drawn.sigma) / 20.0)
    torch.testing.assert_close(drawn.x, plan(POINTS.denoiser(WIDE), start))


def test_rows_of_a_batch_keep_the_noise_of_the_whole():
    whole = Noise(3).child(1).draw(torch.empty(100, 2), 7)
    index = torch.tensor([70, 3, 99])
    assert torch.equal(Rows(Noise(3), 100, index).child(1).draw(torch.empty(3, 2), 7), whole[index])


NET = MLP(2, hidden=8, depth=1, outputs=5)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: kernel(0.1, process=processes.VP()), Unsuitable, r"Rescaled\(model"),
        (lambda: kernel(-0.1), InputError, "step is -0.1"),
        (lambda: kernel(0.1, "best"), UnknownName, "Gibbs step"),
        (
            lambda: LangevinGibbs(LAW.denoiser(EDM), NoisyClassifier(NET, EDM), 0.1),
            Unsuitable,
            "noise level",
        ),
        (
            lambda: LangevinGibbs(LAW.denoiser(EDM), NoisyClassifier(NET, WIDE, predicts="level"), 0.1),
            Unsuitable,
            "noise level",
        ),
        (
            lambda: LangevinGibbs(LAW.denoiser(EDM), lambda x: x[:, 0], 0.1).start(
                torch.ones(3, 1), Noise(0)
            ),
            InputError,
            r"answers \(3,\)",
        ),
        (lambda: sampler(skip=0), InputError, "skip is 0"),
        (
            lambda: sampler(lambda s: solvers.ddim(WIDE, grid("karras", 2 if s < 0.1 else 3, start=s))),
            InputError,
            "as many for all",
        ),
        (lambda: sampler().sample(0), InputError, "n is 0"),
        (lambda: sampler().sample(4, chains=2, start=torch.zeros(3, 2)), InputError, "3 rows for 2 chains"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
