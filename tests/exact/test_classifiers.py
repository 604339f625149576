"""The exact classifiers of noisy samples, against densities one by one and against guidance."""

import pytest
import torch
from oracles import ONE_SIDED, seeded

from girsanov import processes
from girsanov.classifier import level_time, level_times
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import GaussianMixture, LabelClassifier, LevelClassifier
from girsanov.guidance import classifier

MEANS = torch.tensor([[-0.8, 0.1], [0.5, 0.6], [0.9, -0.4]], dtype=torch.float64)
TILTED = torch.tensor([[0.05, 0.02], [0.02, 0.1]]).expand(3, 2, 2)
LAW = GaussianMixture(MEANS, TILTED, [1.0, 2.0, 3.0], labels=torch.tensor([0, 1, 1]))
COND = torch.tensor([0, 1, 1, 0, 1])
EDM = processes.EDM(0.01, 20.0)


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
@pytest.mark.parametrize("t", [0.3, torch.tensor([0.02, 0.3, 0.5, 0.7, 0.9])])
def test_the_classifier_of_labels_guides_to_the_conditional_denoiser(process, t):
    exact = LAW.denoiser(process)
    x = process.perturb(LAW.sample(5, generator=seeded(0)), t, generator=seeded(1))[0]
    guided = classifier(exact, LabelClassifier(LAW, process))
    torch.testing.assert_close(
        guided.data(x, t, cond=COND), exact.data(x, t, cond=COND), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("process", [EDM, processes.VE(0.01, 20.0), processes.VP()])
def test_the_classifier_of_levels_is_bayes_rule(process):
    x = 3 * torch.randn(4, 2, generator=seeded(0), dtype=torch.float64)
    found = LevelClassifier(LAW, process, levels=7)(x)
    expected = [LAW.marginal(process, float(t)).log_prob(x) for t in level_times(process, 7)]
    torch.testing.assert_close(found.log_softmax(1), torch.stack(expected, 1).log_softmax(1))


def test_levels_are_middles_of_bins_in_the_logarithm_of_the_noise():
    sigma = EDM.gamma(level_times(EDM, 3))
    whole = torch.tensor(20.0 / 0.01, dtype=torch.float64)
    torch.testing.assert_close(sigma, 0.01 * whole ** (torch.tensor([1, 3, 5]).double() / 6))
    assert EDM.gamma(level_time(EDM, 0.0)) == pytest.approx(0.01)
    assert EDM.gamma(level_time(EDM, 1.0)) == pytest.approx(20.0)


def test_pictures_and_gradients_pass():
    law = GaussianMixture(torch.randn(3, 1, 2, 2, generator=seeded(0)), 0.1, labels=torch.tensor([2, 1, 0]))
    x = torch.randn(2, 1, 2, 2, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    label, level = LabelClassifier(law, EDM), LevelClassifier(law, EDM, levels=5)
    assert label(x, 0.1).shape == (2, 3) and level(x.float()).dtype == torch.float32
    assert torch.autograd.gradcheck(lambda y: (label(y, 0.1), level(y)), (x,))
    assert label(law.means.reshape(3, 1, 2, 2), EDM.t_min).argmax(1).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: LabelClassifier(GaussianMixture(MEANS, 0.1), EDM), InputError, "no labels"),
        (
            lambda: LabelClassifier(GaussianMixture(MEANS, 0.1, labels=torch.tensor([0, 2, 2])), EDM),
            InputError,
            r"labels are \[0, 2\]",
        ),
        (lambda: LabelClassifier(LAW, processes.BrownianBridge()), Unsuitable, "one random end"),
        (lambda: LevelClassifier(LAW, processes.BrownianBridge()), Unsuitable, "one random end"),
        (lambda: LevelClassifier(LAW, EDM, levels=0), InputError, "levels is 0"),
        (lambda: LevelClassifier(LAW, processes.RectifiedFlow()), Unsuitable, "finite at t = 1"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
