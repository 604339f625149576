"""The minority score against its closed form, and guidance to its classes on a mixture."""

import pytest
import torch
from oracles import ONE_SIDED, seeded

import girsanov as gv
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture, LabelClassifier
from girsanov.guidance import classifier, minority_classes, minority_score
from girsanov.noise import Noise
from girsanov.processes import VP, BrownianBridge
from girsanov.solvers import ancestral, grid

STD = 0.7


@pytest.mark.parametrize("name", ["VP", "VE", "RectifiedFlow"])
def test_the_score_of_a_gaussian(name):
    process, t, n = ONE_SIDED[name], 0.6, 40_000
    model = Gaussian(torch.zeros(1), STD**2).denoiser(process)
    alpha, sigma = process.alpha(t), process.gamma(t)
    total = (alpha * STD) ** 2 + sigma**2
    for place in (0.0, 0.5, -2.0):
        x = torch.full((n, 1), place, dtype=torch.float64)
        found = minority_score(model, x, t=t, draws=1, generator=Noise(0))
        expected = (sigma**2 / total * place) ** 2 + (STD**2 * alpha * sigma / total) ** 2
        assert float(found.mean()) == pytest.approx(expected, abs=4.5 * float(found.std()) / n**0.5)


def test_rows_and_draws_are_averaged_by_sample():
    process = VP()
    model = Gaussian(torch.zeros(2), 1.0).denoiser(process)
    x = torch.randn(5, 2, generator=seeded(0))
    whole = minority_score(model, x, generator=Noise(0))
    assert torch.equal(whole[3:], minority_score(model, x[3:], generator=Noise(0, first=3)))
    away = minority_score(model, x, distance=lambda a, b: (a - b).abs().amax(1), draws=50, generator=Noise(0))
    assert whole.dtype == torch.float64 and not torch.allclose(whole, away)


def test_classes_are_balanced_and_ordered():
    score = torch.randn(107, generator=seeded(0))
    label = minority_classes(score, 10)
    counts = torch.bincount(label)
    assert len(counts) == 10 and int(counts.max() - counts.min()) <= 1
    for k in range(9):
        assert score[label == k].max() <= score[label == k + 1].min()
    assert torch.bincount(minority_classes(torch.zeros(9), 3)).tolist() == [3, 3, 3]


def test_the_score_finds_the_rare_and_guidance_goes_there():
    process = VP()
    means = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    law = GaussianMixture(means, 0.05, [0.95, 0.05], labels=torch.tensor([0, 1]))
    model = GaussianMixture(means, 0.05, [0.95, 0.05]).denoiser(process)
    x, component = law.sample_labelled(2000, generator=Noise(0))
    rare = minority_classes(minority_score(model, x, generator=Noise(1)), 20)
    share = (component == 1).double().mean()
    assert float((component[rare == 19] == 1).double().mean()) > 10 * float(share)

    guided = classifier(model, LabelClassifier(law, process), 2.0)
    plan = ancestral(process, grid("ddpm", 20))
    towards = gv.sample(guided, 200, cond=1, plan=plan, seed=0)
    assert float((towards[:, 0] > 0).double().mean()) > 0.9
    none = classifier(model, LabelClassifier(law, process), 0.0)
    assert torch.equal(
        gv.sample(none, 20, cond=1, plan=plan, seed=0), gv.sample(model, 20, plan=plan, seed=0)
    )


def test_a_classifier_without_a_gradient_is_refused():
    model = Gaussian(torch.zeros(1), 1.0).denoiser(VP())
    frozen = classifier(model, lambda x, t: torch.zeros(len(x), 10), 3.5)
    with pytest.raises(Unsuitable, match="carry no gradient to x; let it answer with gradients"):
        gv.sample(frozen, 2, cond=9, steps=2)


def test_what_makes_no_sense_is_refused():
    model = Gaussian(torch.zeros(1), 1.0).denoiser(VP())
    x = torch.zeros(4, 1)
    for t in (0.0, 1.0):
        with pytest.raises(InputError, match=f"t is {t}; give a time inside"):
            minority_score(model, x, t=t)
    with pytest.raises(InputError, match="draws is 0"):
        minority_score(model, x, draws=0)
    with pytest.raises(Unsuitable, match="minority_score needs one random end"):
        minority_score(Gaussian(torch.zeros(1), 1.0).denoiser(BrownianBridge()), x)
    with pytest.raises(Unsuitable, match="acts on a denoiser"):
        minority_score(torch.nn.Identity(), x)
    with pytest.raises(InputError, match="classes is 5 for 4 samples; give a whole number from 2 to 4"):
        minority_classes(torch.zeros(4), 5)
    with pytest.raises(InputError, match=r"score has shape \(4, 1\)"):
        minority_classes(x, 2)
