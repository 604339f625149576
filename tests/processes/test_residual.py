"""The residual process against the paper's own form, the table of `LinearPro`, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from girsanov import processes
from girsanov.errors import InputError
from girsanov.noise import Noise

PROCESS = processes.Residual()


@pytest.mark.parametrize("steps, left", [(12, 5), (1000, 372)])
def test_the_nodes_are_those_of_linear_pro(steps, left):
    """β linear from 1e-4 · 1000/T to 0.02 · 1000/T, up to the first √ᾱ <= ½, which becomes ½."""
    rates = np.linspace(1e-4, 0.02, steps) * 1000 / steps
    roots = np.sqrt(np.cumprod(1 - np.minimum(rates, 0.999)))
    first = int(np.argmax(roots <= 0.5))
    process = processes.Residual(steps)
    size = len(process.schedule.log_roots)
    assert size == first + 1 and process.t_min == 1 / size
    if steps == 12:
        assert size == left
    for i in range(size - 1):
        assert 1 - process.beta((i + 1) / size) == pytest.approx(roots[i], rel=1e-12)


def test_it_is_the_form_of_the_paper():
    """x_t = √ᾱ x_0 + (1 - √ᾱ) R + √(1 - ᾱ) z with R = x_1 - x_0."""
    x0, end = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for t in (0.1, 0.4, 1.0):
        x, z = PROCESS.perturb(x0, t, end=end, generator=Noise(0))
        root = 1 - PROCESS.beta(t)
        paper = root * x0 + (1 - root) * (end - x0) + math.sqrt(1 - root**2) * z
        torch.testing.assert_close(x, paper, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_the_start_holds_nothing_of_the_data(kind):
    assert PROCESS.values(1.0) == pytest.approx((0, 0.5, math.sqrt(0.75)), abs=1e-15)
    assert PROCESS.alpha(1.0) == 0 and PROCESS.log_snr(1.0) == -math.inf
    assert PROCESS.alpha(torch.ones(1, dtype=kind)).item() == 0
    end = torch.full((3, 2), 0.8, dtype=kind)
    start = PROCESS.reference(end, anchor=end, generator=Noise(0))
    noise = Noise(0).draw(end, -1)
    torch.testing.assert_close(start, 0.4 + math.sqrt(0.75) * noise)


def test_without_residual_it_is_the_chain():
    """x_1 = x_0: the coefficient of the picture is √ᾱ, as in DDPM."""
    for t in (0.2, 0.5, 0.9):
        alpha, beta, gamma = PROCESS.values(t)
        assert (alpha + beta) ** 2 + gamma**2 == pytest.approx(1)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: processes.Residual(2), "at least 3"),
        (lambda: processes.Residual(12.0), "at least 3"),
        (
            lambda: processes.Residual(alphas_cumprod=[0.9, 0.6]),
            "never falls to ½: its least value is 0.7746",
        ),
        (lambda: processes.Residual(alphas_cumprod=[]), "never falls"),
        (lambda: processes.Residual(alphas_cumprod=[0.1, 0.05]), "first step"),
        (lambda: processes.Residual(alphas_cumprod=[0.5, 0.9, 0.1]), "decreasing"),
        (lambda: processes.Residual(alphas_cumprod=[0.5, 0.0]), "strictly between"),
    ],
)
def test_bad_chains_are_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()
