"""Posterior-mean flow on jointly Gaussian pairs, where the flow is the optimal map and its error is known."""

import pytest
import torch
from torch import nn

from girsanov import networks, processes
from girsanov.denoiser import AbstractDenoiser, Denoiser
from girsanov.errors import InputError
from girsanov.inverse import PosteriorMeanFlow
from girsanov.noise import Noise
from girsanov.solvers import grid, heun
from girsanov.training import Training, fit
from girsanov.transport import gaussian_map, gaussian_w2

FLOW = processes.StochasticInterpolant(latent="none")
DIM = 3
AXES = torch.linalg.qr(Noise(7).draw(torch.empty(DIM, DIM, dtype=torch.float64), 0)).Q
"""Directions of x; y = x + noise of its own size along each."""

DATA = (AXES * torch.tensor([4.0, 1.0, 0.25])) @ AXES.T
NOISE = (AXES * torch.tensor([1.0, 1.0, 1.0])) @ AXES.T
GAIN = DATA @ torch.linalg.inv(DATA + NOISE)
MEAN = GAIN @ DATA
"""The covariance of E[x | y]."""

ZERO, EYE = torch.zeros(DIM).double(), torch.eye(DIM).double()
MMSE = float((DATA - MEAN).trace())


def estimate(y):
    return y @ GAIN.to(y).T


class ExactVelocity(AbstractDenoiser):
    """E[x_1 - x_0 | x_t] by regression, for x_0 = x and x_1 = E[x | y] + std · z."""

    process, stored, shape = FLOW, ("velocity",), (DIM,)

    def __init__(self, std):
        super().__init__()
        end = MEAN + std**2 * EYE
        self.joint = torch.cat([torch.cat([DATA, MEAN], 1), torch.cat([MEAN, end], 1)])

    def forward(self, x, t, *, cond=None, anchor=None):
        state, rate = torch.cat([(1 - t) * EYE, t * EYE], 1), torch.cat([-EYE, EYE], 1)
        slope = rate @ self.joint @ state.T @ torch.linalg.inv(state @ self.joint @ state.T)
        return (x @ slope.T.to(x),)


def error_of(restore):
    """E|x̂ - x|² of a linear restorer, from what it makes of the axes."""
    m = restore(EYE).double().T
    cross = m @ DATA
    return float((m @ (DATA + NOISE) @ m.T - 2 * cross + DATA).trace())


def fine(model, y):
    return model.restore(y, plan=heun(FLOW, grid("uniform", 400)).recast(("velocity",)), seed=0)


@pytest.mark.parametrize("std", [0.0, 0.3])
def test_the_exact_flow_is_the_optimal_map(std):
    model = PosteriorMeanFlow(estimate, ExactVelocity(std), std)
    y = Noise(1).draw(torch.empty(6, DIM, dtype=torch.float64), 0)
    start = estimate(y) + std * Noise(0).child(1).draw(y, 0)
    push = gaussian_map(ZERO, MEAN + std**2 * EYE, ZERO, DATA)
    torch.testing.assert_close(fine(model, y), push(start), rtol=0, atol=1e-5)


def test_its_error_is_the_least_of_restorers_with_the_law_of_the_data():
    model = PosteriorMeanFlow(estimate, ExactVelocity(0.0), 0.0)
    best = MMSE + float(gaussian_w2(ZERO, MEAN, ZERO, DATA)) ** 2
    assert error_of(lambda y: fine(model, y)) == pytest.approx(best, rel=1e-5)
    assert MMSE < best < 2 * MMSE
    assert error_of(estimate) == pytest.approx(MMSE)  # the estimate alone


class Gains(nn.Module):
    """v = A(t) x with a matrix learned at every time."""

    def __init__(self):
        super().__init__()
        self.net = networks.MLP(1, outputs=DIM * DIM, hidden=32, depth=2)

    def forward(self, x, t, cond=None):
        gains = self.net(torch.ones_like(t)[:, None], t).unflatten(1, (DIM, DIM))
        return torch.einsum("bij,bj->bi", gains, x)


def test_a_trained_flow_comes_near_the_optimum():
    x = Noise(2).draw(torch.empty(20_000, DIM), 0) @ torch.linalg.cholesky(DATA).float().T
    y = x + Noise(3).draw(x, 0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Gains()
    model = PosteriorMeanFlow(estimate, Denoiser(net, FLOW, predicts="velocity", data_std=None), 0.0)
    settings = Training(batch_size=256, lr=5e-3, ema=0.99, warmup=0, validation=0, progress=False)
    fit(model.flow, model.objective(), x, end=y, steps=600, config=settings)
    best = MMSE + float(gaussian_w2(ZERO, MEAN, ZERO, DATA)) ** 2
    found = error_of(lambda y: model.restore(y.float(), steps=100))
    assert best * 0.97 < found < best * 1.03
    # and what it makes has the law of the data
    made = model.restore(y[:20_000], steps=100).double()
    assert float(gaussian_w2(ZERO, made.T.cov(), ZERO, DATA)) < 0.1


def test_samples_do_not_depend_on_the_batch():
    model = PosteriorMeanFlow(estimate, ExactVelocity(0.5), 0.5)
    y = Noise(1).draw(torch.empty(9, DIM, dtype=torch.float64), 0)
    whole = model.restore(y, steps=4, seed=0)
    torch.testing.assert_close(model.restore(y, steps=4, seed=0, batch_size=2), whole)
    torch.testing.assert_close(model.restore(y[:4], steps=4, seed=0), whole[:4])
    assert not torch.equal(model.restore(y, steps=4, seed=1), whole)
    assert model.restore(y[:0]).shape == (0, DIM)


def test_each_step_costs_one_call():
    class Counted(ExactVelocity):
        calls = 0

        def forward(self, *args, **kwargs):
            self.calls += 1
            return super().forward(*args, **kwargs)

    flow = Counted(0.1)
    PosteriorMeanFlow(estimate, flow).restore(EYE, steps=7)
    assert flow.calls == 7


Y = torch.zeros(2, DIM)
VP = Denoiser(networks.MLP(DIM), processes.VP())
ENDS = Denoiser(networks.MLP(DIM), FLOW, predicts="end", data_std=None)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: PosteriorMeanFlow(estimate, VP), "between two laws"),
        (lambda: PosteriorMeanFlow(estimate, ENDS), "between two laws"),
        (lambda: PosteriorMeanFlow(networks.MLP(DIM), ExactVelocity(0)), "freeze it"),
        (lambda: PosteriorMeanFlow(estimate, ExactVelocity(0), -0.1), "std is -0.1"),
        (lambda: PosteriorMeanFlow(estimate, ExactVelocity(0)).restore(Y, steps=0), "steps is 0"),
        (lambda: PosteriorMeanFlow(estimate, ExactVelocity(0)).restore(Y, batch_size=0), "batch_size is 0"),
        (lambda: PosteriorMeanFlow(estimate, ExactVelocity(0)).restore(Y * torch.nan), "NaN"),
        (lambda: PosteriorMeanFlow(estimate, ExactVelocity(0)).restore(Y[0]), "give .n, .shape."),
        (lambda: PosteriorMeanFlow(lambda y: y[:, :1], ExactVelocity(0)).restore(Y), "keep the shape"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
