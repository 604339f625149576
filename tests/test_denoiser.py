"""The learned denoiser's algebra: with the exact answer inside, every word is exact."""

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, mixture, seeded
from torch import nn

from girsanov import processes, solvers
from girsanov.denoiser import Denoiser, Joined
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian, MixtureInterpolant


class Answer(nn.Module):
    """A network that answers what a function says."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x, t, cond):
        return self.answer(x, t, cond)


@pytest.mark.parametrize("process", [*ONE_SIDED.values(), *ANCHORED.values()], ids=[*ONE_SIDED, *ANCHORED])
@pytest.mark.parametrize("word", ["data", "noise", "score", "velocity", "v_prediction"])
@pytest.mark.parametrize("t", [0.05, 0.6, torch.tensor([0.05, 0.3, 0.6, 0.9]).double()])
def test_an_exact_residual_gives_an_exact_denoiser(process, word, t):
    """Undo the preconditioning of the exact denoiser; the wrapped network must then be exact."""
    law, s = mixture(), 0.8
    exact = law.denoiser(process)
    x = torch.randn(4, 3, generator=seeded(0), dtype=torch.float64)
    anchor = None if process.end == "noise" else torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    time = t if isinstance(t, float) else t[:, None]

    def residual(inner, u, cond):
        alpha, gamma = process.alpha(time), process.gamma(time)
        v = ((alpha * s) ** 2 + gamma**2) ** 0.5
        shifted = inner[:, :3] * v + (0 if anchor is None else process.beta(time) * anchor)
        data, noise = exact.data(shifted, t, anchor=anchor), exact.noise(shifted, t, anchor=anchor)
        return (gamma * data / s - alpha * s * noise) / v

    model = Denoiser(Answer(residual), process, predicts=word, data_std=s)
    for want in ("data", "noise", "velocity", "score"):
        expected = exact.predict(want, x, t, anchor=anchor)
        torch.testing.assert_close(model.predict(want, x, t, anchor=anchor), expected, rtol=1e-7, atol=1e-7)


def test_for_gaussian_data_of_the_stated_scale_nothing_is_left_to_learn():
    process = processes.VP()
    law = Gaussian(torch.zeros(2), 0.25)
    model = Denoiser(Answer(lambda x, t, cond: torch.zeros_like(x)), process, data_std=0.5)
    x = torch.randn(5, 2, generator=seeded(0), dtype=torch.float64)
    for t in (0.01, 0.4, 1.0):
        torch.testing.assert_close(model.data(x, t), law.denoiser(process).data(x, t))


def test_the_network_sees_unit_variance_and_quarter_log_noise():
    seen = {}

    def look(x, t, cond):
        seen.update(x=x, t=t)
        return x

    process = processes.EDM()
    model = Denoiser(Answer(look), process, data_std=0.5)
    x0 = 0.5 * torch.randn(20_000, 1, generator=seeded(0))
    for t in (0.001, 0.1, 1.0):
        x, _ = process.perturb(x0, t, generator=seeded(1))
        model(x, t)
        assert seen["x"].std().item() == pytest.approx(1, abs=0.03)
        assert seen["t"][0].item() == pytest.approx(torch.tensor(80 * t).log().item() / 4, rel=1e-5)
    flow = Denoiser(Answer(look), processes.RectifiedFlow())
    assert torch.isfinite(flow.data(x0[:2], 1.0)).all() and seen["t"][0].item() == 3.75


def test_without_preconditioning_the_network_is_asked_as_it_is():
    model = Denoiser(
        Answer(lambda x, t, cond: x * t[:, None]), processes.VP(), predicts="noise", data_std=None
    )
    x = torch.ones(3, 2)
    torch.testing.assert_close(model.noise(x, 0.25), 0.25 * x)
    torch.testing.assert_close(
        model.noise(x, torch.tensor([0.1, 0.2, 0.3]))[:, 0], torch.tensor([0.1, 0.2, 0.3])
    )


def test_two_words_are_two_halves_of_the_channels():
    process = processes.StochasticInterpolant()
    net = Answer(lambda x, t, cond: torch.cat([x, 2 * x], dim=1))
    model = Denoiser(net, process, predicts=("velocity", "noise"), data_std=None)
    x = torch.ones(3, 2)
    torch.testing.assert_close(model.velocity(x, 0.5), x)
    torch.testing.assert_close(model.score(x, 0.5), -2 * x / process.gamma(0.5))


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Denoiser(nn.Identity(), processes.VP(), predicts="nois"), InputError),
        (lambda: Denoiser(nn.Identity(), processes.VP(), data_std=0.0), InputError),
        (lambda: Denoiser(nn.Identity(), processes.StochasticInterpolant()), Unsuitable),
        (lambda: Denoiser(nn.Identity(), processes.VP(), predicts=("data", "noise")), Unsuitable),
        (lambda: Denoiser(nn.Identity(), object()), Unsuitable),
    ],
)
def test_combinations_that_make_no_sense_are_refused(make, error):
    with pytest.raises(error):
        make()


def test_an_anchor_is_asked_for():
    model = Denoiser(nn.Identity(), processes.BrownianBridge())
    with pytest.raises(InputError, match="x_1"):
        model.data(torch.zeros(2, 2), 0.5)


@pytest.mark.parametrize("data_std", [None, 0.5])
def test_times_that_collide_in_half_precision_reach_the_network_apart(data_std):
    process, seen = processes.RectifiedFlow(), []

    def answer(x, t, cond):
        seen.append(t)
        return torch.zeros_like(x)

    model = Denoiser(Answer(answer), process, data_std=data_std)
    x = torch.zeros(2, 3, dtype=torch.bfloat16)
    plan = solvers.ddim(process, solvers.grid("uniform", 1000))
    assert solvers.run(plan, model, x).dtype == torch.bfloat16
    (together,) = model(x, torch.tensor([0.5, 0.501]))
    assert together.dtype == torch.bfloat16
    times = torch.stack(seen[:-1])[:, 0]
    assert len(times.bfloat16().unique()) < len(times.unique()) == plan.calls
    assert seen[-1][0] != seen[-1][1]


def test_two_models_join_into_one_of_two_words():
    law, other = Gaussian(torch.zeros(2), 0.25), Gaussian(torch.ones(2), 1.0)
    exact = MixtureInterpolant(law, other, processes.StochasticInterpolant())

    def half(word):
        return Denoiser(
            Answer(lambda x, t, cond: exact.predict(word, x, t)), exact.process, predicts=word, data_std=None
        )

    joined = Joined(half("velocity"), half("noise"))
    x = torch.randn(5, 2, generator=seeded(0), dtype=torch.float64)
    assert joined.stored == ("velocity", "noise")
    for word in ("velocity", "noise", "score", "data", "end"):
        torch.testing.assert_close(joined.predict(word, x, 0.3), exact.predict(word, x, 0.3))


def test_what_does_not_join_is_refused():
    def model(process, word="data"):
        return Denoiser(Answer(lambda x, t, cond: x), process, predicts=word)

    with pytest.raises(Unsuitable, match="one process"):
        Joined(model(processes.VP()), model(processes.SubVP(), "noise"))
    with pytest.raises(Unsuitable, match="each word once"):
        Joined(model(processes.VP()), model(processes.VP()))
    with pytest.raises(InputError, match="at least one"):
        Joined()


def test_a_preconditioned_bridge_at_its_anchor_answers_as_just_before():
    """There α = γ = 0, and the weights of the network are 0/0."""

    class Net(torch.nn.Module):
        def forward(self, x, t, cond=None):
            return 0.3 + 0 * x[:, :2]

    bridge, anchor = (
        processes.BrownianBridge(0.7),
        torch.randn(4, 2, generator=seeded(0), dtype=torch.float64),
    )
    model = Denoiser(Net(), bridge, predicts="data", data_std=0.5)
    at, before = (model.data(anchor, t, anchor=anchor) for t in (1.0, 1 - 1e-7))
    torch.testing.assert_close(at, before, rtol=0, atol=1e-3)
