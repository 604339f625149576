"""Indirect matching: to the bit an ordinary loss, in a linear world the conditional mean, and what it refuses."""

import pytest
import torch
from oracles import ALPHA
from scipy import stats
from torch import nn

import girsanov as gv
from girsanov import networks, processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.inverse import ForwardModelDenoiser, LinearViews
from girsanov.noise import Noise
from girsanov.objectives import IndirectMatching, score_matching
from girsanov.objectives.indirect import draw_roles
from girsanov.training import Training, fit

VP = processes.VP()


def drawn(*shape, seed=0):
    return Noise(seed).draw(torch.empty(shape, dtype=torch.float64), 0)


class Alone(nn.Module):
    """A network of x and t only."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = networks.MLP(3, hidden=16, depth=1).double()
            nn.init.normal_(self.net.head.weight, std=0.2)

    def forward(self, x, t, cond=None):
        answer = self.net(x[:, 0], t)
        return answer if cond else answer[:, None]


def shown(signal, setting):
    return signal


NET = Alone()
PLAIN, MODEL = Denoiser(NET, VP, predicts="data", data_std=None), ForwardModelDenoiser(NET, shown, VP)
ONE = drawn(32, 3)
SAME, NOWHERE = ONE[:, None].expand(-1, 3, -1), torch.zeros(32, 3)


@pytest.mark.parametrize("weighting", [None, "min-snr"])
def test_through_the_identity_the_first_term_is_score_matching_to_the_bit(weighting):
    """The groups hold one observation several times, so that it does not matter which is drawn."""
    loss = IndirectMatching(context_weight=0, novel_weight=0, weighting=weighting)
    plain = score_matching("data") if weighting is None else score_matching(weighting=weighting)
    ours = loss(MODEL, SAME, cond=NOWHERE, generator=Noise(1))
    theirs = plain(PLAIN, ONE[:, None], generator=Noise(1))
    if weighting is None:
        assert torch.equal(ours, theirs)
    torch.testing.assert_close(ours, theirs)
    grads = [torch.autograd.grad(v.sum(), NET.parameters()) for v in (ours, theirs)]
    torch.testing.assert_close(*grads)


def test_equal_observations_have_equal_terms():
    one = IndirectMatching(context_weight=0, novel_weight=0)(MODEL, SAME, cond=NOWHERE, generator=Noise(1))
    all_three = IndirectMatching(context_weight=0.5, novel_weight=2)(
        MODEL, SAME, cond=NOWHERE, generator=Noise(1)
    )
    torch.testing.assert_close(all_three, 3.5 * one)
    two = IndirectMatching(context_weight=0.5, novel_weight=2)(
        MODEL, SAME[:, :2], cond=NOWHERE[:, :2], generator=Noise(1)
    )
    torch.testing.assert_close(two, 1.5 * one)  # no third observation, no third term


class Recorded(nn.Module):
    """Answers 0 and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x, t, cond):
        self.x, self.t, self.cond = x, t, cond
        return torch.zeros(len(x), 1, dtype=x.dtype) + self.bias


def test_only_the_target_is_noised_and_every_view_meets_its_setting():
    """Observation i of a group is its setting i, so the loss of a signal 0 is known."""
    net = Recorded()
    model = ForwardModelDenoiser(net, lambda signal, setting: signal, VP)
    n = 400
    settings = torch.arange(5.0, dtype=torch.float64).expand(n, 5) + 1
    loss = IndirectMatching(context_weight=10, novel_weight=100)
    found = loss(model, settings[..., None], cond=settings, generator=Noise(0))
    setting, known = net.cond["setting"][:, 0], net.cond["known"][:, 0] > 0
    context, placed = net.cond["context"][:, 0, 0], net.cond["context_setting"][:, 0]
    assert torch.equal(context[known], placed[known])  # no noise on it
    assert (placed[known] != setting[known]).all()
    assert (context[~known] == 0).all() and torch.equal(placed[~known], setting[~known])
    noise = (net.x[:, 0, 0] - VP.alpha(net.t) * setting) / VP.gamma(net.t)
    assert stats.kstest(noise.numpy(), "norm").pvalue > ALPHA
    rest = (found.detach() - setting**2)[known] - 10 * context[known] ** 2
    novel = (rest / 100).sqrt()
    torch.testing.assert_close(novel, novel.round())
    assert (novel.round() != setting[known]).all() and (novel.round() != context[known]).all()


