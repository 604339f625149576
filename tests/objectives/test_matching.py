"""Denoising score matching and flow matching: their minimizers, their weights, their randomness."""

import math

import pytest
import torch
from oracles import ANCHORED, ONE_SIDED, PROCESSES, TWO_SIDED, mixture, seeded
from stand_ins import Offset, Stored, Zero, gradients, standard_errors
from torch import nn

from girsanov import networks, processes, transport
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import Gaussian, MixtureInterpolant
from girsanov.noise import Noise
from girsanov.objectives import WEIGHTINGS, flow_matching, score_matching
from girsanov.objectives.times import limits
from girsanov.processes.schedules import LinearVP

N = 4000
ONE_END = {**ONE_SIDED, **ANCHORED}
WORDS = ("data", "noise", "score", "velocity", "v_prediction")
LAW = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[0.4, 0.1], [0.1, 0.2]]))
OTHER = Gaussian(torch.tensor([-1.0, 0.5]), torch.tensor([[0.3, -0.2], [-0.2, 0.9]]))


def draw(process, n=N, law=LAW, dtype=torch.float64):
    """Clean data and, where the process has one, x_1."""
    end = None if process.end == "noise" else OTHER.sample(n, generator=seeded(1)).to(dtype)
    return law.sample(n, generator=seeded(0)).to(dtype), end


def at(t):
    """A law of times that is one time."""
    return lambda u, process, data_std: torch.full_like(u, t)


# Minimizers.


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_gradient_vanishes_at_the_exact_denoiser_and_nowhere_else(process, weighting, value):
    x0, end = draw(process)
    for word in WORDS:
        model = Offset(LAW.denoiser(process), word, n=N, data_std=0.5, value=value)
        objective = score_matching(weighting=weighting, times="log-normal", stratified=False)
        found = standard_errors(gradients(objective, model, x0, end=end, generator=Noise(3)))
        assert (found < 4).all() if value == 0 else (found > 4).all(), (word, found)


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("times", ["uniform", "logit-normal", "log-normal", "likelihood"])
def test_every_law_of_times_has_the_same_minimizer(process, times):
    x0, end = draw(process)
    for value, exact in ((0.0, True), (0.3, False)):
        model = Offset(LAW.denoiser(process), "data", n=N, data_std=0.5, value=value)
        found = standard_errors(
            gradients(score_matching(times=times), model, x0, end=end, generator=Noise(4))
        )
        assert (found < 4).all() if exact else (found > 4).all()


@pytest.mark.parametrize("process", TWO_SIDED.values(), ids=TWO_SIDED)
def test_flow_matching_between_two_laws_has_the_exact_velocity_as_its_minimizer(process):
    x0, end = draw(process)
    exact = MixtureInterpolant(LAW, OTHER, process)
    for value in (0.0, 0.3):
        model = Offset(exact, "velocity", n=N, value=value)
        found = standard_errors(gradients(flow_matching(), model, x0, end=end, generator=Noise(5)))
        assert (found < 4).all() if value == 0 else (found > 4).all()


def test_the_residual_of_a_preconditioned_model_has_unit_variance():
    """A network that answers 0 has loss 1 on data of the stated scale, whatever is stored."""
    law = Gaussian(torch.zeros(1), 0.25)
    for process in ONE_END.values():
        x0, _ = draw(process, 20_000, law)
        end = None if process.end == "noise" else x0.flip(0)
        for word in WORDS:
            model = Denoiser(Zero(process), process, predicts=word, data_std=0.5)
            loss = score_matching()(model, x0, end=end, generator=Noise(0))
            assert abs(loss.mean() - 1).item() < 5 * math.sqrt(2 / len(x0)), (process, word)


# Weights.


def errors_per_data(process, word, t):
    """How large the error of a word is for an error 1 of the data: -α/γ of it is in the noise."""
    alpha, gamma = process.alpha(t), process.gamma(t)
    a, _, c = process.row(word, t)
    return a - c * alpha / gamma


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("t", [0.03, 0.5, 0.9])
def test_losses_in_different_predictions_differ_by_the_known_factor(process, t):
    x0, end = draw(process, 50)
    models = [Offset(LAW.denoiser(process), word, n=50, data_std=0.5, value=0.3) for word in WORDS]
    for word in WORDS:
        objective = score_matching(word, times=at(t))
        losses = [objective(m, x0, end=end, generator=Noise(1)) for m in models]
        in_data = score_matching("data", times=at(t))(models[0], x0, end=end, generator=Noise(1))
        for loss in losses:
            torch.testing.assert_close(loss, errors_per_data(process, word, t) ** 2 * in_data)
    for weighting in ("edm", "min-snr", "likelihood"):
        options = {"end": end, "generator": Noise(1)}
        losses = [
            score_matching(word, weighting=weighting, times=at(t))(m, x0, **options)
            for word in (None, "velocity")
            for m in models
        ]
        for loss in losses[1:]:
            torch.testing.assert_close(loss, losses[0])


