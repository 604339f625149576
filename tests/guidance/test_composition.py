"""Guidance inside guidance inside value decoding, on plans of the registry: everything still works together."""

import pytest
import torch
from oracles import seeded

import girsanov as gv
from girsanov.exact import GaussianMixture, LabelClassifier
from girsanov.guidance import (
    BestOfN,
    PosteriorMeanValue,
    SoftValueDecoding,
    TwistedSMC,
    classifier,
    classifier_free,
    thresholded,
)
from girsanov.processes import VP
from girsanov.solvers import SOLVERS, grid

MEANS = torch.tensor([[-0.7, 0.5], [-0.7, -0.5], [0.7, 0.5], [0.7, -0.5]])
"""The first coordinate tells the label, the second the reward."""
LAW = GaussianMixture(MEANS, 0.03, labels=torch.tensor([0, 0, 1, 1]))
PROCESS = VP()
REWARD = PosteriorMeanValue(lambda x: x[:, 1])


@pytest.mark.parametrize("name", ["ancestral", "ddim-eta0.5", "sa-solver", "dpm-ancestral", "edm-churn"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_class_a_range_and_a_reward_together(name, scale):
    model = thresholded(classifier_free(LAW.denoiser(PROCESS), scale))
    plan = SOLVERS[name](PROCESS, grid("ddpm", 24)).recast(model.stored)  # with 12, sa-solver alone errs
    cond = torch.arange(60) % 2
    for sampler in (
        SoftValueDecoding(plan, REWARD, 6),
        TwistedSMC(plan, REWARD, 6, 0.1),
        BestOfN(plan, REWARD.reward, 6),
    ):
        x = gv.sample(model, 60, cond=cond, plan=sampler, seed=0)
        assert bool((x.abs() <= 1 + 1e-6).all())  # in range
        assert torch.equal(x[:, 0] > 0, cond == 1)  # of its class
        assert float((x[:, 1] > 0).double().mean()) > 0.9  # with the reward


def test_a_classifier_inside_and_calls_counted_through_all():
    free = GaussianMixture(MEANS, 0.03).denoiser(PROCESS)
    told = classifier(free, LabelClassifier(LAW, PROCESS), 1.0)
    plan = SOLVERS["ancestral"](PROCESS, grid("ddpm", 12)).recast(told.stored)
    x = gv.sample(told, 40, cond=1, plan=SoftValueDecoding(plan, REWARD, 6), seed=0)
    assert bool((x[:, 0] > 0).all()) and float((x[:, 1] > 0).double().mean()) > 0.9
    both = thresholded(classifier_free(LAW.denoiser(PROCESS), 2.0))
    assert both.calls_per_call * SoftValueDecoding(plan, REWARD, 6).calls == 2 * (1 + 11 * 6)


def test_a_hard_condition_and_a_reward():
    """The posterior of a measurement is a mixture again, so its denoiser can be steered as any."""
    posterior = LAW.posterior(torch.tensor([[1.0, 0.0]]).double(), torch.tensor([0.7]), noise=0.1)
    plan = SOLVERS["ancestral"](PROCESS, grid("ddpm", 12)).recast("data")
    start = torch.randn(40, 2, generator=seeded(0))
    x = SoftValueDecoding(plan, REWARD, 6)(posterior.denoiser(PROCESS), start, generator=gv.Noise(0))
    assert bool(((x[:, 0] - 0.7).abs() < 0.4).all()) and float((x[:, 1] > 0).double().mean()) > 0.9