def test_contexts_are_hidden_as_often_as_asked_and_roles_are_fair():
    net, n, share = Recorded(), 4000, 0.1
    model = ForwardModelDenoiser(net, shown, VP)
    settings = torch.arange(3.0, dtype=torch.float64).expand(n, 3)
    IndirectMatching(context_dropout=share)(model, settings[..., None], cond=settings, generator=Noise(0))
    assert stats.binomtest(int((net.cond["known"] == 0).sum()), n, share).pvalue > ALPHA
    roles = draw_roles(settings[..., None], settings, 1, 1, Noise(0))
    assert torch.equal(roles.novel.setting, 3 - roles.target.setting - roles.context.setting)
    pairs = (
        (3 * roles.target.setting + roles.context.setting)[:, 0].long().bincount(minlength=9).reshape(3, 3)
    )
    assert (pairs.diagonal() == 0).all()
    assert stats.chisquare(pairs[~torch.eye(3, dtype=torch.bool)].numpy()).pvalue > ALPHA


def test_several_targets_and_contexts_are_drawn_without_repetition():
    net, n = Recorded(), 50
    model = ForwardModelDenoiser(net, shown, VP)
    settings = torch.arange(6.0, dtype=torch.float64).expand(n, 6)
    loss = IndirectMatching(targets=2, contexts=3, context_dropout=0.0)
    assert loss(model, settings[..., None], cond=settings, generator=Noise(0)).shape == (n,)
    assert net.x.shape == (n, 2, 1) and net.cond["context"].shape == (n, 3, 1)
    used = torch.cat([net.cond["setting"], net.cond["context_setting"]], 1)
    assert all(len(row.unique()) == 5 for row in used)
    assert loss.event(settings[..., None]) == (2, 1)


def test_a_part_of_a_batch_has_the_losses_of_the_whole():
    x, settings = drawn(9, 3, 3), torch.zeros(9, 3)
    loss = IndirectMatching()
    whole = loss(MODEL, x, cond=settings, generator=Noise(0))
    part = loss(MODEL, x[4:], cond=settings[4:], generator=Noise(0, first=4))
    torch.testing.assert_close(part, whole[4:])


# --- a linear Gaussian world

DIM = 4
COVARIANCE = 0.8 ** (torch.arange(DIM)[:, None] - torch.arange(DIM)).abs().double()
"""Of the signal; what is observed is two of its coordinates."""
PAIRS = torch.combinations(torch.arange(DIM), 2)
MASKS = torch.eye(DIM, dtype=torch.float64)[PAIRS]
LEVEL = 0.5
ALPHA_T, GAMMA_T = VP.alpha(LEVEL), VP.gamma(LEVEL)


class LinearByPair(nn.Module):
    """A matrix for each pair of settings, from (O_c, O_t) to a signal."""

    def __init__(self):
        super().__init__()
        k = len(MASKS)
        self.maps = nn.Parameter(torch.zeros(k, k, DIM, 4, dtype=torch.float64))

    def forward(self, x, t, cond):
        known = torch.cat([cond["context"][:, 0], x[:, 0]], 1)
        maps = self.maps[cond["context_setting"][:, 0], cond["setting"][:, 0]]
        return (maps @ known[..., None])[..., 0]


def gain(c, g):
    """E[S | O_c, O_t] as a matrix, and the covariance of (O_c, O_t)."""
    rows = torch.cat([MASKS[c], ALPHA_T * MASKS[g]])
    spread = rows @ COVARIANCE @ rows.T
    spread[2:, 2:] += GAMMA_T**2 * torch.eye(2)
    return COVARIANCE @ rows.T @ torch.linalg.inv(spread + 1e-12 * torch.eye(4)), spread


