"""Denoisers through a renderer: against an ordinary denoiser, finite differences, and what they refuse."""

import pytest
import torch
from torch import nn

import girsanov as gv
from girsanov import networks, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, Unsuitable
from girsanov.inverse import ForwardModelDenoiser, LinearViews
from girsanov.noise import Noise

VP = processes.VP()
MATRICES = Noise(3).draw(torch.empty(5, 2, 6, dtype=torch.float64), 0)
VIEWS = LinearViews(MATRICES, (1, 2, 3))


class Alone(nn.Module):
    """A network of x and t only."""

    def __init__(self, size=4):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = networks.MLP(size, hidden=16, depth=1)
            nn.init.normal_(self.net.head.weight, std=0.2)

    def forward(self, x, t, cond=None):
        answer = self.net(x[:, 0], t)
        return answer if cond else answer[:, None]


class Seeing(nn.Module):
    """Signals (B, 1, 2, 3) that depend on all that is given, linearly in the parameters."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(Noise(4).draw(torch.empty(3, dtype=torch.float64), 0))

    def forward(self, x, t, cond):
        laid = VIEWS.adjoint(x, cond["setting"]), VIEWS.adjoint(cond["context"], cond["context_setting"])
        a, b, c = self.gain
        rest = (cond["known"].sum(1) + t).reshape(-1, 1, 1, 1)
        return a * laid[0].sum(1) + b * laid[1].sum(1) + c * rest


def shown(signal, setting):
    return signal


def drawn(*shape, seed=0):
    return Noise(seed).draw(torch.empty(shape, dtype=torch.float64), 0)


X = drawn(3, 2, 2)
COND = {
    "setting": torch.tensor([[0, 1], [1, 1], [4, 2]]),
    "context": drawn(3, 3, 2, seed=1),
    "context_setting": torch.tensor([[2, 3, 4], [3, 0, 0], [0, 1, 3]]),
}


@pytest.mark.parametrize("solver", ["euler", "heun", "dpm-multistep", "ancestral"])
def test_through_the_identity_it_samples_as_a_denoiser_to_the_bit(solver):
    net = Alone()
    plain = Denoiser(net, VP, predicts="data", data_std=None, shape=(1, 4))
    model = ForwardModelDenoiser(net, shown, VP, shape=(1, 4))
    cond = {"setting": torch.zeros(7, 1, dtype=torch.int64)}
    x = gv.sample(model, 7, cond=cond, solver=solver, steps=8, seed=0)
    assert torch.equal(x, gv.sample(plain, 7, solver=solver, steps=8, seed=0))
    assert torch.equal(model.signal(x, cond=cond), plain.data(x, VP.t_min)[:, 0])


def test_every_word_follows_from_the_observation_that_is_shown():
    model = ForwardModelDenoiser(Seeing(), VIEWS, VP)
    t = 0.4
    signal = model.signal(X, t, cond=COND)
    best = torch.stack([VIEWS(signal, COND["setting"][:, i]) for i in range(2)], 1)
    torch.testing.assert_close(model.data(X, t, cond=COND), best)
    torch.testing.assert_close(model.noise(X, t, cond=COND), (X - VP.alpha(t) * best) / VP.gamma(t))


def test_gradients_through_the_renderer():
    signal = drawn(3, 1, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: VIEWS(s, COND["setting"][:, 0]), signal)
    model = ForwardModelDenoiser(Seeing(), lambda s, k: VIEWS(s, k).tanh(), VP)
    gain = model.network.gain
    loss = model.data(X, 0.5, cond=COND).square().sum()
    (slope,) = torch.autograd.grad(loss, gain)
    for i in range(3):
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                gain[i] += step
                ends.append(model.data(X, 0.5, cond=COND).square().sum())
                gain[i] -= step
        assert float(slope[i]) == pytest.approx(float(ends[0] - ends[1]) / 2e-5, rel=1e-6)


def test_an_unknown_context_is_no_context():
    model = ForwardModelDenoiser(Seeing(), VIEWS, VP)
    told, none = model.data(X, 0.5, cond=COND), model.data(X, 0.5, cond={"setting": COND["setting"]})
    assert torch.equal(model.data(X, 0.5, cond={**COND, "known": torch.ones(3, 3)}), told)
    known = torch.tensor([1.0, 0.0, 1.0])[:, None].expand(3, 3)
    some = model.data(X, 0.5, cond={**COND, "known": known})
    assert torch.equal(some[1], none[1]) and torch.equal(some[[0, 2]], told[[0, 2]])
    assert not torch.equal(told[1], none[1])
    hidden = {**COND, "context": torch.full((3, 3, 2), torch.nan).double(), "known": torch.zeros(3, 3)}
    assert torch.equal(model.data(X, 0.5, cond=hidden), none)
    first = {k: v[:, :1] for k, v in COND.items() if k != "setting"} | {"setting": COND["setting"]}
    partly = {**COND, "known": torch.tensor([1.0, 0.0, 0.0]).expand(3, 3)}
    torch.testing.assert_close(model.data(X, 0.5, cond=partly), model.data(X, 0.5, cond=first))


def test_classifier_free_guidance_leaves_out_the_context_and_keeps_the_setting():
    model = ForwardModelDenoiser(Seeing(), VIEWS, VP)
    here, told = model.at(torch.tensor([2, 4])), {k: COND[k] for k in ("context", "context_setting")}
    whole = {**told, "setting": torch.tensor([2, 4]).expand(3, 2)}
    a, b = model.data(X, 0.5, cond={"setting": whole["setting"]}), model.data(X, 0.5, cond=whole)
    assert torch.equal(here.data(X, 0.5), a) and torch.equal(here.data(X, 0.5, cond=told), b)
    guided = gv.guidance.classifier_free(here, 3.0)
    torch.testing.assert_close(guided.data(X, 0.5, cond=told), a + 3 * (b - a))
    assert torch.equal(here.signal(X, cond=told), model.signal(X, cond=whole))


def test_samples_do_not_depend_on_the_batch():
    model = ForwardModelDenoiser(Seeing(), VIEWS, VP, shape=(2, 2))
    whole = gv.sample(model, 3, cond=COND, steps=5, seed=0)
    torch.testing.assert_close(gv.sample(model, 3, cond=COND, steps=5, seed=0, batch_size=2), whole)


def test_views_are_the_matrices_one_by_one():
    setting = torch.tensor([[0, 4], [1, 1], [2, 3]])
    signal, view = drawn(3, 1, 2, 3), drawn(3, 2, 2, seed=1)
    laid = VIEWS.adjoint(view, setting)
    for j in range(2):
        seen = VIEWS(signal, setting[:, j])
        torch.testing.assert_close(VIEWS.adjoint(view[:, j], setting[:, j]), laid[:, j])
        for i in range(3):
            matrix = MATRICES[setting[i, j]]
            torch.testing.assert_close(seen[i], matrix @ signal[i].flatten())
            torch.testing.assert_close(laid[i, j], (matrix.T @ view[i, j]).reshape(1, 2, 3))


def test_prox_has_the_least_cost():
    """Its gradient vanishes, and it is S or shows y in the limits of ρ."""
    setting, rho = torch.tensor([0, 4, 1]), torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    signal, view = drawn(3, 1, 2, 3), drawn(3, 2, seed=1)
    found = VIEWS.prox(signal, view, setting, rho).requires_grad_()
    cost = (VIEWS(found, setting) - view).square().sum(1) + rho * (found - signal).flatten(1).square().sum(1)
    (slope,) = torch.autograd.grad(cost.sum(), found)
    torch.testing.assert_close(slope, torch.zeros_like(slope))
    torch.testing.assert_close(VIEWS.prox(signal, view, setting, rho * 1e9), signal)
    torch.testing.assert_close(VIEWS(VIEWS.prox(signal, view, setting, rho * 1e-9), setting), view)


class Cut(nn.Module):
    def forward(self, signal, setting):
        return VIEWS(signal.detach(), setting)


MODEL = ForwardModelDenoiser(Seeing(), VIEWS, VP)


@pytest.mark.parametrize(
    "call, kind, says",
    [
        (lambda: ForwardModelDenoiser(Seeing(), VIEWS, processes.BrownianBridge()), Unsuitable, "to noise"),
        (lambda: ForwardModelDenoiser(Seeing(), VIEWS, processes.Masked(3)), Unsuitable, "to noise"),
        (lambda: ForwardModelDenoiser(Seeing(), VIEWS, processes.Bounded()), Unsuitable, "to noise"),
        (lambda: ForwardModelDenoiser(Seeing(), 3, VP), InputError, "give a function"),
        (
            lambda: ForwardModelDenoiser(Seeing(), Cut(), VP).data(X, 0.5, cond=COND),
            Unsuitable,
            "no gradient",
        ),
        (lambda: MODEL.data(X, 0.5), InputError, "cond is NoneType"),
        (lambda: MODEL.data(X, 0.5, cond=X), InputError, "cond is Tensor"),
        (lambda: MODEL.data(X, 0.5, cond={"context": X}), InputError, "cond is context;"),
        (lambda: MODEL.data(X, 0.5, cond={**COND, "angle": X}), InputError, "angle"),
        (lambda: MODEL.data(X, 0.5, cond={"setting": COND["setting"], "context": X}), InputError, "together"),
        (lambda: MODEL.data(X, 0.5, cond={**COND, "context": X[:2]}), InputError, "must agree but"),
        (lambda: MODEL.data(X, 0.5, cond={**COND, "known": torch.ones(2)}), InputError, "must agree but"),
        (lambda: MODEL.data(X[:, :1], 0.5, cond=COND), InputError, "for .B, M, .shape."),
        (lambda: MODEL.data(X, 0.5, cond=COND, anchor=X), InputError, "anchor"),
        (
            lambda: ForwardModelDenoiser(Seeing(), shown, VP).data(X, 0.5, cond=COND),
            InputError,
            "the renderer shows",
        ),
        (lambda: MODEL.at(torch.tensor([2, 1])).data(X, 0.5, cond=X), InputError, "cond is Tensor"),
        (lambda: MODEL.at(torch.tensor([9, 1])).data(X, 0.5), InputError, "give 0 to 4"),
        (lambda: LinearViews(torch.ones(2, 3)), InputError, "give floats"),
        (lambda: LinearViews(torch.ones(2, 3, 4), (5,)), InputError, "5 elements"),
        (lambda: LinearViews(torch.full((2, 3, 4), torch.nan)), InputError, "NaN"),
        (lambda: VIEWS(drawn(3, 6), torch.tensor([0, 1, 2])), InputError, "the signals are"),
        (lambda: VIEWS(drawn(3, 1, 2, 3), torch.tensor([0, 1, 5])), InputError, "from 0 to 5; give 0 to 4"),
        (lambda: VIEWS(drawn(3, 1, 2, 3), torch.tensor([0, 1, -1])), InputError, "from -1 to 1"),
        (lambda: VIEWS(drawn(3, 1, 2, 3), torch.tensor([0.0, 1.0, 2.0])), InputError, "whole numbers"),
        (lambda: VIEWS(drawn(3, 1, 2, 3), torch.tensor([0, 1])), InputError, "the signals are"),
        (lambda: VIEWS.adjoint(drawn(3, 2, 3), COND["setting"]), InputError, "the views are"),
    ],
)
def test_bad_input_is_refused(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


def test_without_gradients_a_renderer_may_be_anything():
    with torch.no_grad():
        answer = ForwardModelDenoiser(Seeing(), Cut(), VP).data(X, 0.5, cond=COND)
    torch.testing.assert_close(answer, MODEL.data(X, 0.5, cond=COND))
