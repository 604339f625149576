"""The quadratic losses of stochastic interpolants, on exact answers between two Gaussians."""

import pytest
import torch
from oracles import TWO_SIDED, seeded
from stand_ins import Offset, Stored, Zero, gradients, standard_errors

from girsanov import processes
from girsanov.denoiser import Denoiser
from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import Gaussian, MixtureInterpolant
from girsanov.noise import Noise
from girsanov.objectives import (
    denoiser_loss,
    flow_matching,
    interpolant_loss,
    score_loss,
    score_matching,
    velocity_loss,
)

N = 4000
LAW = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([[0.4, 0.1], [0.1, 0.2]]))
OTHER = Gaussian(torch.tensor([-1.0, 0.5]), torch.tensor([[0.3, -0.2], [-0.2, 0.9]]))
VP, BRIDGE = processes.VP(), processes.BrownianBridge(0.7)
BROWNIAN = TWO_SIDED["linear/brownian"]
SINGLE = {"velocity": velocity_loss, "noise": denoiser_loss, "score": score_loss}


def ends(n=N):
    return LAW.sample(n, generator=seeded(0)), OTHER.sample(n, generator=seeded(1))


def exact(process):
    return LAW.denoiser(process) if process.end == "anchor" else MixtureInterpolant(LAW, OTHER, process)


def at(t):
    return lambda u, process, data_std: torch.full_like(u, t)


CASES = [
    (process, word)
    for process in (*TWO_SIDED.values(), BRIDGE, VP)
    for word in SINGLE
    if word == "velocity" or process.gamma(0.5) > 0
]


@pytest.mark.parametrize("process, word", CASES)
@pytest.mark.parametrize("antithetic", [True, False])
def test_the_gradient_vanishes_at_the_exact_answer_and_nowhere_else(process, word, antithetic):
    x0, end = ends()
    end, law = (None, LAW.denoiser(process)) if process.end == "noise" else (end, exact(process))
    for value in (0.0, 1.0):
        model = Offset(law, word, n=N, value=value)
        objective = SINGLE[word](antithetic=antithetic, times="logit-normal")
        found = standard_errors(gradients(objective, model, x0, end=end, generator=Noise(3)))
        assert (found < 4).all() if value == 0 else (found > 4).any(), found


@pytest.mark.parametrize("process", [p for p in TWO_SIDED.values() if not p.noiseless])
@pytest.mark.parametrize("words", [("velocity", "noise"), ("velocity", "score")])
def test_the_joint_loss_trains_both_words(process, words):
    x0, end = ends()
    for value in (0.0, 1.0):
        model = Offset(exact(process), *words, n=N, value=value)
        found = standard_errors(gradients(interpolant_loss(), model, x0, end=end, generator=Noise(3)))
        assert (found < 4).all() if value == 0 else (found[:2] > 4).any() and (found[2:] > 4).any()


def test_the_joint_loss_is_the_sum_of_its_terms():
    x0, end = ends(20)
    options = {"end": end, "generator": Noise(0)}
    whole = interpolant_loss()(Stored(exact(BROWNIAN), "velocity", "noise"), x0, **options)
    parts = [SINGLE[w]()(Stored(exact(BROWNIAN), w), x0, **options) for w in ("velocity", "noise")]
    torch.testing.assert_close(whole, sum(parts))


@pytest.mark.parametrize("name", ["linear/brownian", "trigonometric/quadratic"])
def test_the_quadratic_form_is_the_regression_without_its_constant(name):
    """Between two models both losses differ by the same amount, sample by sample, up to the factor ½."""
    process = TWO_SIDED[name]
    x0, end = ends(50)
    models = [Offset(exact(process), "velocity", n=50, value=v) for v in (0.0, 0.4)]
    differences = []
    for objective in (velocity_loss(antithetic=False), flow_matching()):
        first, second = (objective(m, x0, end=end, generator=Noise(1)) for m in models)
        differences.append(second - first)
    torch.testing.assert_close(differences[0], differences[1] / 2)
    both = score_loss(antithetic=False, times=at(0.3)), denoiser_loss(antithetic=False, times=at(0.3))
    model = Offset(exact(process), "noise", n=50, value=0.2)
    score, noise = (objective(model, x0, end=end, generator=Noise(1)) for objective in both)
    torch.testing.assert_close(score, noise / process.gamma(0.3) ** 2)


@pytest.mark.parametrize("t", [0.002, 0.01, 0.99])
def test_pairs_cut_the_gradient_variance_near_the_ends(t):
    """γ' is large there. At equal network calls, so the variance of single draws is halved first."""
    x0, end = ends()

    def variance(antithetic):
        model = Offset(exact(BROWNIAN), "velocity", n=N)
        objective = velocity_loss(antithetic=antithetic, times=at(t))
        return gradients(objective, model, x0, end=end, generator=Noise(5))[:, 0].var().item()

    assert variance(True) < 0.1 * variance(False) / 2


