"""STSL and PSLD: DPS where they must be, the same on every process, and what they refuse."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from girsanov.errors import InputError, UnknownName, Unsuitable
from girsanov.exact import Gaussian, GaussianMixture
from girsanov.inverse import (
    DPS,
    PSLD,
    STSL,
    ClippedRange,
    DenseOperator,
    DifferentiableForwardModel,
    Inpainting,
    LatentOperator,
    Measurement,
    posterior,
)
from girsanov.inverse.second_order import WEIGHTINGS
from girsanov.inverse.steps import Way
from girsanov.noise import Noise
from girsanov.processes import EDM, VP, RectifiedFlow

PROCESSES = {"VP": VP(), "EDM": EDM(sigma_max=40.0), "flow": RectifiedFlow()}
A = DenseOperator(torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]]))
LAW = GaussianMixture(torch.tensor([[-1.0, 0.0, 0.5], [1.0, 1.0, -0.5]]), torch.tensor([0.1, 0.3]))


def draw(*shape, seed=0):
    return Noise(seed).draw(torch.empty(*shape, dtype=torch.float64), 0)


def sampled(sampler, law=LAW, process=None, operator=A, n=6):
    process = process or VP()
    m = Measurement(operator, draw(n, *operator.out_shape, seed=1), 0.1)
    start = process.reference_std * draw(n, *law.shape)
    return sampler(law.denoiser(process), start, m, generator=Noise(2))


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("repeats", [1, 3])
def test_for_gaussian_data_the_trace_changes_nothing(name, weighting, repeats):
    law = Gaussian(torch.tensor([0.5, -1.0, 0.0]), torch.tensor([[1.0, 0.3, 0], [0.3, 0.5, 0], [0, 0, 0.2]]))
    with_trace = STSL(steps=8, repeats=repeats, trace_scale=0.5, weighting=weighting)
    found = sampled(with_trace, law, PROCESSES[name])
    wanted = sampled(replace(with_trace, trace_scale=0.0), law, PROCESSES[name])
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)
    assert not torch.allclose(sampled(with_trace), sampled(replace(with_trace, trace_scale=0.0)), atol=1e-3)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_one_gradient_without_the_trace_is_dps_bit_for_bit(name, eta):
    found = sampled(STSL(steps=8, repeats=1, trace_scale=0.0, eta=eta), process=PROCESSES[name])
    assert torch.equal(found, sampled(DPS(steps=8, eta=eta), process=PROCESSES[name]))
    found = sampled(STSL(steps=8, repeats=1, scale=0.7, trace_scale=0.0, eta=eta), process=PROCESSES[name])
    torch.testing.assert_close(found, sampled(DPS(steps=8, scale=0.7, eta=eta), process=PROCESSES[name]))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_its_gradient_is_that_of_the_bound(weighting):
    """The mean over probes of ∇(|y - A x̂_0| + λ w tr ∇² log p_t), by automatic differentiation of log p_t alone."""
    process, t, n = VP(), 0.4, 40_000
    law, y, x = LAW.marginal(process, t), draw(1, 2, seed=1), 0.5 * draw(1, 3, seed=4)
    alpha, gamma = process.alpha(t), process.gamma(t)
    sampler = STSL(trace_scale=0.3, delta=0.02, weighting=weighting)

    def bound(v):
        (score,) = torch.autograd.grad(law.log_prob(v[None]).sum(), v, create_graph=True)
        trace = sum(torch.autograd.grad(score[i], v, create_graph=True)[0][i] for i in range(3))
        size = (y[0] - A.matrix @ (v + gamma**2 * score) / alpha).norm()
        return size + 0.3 * (gamma**4 / alpha**2 if weighting == "covariance" else 1.0) * trace

    point = x[0].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(bound(point), point)
    way = Way(LAW.denoiser(process), Measurement(A, y.expand(n, -1), 0.1), (), Noise(3), None)
    _, found = sampler.gradient(way, x.expand(n, -1), t, (Noise(3), 0))
    error = 4 * found.std(0) / math.sqrt(n) + 1e-3 * wanted.norm()
    assert ((found.mean(0) - wanted).abs() < error).all()


def test_raw_is_cut_where_its_gradient_would_grow():
    """Above a noise of a tenth it is 1 in the coordinates of VP; below, as bounded as "covariance"."""
    process, weights = VP(), WEIGHTINGS
    for t in (1e-3, 0.01, 0.02):
        assert process.gamma(t) < 0.1
        ratio = weights["raw"](process, t) / weights["covariance"](process, t)
        assert ratio == pytest.approx(1e4 * process.alpha(t) ** 2)
    assert weights["raw"](process, 0.3) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["EDM", "flow"])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_process_moves_alike(name, weighting):
    """At equal levels γ/α the states of two processes differ by √(α² + γ²) alone."""
    kappas = [5.0, 2.0, 0.7, 0.2, 0.05]
    sampler = STSL(repeats=2, trace_scale=0.3, weighting=weighting, eta=0.7)

    def on(process):
        times = [float(process.time_at(-math.log(kappa))) for kappa in kappas]
        return sampled(replace(sampler, grid=[*times, 0.0]), process=process)

    torch.testing.assert_close(on(PROCESSES[name]), on(VP()), atol=1e-5, rtol=1e-5)


def turned(turn):
    """For x = R z, R (3, 3) orthogonal: the law of z, and an inpainting of x as an operator of z."""
    operator = LatentOperator(
        lambda z: z @ turn.T.to(z),
        Inpainting(torch.tensor([1.0, 0.0, 1.0])),
        (3,),
        encoder=lambda x: x @ turn.to(x),
    )
    return GaussianMixture(LAW.means @ turn, LAW.variances[:, 0]), operator


TURN = torch.linalg.qr(draw(3, 3, seed=3))[0]


@pytest.mark.parametrize(
    "sampler", [STSL(steps=6, repeats=2, trace_scale=0.0), PSLD(steps=6), DPS(steps=6, eta=0.0)]
)
def test_a_decoder_that_turns_only_turns_the_draws(sampler):
    """Latents of the turned law are the turned latents; no noise is drawn on the way."""
    found, y = [], draw(4, 2, seed=1)
    for turn in (torch.eye(3, dtype=torch.float64), TURN):
        law, operator = turned(turn)
        z = sampler(law.denoiser(VP()), draw(4, 3) @ turn, Measurement(operator, y, 0.1), generator=Noise(0))
        found.append(operator.decoder(z))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-6)


def test_gluing_vanishes_where_the_measurement_is_met():
    """E = D⁻¹ and A D ẑ_0 = y: the latent of the corrected picture is itself, so both terms are 0."""
    z, (_, operator) = draw(4, 3), turned(TURN)
    parts = operator.decoder, operator.encoder, operator.operator
    sampler = PSLD(scale=2.0, gluing=0.5)
    met = sampler.energy(operator(z), *parts, z, z)
    assert float(met.abs().max()) < 1e-12
    # Off by r, an orthogonal E carries the misfit into the latent as it is: 2 |r| + 0.5 |r|.
    off = sampler.energy(operator(z) + 0.3, *parts, z, z)
    torch.testing.assert_close(off, torch.full((4,), 2.5 * 0.3 * 2**0.5, dtype=torch.float64))


def test_a_latent_operator_measures_what_is_decoded():
    decoder = nn.Linear(2, 3)
    z, plain = torch.randn(5, 2), DifferentiableForwardModel(decoder, (2,))
    operator = LatentOperator(decoder, A, (2,))
    assert operator.out_shape == (2,)
    assert torch.equal(operator(z), (A @ plain)(z))


def test_coders_that_let_no_gradient_through_are_refused():
    linear, back = nn.Linear(2, 3), nn.Linear(3, 2)
    for broken in (torch.no_grad()(linear.forward), lambda z: linear(z.detach())):
        with pytest.raises(InputError, match="decode under no_grad found"):
            LatentOperator(broken, A, (2,))
    with pytest.raises(InputError, match="encode under no_grad found"):
        LatentOperator(linear, A, (2,), encoder=torch.no_grad()(back.forward))
    with pytest.raises(InputError, match=r"decoder makes \(2,\) of \(3,\), and \(3,\) is needed"):
        LatentOperator(back, A, (3,))
    with pytest.raises(InputError, match="encoder makes"):
        LatentOperator(linear, A, (2,), encoder=nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: STSL(repeats=0), r"repeats \(K\) is 0"),
        (lambda: STSL(repeats=1.5), r"repeats \(K\) is 1.5"),
        (lambda: STSL(trace_scale=-0.1), r"trace_scale \(γ\) is -0.1"),
        (lambda: STSL(scale=-1.0), "scale is -1"),
        (lambda: STSL(eta=-1.0), "eta is -1"),
        (lambda: STSL(delta=0.0), "delta is 0"),
        (lambda: STSL(weighting="cubic"), "cubic"),
        (lambda: PSLD(scale=-1.0), "scale is -1"),
        (lambda: PSLD(gluing=-1.0), "gluing is -1"),
        (lambda: PSLD(eta=-1.0), "eta is -1"),
    ],
)
def test_numbers_out_of_range_are_refused(make, says):
    with pytest.raises((InputError, UnknownName), match=says):
        make()


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        (A, "needs a LatentOperator with an encoder, and DenseOperator has none"),
        (LatentOperator(nn.Identity(), A, (3,)), "with an encoder"),
        (
            LatentOperator(nn.Identity(), ClippedRange((3,)), (3,), encoder=nn.Identity()),
            "needs a linear operator, and ClippedRange",
        ),
    ],
)
def test_psld_says_what_it_needs(operator, says):
    m = Measurement(operator, torch.zeros(1, *operator.out_shape), 0.1)
    with pytest.raises(Unsuitable, match=says):
        posterior(Gaussian(torch.zeros(3), 1.0).denoiser(VP()), m, sampler=PSLD(steps=3))
