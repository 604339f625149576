"""Guidance on mixtures with labelled components, where the conditional denoiser is exact."""

import math

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, TWO_SIDED, seeded
from stand_ins import Stored
from torch import nn

from girsanov import processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import GaussianMixture, MixtureInterpolant
from girsanov.guidance import classifier, classifier_free, thresholded

ONE_END = {**ONE_SIDED, **ANCHORED}
WORDS = ("data", "noise", "score", "velocity", "v_prediction")
MEANS = torch.tensor([[-0.8, 0.1], [0.5, 0.6], [0.9, -0.4], [0.0, -0.9]], dtype=torch.float64)
SPREADS, WEIGHTS = torch.tensor([0.05, 0.2, 0.1, 0.3]), torch.tensor([1.0, 2.0, 1.0, 3.0])
LABELS = torch.tensor([0, 1, 1, 2])
LAW = GaussianMixture(MEANS, SPREADS, WEIGHTS, labels=LABELS)
COND = torch.tensor([0, 1, 2, 1, 0])
TIMES = [0.02, 0.4, 0.9, torch.tensor([0.02, 0.3, 0.5, 0.7, 0.95], dtype=torch.float64)]


def states(process, t):
    """Noisy samples, and the anchor where there is one."""
    x0 = LAW.sample(5, generator=seeded(0))
    anchor = None if process.end == "noise" else torch.ones_like(x0) * 0.3
    return process.perturb(x0, t, end=anchor, generator=seeded(1))[0], anchor


def classify(process, anchor=None):
    """The exact classifier of noisy samples: log-weights and densities of the parts of each label."""

    def part(label):
        mine = label == LABELS
        return GaussianMixture(MEANS[mine], SPREADS[mine], WEIGHTS[mine]), WEIGHTS[mine].sum().log()

    laws = [part(label) for label in range(3)]

    def logits(x, t):
        rows = []
        for s, y, end in zip(t.tolist(), x, x if anchor is None else anchor):
            y = y if anchor is None else y - process.beta(s) * end
            parts = [law.marginal(process, s).log_prob(y[None]) + w for law, w in laws]
            rows.append(torch.cat(parts))
        return torch.stack(rows)

    return logits


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("t", TIMES)
def test_an_exact_classifier_at_scale_one_gives_the_conditional_denoiser(process, t):
    x, anchor = states(process, t)
    exact = LAW.denoiser(process)
    for stored in WORDS:
        guided = classifier(Stored(exact, stored), classify(process, anchor), 1.0)
        (found,) = guided(x, t, cond=COND, anchor=anchor)
        expected = exact.predict(stored, x, t, cond=COND, anchor=anchor)
        # γ²/α magnifies the rounding of the classifier's gradient, by 5,000 at the far end of EDM.
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(exact.data(x, t, anchor=anchor), exact.data(x, t, cond=COND, anchor=anchor))


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_classifier_guidance_is_finite_at_the_end_and_close_to_its_limit(process):
    """Where α(1) = 0 the answer is the mean of the class; the unguided one is the mean of all."""
    x = process.reference(torch.zeros(5, 2).double(), generator=seeded(0))
    exact = LAW.denoiser(process)
    for stored in ("data", "velocity"):
        guided = classifier(Stored(exact, stored), classify(process), 1.0)
        for t in (1.0, torch.ones(5).double()):
            found, expected = guided.data(x, t, cond=COND), exact.data(x, t, cond=COND)
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-2)
            assert (exact.data(x, t) - expected).abs().max() > 0.2


def test_classifier_guidance_can_be_differentiated():
    """The likelihood needs the divergence of the guided velocity."""
    process = processes.VP()
    guided = classifier(LAW.denoiser(process), classify(process), 1.5)
    x = states(process, 0.4)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda y: guided.data(y, 0.4, cond=COND), (x,))
    with torch.no_grad():
        assert not guided.data(x, 0.4, cond=COND).requires_grad


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 3.0])
def test_classifier_free_guidance_extrapolates_every_prediction(process, t, scale):
    x, anchor = states(process, t)
    exact = LAW.denoiser(process)
    for stored in WORDS:
        guided = classifier_free(Stored(exact, stored), scale)
        for want in ("data", "noise", "score", "velocity"):
            told = exact.predict(want, x, t, cond=COND, anchor=anchor)
            free = exact.predict(want, x, t, anchor=anchor)
            found = guided.predict(want, x, t, cond=COND, anchor=anchor)
            torch.testing.assert_close(found, (1 - scale) * free + scale * told, rtol=1e-7, atol=1e-7)


def test_classifier_free_guidance_of_two_words():
    process = TWO_SIDED["linear/brownian"]
    model = Stored(MixtureInterpolant(LAW, LAW, process), "velocity", "noise")
    model.forward = lambda x, t, cond, anchor: (x, 2 * x) if cond is None else (3 * x, 5 * x)
    velocity, noise = classifier_free(model, 2.0)(torch.ones(2, 1), 0.5, cond=COND[:2])
    assert velocity.unique().item() == 5 and noise.unique().item() == 8


@pytest.mark.parametrize("scale, expected", [(0.0, 1), (1.0, 1), (2.0, 2), (-1.0, 2)])
def test_calls_are_counted_honestly(scale, expected):
    process = processes.VP()
    model = Stored(LAW.denoiser(process), "data")
    guided = thresholded(classifier_free(model, scale))
    guided(states(process, 0.5)[0], 0.5, cond=COND)
    assert model.calls == guided.calls_per_call == expected
    both = classifier(model, classify(process))
    assert both.calls_per_call == 1 and classifier_free(both, 2.0).calls_per_call == 2