def test_pairs_cost_two_calls_and_none_where_there_is_no_noise():
    x0, end = ends(4)
    for process, antithetic, expected in (
        (BROWNIAN, True, 2),
        (BROWNIAN, False, 1),
        (TWO_SIDED["linear/none"], True, 1),
    ):
        model = Stored(exact(process), "velocity")
        velocity_loss(antithetic=antithetic)(model, x0, end=end)
        assert model.calls == expected


def test_a_coupling_moves_the_far_end_only():
    x0, end = ends(20)
    labels, seen = torch.arange(20), {}

    def swap(a, b, *, cond=None, generator=None):
        seen.update(x0=a, cond=cond)
        return b.flip(0)

    model = Stored(exact(BROWNIAN), "velocity")
    model.exact.forward = lambda x, t, cond, anchor: (x * (1 + cond[:, None]), x)
    paired = velocity_loss(swap)(model, x0, cond=labels, end=end, generator=Noise(0))
    plain = velocity_loss()(model, x0, cond=labels, end=end.flip(0), generator=Noise(0))
    torch.testing.assert_close(paired, plain)
    assert torch.equal(seen["x0"], x0) and torch.equal(seen["cond"], labels)


def test_randomness_is_keyed():
    x0, end = ends(100)
    model = Stored(exact(BROWNIAN), "velocity", "noise")
    whole = interpolant_loss()(model, x0, end=end, generator=Noise(1))
    for rows in (slice(0, 33), slice(33, 100)):
        part = interpolant_loss()(model, x0[rows], end=end[rows], generator=Noise(1, first=rows.start))
        torch.testing.assert_close(part, whole[rows])
    again = [interpolant_loss()(model, x0, end=end, generator=seeded(2)) for _ in range(2)]
    assert torch.equal(*again)


def test_gradients_agree_with_finite_differences():
    x0, end = ends(3)

    def loss(weight):
        model = Stored(exact(BROWNIAN), "velocity", "noise")
        model.forward = lambda x, t, cond, anchor: torch.tanh(x @ weight + t[:, None]).chunk(2, 1)
        return interpolant_loss()(model, x0, end=end, generator=Noise(0))

    start = torch.randn(2, 4, generator=seeded(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (start,))


@pytest.mark.parametrize("name", TWO_SIDED)
def test_losses_are_finite_at_the_ends(name):
    process = TWO_SIDED[name]
    x0, end = (x.float() for x in ends(20))
    words = ("velocity",) if process.noiseless else ("velocity", "noise")
    model = Stored(exact(process), *words)
    for t in (process.t_min, 1 - process.t_min):
        assert torch.isfinite(interpolant_loss(times=at(t))(model, x0, end=end, generator=Noise(0))).all()


X = torch.zeros(4, 2)


def denoiser(process, *words):
    return Denoiser(Zero(process), process, predicts=words, data_std=None)


@pytest.mark.parametrize(
    "objective, model, options, error, message",
    [
        (
            velocity_loss(),
            denoiser(BROWNIAN, "velocity", "noise"),
            {"end": X},
            Unsuitable,
            "interpolant_loss",
        ),
        (velocity_loss(), denoiser(BROWNIAN, "velocity"), {}, InputError, "give end="),
        (velocity_loss(), denoiser(BROWNIAN, "noise"), {"end": X}, InputError, "velocity cannot be derived"),
        (
            denoiser_loss(),
            denoiser(TWO_SIDED["linear/none"], "velocity"),
            {"end": X},
            Unsuitable,
            "velocity_loss",
        ),
        (
            velocity_loss(lambda a, b: b),
            denoiser(processes.VP(), "velocity"),
            {},
            Unsuitable,
            "flow_matching",
        ),
        (velocity_loss(lambda a, b: b), denoiser(BRIDGE, "velocity"), {"end": X}, Unsuitable, "its anchor"),
        (velocity_loss(times="logistic"), denoiser(BROWNIAN, "velocity"), {"end": X}, Unsuitable, "uniform"),
        (score_matching("noise"), denoiser(BROWNIAN, "velocity"), {"end": X}, Unsuitable, "two random ends"),
        (velocity_loss(label_dropout=0.5), denoiser(BROWNIAN, "velocity"), {"end": X}, InputError, "labels"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(objective, model, options, error, message):
    with pytest.raises(error, match=message):
        objective(model, X, **options)


def test_bad_options_are_refused():
    with pytest.raises(UnknownName, match="Did you mean uniform"):
        velocity_loss(times="unifrom")
    with pytest.raises(InputError, match="label_dropout is 2"):
        score_loss(label_dropout=2)
    with pytest.raises(InputError, match="coupling is 'ot'"):
        denoiser_loss("ot")