def weight_of_data(process, t, weighting):
    """The weight, read off a model that answers 0 where the data are all 1."""
    model = Denoiser(Zero(process), process, predicts="data", data_std=None)
    x0 = torch.ones(2, 3, dtype=torch.float64)
    end = None if process.end == "noise" else x0
    return score_matching(weighting=weighting, times=at(t))(model, x0, end=end, generator=Noise(0))[0].item()


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("t", [0.01, 0.2, 0.7, 0.95])
def test_weights_are_those_of_the_papers(process, t):
    t = max(t, process.t_min)  # where training stops
    alpha, gamma, s = process.alpha(t), process.gamma(t), 0.5
    sigma, snr, score = gamma / alpha, (alpha / gamma) ** 2, alpha / gamma**2
    expected = {
        "uniform": 1.0,
        "edm": (sigma**2 + s**2) / (sigma * s) ** 2,
        "min-snr": min(snr, 5.0),
        "likelihood": process.volatility(t) ** 2 * score**2,
    }
    for weighting, weight in expected.items():
        assert weight_of_data(process, t, weighting) == pytest.approx(weight, rel=1e-9), weighting
    doubled = expected["edm"] * 2
    assert weight_of_data(process, t, "edm") != pytest.approx(doubled, rel=1e-3)


@pytest.mark.parametrize("process", ONE_END.values(), ids=ONE_END)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_are_finite_at_the_first_and_the_last_time(process, dtype):
    x0, end = draw(process, 20, dtype=dtype)
    for t in limits(process):
        for word in WORDS:
            for weighting in WEIGHTINGS:
                model = Denoiser(Zero(process), process, predicts=word)
                objective = score_matching(weighting=weighting, times=at(t))
                loss = objective(model, x0, end=end, generator=Noise(2))
                assert torch.isfinite(loss).all() and loss.dtype == dtype, (word, weighting, t)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_flow_matching_is_finite_on_every_process(process):
    x0, end = draw(process, 64, dtype=torch.float32)
    model = Denoiser(Zero(process), process, predicts="velocity", data_std=None)
    for t in limits(process):
        assert torch.isfinite(flow_matching(times=at(t))(model, x0, end=end, generator=Noise(2))).all()