def test_a_linear_network_learns_the_conditional_mean():
    """Of the target, for every pair of settings: the mean squared error is within 3 % of the least."""
    signal = drawn(4000, DIM) @ torch.linalg.cholesky(COVARIANCE).T
    settings = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(i)) for i in range(50)])
    settings = settings.repeat(80, 1)[:, :4]
    views = LinearViews(MASKS)
    model = ForwardModelDenoiser(LinearByPair(), views, VP)
    loss = IndirectMatching(context_dropout=0.0, times=lambda u, process, std: torch.full_like(u, LEVEL))
    config = Training(
        batch_size=500, lr=3e-2, warmup=0, ema=0.99, clip=None, validation=0, seed=0, progress=False
    )
    observed = model.render(signal, settings)
    fit(model, loss, observed, cond=settings, steps=600, config=config)
    assert model.shape == (1, 2)
    extra, least = [], []
    for c in range(len(MASKS)):
        for g in range(len(MASKS)):
            if c == g:
                continue  # a group never sees one coordinate twice
            best, spread = gain(c, g)
            wrong = MASKS[g] @ (model.network.maps[c, g].detach() - best)
            extra.append((wrong @ spread @ wrong.T).trace() / 2)
            left = MASKS[g] @ (COVARIANCE - best @ spread @ best.T) @ MASKS[g].T
            least.append(left.trace() / 2)
    extra, least = torch.stack(extra), torch.stack(least)
    assert extra.mean() < 0.03 * least.mean()
    blind = torch.stack([(MASKS[g] @ COVARIANCE @ MASKS[g].T).trace() / 2 for g in range(6)]).mean()
    assert least.mean() < 0.5 * blind  # the observations do tell something


# --- what is refused

GROUPS, SETTINGS = drawn(2, 3, 2), torch.tensor([[0, 1, 2], [3, 4, 5]])
LINEAR = ForwardModelDenoiser(LinearByPair(), LinearViews(MASKS), VP)
SEEING = ForwardModelDenoiser(Recorded(), lambda s, k: LinearViews(MASKS)(s.expand(-1, DIM), k), VP)


@pytest.mark.parametrize(
    "call, kind, says",
    [
        (lambda: IndirectMatching(targets=0), InputError, "targets is 0"),
        (lambda: IndirectMatching(contexts=1.5), InputError, "contexts is 1.5"),
        (
            lambda: IndirectMatching(targets=2, contexts=2)(LINEAR, GROUPS, cond=SETTINGS),
            InputError,
            "at least G = 4",
        ),
        (lambda: IndirectMatching(context_weight=-1), InputError, "context_weight is -1"),
        (lambda: IndirectMatching(novel_weight=float("inf")), InputError, "novel_weight is inf"),
        (lambda: IndirectMatching(context_dropout=2), InputError, "context_dropout is 2"),
        (lambda: IndirectMatching(weighting="no"), UnknownName, "weighting 'no'"),
        (lambda: IndirectMatching(times="no"), UnknownName, "law of times 'no'"),
        (lambda: IndirectMatching()(PLAIN, GROUPS, cond=SETTINGS), Unsuitable, "ForwardModelDenoiser"),
        (
            lambda: IndirectMatching()(LINEAR, GROUPS[:, :1], cond=SETTINGS[:, :1]),
            InputError,
            "at least G = 2",
        ),
        (lambda: IndirectMatching()(LINEAR, GROUPS[:, 0], cond=SETTINGS), InputError, "give groups"),
        (lambda: IndirectMatching()(LINEAR, GROUPS), InputError, "cond is NoneType"),
        (
            lambda: IndirectMatching()(LINEAR, GROUPS, cond=SETTINGS[:, :2]),
            InputError,
            r"\(2, 3, \*setting\)",
        ),
        (lambda: IndirectMatching()(LINEAR, GROUPS, cond=SETTINGS, end=GROUPS), InputError, "leave end out"),
        (lambda: IndirectMatching()(SEEING, GROUPS, cond=SETTINGS + 1), InputError, "give 0 to 5"),
        (lambda: IndirectMatching()(LINEAR, GROUPS.half(), cond=SETTINGS), InputError, "float16"),
    ],
)
def test_bad_input_is_refused(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


def test_training_refuses_a_renderer_without_gradient_and_other_shapes():
    cut = ForwardModelDenoiser(LinearByPair(), lambda s, k: LinearViews(MASKS)(s.detach(), k), VP)
    config = Training(batch_size=2, validation=0, progress=False)
    with pytest.raises(Unsuitable, match="no gradient reaches the network"):
        gv.fit(cut, IndirectMatching(), GROUPS, cond=SETTINGS, steps=1, config=config)
    other = ForwardModelDenoiser(LinearByPair(), LinearViews(MASKS), VP, shape=(1, 3))
    with pytest.raises(InputError, match=r"model.shape is \(1, 3\)"):
        gv.fit(other, IndirectMatching(), GROUPS, cond=SETTINGS, steps=1, config=config)
    saved = ForwardModelDenoiser(LinearByPair(), LinearViews(MASKS), VP)
    with pytest.raises(Unsuitable, match="only a Denoiser"):
        gv.fit(saved, IndirectMatching(), GROUPS, cond=SETTINGS, steps=1, config=config, out="nowhere")
