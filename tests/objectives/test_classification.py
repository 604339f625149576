"""Classifiers of noisy samples that are trained come close to the exact ones of a mixture."""

import pytest
import torch
from oracles import seeded

from girsanov import processes
from girsanov.classifier import NoisyClassifier, level_times
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import GaussianMixture, LabelClassifier, LevelClassifier
from girsanov.guidance import classifier
from girsanov.networks import MLP, Classifier
from girsanov.noise import Noise
from girsanov.objectives import classification, score_matching
from girsanov.training import Training, fit, load, load_classifier, save

VP, EDM = processes.VP(), processes.EDM(0.02, 10.0)
LAW = GaussianMixture(
    torch.tensor([[-0.8, 0.1], [0.5, 0.6], [0.9, -0.4]]),
    0.05,
    [1.0, 2.0, 1.0],
    labels=torch.tensor([0, 1, 2]),
)


class Exact(NoisyClassifier):
    """An exact classifier plus offsets of its logits, as a model."""

    def __init__(self, exact, process, predicts, classes):
        super().__init__(torch.nn.Identity(), process, predicts=predicts)
        self.exact = exact
        self.offset = torch.nn.Parameter(torch.zeros(classes, dtype=torch.float64))

    def forward(self, x, t=None):
        return (self.exact(x) if t is None else self.exact(x, t)) + self.offset


