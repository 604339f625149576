"""A model run under another schedule: on exact laws it must be the exact denoiser of that schedule."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch
from oracles import ONE_SIDED, mixture, seeded

from girsanov import processes, solvers
from girsanov.denoiser import Rescaled
from girsanov.errors import Unsuitable
from girsanov.solvers import grid, run

DOUBLE = torch.float64
CONTINUOUS = {name: process for name, process in ONE_SIDED.items() if name != "DDPM"}
TIMES = [0.2, 0.5, torch.tensor([0.1, 0.3, 0.6, 0.7], dtype=DOUBLE)]


@pytest.mark.parametrize("old, new", permutations(CONTINUOUS, 2))
def test_an_exact_model_stays_exact(old, new):
    law, process = mixture(), CONTINUOUS[new]
    model, truth = Rescaled(law.denoiser(CONTINUOUS[old]), process), law.denoiser(process)
    for t in TIMES:
        if float(torch.as_tensor(process.log_snr(t)).min()) < CONTINUOUS[old].log_snr(1.0):
            continue  # noisier than the model knows
        gamma = process.gamma(t)
        x = law.sample(4, generator=seeded(0)) * 0.5
        x = x + (gamma[:, None] if isinstance(gamma, torch.Tensor) else gamma)
        for word in ("data", "velocity", "score"):
            expected = getattr(truth, word)(x, t)
            assert torch.allclose(getattr(model, word)(x, t), expected, rtol=1e-10, atol=1e-10)


def test_the_state_must_be_rescaled_too():
    vp, rf = processes.VP(), processes.RectifiedFlow()
    model, law = Rescaled(mixture().denoiser(vp), rf), mixture()
    x, t = law.sample(8, generator=seeded(1)), 0.5
    unscaled = law.denoiser(vp).data(x, vp.time_at(rf.log_snr(t)))
    assert (model.data(x, t) - unscaled).abs().max() > 0.1


def test_at_the_noisiest_time_the_model_is_asked_at_its_own():
    law, vp, rf = mixture(), processes.VP(), processes.RectifiedFlow()
    x = torch.randn(8, 3, generator=seeded(2), dtype=DOUBLE)
    found = Rescaled(law.denoiser(vp), rf).data(x, 1.0)
    assert torch.allclose(found, law.denoiser(vp).data(x, 1.0), atol=1e-12)  # both states have unit variance
    each = Rescaled(law.denoiser(vp), rf).data(x, torch.ones(8, dtype=DOUBLE))
    assert torch.allclose(found, each, atol=1e-12)


def test_sampling_stops_where_the_model_does():
    vp, rf = replace(processes.VP(), t_min=1e-2), processes.RectifiedFlow()
    process = Rescaled(mixture().denoiser(vp), rf).process
    assert process.log_snr(process.t_min) == pytest.approx(vp.log_snr(1e-2))
    assert process.schedule == rf.schedule
    same = Rescaled(mixture().denoiser(rf), vp).process
    assert same.t_min == vp.t_min


def test_both_schedules_give_the_same_samples_from_the_same_noise():
    law, vp, rf = mixture(), processes.VP(), processes.RectifiedFlow()
    model = Rescaled(law.denoiser(vp), rf)
    start = rf.time_at(vp.log_snr(1.0))  # the same log-SNR as VP at t = 1
    x = torch.randn(64, 3, generator=seeded(3), dtype=DOUBLE)
    scale = rf.gamma(start) / vp.gamma(1.0)
    a = run(solvers.rho_rk(vp, grid("uniform", 200)), law.denoiser(vp), x)
    b = run(solvers.rho_rk(model.process, grid("karras", 200, start=start)), model, scale * x)
    assert (a - b).abs().max() < 1e-2
    unmatched = run(solvers.rho_rk(model.process, grid("karras", 200, start=start)), model, 0.9 * scale * x)
    assert (a - unmatched).abs().max() > 0.1


def test_two_ended_processes_are_refused():
    bridge, vp = processes.BrownianBridge(), processes.VP()
    with pytest.raises(Unsuitable, match="one-sided"):
        Rescaled(mixture().denoiser(vp), bridge)
    with pytest.raises(Unsuitable, match="one-sided"):
        Rescaled(mixture().denoiser(bridge), vp)
