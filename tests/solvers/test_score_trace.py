"""The trace of the Hessian of log p_t by differences of the score, against that of a mixture's own log-density."""

import math
from itertools import pairwise

import pytest
import torch
from oracles import mixture, seeded

from girsanov import processes
from girsanov.errors import InputError, Unsuitable
from girsanov.exact import ExactDenoiser, Gaussian
from girsanov.noise import Noise, rademacher
from girsanov.solvers import score_trace

CASES = {
    "VP": processes.VP(),
    "VE": processes.VE(0.01, 30.0),
    "RectifiedFlow": processes.RectifiedFlow(),
}
T = 0.4


class Counted(ExactDenoiser):
    calls = 0

    def forward(self, x, t, **kwargs):
        Counted.calls += 1
        return super().forward(x, t, **kwargs)


def states(process, n, dim=3, t=T):
    """Draws of x_t."""
    return mixture(dim=dim).marginal(process, t).sample(n, generator=seeded(0))


def hessian(process, x, t=T):
    """(d, d), of the exact log-density at x (d,)."""
    law = mixture(dim=len(x)).marginal(process, t)
    return torch.autograd.functional.hessian(lambda v: law.log_prob(v[None])[0], x)


def probed(process, x, probe, delta):
    model = mixture(dim=x.shape[1]).denoiser(process)
    return score_trace(model, x, T, probe[None], delta=delta)


@pytest.mark.parametrize("process", CASES.values(), ids=CASES)
@pytest.mark.parametrize("law", ["normal", "rademacher"])
def test_it_is_unbiased(process, law):
    point, n = states(process, 1), 10_000
    x = point.expand(n, -1)
    probe = Noise(1).draw(x, 0, rademacher) if law == "rademacher" else Noise(1).draw(x, 0)
    found = probed(process, x, probe, 0.01)
    exact = float(hessian(process, point[0]).trace())
    # 3 standard errors, and a bias of O(h²) = 1e-4 of the trace at most.
    assert abs(float(found.mean()) - exact) < 3 * float(found.std()) / n**0.5 + 1e-4 * abs(exact)


@pytest.mark.parametrize("process", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("signs", "order"), [((1,), 1), ((1, -1), 2)], ids=["forward", "symmetric"])
def test_a_probe_is_off_by_the_order_of_its_step(process, signs, order):
    """One probe by O(h); a probe and its negative, which is what the mean over probes sees, by O(h²)."""
    x = states(process, 6)
    probe = Noise(2).draw(x, 0)
    exact = torch.stack([e @ hessian(process, v) @ e for v, e in zip(x, probe, strict=True)])
    errors = []
    for delta in (0.02, 0.01, 0.005):
        found = torch.stack([probed(process, x, sign * probe, delta) for sign in signs]).mean(0)
        errors.append(float((found - exact).norm()))
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([order] * 2, abs=0.15)


@pytest.mark.parametrize("process", CASES.values(), ids=CASES)
@pytest.mark.parametrize("t", [0.1, 0.4, 0.8])
def test_it_gives_the_covariance_of_what_was_clean(process, t):
    """Tweedie's second formula: given x_t the law of x_0 is a mixture again, which knows its covariance."""
    law, x = mixture(dim=3), states(process, 3, t=t)
    alpha, gamma = process.alpha(t), process.gamma(t)
    basis = torch.eye(3, dtype=torch.float64)[:, None].expand(3, 3, 3) * 3**0.5  # of covariance I, exactly
    trace = sum(
        score_trace(law.denoiser(process), x, t, sign * basis, delta=1e-4) for sign in (1, -1)
    ) / 2  # fmt: skip
    for v, found in zip(x, trace, strict=True):
        exact = law.posterior(alpha * torch.eye(3), v, noise=gamma).covariance.trace()
        assert float((gamma / alpha) ** 2 * (3 + gamma**2 * found)) == pytest.approx(float(exact), rel=1e-4)


def test_the_trace_of_a_gaussian_is_constant():
    x = torch.randn(4, 2, 3, generator=seeded(1), dtype=torch.float64).requires_grad_()
    process = processes.VP()
    trace = score_trace(Gaussian(torch.ones(2, 3), 0.5).denoiser(process), x, T, torch.ones(1, 4, 2, 3))
    variance = 0.5 * process.alpha(T) ** 2 + process.gamma(T) ** 2
    torch.testing.assert_close(trace, torch.full_like(trace, -6 / variance))
    (gradient,) = torch.autograd.grad(trace.sum(), x)
    assert float(gradient.abs().max()) < 1e-9


def test_its_gradient_is_that_of_the_difference():
    process = processes.VP()
    x = states(process, 2).requires_grad_()
    probe = Noise(3).draw(x, 0)
    assert torch.autograd.gradcheck(lambda v: probed(process, v, probe, 0.1), (x,))


def test_times_may_differ_between_samples():
    process, model = processes.VP(), mixture(dim=3).denoiser(processes.VP())
    x, probes = states(process, 3), Noise(4).draw(torch.empty(2, 3, 3, dtype=torch.float64), 0)
    t = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    whole = score_trace(model, x, t, probes)
    parts = [score_trace(model, x[i : i + 1], float(t[i]), probes[:, i : i + 1]) for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(parts))


def test_a_known_score_saves_its_call():
    model, x = Counted(mixture(dim=3), processes.VP()), states(processes.VP(), 2)
    probes = Noise(5).draw(torch.empty(4, 2, 3, dtype=torch.float64), 0)
    known = model.score(x, T)
    Counted.calls = 0
    plain = score_trace(model, x, T, probes)
    assert Counted.calls == 5
    torch.testing.assert_close(score_trace(model, x, T, probes, score=known), plain)
    assert Counted.calls == 9


def test_bad_input_is_refused():
    model, x = mixture(dim=3).denoiser(processes.VP()), torch.zeros(2, 3)
    with pytest.raises(InputError, match="delta is 0"):
        score_trace(model, x, T, torch.ones(1, 2, 3), delta=0.0)
    with pytest.raises(InputError, match=r"give \(P, \*x.shape\)"):
        score_trace(model, x, T, torch.ones(2, 3))
    with pytest.raises(Unsuitable):
        score_trace(_Heavy(), x, T, torch.ones(1, 2, 3))


class _Heavy(ExactDenoiser):
    """A denoiser of a process whose noise is not normal: no score."""

    def __init__(self):
        super().__init__(mixture(dim=3), processes.VP())
        self.process = processes.Levy(alpha=1.8)
