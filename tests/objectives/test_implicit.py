"""Implicit and sliced score matching: the trace, the slices, and the minimizer on Gaussian data."""

import pytest
import torch
from oracles import mixture, seeded
from stand_ins import Offset, gradients, standard_errors
from torch import nn

from girsanov import processes
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import Gaussian
from girsanov.noise import Noise
from girsanov.objectives import implicit_score_matching, score_matching, sliced_score_matching
from girsanov.objectives.implicit import exact_trace, quadratic

N = 4000
COVARIANCE = torch.tensor([[0.4, 0.1], [0.1, 0.2]], dtype=torch.float64)
LAW = Gaussian(torch.tensor([0.3, -0.2]), COVARIANCE)
DENOISER = LAW.denoiser(processes.VP())
BOTH = [implicit_score_matching, sliced_score_matching]


class Linear:
    """s(x) = -(P + θ)(x - m) with a matrix θ for each sample."""

    def __init__(self, value=0.0):
        precision = torch.linalg.inv(COVARIANCE)
        self.theta = (value * torch.ones(N, 2, 2)).double().requires_grad_()
        self.precision, self.mean = precision, LAW.mean

    def __call__(self, x):
        return -torch.einsum("bij,bj->bi", self.precision + self.theta, x - self.mean)


@pytest.mark.parametrize("make", BOTH)
def test_on_gaussian_data_the_score_is_the_minimizer(make):
    x0 = LAW.sample(N, generator=seeded(0))
    for value in (0.0, 0.5):
        score = Linear(value)
        make()(score, x0, generator=Noise(1)).sum().backward()
        found = standard_errors(score.theta.grad.flatten(1))
        assert (found < 4).all() if value == 0 else (found > 4).all(), found


@pytest.mark.parametrize("process", [processes.VP(), processes.EDM(), processes.BrownianBridge(0.7)])
@pytest.mark.parametrize("word", ["score", "data", "noise"])
def test_the_minimizer_is_that_of_denoising_score_matching(process, word):
    x0, t = LAW.sample(N, generator=seeded(0)), 0.1
    end = None if process.end == "noise" else x0.flip(0)
    fixed = score_matching("score", times=lambda u, process, s: torch.full_like(u, t))
    for value in (0.0, 1.0):
        for objective in (implicit_score_matching(t), sliced_score_matching(t), fixed):
            model = Offset(LAW.denoiser(process), word, n=N, value=value)
            found = standard_errors(gradients(objective, model, x0, end=end, generator=Noise(2)))
            assert (found < 4).all() if value == 0 else (found > 4).any(), found


def test_both_losses_differ_from_the_distance_of_scores_by_a_constant():
    """Mean over samples of the loss, against ½E|s - ∇log p|² for two wrong scores (Hyvärinen's theorem)."""
    law, n = mixture(dim=2), 200_000
    x0 = law.sample(n, generator=seeded(0))
    clean = x0.clone().requires_grad_()
    (truth,) = torch.autograd.grad(law.log_prob(clean).sum(), clean)
    scores = [lambda x: -x, lambda x: -torch.tanh(2 * x)]
    for make in BOTH:
        first, second = (make()(s, x0, generator=Noise(0)) for s in scores)
        exact = [(s(x0) - truth).square().mean(1) / 2 for s in scores]
        difference = (first - second) - (exact[0] - exact[1])
        assert standard_errors(difference[:, None]).item() < 4
        assert standard_errors((first - second)[:, None]).item() > 20


def field(x):
    return torch.stack([x[:, 0] ** 2 * x[:, 1], x[:, 1].sin() + x[:, 0]], 1)


def test_trace_and_slices_agree_with_the_jacobian():
    x = torch.randn(5, 2, generator=seeded(0), dtype=torch.float64, requires_grad=True)
    v = torch.randn(5, 2, generator=seeded(1), dtype=torch.float64)
    jacobian = torch.stack([torch.func.jacrev(lambda y: field(y[None])[0])(row) for row in x.detach()])
    torch.testing.assert_close(exact_trace(field(x), x), jacobian.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(quadratic(field(x), x, v), torch.einsum("bi,bij,bj->b", v, jacobian, v))


def test_many_slices_approach_the_trace():
    x0 = LAW.sample(20, generator=seeded(0))
    whole = implicit_score_matching()(field, x0)
    one, many = (sliced_score_matching(projections=k)(field, x0, generator=Noise(3)) for k in (1, 400))
    assert (many - whole).abs().max() < 0.25 * (one - whole).abs().max()


@pytest.mark.parametrize("make", BOTH)
def test_validation_without_gradients_and_images_work(make):
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1))
    x0 = torch.randn(3, 1, 4, 4, generator=seeded(0))
    loss = make()(net, x0, generator=Noise(0))
    loss.mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
    with torch.no_grad():
        quiet = make()(net, x0, generator=Noise(0))
    assert torch.equal(quiet, loss) and not quiet.requires_grad and not x0.requires_grad


@pytest.mark.parametrize("make", BOTH)
def test_gradients_agree_with_finite_differences(make):
    x0 = LAW.sample(3, generator=seeded(0))
    start = torch.randn(2, 2, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda w: make()(lambda x: torch.tanh(x @ w), x0, generator=Noise(0)), start
    )


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: sliced_score_matching(projections=0), InputError, "projections is 0"),
        (lambda: implicit_score_matching(0.0), InputError, "t is 0.0"),
        (lambda: implicit_score_matching(1.5), InputError, "t is 1.5"),
        (lambda: implicit_score_matching()(field, torch.zeros(2, 257)), InputError, "sliced_score_matching"),
        (
            lambda: implicit_score_matching()(LAW.denoiser(processes.VP()), torch.zeros(2, 2)),
            Unsuitable,
            "t=",
        ),
        (
            lambda: implicit_score_matching()(field, torch.zeros(2, 2), cond=torch.zeros(2)),
            Unsuitable,
            "cond",
        ),
        (lambda: implicit_score_matching()(field, torch.ones(2, 2).long()), InputError, "int64"),
        (lambda: sliced_score_matching(0.5)(field, torch.zeros(2, 2)), Unsuitable, "Denoiser"),
    ],
)
def test_bad_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