@pytest.mark.parametrize("data_std", [None, 0.5])
@pytest.mark.parametrize("process", [processes.VP(), processes.BrownianBridge(0.7)])
def test_gradients_agree_with_finite_differences(process, data_std):
    x0, end = draw(process, 3)
    width = 2 if end is None else 4

    def loss(weight):
        network = lambda x, t, cond: torch.tanh(x @ weight + t[:, None])  # noqa: E731
        model = Denoiser(nn.Module(), process, predicts="velocity", data_std=data_std)
        model.network.forward = network
        return score_matching(weighting="min-snr")(model, x0, end=end, generator=Noise(0))

    start = torch.randn(width, 2, generator=seeded(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (start,))


# Randomness.


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("name", ["VP", "BrownianBridge"])
def test_any_split_of_a_batch_gives_the_same_losses(name, stratified):
    process = ONE_END[name]
    x0, end = draw(process, 150)
    labels = torch.arange(150) % 3
    model = Stored(LAW.denoiser(process), "data")
    model.forward = lambda x, t, cond, anchor: (x * (1 + cond[:, None]),)
    objective = score_matching(stratified=stratified, label_dropout=0.5)

    def losses(rows):
        options = {"cond": labels[rows], "end": None if end is None else end[rows]}
        return objective(model, x0[rows], generator=Noise(7, first=rows.start), **options)

    whole = losses(slice(0, 150))
    for cut in (1, 64, 149):
        parts = torch.cat([losses(slice(0, cut)), losses(slice(cut, 150))])
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(whole, objective(model, x0, cond=labels, end=end, generator=Noise(8)))


def test_the_same_generator_gives_the_same_loss_and_the_global_state_stays():
    x0, _ = draw(processes.VP(), 10)
    model, before = Stored(LAW.denoiser(processes.VP()), "noise"), torch.get_rng_state()
    for make in (lambda: Noise(1), lambda: seeded(1)):
        first, again = (score_matching()(model, x0, generator=make()) for _ in range(2))
        assert torch.equal(first, again)
    assert score_matching()(model, x0).shape == (10,)
    assert torch.equal(before, torch.get_rng_state())


def test_stratified_times_cut_the_variance_of_the_batch_mean():
    process, means = processes.VP(), {}
    x0 = LAW.sample(64, generator=seeded(0))
    model = Denoiser(Zero(process), process, predicts="data", data_std=None)
    for stratified in (True, False):
        objective = score_matching(weighting="min-snr", times="uniform", stratified=stratified)
        draws = [objective(model, x0.sign(), generator=Noise(i)).mean() for i in range(200)]
        means[stratified] = torch.stack(draws).var().item()
    assert means[True] < 0.05 * means[False]


# Conditions and couplings.


def test_labels_are_dropped_at_the_stated_rate():
    process, seen = processes.VP(), {}
    x0 = LAW.sample(N, generator=seeded(0))
    model = Stored(LAW.denoiser(process), "data")

    def forward(x, t, cond, anchor):
        seen["cond"] = cond
        return (x,)

    model.forward = forward
    for dtype in (torch.int64, torch.uint8):
        labels = (torch.arange(N) % 10).to(dtype)
        for share in (0.0, 0.1, 1.0):
            score_matching(label_dropout=share)(model, x0, cond=labels, generator=Noise(0))
            dropped = seen["cond"] == -1
            assert abs(dropped.double().mean() - share) <= 4 * math.sqrt(share * (1 - share) / N)
            assert torch.equal(seen["cond"][~dropped], labels[~dropped].to(seen["cond"].dtype))
    assert labels.max() == 9  # the caller's labels are left alone


def test_a_coupling_pairs_the_noise_and_leaves_data_and_labels_in_place():
    """In one dimension transport is a line, and along it the velocity is known: the loss is 0."""
    flow, s = processes.RectifiedFlow(), 0.7
    x0 = s * torch.randn(30, 1, generator=seeded(0), dtype=torch.float64)
    labels = torch.arange(30)

    def transport(a, b, *, cond=None, generator=None):
        assert torch.equal(a, x0) and torch.equal(cond, labels) and b.shape == a.shape
        return a / s

    class Line(Stored):
        def forward(self, x, t, *, cond=None, anchor=None):
            time = t[:, None]
            return ((1 - s) * x / ((1 - time) * s + time),)

    model = Line(Gaussian(torch.zeros(1), s**2).denoiser(flow), "velocity")
    loss = flow_matching(transport)(model, x0, cond=labels, generator=Noise(0))
    assert loss.max() < 1e-24
    assert flow_matching()(model, x0, cond=labels, generator=Noise(0)).mean() > 0.1


def test_a_coupling_of_two_laws_pairs_the_ends():
    process = processes.StochasticInterpolant(latent="none")
    x0 = LAW.sample(20, generator=seeded(0))
    end = (x0 + 2).flip(0)

    class Shift(Stored):
        def forward(self, x, t, *, cond=None, anchor=None):
            return (torch.full_like(x, 2.0),)

    model = Shift(MixtureInterpolant(LAW, OTHER, process), "velocity")
    paired = flow_matching(lambda a, b, *, cond, generator: b.flip(0))(model, x0, end=end, generator=Noise(0))
    assert paired.max() < 1e-24 < flow_matching()(model, x0, end=end, generator=Noise(0)).min()


def test_networks_know_dropped_labels_and_transport_is_a_coupling():
    pytest.importorskip("ot")
    network = networks.MLP(2, hidden=16, classes=3)
    for weights in network.parameters():  # a fresh network answers 0
        nn.init.normal_(weights, std=0.3, generator=seeded(0))
    model = Denoiser(network, processes.RectifiedFlow(), predicts="velocity")
    x0, _ = draw(model.process, 12, dtype=torch.float32)
    labels = torch.arange(12) % 3
    for coupling in (None, transport.Independent(), transport.MinibatchOT()):
        objective = flow_matching(coupling, label_dropout=0.5)
        loss = objective(model, x0, cond=labels, generator=Noise(0))
        loss.mean().backward()
        assert loss.shape == (12,) and torch.isfinite(loss).all()
    hidden = score_matching(label_dropout=1.0)(model, x0, cond=labels, generator=Noise(0))
    torch.testing.assert_close(hidden, score_matching()(model, x0, generator=Noise(0)))
    assert not torch.allclose(hidden, score_matching()(model, x0, cond=labels, generator=Noise(0)))


# Refusals.


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: score_matching("nois"), UnknownName, "Did you mean noise"),
        (lambda: score_matching(weighting="minsnr"), UnknownName, "Did you mean min-snr"),
        (lambda: score_matching(times="lognormal"), UnknownName, "Did you mean log-normal"),
        (lambda: score_matching(times=3), InputError, "law of times is 3"),
        (lambda: score_matching(label_dropout=1.5), InputError, "label_dropout is 1.5"),
        (lambda: score_matching(label_dropout=-0.1), InputError, "label_dropout is -0.1"),
        (lambda: flow_matching("ot"), InputError, "MinibatchOT"),
    ],
)
def test_bad_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