def trained(process, predicts, outputs, steps, seed=0):
    x, label = LAW.sample_labelled(20_000, generator=Noise(seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = MLP(2, hidden=32, depth=2, outputs=outputs)
    model = NoisyClassifier(net, process, predicts=predicts, data_std=0.7)
    config = Training(batch_size=256, lr=1e-2, ema=0.99, validation=0, progress=False)
    cond = label if predicts == "label" else None
    fit(model, classification(), x.float(), cond=cond, steps=steps, config=config)
    return model


def gradient(classify, x, t, label):
    """γ ∇ log p(label | x_t): how far the guided noise moves."""
    free = LAW.denoiser(VP)
    guided = classifier(free, classify)
    return (free.noise(x, t) - guided.noise(x, t, cond=label)).double()


def test_the_gradient_of_a_trained_classifier_nears_the_exact_one():
    x0, label = LAW.sample_labelled(2000, generator=Noise(7))
    t = 0.02 + 0.98 * torch.rand(2000, generator=seeded(0))
    x = VP.perturb(x0, t, generator=Noise(8))[0].float()
    exact = gradient(LabelClassifier(LAW, VP), x, t, label)
    short, long = (gradient(trained(VP, "label", 3, steps), x, t, label) - exact for steps in (20, 600))
    size = exact.square().mean()
    assert long.square().mean() < 0.03 * size and short.square().mean() > 0.1 * size


def test_a_trained_classifier_of_levels_nears_bayes_rule():
    levels = 16
    index = torch.arange(1600) % levels
    x = EDM.perturb(
        LAW.sample(1600, generator=Noise(7)), level_times(EDM, levels)[index], generator=Noise(8)
    )[0]
    exact = LevelClassifier(LAW, EDM, levels=levels)(x).softmax(1)
    found = trained(EDM, "level", levels, 600)(x.float()).detach().double().softmax(1)
    apart = (found - exact).abs().sum(1).mean() / 2  # total variation
    ignorant = (exact - 1 / levels).abs().sum(1).mean() / 2
    assert apart < 0.06 < 0.3 < ignorant


@pytest.mark.parametrize("predicts", ["label", "level"])
def test_the_loss_is_least_at_the_exact_classifier(predicts):
    """Its gradient in offsets of the logits has mean zero there; with unequal weights it has not."""
    n, classes = 100_000, 3 if predicts == "label" else 40
    x, label = LAW.sample_labelled(n, generator=Noise(0))
    exact = LabelClassifier(LAW, EDM) if predicts == "label" else LevelClassifier(LAW, EDM, levels=classes)
    model, cond = Exact(exact, EDM, predicts, classes), label if predicts == "label" else None

    def errors():
        model.offset.grad = None
        classification(stratified=False)(model, x, cond=cond, generator=Noise(1)).sum().backward()
        return model.offset.grad.abs().max() / (n / classes) ** 0.5

    assert errors() < 4.5
    model.offset.data[0] += 0.3
    assert errors() > 4.5


def test_the_network_sees_inputs_of_order_one():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, x, t):
            seen.append((x, t))
            return torch.zeros(len(x), 4)

    for predicts, times in (("label", (EDM.t_min, 0.3, 1.0)), ("level", (None,) * 3)):
        model = NoisyClassifier(Spy(), EDM, predicts=predicts, data_std=0.5)
        for t, sigma in zip(times, (0.02, 3.0, 10.0)):
            x = 0.5 * torch.randn(500, 64, generator=seeded(0)) + sigma * torch.randn(
                500, 64, generator=seeded(1)
            )
            model(x) if t is None else model(x, t)
    for x, t in seen:
        assert 0.4 < x.square().mean() < 1.1 and t.shape == (500,) and t.abs().max() < 4
    plain = NoisyClassifier(Spy(), EDM, data_std=None)
    plain(torch.full((2, 3), 7.0), torch.tensor([0.1, 0.2]))
    assert (seen[-1][0] == 7).all() and torch.equal(seen[-1][1], torch.tensor([0.1, 0.2]))


def test_a_classifier_is_saved_and_opened_as_what_it_is(tmp_path):
    model = NoisyClassifier(Classifier(1, 4, width=8), EDM, predicts="level", data_std=0.7)
    x = torch.randn(8, 1, 4, 4, generator=seeded(0))
    config = Training(batch_size=4, validation=0, progress=False)
    fit(model, classification(), x, steps=3, out=tmp_path / "run", config=config)
    found = load_classifier(tmp_path / "run")
    assert (found.stored, found.process, found.data_std, found.shape) == (("level",), EDM, 0.7, (1, 4, 4))
    assert torch.equal(found(x), model(x)) and not found.training
    assert "load_classifier" in (tmp_path / "run" / "README.md").read_text()
    with pytest.raises(InputError, match="load_classifier"):
        load(tmp_path / "run")
    save(Denoiser(MLP(2, hidden=8, depth=1), VP), tmp_path / "denoiser")
    with pytest.raises(InputError, match="holds a denoiser"):
        load_classifier(tmp_path / "denoiser")


NET, X, LABEL = MLP(2, hidden=8, depth=1, outputs=3), torch.zeros(4, 2), torch.tensor([0, 1, 2, 0])
LABELS, LEVELS = NoisyClassifier(NET, VP), NoisyClassifier(NET, VP, predicts="level")


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: NoisyClassifier(NET, VP, predicts="class"), UnknownName, "did you mean|known are"),
        (lambda: NoisyClassifier(NET, VP, data_std=0.0), InputError, "data_std is 0.0"),
        (lambda: NoisyClassifier(NET, processes.BrownianBridge()), Unsuitable, "one random end"),
        (lambda: NoisyClassifier(NET, processes.CosineVP(), predicts="level"), Unsuitable, "finite at t = 1"),
        (lambda: LABELS(X), InputError, "give t"),
        (lambda: LEVELS(X, 0.5), InputError, "none to one of levels"),
        (lambda: classification(times="often"), UnknownName, "law of times"),
        (lambda: classification()(Denoiser(NET, VP), X, cond=LABEL), Unsuitable, "NoisyClassifier"),
        (lambda: classification()(LABELS, X), InputError, "cond is NoneType"),
        (lambda: classification()(LABELS, X, cond=LABEL[:2]), InputError, r"cond is torch.int64 \(2,\)"),
        (lambda: classification()(LABELS, X, cond=LABEL + 1), InputError, "from 1 to 3"),
        (lambda: classification()(LEVELS, X, cond=LABEL), InputError, "leave cond out"),
        (lambda: classification()(LABELS, X, cond=LABEL, end=X), InputError, "leave end out"),
        (lambda: score_matching()(LABELS, X), Unsuitable, "classification"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