def test_guidance_works_on_a_network_and_keeps_its_parameters():
    class Labelled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x, t, cond):
            return x * (1 if cond is None else self.scale[cond][:, None] * 2)

    model = Denoiser(Labelled(), processes.VP(), predicts="velocity", shape=(2,))
    guided = classifier_free(model, 1.5)
    x = torch.ones(5, 2)
    expected = model.noise(x, 0.3) + 1.5 * (model.noise(x, 0.3, cond=COND) - model.noise(x, 0.3))
    torch.testing.assert_close(guided.noise(x, 0.3, cond=COND), expected)
    assert guided.shape == (2,) and len(list(guided.parameters())) == 1


# Thresholding.


def with_data(answer):
    model = Stored(LAW.denoiser(processes.VP()), "noise")
    process = model.process
    model.forward = lambda x, t, cond, anchor: ((x - process.alpha(t) * answer) / process.gamma(t),)
    return model


def test_dynamic_thresholding_is_that_of_the_paper():
    """Of twenty numbers, sorted from 0, the 0.9 quantile lies at place 0.9 · 19 = 17.1."""
    answer = torch.linspace(-3.8, 3.8, 20, dtype=torch.float64)[None]
    small = answer / 10
    model = with_data(torch.cat([answer, small]))
    x = torch.randn(2, 20, generator=seeded(0), dtype=torch.float64)
    found = thresholded(model, quantile=0.9).data(x, 0.5)
    s = answer.abs().sort().values[0, 17:19] @ torch.tensor([0.9, 0.1], dtype=torch.float64)
    torch.testing.assert_close(found[0], answer[0].clamp(-s, s) / s)
    torch.testing.assert_close(found[1], small[0])  # within the range nothing changes
    wide = thresholded(model, quantile=0.9, limit=2.0).data(x, 0.5)
    torch.testing.assert_close(wide[0], answer[0].clamp(-s, s) * 2 / s)


def test_static_thresholding_clips_and_the_whole_quantile_rescales():
    answer = torch.tensor([[-3.0, 0.5, 2.0]], dtype=torch.float64)
    model, x = with_data(answer), torch.zeros(1, 3, dtype=torch.float64)
    clipped = thresholded(model, quantile=None).data(x, 0.5)
    torch.testing.assert_close(clipped, torch.tensor([[-1.0, 0.5, 1.0]]).double())
    torch.testing.assert_close(thresholded(model, quantile=1.0).data(x, 0.5), answer / 3)


@pytest.mark.parametrize("stored", WORDS)
def test_thresholding_acts_on_data_whatever_is_stored(stored):
    exact = LAW.denoiser(processes.VP())
    x, _ = states(processes.VP(), 0.4)
    model = thresholded(Stored(exact, stored), quantile=None, limit=0.3)
    assert model.stored == ("data",)
    torch.testing.assert_close(model.data(x, 0.4), exact.data(x, 0.4).clamp(-0.3, 0.3))
    known = processes.VP().alpha(0.4) * model.data(x, 0.4) + processes.VP().gamma(0.4) * model.noise(x, 0.4)
    torch.testing.assert_close(known, x)  # the other predictions follow


def test_images_and_half_precision_are_thresholded():
    model = Stored(LAW.denoiser(processes.VP()), "data")
    for dtype in (torch.bfloat16, torch.float32):
        model.forward = lambda x, t, cond, anchor: (3 * x,)
        x = torch.linspace(-1, 1, 2 * 16).reshape(2, 1, 4, 4).to(dtype)
        found = thresholded(model)(x, 0.5)[0]
        assert found.dtype == dtype and found.abs().max() <= 1


# Refusals.

MODEL = LAW.denoiser(processes.VP())
TWO_ENDS = MixtureInterpolant(LAW, LAW, processes.StochasticInterpolant())
X = torch.zeros(5, 2, dtype=torch.float64)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: classifier_free(nn.Linear(2, 2), 2.0), Unsuitable, r"Denoiser\(network, process\)"),
        (lambda: classifier_free(MODEL, math.nan), InputError, "scale is nan"),
        (lambda: classifier_free(MODEL, math.inf), InputError, "scale is inf"),
        (lambda: classifier_free(MODEL, "3"), InputError, "scale is '3'"),
        (lambda: classifier_free(MODEL, 2.0).data(X, 0.5), InputError, "needs cond"),
        (lambda: classifier(TWO_ENDS, classify(processes.VP())), Unsuitable, "two random ends"),
        (lambda: classifier(MODEL, 3.0), InputError, "classifier is 3.0"),
        (lambda: classifier(MODEL, classify(processes.VP())).data(X, 0.5), InputError, "cond is NoneType"),
        (lambda: classifier(MODEL, classify(processes.VP())).data(X, 0.5, cond=X), InputError, "float64"),
        (
            lambda: classifier(MODEL, classify(processes.VP())).data(X, 0.5, cond=COND + 2),
            InputError,
            "from 2 to 4",
        ),
        (lambda: thresholded(MODEL, quantile=0.0), InputError, "quantile is 0.0"),
        (lambda: thresholded(MODEL, quantile=99.5), InputError, "quantile is 99.5"),
        (lambda: thresholded(MODEL, limit=0.0), InputError, "limit is 0.0"),
        (lambda: thresholded(TWO_ENDS), Unsuitable, "two random ends"),
        (lambda: thresholded(nn.Linear(2, 2)), Unsuitable, "wrap the network"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