X = torch.zeros(4, 2)
VP, FLOW, TWO = processes.VP(), processes.RectifiedFlow(), processes.StochasticInterpolant()


def denoiser(process, predicts, data_std=None):
    return Denoiser(Zero(process), process, predicts=predicts, data_std=data_std)


@pytest.mark.parametrize(
    "objective, model, options, error, message",
    [
        (score_matching(), nn.Linear(2, 2), {}, Unsuitable, "Denoiser"),
        (score_matching(), denoiser(VP, "data"), {"x0": X.long()}, InputError, "int64"),
        (score_matching(), denoiser(VP, "data"), {"x0": X.half()}, InputError, "autocast"),
        (score_matching(), denoiser(VP, "data"), {"x0": X[:, 0]}, InputError, r"x0\[:, None\]"),
        (score_matching(), denoiser(VP, "data"), {"end": X}, InputError, "leave end out"),
        (score_matching(), denoiser(processes.BrownianBridge(), "data"), {}, InputError, "give end="),
        (flow_matching(), denoiser(TWO, "velocity"), {"end": X[:2]}, InputError, r"\(2, 2\)"),
        (score_matching(), denoiser(TWO, ("velocity", "noise")), {"end": X}, Unsuitable, "interpolant_loss"),
        (score_matching(), denoiser(TWO, "velocity"), {"end": X}, Unsuitable, "uniform"),
        (score_matching(weighting="edm"), denoiser(TWO, "noise"), {"end": X}, Unsuitable, "two random ends"),
        (flow_matching(), denoiser(TWO, "noise"), {"end": X}, Unsuitable, "here velocity"),
        (score_matching(weighting="edm"), denoiser(FLOW, "noise"), {}, Unsuitable, "infinite"),
        (score_matching("data"), denoiser(FLOW, "score"), {}, Unsuitable, "infinite"),
        (
            flow_matching(lambda a, b, cond, generator: b),
            denoiser(processes.BrownianBridge(), "velocity"),
            {"end": X},
            Unsuitable,
            "anchor|belongs",
        ),
        (score_matching(label_dropout=0.1), denoiser(VP, "data"), {}, InputError, "integer labels"),
        (score_matching("end"), denoiser(VP, "data"), {}, Unsuitable, "nothing to learn"),
        (flow_matching(lambda a, b, cond, generator: (a, b)), denoiser(VP, "data"), {}, InputError, "tuple"),
        (
            flow_matching(lambda a, b, cond, generator: b[:2]),
            denoiser(VP, "data"),
            {},
            InputError,
            "partners",
        ),
        (
            score_matching(label_dropout=0.1),
            denoiser(VP, "data"),
            {"cond": X[:, 0]},
            InputError,
            "torch.float32",
        ),
    ],
)
def test_pairs_that_make_no_sense_are_refused(objective, model, options, error, message):
    with pytest.raises(error, match=message):
        objective(model, **{"x0": X, **options})


def test_a_mixture_is_learned_by_every_default():
    """Every process gives the exact denoiser of a mixture a lower loss than a wrong one."""
    law = mixture(dim=2)
    for process in ONE_END.values():
        x0, end = draw(process, N, law)
        right, wrong = (
            Offset(law.denoiser(process), "velocity", n=N, data_std=0.5, value=v) for v in (0, 0.2)
        )
        losses = [score_matching()(m, x0, end=end, generator=Noise(0)).mean() for m in (right, wrong)]
        assert losses[0] < losses[1]


# Cost.


def test_a_loss_evaluates_the_schedule_at_its_times_once():
    """And the preconditioned denoiser twice: for its coefficients, and for the log-SNR that the network sees."""
    seen = []

    class Counted(LinearVP):
        def values(self, t):
            seen.append(t) if isinstance(t, torch.Tensor) else None
            return super().values(t)

    process, x0 = processes.Interpolant(Counted()), torch.randn(8, 2, generator=seeded(0))
    for data_std, count in ((0.5, 3), (None, 1)):
        model = Denoiser(networks.MLP(2, hidden=8), process, data_std=data_std)
        score_matching()(model, x0, generator=Noise(0))
        assert len(seen) == count
        seen.clear()
