"""Likelihood and latent codes by the flow, against exact densities."""

import math

import pytest
import torch
from oracles import mixture, seeded

from girsanov import exact, processes, solvers
from girsanov.errors import InputError, NotFinite, Unsuitable
from girsanov.solvers import flow, likelihood, log_likelihood

CASES = {
    "VP": processes.VP(),
    "SubVP": processes.SubVP(),
    "VE": processes.VE(0.01, 30.0),
    "OrnsteinUhlenbeck": processes.OrnsteinUhlenbeck(rate=6.0),
    "RectifiedFlow": processes.RectifiedFlow(),
}


@pytest.mark.parametrize("process", CASES.values(), ids=CASES)
def test_likelihood_of_a_mixture_is_exact(process):
    law = mixture(dim=2)
    x = law.sample(8, generator=seeded(0))
    model = law.denoiser(process)
    found = log_likelihood(model, x, tolerance=1e-7)
    # The one approximation is the reference in place of p_1: known, so it can be taken out again.
    code = flow(model, x, process.t_min, 1.0, tolerance=1e-7).x
    reference = torch.distributions.Normal(0, process.reference_std).log_prob(code).sum(1)
    exactly = law.marginal(process, process.t_min).log_prob(x)
    exactly = exactly + reference - law.marginal(process, 1.0).log_prob(code)
    assert (found - exactly).abs().max() < 1e-3
    assert (found - exactly + 0.1).abs().max() > 1e-3


def test_likelihood_is_that_of_the_data():
    """On VP the reference and t_min weigh little: within 0.01 nat of the law itself."""
    law = mixture(dim=2)
    x = law.sample(20, generator=seeded(0))
    found = log_likelihood(law.denoiser(processes.VP()), x, tolerance=1e-6)
    assert (found - law.log_prob(x)).abs().mean() < 0.01


def test_hutchinson_is_unbiased():
    law, process = mixture(dim=2), processes.VP()
    x = law.sample(1, generator=seeded(0)).expand(1500, 2)
    found = log_likelihood(law.denoiser(process), x, divergence="hutchinson", seed=3)
    exactly = log_likelihood(law.denoiser(process), x[:1])
    error = found.std() / math.sqrt(len(found))
    assert error > 0 and abs(found.mean() - exactly) < 4 * error + 1e-3


def test_flow_there_and_back():
    law, process = mixture(dim=2), processes.VP()
    model, x = law.denoiser(process), law.sample(10, generator=seeded(0))
    code = flow(model, x, process.t_min, 1.0, tolerance=1e-8)
    back = flow(model, code.x, 1.0, process.t_min, tolerance=1e-8)
    torch.testing.assert_close(back.x, x, atol=1e-4, rtol=0)
    assert code.calls > 10 and code.divergence is None


def test_the_fine_plan_agrees_with_the_adaptive_flow():
    law, process = mixture(), processes.VP()
    model, x = law.denoiser(process), torch.randn(5, 3, generator=seeded(1), dtype=torch.float64)
    plan = solvers.exponential(process, solvers.grid("log-snr", 400, to_zero=False), order=4)
    adaptive = flow(model, x, 1.0, process.t_min, tolerance=1e-9).x
    torch.testing.assert_close(solvers.run(plan, model, x), adaptive, atol=1e-5, rtol=0)


def test_bad_questions_are_refused():
    model = mixture().denoiser(processes.VP())
    with pytest.raises(InputError, match=r"index \(0, 1\)"):
        log_likelihood(model, torch.tensor([[0.0, math.nan, 0.0]]))
    with pytest.raises(InputError, match="shape"):
        log_likelihood(model, torch.zeros(0, 3))
    with pytest.raises(InputError, match="divergence"):
        log_likelihood(model, torch.zeros(1, 3), divergence="exakt")
    with pytest.raises(InputError, match="t_min"):
        flow(model, torch.zeros(1, 3), 0.0, 1.0)
    with pytest.raises(Unsuitable, match="one-sided"):
        log_likelihood(mixture().denoiser(processes.BrownianBridge()), torch.zeros(1, 3))


def test_a_stuck_integration_says_where(monkeypatch):
    monkeypatch.setattr(likelihood, "BUDGET", 300)

    class Rough(exact.ExactDenoiser):
        def forward(self, x, t, *, cond=None, anchor=None):
            (answer,) = super().forward(x, t)
            return (answer + 1e3 * torch.sin(1e9 * x + 1e9 * t),)

    with pytest.raises(NotFinite, match="stuck at t ="):
        log_likelihood(Rough(mixture(), processes.VP()), torch.zeros(1, 3, dtype=torch.float64))
