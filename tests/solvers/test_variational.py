"""The variational bound of a chain, against the exact log-density."""

from itertools import pairwise

import pytest
import torch
from oracles import ONE_SIDED, mixture

from girsanov import exact, processes
from girsanov.errors import InputError, Unsuitable
from girsanov.noise import Noise
from girsanov.solvers import grid, variational_bound

VP, RF = processes.VP(), processes.RectifiedFlow()


def equal_log_snr(process, steps=30, first=-4.0, last=5.0):
    return tuple(process.time_at(first + (last - first) * i / steps) for i in range(steps + 1))


@pytest.mark.parametrize("process", ONE_SIDED.values(), ids=ONE_SIDED)
def test_it_lies_below_the_log_density(process):
    law = mixture()
    x = law.sample(2000, generator=Noise(0))
    times = grid("log-snr", 30, to_zero=False)
    gap = law.log_prob(x) - variational_bound(law.denoiser(process), x, times, generator=Noise(1))
    assert float(gap.mean()) > 5 * float(gap.std()) / 2000**0.5


def test_it_depends_on_the_schedule_through_its_log_snr_only():
    """And not through the scale of the state: at equal log-SNR x_t/√(α² + γ²) has one law."""
    law = mixture()
    x = law.sample(200, generator=Noise(1))
    found = [variational_bound(law.denoiser(p), x, equal_log_snr(p), generator=Noise(2)) for p in (VP, RF)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-8)


def test_on_gaussian_data_the_bound_closes():
    law = exact.Gaussian(torch.zeros(2), 1.0)
    x = law.sample(4000, generator=Noise(0))
    gaps = []
    for steps in (32, 128, 512):
        found = variational_bound(
            law.denoiser(VP), x, grid("log-snr", steps, to_zero=False), generator=Noise(1)
        )
        gaps.append(float((law.log_prob(x) - found).mean()))
    assert all(a > 3 * b > 0 for a, b in pairwise(gaps))  # a quarter each time, but for what is drawn


def test_the_same_generator_gives_the_same_bound_in_parts():
    law = mixture()
    x = law.sample(128, generator=Noise(0))
    model, times = law.denoiser(VP), equal_log_snr(VP, steps=4)
    whole = variational_bound(model, x, times, generator=Noise(3))
    part = variational_bound(model, x[64:], times, generator=Noise(3, first=64))
    torch.testing.assert_close(whole[64:], part)


def test_what_it_refuses():
    law = mixture()
    with pytest.raises(InputError, match="ends at 0"):
        variational_bound(law.denoiser(VP), law.sample(2), grid("log-snr", 4))
    bridge = processes.BrownianBridge()
    with pytest.raises(Unsuitable, match="one-sided"):
        variational_bound(law.denoiser(bridge), law.sample(2), (0.9, 0.1))
